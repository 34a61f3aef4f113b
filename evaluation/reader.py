"""Reads labelled tables: a column of texts and a column of labels."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from evaluation.tables import records
from guard.errors import InputError


@dataclass(frozen=True, slots=True)
class Row:
    """One row: its number among the rows of data, from 1, its text and its label (None: the field is empty)."""

    number: int
    text: str | None = field(repr=False)
    label: Any = field(repr=False)


def read(file: Path, text: str, label: str, limit: int | None = None) -> list[Row]:
    """The first `limit` rows of a file, all of them when it is None.

    `text` and `label` name columns. Raises InputError for a file that is missing, empty, of no known format or damaged, for a
    column that is not there, for a text that is no text, and when pyarrow is needed and missing.
    """
    if text == label:
        raise InputError("found one column named for both texts and labels, expected two different ones")
    pairs = records(file, (text, label))
    rows = [_row(file, number, pair, text) for number, pair in enumerate(islice(pairs, limit), start=1)]
    if not rows:
        raise InputError(f"{file}: found no rows, expected at least one")
    return rows


def _row(file: Path, number: int, pair: tuple[Any, ...], column: str) -> Row:
    text, label = pair
    if text is not None and not isinstance(text, str):
        raise InputError(
            f"{file}: row {number}: found {type(text).__name__} in column {column!r}, expected text",
            advice="Name the column that holds the texts with --text.",
        )
    return Row(number, text, None if _missing(label) else label)


def _missing(label: Any) -> bool:
    return label is None or (isinstance(label, str) and not label.strip()) or (isinstance(label, float) and label != label)  # noqa: PLR0124 - only NaN differs from itself
