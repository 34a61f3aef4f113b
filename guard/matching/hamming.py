"""Exact search for hashes within a number of differing bits."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from guard.errors import ModelError
from guard.matching.hash_files import Version, read, write
from guard.matching.hash_tables import BITS, WORDS, HashTables, Near, compare, member

if TYPE_CHECKING:
    import numpy as np

BYTES = BITS // 8
_NUMBERS = 1 << 31
"""Work numbers are below."""
_BATCH = 1 << 16
"""Entries that are taken in at once, so that millions need little more than their bytes."""


@dataclass(frozen=True, slots=True)
class Hit:
    """One entry within the radius of a query."""

    number: int
    """Of the work."""
    distance: int
    """Differing bits."""
    query: int
    """Which of the queries it is near to: the nearest one, of several the first."""


class HammingIndex:
    """Hashes of 256 bits: tables that versions share, a list of what was added since, and which works were dropped.

    Satisfies `guard.matching.snapshot.WorkIndex`. Safe to search from several threads, and while other versions are made.
    """

    def __init__(self, method: str, version: Version) -> None:
        """For `empty`, `from_arrays` and `open`."""
        self.method = method
        self._version = version

    @classmethod
    def empty(cls, method: str) -> Self:
        import numpy as np

        return cls.from_arrays(method, np.empty((0, WORDS), np.uint64), np.empty(0, np.int32))

    @classmethod
    def from_arrays(cls, method: str, codes: np.ndarray[Any, Any], numbers: np.ndarray[Any, Any]) -> Self:
        """A compacted index of (entries, 32) bytes, or (entries, 4) words of 64 bits, and as many work numbers.

        Raises ModelError for arrays of other shapes, or numbers that are not positive and below 2**31.
        """
        import numpy as np

        tables = HashTables.built(*_checked(codes, numbers))
        return cls(method, Version(tables, np.empty((0, WORDS), np.uint64), np.empty(0, np.int32), np.empty(0, np.int32), 0))

    @classmethod
    def open(cls, method: str, folder: Path) -> Self:
        return cls(method, read(method, folder))

    def save(self, folder: Path) -> None:
        """Write it to a folder, whole or not at all. Over an earlier version of itself, only what changed is written."""
        write(self.method, folder, self._version)

    def extended(self, entries: Iterable[tuple[int, bytes]]) -> Self:
        import numpy as np

        batches = list(self._batches(entries))
        return self.joined(
            np.concatenate([np.empty((0, WORDS), np.uint64), *(codes for codes, _ in batches)]),
            np.concatenate([np.empty(0, np.int32), *(numbers for _, numbers in batches)]),
        )

    def _batches(self, entries: Iterable[tuple[int, bytes]]) -> Iterator[tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]]:
        import numpy as np

        waiting = iter(entries)
        while batch := list(islice(waiting, _BATCH)):
            for number, data in batch:
                if len(data) != BYTES:
                    raise ModelError(f"work {number} has a {self.method} of {len(data)} bytes, expected {BYTES}")
            codes = np.frombuffer(b"".join(data for _, data in batch), np.uint8).reshape(-1, BYTES)
            yield _checked(codes, np.array([number for number, _ in batch], np.int64))

    def joined(self, codes: np.ndarray[Any, Any], numbers: np.ndarray[Any, Any]) -> Self:
        """`extended`, from arrays as `from_arrays` takes them."""
        import numpy as np

        codes, numbers = _checked(codes, numbers)
        now = self._version
        more = now._replace(codes=np.concatenate([now.codes, codes]), numbers=np.concatenate([now.numbers, numbers]))
        return type(self)(self.method, more)

    def without(self, numbers: Collection[int]) -> Self:
        import numpy as np

        now, held = self._version, self._version.tables.numbers
        wanted = np.unique(np.fromiter(numbers, np.int64, len(numbers)))
        wanted = wanted[(wanted > 0) & (wanted < _NUMBERS)].astype(np.int32)
        fresh = wanted[~member(wanted, now.dropped)]
        found = held[member(held, fresh)]
        kept = ~member(now.numbers, wanted)
        dropped = np.union1d(now.dropped, found)
        return type(self)(self.method, Version(now.tables, now.codes[kept], now.numbers[kept], dropped, now.gone + len(found)))

    def compacted(self) -> Self:
        import numpy as np

        now = self._version
        if not self.pending:
            return self
        kept = ~member(now.tables.numbers, now.dropped)
        codes = np.concatenate([now.tables.entries()[kept], now.codes])
        return self.from_arrays(self.method, codes, np.concatenate([now.tables.numbers[kept], now.numbers]))

    @property
    def pending(self) -> int:
        return len(self._version.numbers) + self._version.gone

    def __len__(self) -> int:
        return len(self._version.tables.numbers) - self._version.gone + len(self._version.numbers)

    def search(self, queries: Sequence[bytes], radius: int) -> list[Hit]:
        """Every work within `radius` bits of any query, nearest first, each work once with its nearest query.

        `queries`: 32 bytes each, for instance the orientations of one picture. Raises ModelError for other lengths.
        """
        numbers, distances, which = self.near(queries, radius)
        return [Hit(*one) for one in zip(numbers.tolist(), distances.tolist(), which.tolist(), strict=True)]

    def near(self, queries: Sequence[bytes], radius: int) -> Near:
        """`search`, as arrays of work numbers, distances and queries: for when many are found."""
        import numpy as np

        for query in queries:
            if len(query) != BYTES:
                raise ModelError(f"a query has a {self.method} of {len(query)} bytes, expected {BYTES}")
        if radius < 0 or not queries:
            return Near(*np.empty((3, 0), np.int64))
        wanted = np.frombuffer(b"".join(queries), np.uint64).reshape(-1, WORDS)
        radius, now = min(radius, BITS), self._version
        found = now.tables.near(wanted, radius)
        if len(now.dropped):
            counts = ~member(found.where, now.dropped)
            found = Near(*(column[counts] for column in found))
        if len(now.numbers):
            more = compare(now.codes, wanted, radius)
            found = Near(*map(np.concatenate, zip(found, more._replace(where=now.numbers[more.where]), strict=True)))
        return _nearest(found)


def _checked(codes: np.ndarray[Any, Any], numbers: np.ndarray[Any, Any]) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Words and numbers. Raises ModelError."""
    import numpy as np

    kinds = {(np.dtype(np.uint8), BYTES), (np.dtype(np.uint64), WORDS)}
    if codes.ndim != 2 or (codes.dtype, codes.shape[1]) not in kinds or numbers.shape != codes.shape[:1]:
        raise ModelError(
            f"found hashes of {codes.dtype} {codes.shape} and numbers of {numbers.shape}, expected as many numbers as hashes, "
            f"and these as {BYTES} bytes or {WORDS} words of 64 bits"
        )
    if len(numbers) and (int(numbers.min()) < 1 or int(numbers.max()) >= _NUMBERS):
        raise ModelError(f"found work numbers from {numbers.min()} to {numbers.max()}, expected 1 to {_NUMBERS - 1}")
    return np.ascontiguousarray(codes).view(np.uint64), np.ascontiguousarray(numbers, np.int32)


def _nearest(found: Near) -> Near:
    """Each work once, with its nearest query (of several the first); the nearest work first, then by number."""
    import numpy as np

    if not len(found.where):
        return found
    order = np.lexsort((found.queries, found.distances, found.where))
    works = found.where[order]
    order = order[np.insert(works[1:] != works[:-1], 0, True)]
    order = order[np.lexsort((found.where[order], found.distances[order]))]
    return Near(*(column[order] for column in found))
