"""Entries as CSV, JSON Lines or Parquet."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any, BinaryIO

from audit.export.flat import COLUMNS, LISTS, flat
from audit.export.handover import Written
from audit.export.selection import Taken
from guard.errors import InputError

BATCH = 2000
"""Rows of one group in a Parquet file."""
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
"""A spreadsheet may take a cell that begins like this for a formula; East Asian versions also take the wide signs."""


def write_csv(entries: Iterable[Taken], file: BinaryIO) -> Written:
    """A table with a header, UTF-8 with a byte order mark (spreadsheets need it), every cell quoted.

    A text that a spreadsheet could run has a `'` before it (`cell`); lists are joined by spaces.
    """
    written = Written()
    text = io.TextIOWrapper(file, "utf-8-sig", errors="backslashreplace", newline="", write_through=True)
    table = csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\r\n")
    table.writerow(COLUMNS)
    for entry in entries:
        row = flat(entry)
        table.writerow([cell(" ".join(value) if isinstance(value, list) else value) for value in row.values()])
        written.add(entry.idx)
    text.flush()
    text.detach()
    return written


def cell(value: str | int) -> str:
    """A value that no spreadsheet takes for a formula, wherever it splits cells: quotation mark first where it could.

    Source: OWASP, CSV injection. Leading blanks are looked through, since programs may strip them.
    """
    if isinstance(value, int):
        return str(value)
    return f"'{value}" if value.startswith(_FORMULA) or value.lstrip(" \u00a0\ufeff\"'").startswith(_FORMULA) else value


def write_jsonl(entries: Iterable[Taken], file: BinaryIO) -> Written:
    """One object a line: `index`, `leaf`, and `entry`, whose bytes are those that were hashed; null when they were dropped."""
    written = Written()
    for entry in entries:
        file.write(json_line(entry))
        written.add(entry.idx)
    return written


def json_line(entry: Taken) -> bytes:
    """One entry as a line of `write_jsonl`, with its end."""
    body = b"null" if entry.body is None else entry.body
    return b'{"index":%d,"leaf":"%s","entry":%s}\n' % (entry.idx, entry.leaf.hex().encode(), body)


def write_parquet(entries: Iterable[Taken], file: BinaryIO) -> Written:
    """A Parquet file with the columns of the CSV; lists stay lists. Raises InputError when pyarrow is not installed."""
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise InputError(
            "Parquet needs the package pyarrow, which is not installed",
            advice="Install genguard[eval], or take --format csv or jsonl.",
        ) from None
    written = Written()
    kinds = {"index": pa.int64(), "version": pa.int64(), **dict.fromkeys(LISTS, pa.list_(pa.string()))}
    schema = pa.schema([(name, kinds.get(name, pa.string())) for name in COLUMNS])
    with pq.ParquetWriter(file, schema, compression="zstd") as writer:
        for batch in _batches(entries, written):
            writer.write_table(pa.Table.from_pylist(batch, schema))
    return written


def _batches(entries: Iterable[Taken], written: Written) -> Iterator[list[dict[str, Any]]]:
    rows = iter(entries)
    while batch := list(islice(rows, BATCH)):
        for entry in batch:
            written.add(entry.idx)
        yield [{name: _unicode(value) for name, value in flat(entry).items()} for entry in batch]


def _unicode(value: Any) -> Any:
    """A text without lone surrogates, which a damaged column may have."""
    return value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value


WRITERS: dict[str, Callable[[Iterable[Taken], BinaryIO], Written]] = {
    "csv": write_csv,
    "jsonl": write_jsonl,
    "parquet": write_parquet,
}
"""The tables by their format's name."""
