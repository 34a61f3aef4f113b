"""Reads tables row by row: CSV and JSONL with the standard library, Parquet with pyarrow (extra `eval`).

Messages name rows, columns and types. They never quote a field, for fields are content.
"""

from __future__ import annotations

import csv
import json
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from guard.errors import InputError

SUFFIXES = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
    ".pq": "parquet",
}
"""Which reader takes which file, by the end of its name."""
NEEDS_EXTRA = "Install it with: pip install 'genguard[eval]'."
_FIELD_LIMIT = 16_000_000
_BATCH_ROWS = 1024
_PLAIN_NAME = re.compile(r"\w[\w.-]{0,39}")


def records(file: Path, columns: Sequence[str], group: int | None = None) -> Iterator[tuple[Any, ...]]:
    """The fields of some columns, row by row; what a column holds is the format's affair. `group`: one of `groups` alone.

    Raises InputError for a file that is missing, of no known format or damaged, for a column that is not there, and when
    pyarrow is needed and missing.
    """
    kind = kind_of(file)
    try:
        yield from _parquet(file, columns, group) if kind == "parquet" else _lines(file, kind, columns)
    except OSError as error:
        raise InputError(f"cannot read {file}: {error.strerror or type(error).__name__}") from None


def groups(file: Path) -> tuple[int, ...]:
    """Rows of each row group of a Parquet file, which can be read by itself. Raises InputError for what is none."""
    try:
        with file.open("rb") as stream, _readable(file) as parquet:
            facts = parquet.ParquetFile(stream).metadata
            return tuple([facts.row_group(number).num_rows for number in range(facts.num_row_groups)])
    except OSError as error:
        raise InputError(f"cannot read {file}: {error.strerror or type(error).__name__}") from None


def kind_of(file: Path) -> str:
    """`csv`, `tsv`, `jsonl` or `parquet`. Raises InputError for any other ending."""
    kind = SUFFIXES.get(file.suffix.lower())
    if kind is None:
        raise InputError(f"{file}: found no known ending of the name, expected one of: {', '.join(SUFFIXES)}")
    return kind


def _lines(file: Path, kind: str, columns: Sequence[str]) -> Iterator[tuple[Any, ...]]:
    """Fields of a file of lines. Raises InputError where it is no UTF-8."""
    with file.open(encoding="utf-8-sig", newline="" if kind != "jsonl" else None) as stream:
        try:
            yield from _jsonl(file, stream, columns) if kind == "jsonl" else _csv(file, stream, kind, columns)
        except UnicodeDecodeError:
            raise InputError(
                f"{file}: found bytes that are no UTF-8, expected a text file in UTF-8",
                advice="Save the file as UTF-8; a Parquet file needs the ending .parquet.",
            ) from None


def _csv(file: Path, stream: Iterable[str], kind: str, columns: Sequence[str]) -> Iterator[tuple[str, ...]]:
    before = csv.field_size_limit(min(_FIELD_LIMIT, sys.maxsize))
    reader = csv.reader(stream, delimiter="\t" if kind == "tsv" else ",", strict=True)
    try:
        header = next(reader, None)
        if header is None:
            raise InputError(f"{file}: found an empty file, expected a header line and rows")
        places = [_place(file, header, column) for column in columns]
        for values in reader:
            if not values:
                continue  # a blank line
            if len(values) != len(header):
                raise InputError(f"{file}: line {reader.line_num}: found {len(values)} fields, expected {len(header)}")
            yield tuple([values[place] for place in places])
    except csv.Error as error:
        raise InputError(
            f"{file}: line {reader.line_num}: found no {kind.upper()} ({_kind_of(error)})",
            advice="Fields with quotation marks, commas or line breaks have to be quoted, quotation marks inside doubled.",
        ) from None
    finally:
        csv.field_size_limit(before)


def _kind_of(error: csv.Error) -> str:
    """What the csv module complains of, without the field it might name."""
    known = ("field larger than field limit", "line contains NUL", "unexpected end of data", "new-line character seen")
    return next((words for words in known if words in str(error)), "wrong quotation marks")


def _jsonl(file: Path, stream: Iterable[str], columns: Sequence[str]) -> Iterator[tuple[Any, ...]]:
    for number, line in enumerate(stream, start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except json.JSONDecodeError as error:
            raise InputError(
                f"{file}: line {number}: found no JSON (character {error.pos}), expected one object a line"
            ) from None
        except (ValueError, RecursionError):
            raise InputError(f"{file}: line {number}: found JSON that cannot be read, expected one object a line") from None
        if not isinstance(record, dict):
            raise InputError(f"{file}: line {number}: found {type(record).__name__}, expected one object a line")
        for column in columns:
            if column not in record:
                raise _no_column(f"{file}: line {number}", record, column)
        yield tuple([record[column] for column in columns])


def _parquet(file: Path, columns: Sequence[str], group: int | None) -> Iterator[tuple[Any, ...]]:
    with file.open("rb") as stream, _readable(file) as parquet:
        source = parquet.ParquetFile(stream)
        names = list(source.schema_arrow.names)
        for column in columns:
            _place(file, names, column)
        some = None if group is None else [group]
        for batch in source.iter_batches(batch_size=_BATCH_ROWS, row_groups=some, columns=list(columns)):
            # By place, for a name with a dot reads as a path to Parquet.
            lists = {name: batch.column(number).to_pylist() for number, name in enumerate(batch.schema.names)}
            yield from zip(*(lists[column] for column in columns), strict=True)


@contextmanager
def _readable(file: Path) -> Iterator[Any]:
    """The module that reads Parquet. Raises InputError where it is missing, and for a file that it cannot read."""
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError:
        raise InputError(f"{file}: reading Parquet needs pyarrow, found none", advice=NEEDS_EXTRA) from None
    try:
        yield parquet
    except (pa.ArrowException, KeyError) as error:
        raise InputError(f"{file}: found no Parquet file that can be read ({type(error).__name__})") from None


def _place(file: Path, names: list[str], column: str) -> int:
    if names.count(column) > 1:
        raise InputError(f"{file}: found {names.count(column)} columns named {column!r}, expected one")
    if column not in names:
        raise _no_column(str(file), names, column)
    return names.index(column)


def _no_column(place: str, names: Iterable[str], column: str) -> InputError:
    # Without a header line the first row stands where names should: only what looks like a name is shown.
    found = list(names)
    plain = [name for name in found if _PLAIN_NAME.fullmatch(name)]
    listed = ", ".join([*plain, *([f"{len(found) - len(plain)} other"] if len(plain) < len(found) else [])])
    return InputError(
        f"{place}: found no column {column!r}, expected one of: {listed or 'none'}",
        advice="Name the columns with --text and --label; a CSV file needs a header line.",
    )
