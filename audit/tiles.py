"""The tree as tiles of 256 hashes (C2SP tlog-tiles), and proofs that read a few of them instead of every leaf.

A tile of level 0 holds leaf hashes; each hash in a tile of level l is the root over a full tile of level l - 1. A proof for a
log of ten million entries reads at most three tiles on each side of its path. Source: c2sp.org/tlog-tiles.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from audit import merkle

BITS = 8
WIDTH = 1 << BITS
"""Hashes in a full tile."""
_CACHED = 4096
"""Tiles that a tree keeps."""


class Hashes(Protocol):
    """Where hashes of a log come from."""

    def read(self, level: int, start: int, stop: int, /) -> Sequence[bytes]:
        """Hashes `start` to `stop` of a level: leaf hashes at 0, at l the roots over 256^l leaves each.

        Raises LookupError when one of them is not there.
        """


@dataclass(frozen=True, slots=True)
class Tile:
    """The name of a tile."""

    level: int
    index: int
    width: int = WIDTH
    """Hashes in it; less than 256 for the last one of a level."""

    @property
    def path(self) -> str:
        """Where it is served: `tile/1/x001/234` or `tile/0/005.p/17`."""
        return f"tile/{self.level}/{_path(self.index, self.width)}"


def entries_path(index: int, width: int = WIDTH) -> str:
    """Where the entries under a tile of level 0 are served."""
    return f"tile/entries/{_path(index, width)}"


def tiles(size: int) -> Iterator[Tile]:
    """Every tile of a tree of `size` leaves, the partial ones at the end of each level included."""
    level, count = 0, size
    while count:
        full, rest = divmod(count, WIDTH)
        yield from (Tile(level, index) for index in range(full))
        if rest:
            yield Tile(level, full, rest)
        level, count = level + 1, full


def roots_of_full_tiles(first: int, leaves: Sequence[bytes]) -> list[bytes]:
    """Roots over each 256 of these hashes, for level l + 1. `first`: index of the first one, a multiple of 256.

    Raises ValueError when it is not, or when the last tile is not full.
    """
    if first % WIDTH or len(leaves) % WIDTH:
        raise ValueError(f"found hashes {first} to {first + len(leaves)}, expected whole tiles of {WIDTH}")
    return [merkle.perfect_root(leaves[start : start + WIDTH]) for start in range(0, len(leaves), WIDTH)]


@dataclass(slots=True)
class Tree:
    """A log's tree over a source of hashes: roots and proofs for any size up to the log's."""

    source: Hashes
    _kept: dict[tuple[int, int], Sequence[bytes]] = field(default_factory=dict)

    def root(self, size: int) -> bytes:
        """Root of the tree over the first `size` leaves. Raises LookupError when the source lacks one."""
        return self.subtree(0, size) if size else merkle.EMPTY_ROOT

    def inclusion(self, index: int, size: int) -> list[bytes]:
        """Proof that leaf `index` is in the tree of `size` leaves (RFC 9162 section 2.1.3.1).

        Raises IndexError outside of it, LookupError when the source lacks a hash.
        """
        if not 0 <= index < size:
            raise IndexError(f"leaf {index} is not in a tree of {size}")
        proof: list[bytes] = []
        low, high = 0, size
        while high - low > 1:
            middle = low + _split(high - low)
            if index < middle:
                proof.append(self.subtree(middle, high))
                high = middle
            else:
                proof.append(self.subtree(low, middle))
                low = middle
        return proof[::-1]

    def consistency(self, old_size: int, new_size: int) -> list[bytes]:
        """Proof that the tree of `new_size` leaves extends the one of `old_size` (RFC 9162 section 2.1.4.1).

        Raises IndexError unless 0 <= old_size <= new_size, LookupError when the source lacks a hash.
        """
        if not 0 <= old_size <= new_size:
            raise IndexError(f"a tree of {new_size} has no prefix of {old_size}")
        if old_size in (0, new_size):
            return []
        proof: list[bytes] = []
        low, high, whole = 0, new_size, True
        while old_size != high:
            middle = low + _split(high - low)
            if old_size <= middle:
                proof.append(self.subtree(middle, high))
                high = middle
            else:
                proof.append(self.subtree(low, middle))
                low, whole = middle, False
        if not whole:
            proof.append(self.subtree(low, high))
        return proof[::-1]

    def subtree(self, low: int, high: int) -> bytes:
        """Root over leaves `low` to `high`; `low` is a multiple of the largest power of two below their number."""
        peaks: list[bytes] = []
        while low < high:
            bits = (high - low).bit_length() - 1
            peaks.append(self.perfect(low, bits))
            low += 1 << bits
        return merkle.frontier_root(peaks)

    def perfect(self, low: int, bits: int) -> bytes:
        """Root over the 2^bits leaves from `low` on, which is a multiple of that number."""
        level, height = divmod(bits, BITS)
        first = low >> (level * BITS)
        hashes = self._hashes(level, first, first + (1 << height))
        return hashes[0] if height == 0 else merkle.tree_root(hashes)

    def _hashes(self, level: int, start: int, stop: int) -> Sequence[bytes]:
        """A part of one tile; the tile is kept when it is a full one."""
        tile, inside = divmod(start, WIDTH)
        kept = self._kept.get((level, tile))
        if kept is None:
            try:
                kept = self.source.read(level, tile * WIDTH, (tile + 1) * WIDTH)
            except LookupError:  # not a full tile, or not yet
                return self.source.read(level, start, stop)
            if len(self._kept) >= _CACHED:
                self._kept.pop(next(iter(self._kept)))
            self._kept[level, tile] = kept
        return kept[inside : inside + stop - start]


def _path(index: int, width: int) -> str:
    parts = [f"{index % 1000:03}"]
    while index := index // 1000:
        parts.append(f"x{index % 1000:03}")
    return "/".join(reversed(parts)) + (f".p/{width}" if width < WIDTH else "")


def _split(size: int) -> int:
    """The largest power of two smaller than `size` (at least 2)."""
    return 1 << ((size - 1).bit_length() - 1)
