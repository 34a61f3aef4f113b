"""What a name tagger makes of a text that grows: a word is computed again only while what follows may still change it."""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING, Any

from guard.checks.name_tagger import CERTAIN, REACH, Name, NameTagger, tokens

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

NEAR = 2
"""Tokens behind one by which it is looked up, at most."""
AROUND = REACH + NEAR
"""Tokens on either side of one on which it may depend: through the convolutions, and through the features of those."""


class Growing:
    """Reads one window of a text as its tagger would read all of it. What stands at its end may also change."""

    def __init__(self, tagger: NameTagger) -> None:
        self.lang = tagger.lang
        self.since = 0
        """Names that end at or before this code point are not wanted."""
        self._tagger = tagger
        self._text = ""
        self._spans: list[tuple[int, int]] = []
        self._numbers: NDArray[np.int64] | None = None
        self._likely: NDArray[np.float32] | None = None

    def __call__(self, text: str) -> list[Name]:
        """The names in the text, in order of place."""
        likely = self._read(text)
        first = bisect_left(self._spans, self.since, key=lambda span: span[1])
        if likely is None or first >= len(self._spans):
            return []
        while first and likely[first - 1, 0] <= CERTAIN:  # a name may go on from there
            first -= 1
        maybe = (likely[first:, 0] <= CERTAIN).nonzero()[0]
        if not len(maybe):
            return []
        first, last = first + int(maybe[0]), first + int(maybe[-1]) + 1
        return self._tagger.names(self._spans[first:last], likely[first:last])

    def closed(self, text: str, reach: int) -> int:
        """Before which code point names are the same whatever follows: where a token begins that is surely none.

        0 where no such token stands `reach` before the end. `reach`: tokens behind another one that may change what it is.
        """
        likely = self._read(text)
        whole = len(self._spans) - reach - 1  # the last one may grow
        if likely is None or whole <= 0:
            return 0
        sure = (likely[:whole, 0] > CERTAIN).nonzero()[0]
        return self._spans[int(sure[-1])][0] if len(sure) else 0

    def _read(self, text: str) -> NDArray[np.float32] | None:
        """The probabilities of all tokens of the text; None where it has none."""
        if text == self._text:
            return self._likely
        import numpy as np

        same = _common(self._text, text)
        kept = bisect_left(self._spans, same, key=lambda span: span[1])  # one that ends there may have grown
        start = self._spans[kept - 1][1] if kept else 0
        spans = [*self._spans[:kept], *tokens(text, start)]
        if len(spans) == kept == len(self._spans):  # white space came or went
            self._text = text
            return self._likely
        known = max(0, kept - AROUND)
        begin = max(0, known - REACH)
        likely: Any = None
        numbers: Any = None
        if spans:
            numbers = self._looked_up(text, spans, max(0, kept - NEAR))
            new = self._tagger.likely_of(numbers[begin:], from_begin=not begin)
            new = new if begin else new[known:]
            likely = np.concatenate([self._likely[:known], new]) if self._likely is not None and known else new
        self._text, self._spans, self._numbers, self._likely = text, spans, numbers, likely
        return self._likely

    def _looked_up(self, text: str, spans: list[tuple[int, int]], first: int) -> NDArray[np.int64]:
        """The numbers of all tokens, of which those before `first` are known."""
        import numpy as np

        if self._numbers is None or not first:
            return self._tagger.numbers(text, spans)
        new = self._tagger.numbers(text, spans[first - 1 :])[1:]  # what a Chinese character is looked up by begins before it
        return np.concatenate([self._numbers[:first], new])


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
