"""Many hashes of 256 bits in the form that is searched fastest: each once, in order, with a table for every chunk of bits.

Never changed once built, so that versions of an index share one, and processes share what is mapped from files.
How a search works, and why it is exact, is told in `guard.matching.kernels`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from guard.errors import ModelError

if TYPE_CHECKING:
    import numpy as np

BITS = 256
WORDS = BITS // 64
_TABULATED = 1 << 14
"""Distinct hashes from which on tables are built: fewer are compared one by one about as fast."""
_INTERPRETED = 1 << 13
"""Rows that are compared by numpy: loading the compiled code would take longer."""
_WIDEST = 26
"""Bits of a chunk: a wider table than 64 million values is mostly empty."""
_BLOCK = 1 << 20
"""Numbers that are looked up at once."""
_ROOM = 1024
"""Hits that are expected; with more, the search is done again with room for all."""


class Near(NamedTuple):
    """What is within the radius, one row a hit. In numbers of rows or of works, as the function says."""

    where: np.ndarray[Any, Any]
    distances: np.ndarray[Any, Any]
    queries: np.ndarray[Any, Any]
    """Which query it is near to."""


class Layout(NamedTuple):
    """How the bits are cut into chunks: where each begins, its bits, where its table begins. Empty: there are no tables."""

    starts: np.ndarray[Any, Any]
    widths: np.ndarray[Any, Any]
    places: np.ndarray[Any, Any]
    size: int
    """Of all tables together."""


def layout(distinct: int) -> Layout:
    """Chunks of slightly fewer bits than would number the hashes. With fewer chunks, candidates are fewer and tables larger."""
    import numpy as np

    chunks = 0 if distinct < _TABULATED else max(math.ceil(BITS / math.log2(distinct)), math.ceil(BITS / _WIDEST))
    widths = np.array([BITS // chunks + (chunk < BITS % chunks) for chunk in range(chunks)], np.int64)
    ends = np.cumsum((1 << widths) + 1)
    cut = Layout(np.cumsum(widths) - widths, widths, ends - (1 << widths) - 1, int(ends[-1]) if chunks else 0)
    for array in cut[:-1]:
        array.setflags(write=False)
    return cut


def forms(distinct: int, entries: int) -> dict[str, tuple[type[Any], tuple[int, ...]]]:
    """Type and shape of each array of `HashTables`."""
    import numpy as np

    cut = layout(distinct)
    return {
        "codes": (np.uint64, (distinct, WORDS)),
        "starts": (np.uint32, (distinct + 1,) if distinct < entries else (0,)),
        "numbers": (np.int32, (entries,)),
        "offsets": (np.uint32, (cut.size,)),
        "ids": (np.uint32, (max(len(cut.widths) - 1, 0) * distinct,)),
    }


def compare(codes: np.ndarray[Any, Any], queries: np.ndarray[Any, Any], radius: int) -> Near:
    """Rows within the radius of any query, each once with the nearest: every row is compared with every query."""
    import numpy as np

    if len(codes) <= _INTERPRETED:
        distances = np.bitwise_count(codes[:, None] ^ queries).sum(axis=2, dtype=np.int64)
        which = distances.argmin(axis=1)
        nearest = distances[np.arange(len(codes)), which]
        rows = np.flatnonzero(nearest <= radius)
        return Near(rows, nearest[rows], which[rows])
    from guard.matching import kernels

    return _collected(lambda found: kernels.scan(codes, queries, radius, found))


def _collected(kernel: Callable[[np.ndarray[Any, Any]], int]) -> Near:
    """What a kernel found, however much."""
    import numpy as np

    room = _ROOM
    while True:
        found = np.empty((room, 3), np.int64)
        room = kernel(found)
        if room < 0:
            raise _damaged()
        if room <= len(found):
            return Near(*found[:room].T)


def _damaged() -> ModelError:
    return ModelError(
        "the tables of an index of hashes point outside of it: its files are damaged", advice="Delete it; it is built again."
    )


@dataclass(frozen=True, slots=True)
class HashTables:
    """Entries of (hash, work number)."""

    codes: np.ndarray[Any, Any] = field(repr=False)
    """(distinct, 4) unsigned 64-bit words, ascending: each hash once, however many works have it."""
    starts: np.ndarray[Any, Any] = field(repr=False)
    """(distinct + 1,): where in `numbers` each hash's works begin. Empty where every hash has one."""
    numbers: np.ndarray[Any, Any] = field(repr=False)
    """(entries,) work numbers, by hash."""
    offsets: np.ndarray[Any, Any] = field(repr=False)
    """For each chunk and value where in `ids` its rows begin."""
    ids: np.ndarray[Any, Any] = field(repr=False)
    """(chunks - 1, distinct) rows by the value of a chunk; the first chunk needs none, since rows stand in its order."""
    cut: Layout = field(init=False, repr=False, compare=False)
    copies: dict[Path, str] = field(default_factory=dict, repr=False, compare=False)
    """Folders it was saved to or opened from, with its name there."""

    @classmethod
    def built(cls, codes: np.ndarray[Any, Any], numbers: np.ndarray[Any, Any]) -> Self:
        """From entries in any order, a hash and a number each. Sorts: about 10 seconds for 10 million."""
        import numpy as np

        order, firsts = _order(codes)
        starts = np.append(firsts, len(codes)).astype(np.uint32) if len(firsts) < len(codes) else np.empty(0, np.uint32)
        rows = codes[order[firsts]]
        numbers = numbers[order]
        del order, firsts
        return cls(rows, starts, numbers, *_tables(rows))

    def __post_init__(self) -> None:
        """Arrays that several versions share are never written to."""
        for array in (self.codes, self.starts, self.numbers, self.offsets, self.ids):
            array.setflags(write=False)
        object.__setattr__(self, "cut", layout(len(self.codes)))

    def near(self, queries: np.ndarray[Any, Any], radius: int) -> Near:
        """Work numbers of entries within the radius; a work may be there several times."""
        found = self._rows(queries, radius)
        if not len(self.starts):
            return found._replace(where=self.numbers[found.where])
        import numpy as np

        begins = self.starts[found.where].astype(np.int64)
        counts = self.starts[found.where + 1].astype(np.int64) - begins
        if len(counts) and (counts.min() < 1 or int((begins + counts).max()) > len(self.numbers)):
            raise _damaged()
        entries = np.arange(counts.sum()) + np.repeat(begins - (np.cumsum(counts) - counts), counts)
        return Near(self.numbers[entries], np.repeat(found.distances, counts), np.repeat(found.queries, counts))

    def _rows(self, queries: np.ndarray[Any, Any], radius: int) -> Near:
        """Rows within the radius: by the tables where that is cheaper than to compare every row, query by query."""
        import numpy as np

        cut = self.cut
        if not len(cut.widths):
            return compare(self.codes, queries, radius)
        from guard.matching import kernels

        rows = len(self.codes)
        if kernels.forecast(cut.widths, rows, radius) > rows:
            return compare(self.codes, queries, radius)
        left = np.zeros(len(queries), np.uint8)
        tables = kernels.Tables(self.codes, cut.starts, cut.widths, cut.places, self.offsets, self.ids)
        found = _collected(lambda room: kernels.search(tables, queries, radius, float(rows), room, left))
        if not left.any():
            return found
        costly = np.flatnonzero(left)
        more = compare(self.codes, queries[costly], radius)
        return Near(
            np.concatenate([found.where, more.where]),
            np.concatenate([found.distances, more.distances]),
            np.concatenate([found.queries, costly[more.queries]]),
        )

    def entries(self) -> np.ndarray[Any, Any]:
        """The hash of every entry, beside `numbers`."""
        import numpy as np

        if not len(self.starts):
            return self.codes
        counts = np.diff(self.starts.astype(np.int64))
        if counts.min() < 1 or counts.sum() != len(self.numbers):
            raise _damaged()
        return np.repeat(self.codes, counts, axis=0)


def member(numbers: np.ndarray[Any, Any], wanted: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Which of the numbers are among the wanted, which are ascending."""
    import numpy as np

    found = np.zeros(len(numbers), bool)
    if len(wanted):
        for start in range(0, len(numbers), _BLOCK):
            some = numbers[start : start + _BLOCK]
            places = np.minimum(np.searchsorted(wanted, some), len(wanted) - 1)
            found[start : start + _BLOCK] = wanted[places] == some
    return found


def _order(codes: np.ndarray[Any, Any]) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """The order that sorts the hashes, entries of one hash as they came; and where in it each distinct hash begins."""
    import numpy as np

    order = np.argsort(codes[:, 0], kind="stable")
    first = codes[order, 0]
    begins = np.ones(len(codes), bool)
    begins[1:] = first[1:] != first[:-1]
    # Rows that the first word does not tell apart are few, unless hashes are equal: only these are sorted by the other words.
    tied = np.flatnonzero(~begins | np.append(~begins[1:], False)[: len(codes)])
    rows = order[tied]
    order[tied] = rows[np.lexsort(codes[rows].T[::-1])]
    words = codes[order[tied]]
    begins[tied[1:]] = (words[1:] != words[:-1]).any(axis=1)
    return order, np.flatnonzero(begins)


def _tables(codes: np.ndarray[Any, Any]) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Offsets and ids of every chunk of sorted hashes."""
    import numpy as np

    cut, rows = layout(len(codes)), len(codes)
    offsets, ids = np.zeros(cut.size, np.uint32), np.empty(max(len(cut.widths) - 1, 0) * rows, np.uint32)
    if not len(cut.widths):
        return offsets, ids
    from guard.matching import kernels

    scratch = np.empty(rows, np.uint64)
    for chunk, (start, width, place) in enumerate(zip(cut.starts, cut.widths, cut.places, strict=True)):
        mine = ids[(chunk - 1) * rows : chunk * rows] if chunk else ids[:0]
        kernels.tabulate(codes, start, width, scratch, offsets[place : place + (1 << width) + 1], mine)
    return offsets, ids
