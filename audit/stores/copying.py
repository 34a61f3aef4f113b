"""Rows as PostgreSQL's `COPY … (FORMAT BINARY)` reads them, made before the write lock is taken.

Only the first value of a row, the index of its entry, is known under the lock: it is put in then. So under the lock the server
does not wait for rows, and the writer's thread, which shares Python's lock with others, has next to nothing to compute.

The format: https://www.postgresql.org/docs/current/sql-copy.html#SQL-COPY-FILE-FORMATS-BINARY
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice, repeat
from typing import Any

from audit.stores.base import Rows

_BEGIN = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_END = b"\xff\xff"
_NULL = b"\xff\xff\xff\xff"
_SIZES = [size.to_bytes(4, "big") for size in range(4096)]
"""How many bytes a value has, for nearly all."""
_FEW = 4
"""How often each value of a column occurs, at least, for each to be written but once."""
_ROWS = 64
"""Of a message to the driver, which takes up to 128 kB as it is."""
_WHOLE = {"bigint": partial(struct.Struct(">iq").pack, 8), "integer": partial(struct.Struct(">ii").pack, 4)}

Pieces = Sequence[bytes]
"""One for each row."""


@dataclass(frozen=True, slots=True)
class Copied:
    """Rows of one table, by columns."""

    kinds: Sequence[str]
    firsts: Sequence[int]
    """The first value of each row, where it is a number."""
    columns: Sequence[Pieces]
    """All others; those of long values take two, sizes and data."""
    count: int

    def messages(self, start: int) -> Iterator[bytes]:
        """All of it. `start` is added to the first value of each row.

        Raises struct.error for one that its column cannot hold.
        """
        first: tuple[Pieces, ...] = ()
        if self.firsts:
            pack = _WHOLE[self.kinds[0]]
            written = {one: pack(start + one) for one in set(self.firsts)}
            first = ([written[one] for one in self.firsts],)
        rows = zip(repeat(struct.pack(">h", len(self.kinds)), self.count), *first, *self.columns, strict=True)
        yield _BEGIN
        for _ in range(0, self.count, _ROWS):
            yield b"".join(chain.from_iterable(islice(rows, _ROWS)))
        yield _END


def copied(kinds: Sequence[str], rows: Rows) -> Copied:
    """Rows, at least one, of columns of these types: `bigint`, `integer`, `text` or `bytea`.

    Raises UnicodeEncodeError for a text with a lone surrogate, struct.error for a number that its column cannot hold.
    """
    numbered = kinds[0] in _WHOLE
    columns = list(zip(*rows, strict=True))
    written = [_written(kind, column) for kind, column in zip(kinds[numbered:], columns[numbered:], strict=True)]
    return Copied(kinds, columns[0] if numbered else (), list(chain.from_iterable(written)), len(rows))


def _written(kind: str, column: Sequence[Any]) -> tuple[Pieces, ...]:
    """The pieces of a column."""
    if kind == "bytea":
        return _bytes(column)
    if len(column) < _FEW * len(distinct := set(column)):
        return (_short(kind, column),)
    table = dict(zip(distinct, _short(kind, list(distinct)), strict=True))
    return ([table[value] for value in column],)


def _short(kind: str, column: Sequence[Any]) -> Pieces:
    """Of numbers and texts: size and value in one."""
    if (pack := _WHOLE.get(kind)) is not None:
        return [_NULL if value is None else pack(value) for value in column]
    found = [_NULL if value is None else value.encode() for value in column]
    return [data if value is None else _size(data) + data for data, value in zip(found, column, strict=True)]


def _bytes(column: Sequence[Any]) -> tuple[Pieces, Pieces]:
    """Sizes, and values as they are: a body is not worth a copy."""
    return [_NULL if value is None else _size(value) for value in column], [value or b"" for value in column]


def _size(data: bytes) -> bytes:
    count = len(data)
    return _SIZES[count] if count < len(_SIZES) else count.to_bytes(4, "big")
