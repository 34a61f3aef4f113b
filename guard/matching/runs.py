"""Verbatim runs: stretches of letters that a text shares with a registered work, whatever stands between the letters.

Winnowing (Schleimer, Wilkerson, Aiken: Winnowing: local algorithms for document fingerprinting, SIGMOD 2003): of the hashes of
all 24 letters in a row, those are kept that are the least of 24 in a row. Whatever two texts share of 47 letters or more, they
share a kept hash of. From there a run is followed letter by letter where the work was handed over; where its hashes alone were,
a run is what its hashes cover, and up to 23 letters on either side may belong to it too.

Repetitions with a period up to 8 letters (`aaaa`, `hahaha`) have no hashes. Of works that share a hash, the first 64 registered
are followed, and 64 runs at a time: a passage that stands in more works than that is reported for the first ones.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar

from guard.matching import text_kernels as kernels
from guard.matching.letters import Letters, letters
from guard.matching.postings import NOTHING, Document, PostingIndex, Segment, mixing, pack, unpack
from guard.matching.text_kernels import BEHIND, FIELDS, GRAM, OPEN, WINDOW, compiled
from guard.types import Span

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

GUARANTEED = GRAM + WINDOW - 1
"""Every run of so many letters is found."""
_TEXT, _HASHES = b"GRT\x01", b"GRH\x01"
"""How a fingerprint begins: the text itself, or hashes alone; and the version of the form."""
_BATCH = 1024


def encode(text: str, *, keep_text: bool, part: str = "") -> bytes:
    """A text's fingerprint: the text, compressed, or hashes of its letters alone."""
    if keep_text:
        return pack(_TEXT, part, text.encode("utf-8", "surrogatepass"))
    found = letters(text)
    offsets, hashes = winnowed(found.codes)
    body = struct.pack("<II", len(found), len(hashes)) + hashes.astype("<u8").tobytes()
    marks = b"".join(one.astype("<u4").tobytes() for one in (offsets, found.places[offsets]))
    return pack(_HASHES, part, body + marks)


def winnowed(codes: Array) -> tuple[Array, Array]:
    """Which hashes of a whole text are kept: the letter that each begins with, and the hash."""
    import numpy as np

    offsets, hashes = _selected(codes, 0, np.array([0, -1], np.int64))
    return offsets.astype(np.int32), hashes


def _selected(codes: Array, base: int, windows: Array) -> tuple[Array, Array]:
    """The hashes that the next windows keep, each with the letter that it begins with; moves `windows` on."""
    import numpy as np

    values, places, hashes = (np.empty(len(codes), kind) for kind in (np.uint64, np.int64, np.uint64))
    made = compiled(kernels.winnow)(codes, base, windows, mixing(), values, places, hashes)
    return places[:made], hashes[:made].copy()


def _decode(data: bytes) -> Document:
    import numpy as np

    form, part, body = unpack(data, {_TEXT, _HASHES})
    if form == _TEXT:
        found = letters(body.decode("utf-8", "surrogatepass"))
        offsets, hashes = winnowed(found.codes)
        return Document(hashes, offsets, {"codes": found.codes, "places": found.places}, part=part)
    length, count = struct.unpack_from("<II", body)
    if len(body) != 8 + 16 * count:
        raise ValueError("it has another length than it says")
    hashes = np.frombuffer(body, "<u8", count, 8)
    offsets, marks = (np.frombuffer(body, "<u4", count, 8 + shift * count).astype(np.int64) for shift in (8, 12))
    if count and (np.diff(offsets, prepend=-1).min() < 1 or np.diff(marks).min(initial=0) < 0 or offsets[-1] + GRAM > length):
        raise ValueError("its hashes are not in order")
    places = np.interp(np.arange(length), offsets, marks) if count else np.zeros(length)
    columns = {"codes": np.zeros(length, np.uint16), "places": places}
    return Document(hashes, offsets.astype(np.int32), columns, exact=False, part=part)


class RunIndex(PostingIndex):
    """Winnowed hashes of works, and their letters where the text was handed over."""

    columns: ClassVar[Mapping[str, str]] = MappingProxyType({"codes": "u2", "places": "i4"})

    read = staticmethod(_decode)


@dataclass(frozen=True, slots=True)
class Run:
    """A stretch that a text shares with a work."""

    number: int
    """Of the work."""
    part: str
    span: Span
    """In the text, from the first letter to the last."""
    source: Span
    """In the work; where it is known by hashes alone, interpolated between them."""
    letters: int
    length: int
    """Characters that count, with what stands around the run and has no letters: the most that can have been copied."""
    exact: bool


class RunSearch:
    """Follows the runs of one text, which may come in pieces. It keeps the last 150 letters, and the runs that are open."""

    def __init__(self, index: RunIndex, least: int) -> None:
        """`least`: letters of the shortest run that is reported."""
        import numpy as np

        self._least = least
        self._parts = [_Followed(one, one.live(index.dropped)) for one in index.segments if one.size]
        self._codes: Array = np.empty(0, np.uint16)
        self._places: Array = np.empty(0, np.int64)
        self._counted: Array = np.empty(0, np.int64)
        self._base = 0
        self._windows = np.array([0, -1], np.int64)

    def feed(self, found: Letters) -> Iterator[Run]:
        """Runs that ended in or before the next letters."""
        import numpy as np

        if not len(found) or not self._parts:
            return
        self._codes = np.concatenate([self._codes, found.codes])
        self._places = np.concatenate([self._places, found.places])
        self._counted = np.concatenate([self._counted, found.counted])
        seeds, hashes = _selected(self._codes, self._base, self._windows)
        for part in self._parts:
            yield from self._follow(part, seeds, hashes, -1)
        behind = max(0, int(self._windows[0]) - BEHIND - self._base)
        if behind:
            self._codes, self._places, self._counted = self._codes[behind:], self._places[behind:], self._counted[behind:]
            self._base += behind

    def finish(self, trailing: int) -> Iterator[Run]:
        """The runs that the end of the text ends; `trailing`: characters that count after its last letter."""
        import numpy as np

        if len(self._codes):
            for part in self._parts:
                yield from self._follow(part, np.empty(0, np.int64), np.empty(0, np.uint64), trailing)

    def growing(self) -> Iterator[Run]:
        """The runs that are open, as long as they are so far."""
        for part in self._parts:
            yield from (
                part.run(row) for row in part.runs[: part.opened] if row[kernels.END] - row[kernels.START] >= self._least
            )

    @property
    def settled(self) -> int:
        """No run that is not yet reported begins before this code point."""
        if not self._parts:
            return NOTHING
        if not len(self._places):
            return 0
        before = [int(part.runs[row, kernels.PLACE_START]) for part in self._parts for row in range(part.opened)]
        return min([*before, int(self._places[self._unseen()])])

    def _unseen(self) -> int:
        """The first letter at hand that may belong to a run which no kept hash has shown yet.

        Of a run that begins before the next window, and goes on, the hash was kept that is least in its first one: unless its
        letters repeat, and have no hashes, or so many runs were open that none was begun. Then all letters count that a run is
        followed back for.
        """
        if max([part.opened for part in self._parts]) >= OPEN or compiled(kernels.repeats)(self._codes):
            return 0
        return max(0, int(self._windows[0]) - self._base)

    def _follow(self, part: _Followed, seeds: Array, hashes: Array, ending: int) -> Iterator[Run]:
        import numpy as np

        if not part.opened and not part.segment.has_any(hashes):
            return  # nothing is open, and nothing begins
        lows, highs = part.segment.find(hashes)
        known = np.flatnonzero(highs > lows)
        seeds, lows, highs = seeds[known], lows[known], highs[known]
        arrays = part.segment.arrays
        closed = np.empty((_BATCH, FIELDS), np.int64)
        state = np.array([part.opened, 0, 0], np.int64)
        while state[1] <= len(seeds):
            compiled(kernels.follow)(
                self._codes, self._places, self._counted, self._base, seeds, lows, highs,
                arrays["docs"], arrays["offsets"], arrays["starts"], arrays["lengths"], arrays["exact"], part.live,
                arrays["codes"], self._least, int(self._windows[0]), ending, part.runs, state, closed,
            )  # fmt: skip
            part.opened = int(state[0])
            yield from [part.run(row) for row in closed[: state[2]]]
            state[2] = 0


class _Followed:
    """One segment, and the runs that are open in it."""

    def __init__(self, segment: Segment, live: Array) -> None:
        import numpy as np

        self.segment = segment
        self.live = live
        self.runs = np.zeros((OPEN, FIELDS), np.int64)
        self.opened = 0

    def run(self, row: Array) -> Run:
        arrays, doc = self.segment.arrays, int(row[kernels.DOC])
        size = int(row[kernels.END] - row[kernels.START])
        first = int(arrays["starts"][doc]) + int(row[kernels.OFFSET])
        source = Span(int(arrays["places"][first]), int(arrays["places"][first + size - 1]) + 1)
        return Run(
            int(arrays["numbers"][doc]),
            self.segment.parts[doc],
            Span(int(row[kernels.PLACE_START]), int(row[kernels.PLACE_END])),
            source,
            size,
            int(row[kernels.COUNT_END] - row[kernels.COUNT_START]),
            bool(arrays["exact"][doc]),
        )
