"""Reads the column of labels: either one class a row, or the spans that a check should find, as JSON."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evaluation.reader import Row
from guard.errors import InputError

POSITIVE = frozenset({"1", "true", "yes", "toxic", "positive", "flagged", "unsafe", "hate", "offensive", "spam", "injection"})
NEGATIVE = frozenset(
    {"0", "false", "no", "nontoxic", "non-toxic", "not toxic", "not_toxic", "negative", "clean", "normal", "neutral"}
    | {"none", "safe", "benign", "ok", "ham", "not hate", "not_hate", "nohate", "not offensive", "not_offensive"}
)
"""Values that need no `--positive`: every value of the file has to be among these, and one alone among the positive ones."""
_SHOWN_VALUES, _SHOWN_LENGTH = 20, 40
_TYPE_KEYS, _START_KEYS, _END_KEYS = ("entity_type", "label"), ("start_position", "start"), ("end_position", "end")


@dataclass(frozen=True, slots=True)
class Labelled:
    """One span that the file names: half-open, in code points of its row's text."""

    type: str
    start: int
    end: int


def holds_spans(rows: Sequence[Row]) -> bool:
    """Whether the column holds spans: its first label is a list, or text that begins like a JSON list."""
    first = next((row.label for row in rows if row.label is not None), None)
    return isinstance(first, list) or (isinstance(first, str) and first.lstrip().startswith("["))


def read_classes(rows: Sequence[Row], positive: Sequence[str] = ()) -> list[bool | None]:
    """Whether each row is positive; None for a row without a label.

    `positive`: the values that count as positive; when empty, the values have to speak for themselves. Raises InputError when
    they do not, when a value is not among the labels, and when no row has a label.
    """
    values = [None if row.label is None else normalised(row.number, row.label) for row in rows]
    counts = Counter(value for value in values if value is not None)
    if not counts:
        raise InputError("found no label in any row, expected one in most", advice="Name the column with --label.")
    wanted = {normalised(0, value) for value in positive}
    if wanted:
        absent = sorted(wanted - set(counts))
        if absent:
            raise InputError(
                f"found no row with the label {absent[0]!r}, expected it among {_listing(counts)}",
                advice="Correct --positive: it names the label of the rows that the check should flag.",
            )
    else:
        wanted = set(counts) & POSITIVE
        if len(wanted) > 1 or not set(counts) <= POSITIVE | NEGATIVE:
            raise InputError(
                f"cannot tell which label is the positive one, found {_listing(counts)}",
                advice="Say it with --positive VALUE, more than once when several labels count.",
            )
    return [None if value is None else value in wanted for value in values]


def normalised(number: int, label: Any) -> str:
    """A label as a word: case and outer spaces do not count, and 1, 1.0 and "1" are one."""
    if isinstance(label, bool):
        return str(label).lower()
    if isinstance(label, (int, float)):
        return _number(label)
    if not isinstance(label, str):
        raise InputError(f"row {number}: found {type(label).__name__} as label, expected a word, a number or a list of spans")
    word = label.strip().casefold()
    try:
        return _number(float(word))
    except ValueError:
        return word


def _number(value: float) -> str:
    return str(int(value)) if math.isfinite(value) and value == int(value) else repr(value)


def _listing(counts: Counter[str]) -> str:
    """The values with their frequencies; nothing but their number when they look like content rather than like labels."""
    if len(counts) > _SHOWN_VALUES or any(len(value) > _SHOWN_LENGTH for value in counts):
        return f"{len(counts)} different values, too many or too long to be classes"
    return "the labels " + ", ".join(f"{value!r} ({count})" for value, count in counts.most_common())


def read_spans(rows: Sequence[Row], renamed: Mapping[str, str] | None = None) -> list[tuple[Labelled, ...] | None]:
    """The spans of each row, None for a row without a label; `[]` says that there is nothing to find.

    Each is `{"entity_type" or "label", "start_position" or "start", "end_position" or "end"}`. `renamed`: other names for
    types; an empty one leaves the type out. Raises InputError for a label that is no such list, or a span outside its text.
    """
    return [None if row.label is None else tuple(_spans(row, renamed or {})) for row in rows]


def _spans(row: Row, renamed: Mapping[str, str]) -> list[Labelled]:
    found = row.label
    if isinstance(found, str):
        try:
            found = json.loads(found)
        except (ValueError, RecursionError):
            raise InputError(f"row {row.number}: found a label that is no JSON, expected a list of spans") from None
    if not isinstance(found, list):
        raise InputError(f"row {row.number}: found {type(found).__name__} as label, expected a list of spans")
    spans = []
    for one in found:
        if not isinstance(one, dict):
            raise InputError(f"row {row.number}: found {type(one).__name__} in the list of spans, expected objects")
        kind, start, end = (_field(row, one, keys) for keys in (_TYPE_KEYS, _START_KEYS, _END_KEYS))
        if not isinstance(kind, str):
            raise InputError(f"row {row.number}: found {type(kind).__name__} as a span's type, expected text")
        start, end = (_whole(row, value) for value in (start, end))
        if row.text is not None and not 0 <= start < end <= len(row.text):
            raise InputError(
                f"row {row.number}: found a span from {start} to {end}, expected one inside 0 to {len(row.text)}",
                advice="Positions count Unicode code points from 0; the end is not part of the span.",
            )
        kind = renamed.get(kind, kind)
        if kind:
            spans.append(Labelled(kind, start, end))
    return spans


def _field(row: Row, span: Mapping[str, Any], keys: tuple[str, ...]) -> Any:
    for key in keys:
        if span.get(key) is not None:
            return span[key]
    raise InputError(f"row {row.number}: found a span without {' or '.join(map(repr, keys))}, expected one of them")


def _whole(row: Row, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value) or value != int(value):
        raise InputError(f"row {row.number}: found {type(value).__name__} as a span's position, expected a whole number")
    return int(value)
