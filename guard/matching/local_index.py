"""Search for near details among those of all works.

Codes lie in lists by their nearest of some centres; a search looks through the `_PROBES` lists nearest to each code. That
finds nearly all of what comparing with every code finds, and the codes of few works are compared with every one anyway.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from guard.errors import ModelError
from guard.matching.local import Details

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

RADIUS = 28
"""Most differing bits, of 128, of two codes that may show the same detail; one unrelated pair in 5,000 is as near."""
NEIGHBOURS = 6
"""Most details that one detail of a picture is compared with further: works may share motifs."""
_FEW = 32_768
"""Codes up to which each is compared: exact."""
_PROBES = 24
_ROUNDS = 6
"""Of moving the centres to the majority of their lists."""
_FACTS = {"index": "local", "version": 1}
_ARRAYS = ("codes", "rows", "starts", "centres", "numbers", "first", "bounds", "blob")


@dataclass(frozen=True, slots=True, eq=False)
class Near:
    """Pairs of details that look alike, as columns."""

    query: Array
    """Which detail of the picture."""
    slot: Array
    """Which fingerprint of the index."""
    point: Array
    """Which detail of that fingerprint."""
    distance: Array
    """Differing bits."""


@dataclass(frozen=True, slots=True, eq=False)
class _Part:
    """Fingerprints with their codes in list order."""

    codes: Array
    rows: Array
    """For each code its entry: details are numbered through all fingerprints."""
    starts: Array
    """Where each list begins among the codes, and the end."""
    centres: Array
    """One a list; none: a single list that is always searched."""
    numbers: Array
    """Work number of each fingerprint."""
    first: Array
    """First entry of each fingerprint, and the end."""
    bounds: Array
    """Where each fingerprint's bytes begin in the blob, and the end."""
    blob: Array

    def bytes_of(self, slot: int) -> bytes:
        return bytes(self.blob[self.bounds[slot] : self.bounds[slot + 1]])

    @classmethod
    def of(cls, entries: Iterable[tuple[int, bytes]], *, lists: bool) -> Self:
        """Raises ModelError for a malformed fingerprint."""
        import numpy as np

        numbers, blobs, codes = [], [], []
        for number, data in entries:
            try:
                codes.append(Details.from_bytes(data).codes)
            except ModelError as error:
                raise ModelError(f"work {number}: {error}", advice=error.advice) from None
            numbers.append(number)
            blobs.append(data)
        every = np.ascontiguousarray(np.concatenate([np.empty((0, 2), np.uint64), *codes]), np.uint64)
        first = np.cumsum([0, *(len(part) for part in codes)], dtype=np.int64)
        bounds = np.cumsum([0, *(len(blob) for blob in blobs)], dtype=np.int64)
        centres, starts, rows = _lists(every) if lists and len(every) > _FEW else _one_list(every)
        blob = np.frombuffer(b"".join(blobs), np.uint8)
        return cls(every[rows], rows, starts, centres, np.array(numbers, np.int32), first, bounds, blob)


class LocalIndex:
    """Fingerprints of the method `local`. Satisfies `guard.matching.snapshot.WorkIndex`."""

    def __init__(self, method: str, base: _Part, tail: _Part, dead: Array) -> None:
        """`tail`: added since `base` was compacted. `dead`: which fingerprints of the base were dropped, as booleans."""
        import numpy as np

        self.method = method
        self._base, self._tail, self._dead = base, tail, dead
        self._dropped = np.repeat(dead, np.diff(base.first)) if dead.any() else np.empty(0, np.bool_)

    @classmethod
    def empty(cls, method: str) -> Self:
        import numpy as np

        return cls(method, _Part.of((), lists=False), _Part.of((), lists=False), np.empty(0, np.bool_))

    @classmethod
    def open(cls, method: str, folder: Path) -> Self:
        import numpy as np

        try:
            facts = json.loads((folder / "facts.json").read_text("utf-8"))
            base, tail = (
                _Part(*(np.load(folder / f"{part}-{name}.npy", mmap_mode="r") for name in _ARRAYS)) for part in ("base", "tail")
            )
            dead = np.load(folder / "dead.npy")
        except (OSError, ValueError) as error:
            raise ModelError(
                f"the index of {method} cannot be opened: {error}", advice="Delete it; it is built again."
            ) from None
        if facts != {**_FACTS, **_shape(base, tail)} or len(dead) != len(base.numbers) or not (_whole(base) and _whole(tail)):
            raise ModelError(f"the index of {method} is of another version or damaged", advice="Delete it; it is built again.")
        return cls(method, base, tail, dead)

    def save(self, folder: Path) -> None:
        import numpy as np

        partial = folder.with_name(f"{folder.name}.{os.getpid()}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        for name, part in (("base", self._base), ("tail", self._tail)):
            for array in _ARRAYS:
                np.save(partial / f"{name}-{array}.npy", getattr(part, array))
        np.save(partial / "dead.npy", self._dead)
        (partial / "facts.json").write_text(json.dumps({**_FACTS, **_shape(self._base, self._tail)}), "utf-8")
        partial.replace(folder)

    def extended(self, entries: Iterable[tuple[int, bytes]]) -> Self:
        tail = _Part.of([*_entries(self._tail), *entries], lists=False)
        return type(self)(self.method, self._base, tail, self._dead)

    def without(self, numbers: Collection[int]) -> Self:
        import numpy as np

        gone = np.fromiter(numbers, np.int32)
        tail = _Part.of([entry for entry in _entries(self._tail) if entry[0] not in set(numbers)], lists=False)
        return type(self)(self.method, self._base, tail, self._dead | np.isin(self._base.numbers, gone))

    def compacted(self) -> Self:
        import numpy as np

        if not self.pending:
            return self
        alive = [entry for entry, dead in zip(_entries(self._base), self._dead, strict=True) if not dead]
        base = _Part.of([*alive, *_entries(self._tail)], lists=True)
        return type(self)(self.method, base, _Part.of((), lists=False), np.zeros(len(base.numbers), np.bool_))

    @property
    def pending(self) -> int:
        return len(self._tail.numbers) + int(self._dead.sum())

    def __len__(self) -> int:
        return len(self._base.numbers) + len(self._tail.numbers) - int(self._dead.sum())

    def number(self, slot: int) -> int:
        """The work that a fingerprint is of."""
        split = len(self._base.numbers)
        return int(self._base.numbers[slot] if slot < split else self._tail.numbers[slot - split])

    def details(self, slot: int) -> Details:
        """The details of a fingerprint."""
        split = len(self._base.numbers)
        part, place = (self._base, slot) if slot < split else (self._tail, slot - split)
        return Details.from_bytes(part.bytes_of(place))

    def search(self, codes: Array, *, radius: int = RADIUS, neighbours: int = NEIGHBOURS) -> Near:
        """For each code the nearest details of all works, at most `neighbours` within `radius` bits; equal ones by entry."""
        import numpy as np

        from guard.matching import local_kernels

        best = np.full((len(codes), neighbours), (radius + 1) << 32, np.int64)
        held = len(self._base.rows)
        for part, dropped, offset in ((self._base, self._dropped, 0), (self._tail, np.empty(0, np.bool_), held)):
            if not len(part.rows):
                continue
            probes = np.zeros((len(codes), min(_PROBES, len(part.centres)) if len(part.centres) else 1), np.int64)
            if len(part.centres):
                local_kernels.nearest_lists(codes, part.centres, probes)
            local_kernels.search_lists(codes, probes, part.codes, part.starts, part.rows, dropped, offset, best)
        query, place = np.nonzero(best < (radius + 1) << 32)
        keys = best[query, place]
        entry = keys & 0xFFFFFFFF
        first = np.concatenate([self._base.first[:-1], self._tail.first + held])
        slot = np.searchsorted(first, entry, side="right") - 1
        return Near(query, slot, entry - first[slot], keys >> 32)


def _entries(part: _Part) -> Iterable[tuple[int, bytes]]:
    return ((int(number), part.bytes_of(slot)) for slot, number in enumerate(part.numbers))


def _shape(base: _Part, tail: _Part) -> dict[str, int]:
    return {"base": len(base.rows), "tail": len(tail.rows)}


def _whole(part: _Part) -> bool:
    """Whether the arrays of a part belong together."""
    sizes = len(part.codes) == len(part.rows) == part.first[-1] == part.starts[-1]
    slots = len(part.numbers) == len(part.first) - 1 == len(part.bounds) - 1
    return bool(sizes and slots and part.bounds[-1] == len(part.blob) and len(part.starts) == max(1, len(part.centres)) + 1)


def _one_list(codes: Array) -> tuple[Array, Array, Array]:
    import numpy as np

    return np.empty((0, 2), np.uint64), np.array([0, len(codes)], np.int64), np.arange(len(codes), dtype=np.int32)


def _lists(codes: Array) -> tuple[Array, Array, Array]:
    """Centres, where their lists begin, and the entries in list order. The same codes give the same lists."""
    import numpy as np

    from guard.matching import local_kernels

    count = 1 << int(np.log2(len(codes)) / 2)  # as many lists as codes in a list, about
    sample = codes[:: max(1, len(codes) // (64 * count))]
    centres = np.ascontiguousarray(sample[:: max(1, len(sample) // count)][:count])
    for _ in range(_ROUNDS):
        centres = _moved(sample, centres)
    which = np.empty((len(codes), 1), np.int64)
    local_kernels.nearest_lists(codes, centres, which)
    rows = np.argsort(which[:, 0], kind="stable").astype(np.int32)
    return centres, np.searchsorted(which[rows, 0], np.arange(count + 1)), rows


def _moved(sample: Array, centres: Array) -> Array:
    """Each centre at the majority of the codes that are nearest to it; a centre without codes stays."""
    import numpy as np

    from guard.matching import local_kernels

    which = np.empty((len(sample), 1), np.int64)
    local_kernels.nearest_lists(sample, centres, which)
    order = np.argsort(which[:, 0], kind="stable")
    bits = np.unpackbits(np.ascontiguousarray(sample[order]).view(np.uint8), axis=1)
    starts = np.searchsorted(which[order, 0], np.arange(len(centres) + 1))
    moved = centres.copy()
    for centre in np.flatnonzero(np.diff(starts)):
        mine = bits[starts[centre] : starts[centre + 1]]
        moved[centre] = np.packbits(mine.sum(axis=0, dtype=np.int64) * 2 >= len(mine)).view(np.uint64)
    return moved
