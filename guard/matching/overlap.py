"""Reworded passages: parts of a text that have many of a work's word sequences, in much the same place.

Every three words in a row are hashed (five characters where a script has no spaces), as for containment by shingles (Broder: On
the resemblance and containment of documents, 1997), but all of them, with their places. A passage is followed while its score
rises, as in local alignment: a sequence that the work has nearby raises it, one that the work has not lowers it. No border of a
passage has to be guessed beforehand, and sentences may have changed places within about 1,000 characters. The similarity is
the share of the passage's sequences that the work has there: about 0.73 where one word in ten was changed, 0.51 for two, 0.34
for three. A sequence that stands in the works more than 64 times says nothing, and one that the text repeats counts once.

Where the work was not handed over, hashes of its word sequences are kept, and never the text.
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
from guard.matching.text_kernels import NEAR_FIELDS, TABLE, compiled
from guard.types import Span

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

LEAST = 8
"""Word sequences that a passage shares at least."""
_TEXT, _HASHES = b"GOT\x01", b"GOH\x01"
"""How a fingerprint begins."""
_BATCH = 1024


class Sequences:
    """The word sequences of one text, which may come in pieces."""

    def __init__(self) -> None:
        import numpy as np

        self._state = np.zeros(3, np.int64)
        self._ring, self._words = np.zeros((9, 4), np.int64), np.zeros(9, np.uint64)

    def read(self, found: Letters, *, ending: bool = False) -> tuple[Array, Array]:
        """Hashes of the sequences that are complete; for each its place and end in the text, and in characters that count."""
        import numpy as np

        hashes, places = np.empty(len(found) + 1, np.uint64), np.empty((len(found) + 1, 4), np.int64)
        made = compiled(kernels.shingle)(
            found.codes, found.places, found.counted, found.steps, int(ending), mixing(), self._state, self._ring, self._words,
            hashes, places,
        )  # fmt: skip
        return hashes[:made], places[:made]


def encode(text: str, *, keep_text: bool, part: str = "") -> bytes:
    """A text's fingerprint: the text, compressed, or hashes of its word sequences with their places."""
    if keep_text:
        return pack(_TEXT, part, text.encode("utf-8", "surrogatepass"))
    hashes, places = Sequences().read(letters(text), ending=True)
    ends = b"".join(places[:, column].astype("<u4").tobytes() for column in (0, 1))
    return pack(_HASHES, part, struct.pack("<I", len(hashes)) + hashes.astype("<u8").tobytes() + ends)


def _decode(data: bytes) -> Document:
    import numpy as np

    form, part, body = unpack(data, {_TEXT, _HASHES})
    if form == _TEXT:
        hashes, places = Sequences().read(letters(body.decode("utf-8", "surrogatepass")), ending=True)
        return _document(hashes, places[:, 0], places[:, 1], part)
    (count,) = struct.unpack_from("<I", body)
    if len(body) != 4 + 16 * count:
        raise ValueError("it has another length than it says")
    hashes = np.frombuffer(body, "<u8", count, 4)
    begins, ends = (np.frombuffer(body, "<u4", count, 4 + shift * count) for shift in (8, 12))
    if count and (begins >= ends).any():
        raise ValueError("its places are not in order")
    return _document(hashes, begins, ends, part)


def _document(hashes: Array, begins: Array, ends: Array, part: str) -> Document:
    import numpy as np

    return Document(hashes, np.arange(len(hashes), dtype=np.int32), {"begins": begins, "ends": ends}, exact=False, part=part)


class OverlapIndex(PostingIndex):
    """Hashes of the works' word sequences."""

    columns: ClassVar[Mapping[str, str]] = MappingProxyType({"begins": "i4", "ends": "i4"})

    read = staticmethod(_decode)


@dataclass(frozen=True, slots=True)
class Overlap:
    """A part of a text with many word sequences of a work."""

    number: int
    part: str
    span: Span
    source: Span
    length: int
    """Characters that count, of the text."""
    similarity: float
    """Share of its word sequences that the work has there."""


class OverlapSearch:
    """Follows the reworded passages of one text, which may come in pieces; needs a megabyte or less, however long it is."""

    def __init__(self, index: OverlapIndex, similarity: float) -> None:
        """`similarity`: the least that is reported, above 0."""
        self._similarity = similarity
        self._toll = max(1, round(600 * similarity))
        self._sequences = Sequences()
        self._parts = [_Followed(one, one.live(index.dropped)) for one in index.segments if one.size]
        self._read = 0

    def feed(self, found: Letters, *, ending: bool = False) -> Iterator[Overlap]:
        """Passages that ended in or before the next letters; with `ending`, all."""
        if not self._parts:
            return
        hashes, places = self._sequences.read(found, ending=ending)
        self._read = int(places[-1, 0]) if len(places) else self._read
        for part in self._parts:
            yield from self._follow(part, hashes, places, ending=ending)

    def growing(self) -> Iterator[Overlap]:
        """The passages that are open, as long as they are so far."""
        for part in self._parts:
            rows = part.open()
            yield from self._reported(part, rows[rows[:, kernels.BEST_HITS] >= LEAST])

    @property
    def settled(self) -> int:
        """No passage that is not yet reported begins before this code point."""
        if not self._parts:
            return NOTHING
        open_ = (part.open()[:, kernels.NEAR_START].min(initial=self._read) for part in self._parts if not part.is_idle)
        return min([self._read, *map(int, open_)])

    def _follow(self, part: _Followed, hashes: Array, places: Array, *, ending: bool) -> Iterator[Overlap]:
        import numpy as np

        if part.is_idle and not part.segment.has_any(hashes):
            part.ordinal += len(places)  # what no work has is counted, and that is all
            return
        lows, highs = part.segment.find(hashes)
        arrays = part.segment.arrays
        closed = np.empty((_BATCH + TABLE, NEAR_FIELDS), np.int64)
        state = np.array([0, part.ordinal, 0], np.int64)
        while True:
            compiled(kernels.chain)(
                places, lows, highs, arrays["docs"], arrays["offsets"], arrays["starts"], arrays["lengths"], part.live,
                arrays["begins"], arrays["ends"], self._toll, LEAST, int(ending), part.table, state, closed,
            )  # fmt: skip
            yield from self._reported(part, closed[: state[2]])
            state[2] = 0
            if state[0] >= len(places):
                break
        part.ordinal = int(state[1])
        part.is_idle = not (part.table[:, kernels.HITS] > 0).any()

    def _reported(self, part: _Followed, rows: Array) -> Iterator[Overlap]:
        for row in rows:
            similarity = int(row[kernels.BEST_HITS]) / int(row[kernels.BEST_LAST] - row[kernels.BEST_FIRST] + 1)
            if similarity >= self._similarity:
                yield part.overlap(row, similarity)


class _Followed:
    """One segment, and the passages that are open in it."""

    def __init__(self, segment: Segment, live: Array) -> None:
        import numpy as np

        self.segment = segment
        self.live = live
        self.table = np.zeros((TABLE, NEAR_FIELDS), np.int64)  # takes memory from when it is written to
        self.ordinal = 0
        self.is_idle = True
        """Whether no passage is open: the table, a megabyte, need not be looked at."""

    def open(self) -> Array:
        """The rows of the table in which a passage is."""
        return self.table[:0] if self.is_idle else self.table[self.table[:, kernels.HITS] > 0]

    def overlap(self, row: Array, similarity: float) -> Overlap:
        doc = int(row[kernels.NEAR_DOC])
        return Overlap(
            int(self.segment.arrays["numbers"][doc]),
            self.segment.parts[doc],
            Span(int(row[kernels.NEAR_START]), int(row[kernels.NEAR_END])),
            _source(row),
            int(row[kernels.NEAR_COUNT_END] - row[kernels.NEAR_COUNT_START]),
            round(similarity, 3),
        )


def _source(row: Array) -> Span:
    """Where the passage stands in the work: as far from its place in the text as its sequences are on average.

    The first and the last sequence alone would not do: frequent words stand there once more before and after.
    """
    first, last = int(row[kernels.BEST_SOURCE_START]), int(row[kernels.BEST_SOURCE_END])
    shift = round(int(row[kernels.BEST_SHIFT]) / int(row[kernels.BEST_HITS]))
    start, end = (min(max(int(row[place]) + shift, first), last) for place in (kernels.NEAR_START, kernels.NEAR_END))
    return Span(start, end) if start < end else Span(first, last)
