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

from audit.stores.base import Rows

_BEGIN = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_END = b"\xff\xff"
_NULL = b"\xff\xff\xff\xff"
_SIZES = [size.to_bytes(4, "big") for size in range(4096)]
"""How many bytes a value has, for nearly all."""
_MANY = 1024
"""Pieces of a message to the driver: 50 to 150 kB, which it takes as they are."""
_WHOLE = {"bigint": partial(struct.Struct(">iq").pack, 8), "integer": partial(struct.Struct(">ii").pack, 4)}


@dataclass(frozen=True, slots=True)
class Copied:
    """Rows of one table. It serves once."""

    kind: str
    """Type of the first column."""
    pieces: list[bytes]
    firsts: Sequence[int]
    """The first value of each row, where it is a number; its piece is empty."""
    holes: Sequence[int]
    """Which pieces those are."""

    def messages(self, start: int) -> Iterator[bytes]:
        """All of it. `start` is added to the first value of each row. Raises struct.error for one that the column cannot hold."""
        pieces = self.pieces
        if self.firsts:
            pack = _WHOLE[self.kind]
            written = {first: pack(start + first) for first in set(self.firsts)}
            for hole, first in zip(self.holes, self.firsts, strict=True):
                pieces[hole] = written[first]
        for at in range(0, len(pieces), _MANY):
            yield b"".join(pieces[at : at + _MANY])


def copied(kinds: Sequence[str], rows: Rows) -> Copied:
    """Rows of columns of these types: `bigint`, `integer`, `text` or `bytea`.

    Raises UnicodeEncodeError for a text with a lone surrogate, struct.error for a number that its column cannot hold.
    """
    begins, whole = struct.pack(">h", len(kinds)), [_WHOLE.get(kind) for kind in kinds]
    numbered, rest, sizes = kinds[0] in _WHOLE, whole[kinds[0] in _WHOLE :], _SIZES
    pieces, holes = [_BEGIN], []
    add = pieces.append
    for row in rows:
        add(begins)
        if numbered:
            holes.append(len(pieces))
            add(b"")
        for pack, value in zip(rest, row[numbered:], strict=True):
            if value is None:
                add(_NULL)
            elif pack is not None:
                add(pack(value))
            else:
                data = value.encode() if type(value) is str else value
                add(sizes[len(data)] if len(data) < 4096 else len(data).to_bytes(4, "big"))
                add(data)
    add(_END)
    return Copied(kinds[0], pieces, [row[0] for row in rows] if numbered else (), holes)
