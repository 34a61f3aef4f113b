"""A text and another reading of it, with a map between their code points. Pure, standard library only.

Each code point of the reading comes from a half-open range of the original. The ranges are in order, lie inside the original
and leave no gap: what a reading leaves out belongs to the code point before it (at the beginning, to the one after it), so
that a finding in the reading covers in the original all that is meant by it.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from guard.types import Span


@dataclass(frozen=True, slots=True)
class Normalised:
    """A reading of `original`: code point `i` of `text` comes from `original[starts[i]:ends[i]]`."""

    original: str
    text: str
    starts: Sequence[int]
    ends: Sequence[int]

    @property
    def changed(self) -> bool:
        """Whether the reading differs from the original."""
        return self.text != self.original

    @property
    def offsets(self) -> list[tuple[int, int]]:
        """The range of the original for each code point of `text`."""
        return list(zip(self.starts, self.ends, strict=True))

    def to_original(self, span: Span) -> Span:
        """Where that part of the reading stands in the original; an empty part is a point."""
        if span.start < span.end:
            return Span(self.starts[span.start], self.ends[span.end - 1])
        point = self.starts[span.start] if span.start < len(self.text) else len(self.original)
        return Span(point, point)

    def to_normalised(self, span: Span) -> Span:
        """All code points of the reading that come from that part of the original, or from a range that it cuts."""
        first = bisect_right(self.ends, span.start)
        return Span(first, max(first, bisect_left(self.starts, span.end)))

    def alters(self, span: Span) -> bool:
        """Whether that part of the reading is something else than what stands there in the original."""
        place = self.to_original(span)
        return self.text[span.start : span.end] != self.original[place.start : place.end]


Stage = Callable[[Normalised], Normalised]
Edit = tuple[int, int, str]
"""Start and end of a non-empty part of a text, and what stands there instead."""


def unchanged(text: str) -> Normalised:
    """The text read as it is."""
    return Normalised(text, text, range(len(text)), range(1, len(text) + 1))


def rewrite(reading: Normalised, edits: Iterable[Edit]) -> Normalised:
    """The reading with parts replaced; edits are in order and do not overlap.

    A replacement as long as what it replaces maps code point by code point, one of another length as a whole.
    """
    text, old_starts, old_ends = reading.text, reading.starts, reading.ends
    pieces: list[str] = []
    starts: list[int] = []
    ends: list[int] = []
    done = 0
    for start, end, new in edits:
        if text[start:end] == new:
            continue
        pieces += text[done:start], new
        starts += old_starts[done:start]
        ends += old_ends[done:start]
        if len(new) == end - start:
            starts += old_starts[start:end]
            ends += old_ends[start:end]
        elif new:
            starts += [old_starts[start]] * len(new)
            ends += [old_ends[end - 1]] * len(new)
        elif ends:
            ends[-1] = max(ends[-1], old_ends[end - 1])
        done = end
    if not pieces:
        return reading
    pieces.append(text[done:])
    starts += old_starts[done:]
    ends += old_ends[done:]
    if starts:
        starts[0] = 0  # what was left out at the very beginning
    return Normalised(reading.original, "".join(pieces), starts, ends)
