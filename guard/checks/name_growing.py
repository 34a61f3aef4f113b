"""What a name tagger makes of a text that grows: a word is computed again only while what follows may still change it."""

from __future__ import annotations

from bisect import bisect_left
from operator import itemgetter
from typing import Any

from guard.checks.name_tagger import CERTAIN, REACH, Name, NameTagger, tokens

NEAR = 2
"""Tokens behind one by which it is looked up, at most."""
AROUND = REACH + NEAR
"""Tokens on either side of one on which it may depend: through the convolutions, and through the features of those."""
_LEAST_ROWS = 256
_END = itemgetter(1)


class Growing:
    """Reads one window of a text as its tagger would read all of it. What stands at its end may also change."""

    def __init__(self, tagger: NameTagger) -> None:
        self.lang = tagger.lang
        self.since = 0
        """Names that end at or before this code point are not wanted."""
        self._tagger = tagger
        self._text = ""
        self._spans: list[tuple[int, int]] = []
        self._numbers, self._likely = _Rows(), _Rows()
        self._sure: list[bool] = []
        """Which tokens are surely none of a name."""

    def __call__(self, text: str) -> list[Name]:
        """The names in the text, in order of place."""
        self._read(text)
        spans, sure = self._spans, self._sure
        first, last = bisect_left(spans, self.since, key=_END), len(sure)
        if False not in sure[first:]:
            return []
        while first and not sure[first - 1]:  # a name may go on from there
            first -= 1
        first = sure.index(False, first)
        while sure[last - 1]:
            last -= 1
        return self._tagger.names(spans[first:last], self._likely.between(first, last))

    def closed(self, text: str, reach: int) -> int:
        """Before which code point names are the same whatever follows: where a token begins that is surely none.

        0 where no such token stands `reach` before the end. `reach`: tokens behind another one that may change what it is.
        """
        self._read(text)
        place = len(self._spans) - reach - 2  # the last one may grow
        while place >= 0 and not self._sure[place]:
            place -= 1
        return self._spans[place][0] if place >= 0 else 0

    def _read(self, text: str) -> Any:
        """The probabilities of all tokens of the text; None where it has none."""
        if text != self._text:
            self._read_on(text)
        return self._likely.between(0, len(self._spans)) if self._spans else None

    def _read_on(self, text: str) -> None:
        same = _common(self._text, text)
        kept = bisect_left(self._spans, same, key=_END)  # one that ends there may have grown
        new = tokens(text, self._spans[kept - 1][1] if kept else 0)
        if new or kept < len(self._spans):  # otherwise white space came or went
            known = max(0, kept - AROUND)
            begin = max(0, known - REACH)
            del self._spans[kept:]
            self._spans += new
            if self._spans:
                self._look_up(text, max(0, kept - NEAR))
                likely = self._tagger.likely_of(self._numbers.between(begin, len(self._spans)), from_begin=not begin)
                likely = likely if begin else likely[known:]
                self._likely.put(known, likely)
                self._sure[known:] = (likely[:, 0] > CERTAIN).tolist()
            else:
                self._sure.clear()
        self._text = text

    def _look_up(self, text: str, first: int) -> None:
        """Know the numbers of all tokens, of which those before `first` are known."""
        before = first and first - 1  # what a Chinese character is looked up by begins before it
        self._numbers.put(first, self._tagger.numbers(text, self._spans[before:])[first - before :])


class _Rows:
    """Rows of an array that grows at its end, where others may take their place. None is copied when more come."""

    def __init__(self) -> None:
        self._room: Any = None

    def put(self, first: int, rows: Any) -> None:
        """Write these behind the first ones."""
        end = first + len(rows)
        if self._room is None or end > len(self._room):
            import numpy as np

            room = np.empty((max(_LEAST_ROWS, 2 * end), rows.shape[1]), rows.dtype)
            if first:
                room[:first] = self._room[:first]
            self._room = room
        self._room[first:end] = rows

    def between(self, first: int, end: int) -> Any:
        """Some of them, until others take their place."""
        return self._room[first:end]


def _common(one: str, other: str) -> int:
    """How many code points both begin with."""
    if other.startswith(one):
        return len(one)
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low
