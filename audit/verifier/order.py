"""Which entries changed places, where the tree over them is not the head's though each entry is sound.

Two rows that are exchanged with all that belongs to them leave nothing that is wrong with either. But the head's frontier, and
the stored hashes of tiles where these agree with it, say what the root over each block of entries was: in the one or two
blocks that have another, each exchange is tried, until both have the root that they had. What that finds is certain. Several
exchanges in one block are not found, nor is one of entries that lie apart in a larger block than a tile.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256

from audit import merkle
from audit.tiles import BITS, WIDTH
from audit.verifier.report import Problems
from audit.verifier.source import Source

MOST = 1 << 16
"""Entries of a block that is searched for neighbours; for pairs that lie apart only one of a tile's size is: 33,000 pairs."""
_LEAVES = "SELECT leaf FROM entry WHERE idx >= ? AND idx < ? ORDER BY idx"
_TILES = "SELECT hash FROM tile WHERE level = 1 AND idx >= ? AND idx < ? ORDER BY idx"
_DECISION = "SELECT decision FROM entry WHERE idx = ?"


@dataclass(frozen=True, slots=True)
class Block:
    """Entries `start` to `start + len(leaves)`, as many as a power of two, and the root that they had."""

    start: int
    leaves: Sequence[bytes]
    root: bytes


def name_exchanged(source: Source, frontier: Sequence[bytes], size: int, problem: Problems, *, tiles: bool) -> None:
    """Tell of each entry that stands in another's place.

    `frontier`, `size`: the head's. `tiles`: whether there is such a table.
    """
    bad = list(_bad(source, frontier, size, tiles=tiles))
    pairs = [found for one in bad if (found := _inside(one))]
    if len(bad) == 2 and not pairs and len(bad[0].leaves) * len(bad[1].leaves) <= WIDTH**2 and (across := _across(*bad)):
        pairs = [across]
    for pair in pairs:
        for place, other in (pair, pair[::-1]):
            named = source.rows(_DECISION, (place,))[0][0]
            problem(place, "order", f"what was committed as entry {other}", f"what stands at {other} now", str(named or ""))


def _bad(source: Source, frontier: Sequence[bytes], size: int, *, tiles: bool) -> Iterator[Block]:
    """Blocks whose root is another, smallest known ones, that can be searched."""
    start = 0
    for peak, bit in zip(frontier, [bit for bit in range(size.bit_length(), -1, -1) if size >> bit & 1], strict=True):
        count, known = 1 << bit, [peak]
        if tiles and count > WIDTH:
            stored = [one for (one,) in source.rows(_TILES, (start >> BITS, (start + count) >> BITS))]
            if len(stored) == count >> BITS and all(map(_is_hash, stored)) and merkle.perfect_root(stored) == peak:
                known = stored
        width = count // len(known)
        if width <= MOST:
            for place, root in enumerate(known):
                first = start + place * width
                leaves = [leaf for (leaf,) in source.rows(_LEAVES, (first, first + width))]
                if len(leaves) == width and all(map(_is_hash, leaves)) and merkle.perfect_root(leaves) != root:
                    yield Block(first, leaves, root)
        start += count


def _is_hash(value: object) -> bool:
    return type(value) is bytes and len(value) == merkle.HASH_SIZE


def _levels(leaves: Sequence[bytes]) -> list[list[bytes]]:
    """The nodes of a perfect tree, leaves first, its root last."""
    levels = [list(leaves)]
    while len(levels[-1]) > 1:
        below = levels[-1]
        levels.append([merkle.node_hash(below[at], below[at + 1]) for at in range(0, len(below), 2)])
    return levels


def _replaced(levels: Sequence[Sequence[bytes]], place: int, leaf: bytes) -> bytes:
    """The root with another leaf at a place."""
    return _up(levels, 0, len(levels) - 1, place, leaf)


def _exchanged(levels: Sequence[Sequence[bytes]], one: int, other: int) -> bytes:
    """The root with two leaves in each other's place; `one` < `other`."""
    apart = (one ^ other).bit_length() - 1
    left = _up(levels, 0, apart, one, levels[0][other])
    right = _up(levels, 0, apart, other, levels[0][one])
    return _up(levels, apart + 1, len(levels) - 1, one >> apart + 1, merkle.node_hash(left, right))


def _up(levels: Sequence[Sequence[bytes]], first: int, last: int, place: int, node: bytes) -> bytes:
    """What a node of level `first`, or one in its place, is part of in level `last`."""
    for level in levels[first:last]:
        node = sha256(b"\x01" + (level[place - 1] + node if place & 1 else node + level[place + 1])).digest()
        place >>= 1
    return node


def _inside(block: Block) -> tuple[int, int] | None:
    """Two entries of a block that changed places, neighbours first."""
    levels, count = _levels(block.leaves), len(block.leaves)
    for apart in range(1, count if count <= WIDTH else 2):
        for one in range(count - apart):
            if _exchanged(levels, one, one + apart) == block.root:
                return block.start + one, block.start + one + apart
    return None


def _across(first: Block, second: Block) -> tuple[int, int] | None:
    """An entry of each block that are in each other's place."""
    left, right = _levels(first.leaves), _levels(second.leaves)
    for one, mine in enumerate(first.leaves):
        for other, its in enumerate(second.leaves):
            if _replaced(left, one, its) == first.root and _replaced(right, other, mine) == second.root:
                return first.start + one, second.start + other
    return None
