"""Hashes with the documents they stand in: what the indexes of verbatim runs and of reworded passages have in common.

An index is a few immutable segments. What is added makes a new one, which is merged with the last while that is not much
larger, so that there are few of them however many works are added one by one; retired works are left out when segments are
merged.
"""

from __future__ import annotations

import struct
import zlib
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

from guard.errors import ModelError
from guard.matching import shelf
from guard.matching.text_kernels import MIXING

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

VERSION = 1
LARGEST = 1 << 30
"""Bytes that a fingerprint may unpack to."""
NOTHING = 1 << 62
"""A place farther than any text goes: nothing is waited for."""
_FEW = 64
"""Hashes of which Python tells sooner than numpy whether any is known."""
_TABLE = ("numbers", "starts", "lengths", "exact")
_ENTRIES = ("hashes", "docs", "offsets")


@cache
def mixing() -> tuple[Any, ...]:
    """The numbers of the rolling hash as the kernels take them."""
    import numpy as np

    return tuple(map(np.uint64, MIXING))


def pack(form: bytes, part: str, body: bytes) -> bytes:
    """A fingerprint: four bytes that name its form and version; compressed, which text of the work it is, and the rest."""
    name = part.encode("utf-8", "surrogatepass")
    return form + zlib.compress(struct.pack("<H", len(name)) + name + body, 9)


def unpack(data: bytes, forms: Collection[bytes]) -> tuple[bytes, str, bytes]:
    """Form, part and the rest. Raises ValueError, struct.error or zlib.error for what `pack` did not make."""
    unpacker = zlib.decompressobj()
    body = unpacker.decompress(data[4:], LARGEST)
    if not unpacker.eof or data[:4] not in forms:
        raise ValueError("it is cut off, too large, or of another form")
    (size,) = struct.unpack_from("<H", body)
    return data[:4], body[2 : 2 + size].decode("utf-8", "surrogatepass"), body[2 + size :]


@dataclass(frozen=True, slots=True)
class Document:
    """One text of a work, ready to be found: a fingerprint, decoded."""

    hashes: Array
    """(entries,) unsigned 64 bit."""
    offsets: Array
    """(entries,) 32 bit: where each stands, as an index into the columns."""
    columns: Mapping[str, Array]
    """What is known of each place of the document; all of one length."""
    exact: bool = True
    part: str = ""
    """Which text of the work it is, where a work has several: the path of a file."""


@dataclass(frozen=True)
class Segment:
    """Documents that were indexed together."""

    arrays: Mapping[str, Array]
    """`hashes` in order, with `docs` and `offsets`; by document `numbers` (of works), `starts` and `lengths` in the columns,
    and `exact`; and the columns."""
    parts: Sequence[str]

    @property
    def size(self) -> int:
        """Entries."""
        return len(self.arrays["hashes"])

    @cached_property
    def works(self) -> frozenset[int]:
        """Numbers of the works that have documents here."""
        return frozenset(self.arrays["numbers"].tolist())

    def has_any(self, hashes: Array) -> bool:
        """Whether there are entries of one of the hashes."""
        known = self.arrays["hashes"]
        if not len(known) or not len(hashes):
            return False
        nearest = known.take(known.searchsorted(hashes), mode="clip")
        return True in (nearest == hashes).tolist() if len(hashes) <= _FEW else bool((nearest == hashes).any())

    def find(self, hashes: Array) -> tuple[Array, Array]:
        """Where the entries of each hash begin and end."""
        import numpy as np

        lows = np.searchsorted(self.arrays["hashes"], hashes, "left").astype(np.int64)
        highs = lows.copy()
        there = np.flatnonzero(lows < self.size)
        there = there[self.arrays["hashes"][lows[there]] == hashes[there]]
        highs[there] = np.searchsorted(self.arrays["hashes"], hashes[there], "right")
        return lows, highs

    def live(self, dropped: frozenset[int]) -> Array:
        """By document: 1, or 0 where its work was dropped."""
        import numpy as np

        return (~np.isin(self.arrays["numbers"], np.fromiter(dropped, np.int32, len(dropped)))).astype(np.uint8)


def segment(documents: Sequence[tuple[int, Document]], columns: Mapping[str, str]) -> Segment:
    """A segment of (work number, document) pairs; `columns`: name and type of each."""
    import numpy as np

    def joined(parts: list[Array], kind: str) -> Array:
        return np.concatenate(parts).astype(kind, copy=False) if parts else np.empty(0, kind)

    lengths = [len(next(iter(one.columns.values()))) for _, one in documents]
    sizes = [len(one.hashes) for _, one in documents]
    arrays = {
        "hashes": joined([one.hashes for _, one in documents], "u8"),
        "docs": np.repeat(np.arange(len(documents), dtype=np.int32), sizes),
        "offsets": joined([one.offsets for _, one in documents], "i4"),
        "numbers": np.array([number for number, _ in documents], np.int32),
        "starts": np.cumsum([0, *lengths[:-1]], dtype=np.int64)[: len(documents)],
        "lengths": np.array(lengths, np.int64),
        "exact": np.array([one.exact for _, one in documents], np.uint8),
    }
    for name, kind in columns.items():
        arrays[name] = joined([one.columns[name] for _, one in documents], kind)
    return Segment(_in_order(arrays), [one.part for _, one in documents])


def merged(segments: Sequence[Segment], dropped: frozenset[int], columns: Iterable[str]) -> Segment:
    """One segment of several, without the documents of dropped works."""
    import numpy as np

    gathered: dict[str, list[Array]] = {name: [] for name in (*_ENTRIES, *_TABLE, *columns)}
    parts: list[str] = []
    begin = 0
    for one in segments:
        arrays, live = one.arrays, one.live(dropped).astype(bool)
        kept = live[arrays["docs"]]
        gathered["hashes"].append(arrays["hashes"][kept])
        gathered["docs"].append((np.cumsum(live, dtype=np.int32) - 1 + len(parts))[arrays["docs"][kept]].astype(np.int32))
        gathered["offsets"].append(arrays["offsets"][kept])
        places = np.repeat(live, arrays["lengths"])
        for name in columns:
            gathered[name].append(arrays[name][places])
        lengths = arrays["lengths"][live]
        gathered["starts"].append(begin + np.cumsum(lengths) - lengths)
        for name in ("numbers", "lengths", "exact"):
            gathered[name].append(arrays[name][live])
        begin += int(lengths.sum())
        parts += [part for part, stays in zip(one.parts, live, strict=True) if stays]
    return Segment(_in_order({name: np.concatenate(found) for name, found in gathered.items()}), parts)


def _in_order(arrays: dict[str, Array]) -> dict[str, Array]:
    """Entries by hash, then as the documents came."""
    import numpy as np

    order = np.argsort(arrays["hashes"], kind="stable")
    return arrays | {name: np.ascontiguousarray(arrays[name][order]) for name in _ENTRIES}


class PostingIndex(ABC):
    """Satisfies `guard.matching.snapshot.WorkIndex`; a subclass says how a fingerprint is read, and searches."""

    columns: ClassVar[Mapping[str, str]]
    """Name and numpy type of what a document knows of its places."""

    def __init__(self, method: str, segments: Sequence[Segment] = (), dropped: frozenset[int] = frozenset()) -> None:
        self.method = method
        self.segments = tuple(segments)
        self.dropped = dropped

    @staticmethod
    @abstractmethod
    def read(data: bytes) -> Document:
        """Read a fingerprint. Raises ValueError, struct.error or zlib.error for a malformed one."""

    def decode(self, data: bytes) -> Document:
        """Read a fingerprint. Raises ModelError for a malformed one."""
        try:
            return self.read(data)
        except (ValueError, struct.error, zlib.error) as error:
            raise ModelError(
                f"found a fingerprint of {self.method} that cannot be read: {error}",
                advice="Make it again with `guard.matching.passages.fingerprints`.",
            ) from None

    @classmethod
    def empty(cls, method: str) -> Self:
        return cls(method)

    @classmethod
    def open(cls, method: str, folder: Path) -> Self:
        arrays, facts = shelf.read(folder, f"postings of {method}", VERSION)
        names = (*_ENTRIES, *_TABLE, *cls.columns)
        segments = [
            Segment({name: arrays[f"{number}.{name}"] for name in names}, parts) for number, parts in enumerate(facts["parts"])
        ]
        for one in segments:
            places, lengths, starts = len(one.arrays[next(iter(cls.columns))]), one.arrays["lengths"], one.arrays["starts"]
            if len(lengths) and (starts.min() < 0 or lengths.min() < 0 or (starts + lengths).max() > places):
                raise ModelError(f"the index of {method} is damaged: a document ends after its last place")
        return cls(method, segments, frozenset(facts["dropped"]))

    def save(self, folder: Path) -> None:
        arrays = {f"{number}.{name}": array for number, one in enumerate(self.segments) for name, array in one.arrays.items()}
        facts = {"parts": [list(one.parts) for one in self.segments], "dropped": sorted(self.dropped)}
        shelf.write(folder, f"postings of {self.method}", VERSION, arrays, facts)

    def extended(self, entries: Iterable[tuple[int, bytes]]) -> Self:
        documents = [(number, self.decode(data)) for number, data in entries]
        if not documents:
            return self
        again = self.dropped & {number for number, _ in documents}
        base = self.compacted() if again else self  # what was dropped under a number must not come back with it
        segments = [*base.segments, segment(documents, self.columns)]
        while len(segments) > 1 and segments[-1].size * 2 > segments[-2].size:
            segments[-2:] = [merged(segments[-2:], base.dropped, self.columns)]
        return type(self)(self.method, segments, base.dropped)

    def without(self, numbers: Collection[int]) -> Self:
        held = frozenset().union(*(one.works for one in self.segments))
        return type(self)(self.method, self.segments, self.dropped | (held & frozenset(numbers)))

    def compacted(self) -> Self:
        if len(self.segments) < 2 and not self.dropped:
            return self
        return type(self)(self.method, [merged(self.segments, self.dropped, self.columns)] if self.segments else ())

    @property
    def pending(self) -> int:
        return sum(len(one.parts) for one in self.segments[1:]) + len(self.dropped)

    def __len__(self) -> int:
        return sum(int(one.live(self.dropped).sum()) for one in self.segments)
