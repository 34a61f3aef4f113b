"""Inner hashes of the tree, kept so that a proof reads a few of them instead of every leaf.

Table `tile` has the root over each full tile: hash `idx` of level l, from 1 on, is that over 256^l leaves from idx * 256^l on.
Rows are added by the transaction that adds the last leaf below them, and never change: one of 50 bytes for 256 entries.
They follow from the leaves: no proof is right because a row says so, the verifier makes each again, retention leaves both.

Only whole tiles are stored. A table of unfinished ones, or of whole tiles as one value, would be written anew at each commit.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, insert, inspect, select

from audit import merkle
from audit.models import metadata
from audit.tiles import BITS, WIDTH, roots_of_full_tiles
from guard.errors import LedgerError

_CHUNK = WIDTH * WIDTH
_ENTRY, _HEAD, _TILE = metadata.tables["entry"], metadata.tables["head"], metadata.tables["tile"]


def add_tiles(connection: Connection, peaks: Sequence[bytes], size: int, leaves: Sequence[bytes]) -> tuple[list[bytes], int]:
    """Store the roots of the tiles that these leaves fill. Returns `merkle.extend(peaks, size, leaves)`, which they shorten.

    `peaks`, `size`: the frontier before them.
    """
    begun = size % WIDTH
    count = WIDTH - begun
    if len(leaves) < count:
        return merkle.extend(peaks, size, leaves)
    closed = len(peaks) - begun.bit_count()  # what follows is over the leaves of the unfinished tile
    roots = [merkle.frontier_root(merkle.extend(peaks[closed:], begun, leaves[:count])[0])]
    whole = count + (len(leaves) - count) // WIDTH * WIDTH
    roots += roots_of_full_tiles(size + count, leaves[count:whole])
    _store(connection, size >> BITS, roots)
    frontier, reached = list(peaks[:closed]), size - begun
    for root in roots:
        frontier, reached = merkle.add_node(frontier, reached, root, WIDTH)
    return merkle.extend(frontier, reached, leaves[whole:])


def _store(connection: Connection, first: int, roots: list[bytes]) -> None:
    """Hashes of level 1 from `first` on, and those above that they fill."""
    level = 1
    while roots:
        rows = [{"level": level, "idx": first + place, "hash": root} for place, root in enumerate(roots)]
        connection.execute(insert(_TILE), rows)
        stop = (first + len(roots)) // WIDTH
        first //= WIDTH
        roots = [merkle.tree_root(_tile(connection, level, index)) for index in range(first, stop)]
        level += 1


def fill_tiles(connection: Connection) -> None:
    """Store those of a ledger that has none yet. Reads every leaf once. Raises LedgerError where one is missing."""
    size: int = connection.execute(select(_HEAD.c.size)).scalar_one_or_none() or 0  # none: the tables are just being made
    for start in range(0, size // WIDTH * WIDTH, _CHUNK):
        stop = min(start + _CHUNK, size // WIDTH * WIDTH)
        found = select(_ENTRY.c.leaf).where(_ENTRY.c.idx >= start, _ENTRY.c.idx < stop).order_by(_ENTRY.c.idx)
        leaves = [bytes(leaf) for leaf in connection.execute(found).scalars()]
        if len(leaves) != stop - start:
            raise LedgerError(
                f"the ledger is damaged: entries {start} to {stop - 1} are not all there",
                advice="Run `genguard audit verify`, and restore a backup.",
            )
        add_tiles(connection, (), start, leaves)


def has_tiles(connection: Connection) -> bool:
    """Whether the ledger keeps them; one of before does once it was opened for writing."""
    return inspect(connection).has_table(_TILE.name)


def read_tiles(connection: Connection, level: int, start: int, stop: int) -> list[bytes]:
    """Hashes `start` to `stop` of a level from 1 on; fewer where some are not there."""
    found = select(_TILE.c.hash).where(_TILE.c.level == level, _TILE.c.idx >= start, _TILE.c.idx < stop)
    return [bytes(one) for one in connection.execute(found.order_by(_TILE.c.idx)).scalars()]


def _tile(connection: Connection, level: int, index: int) -> list[bytes]:
    found = read_tiles(connection, level, index * WIDTH, (index + 1) * WIDTH)
    if len(found) != WIDTH:
        raise LedgerError(
            f"the ledger is damaged: {WIDTH - len(found)} hashes of tile {index} of level {level} are missing",
            advice="Run `genguard audit verify`, and restore a backup.",
        )
    return found
