"""From tokens to text, one token at a time, without ever handing out what a later token may change.

What is held back: half a character (a decoder shows it as U+FFFD until its bytes are there), what may be the beginning of a
stop sequence, and, where a reply comes without the spaces around it, spaces that may turn out to be the last.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

_HALF = "\ufffd"


class Spelling:
    """The text of one output in the making: what `add` and `end` return, joined, is `text`."""

    def __init__(self, decode: Callable[[list[int]], str], *, stop: Sequence[str] = (), strip: bool = False) -> None:
        """`decode`: text of some tokens; `stop`: it ends before the first of these; `strip`: without spaces around it."""
        self._decode, self._stop, self._strip = decode, tuple(stop), strip
        self._tokens: list[int] = []
        self._from, self._read = 0, 0
        self._known = ""
        """Text of the tokens from `_from` to `_read`: what the next ones are spelt after."""
        self._whole = ""
        self._left = 0
        """How much of `_whole` was handed out, or is a space before the text and never will be."""
        self._parts: list[str] = []
        self._ends: list[int] = []
        """Where the text of each token ends in `_whole`."""
        self.stopped = False
        """Whether a stop sequence was completed: nothing comes after it."""

    @property
    def text(self) -> str:
        """All that was handed out."""
        return "".join(self._parts)

    def add(self, token: int) -> str:
        """Read one more token; return what can leave now."""
        self._tokens.append(token)
        spelt = self._decode(self._tokens[self._from :])
        grown = ""
        if len(spelt) > len(self._known) and not spelt.endswith(_HALF):
            grown = spelt[len(self._known) :]
            self._from, self._read = self._read, len(self._tokens)
            self._known = self._decode(self._tokens[self._from :])
        return self._grow(grown)

    def end(self) -> str:
        """No token comes any more: return what is left, half a character as U+FFFD."""
        given = ""
        if self._read < len(self._tokens) and not self.stopped:
            self._ends.pop()
            given = self._grow(self._decode(self._tokens[self._from :])[len(self._known) :])
        return given + self._give(len(self._whole))

    def spans(self) -> list[str]:
        """What each token added to the text; they join to it. Tokens after its end are left out. To be asked after `end`."""
        first = len(self._whole) - len(self._whole.lstrip()) if self._strip else 0
        last = first + len(self.text)
        edges = [first, *(min(max(end, first), last) for end in self._ends)]
        pieces = [self._whole[start:end] for start, end in pairwise(edges)]
        while pieces and not pieces[-1] and self._ends[len(pieces) - 1] > last:
            pieces.pop()
        return pieces

    def _grow(self, more: str) -> str:
        if self.stopped:
            return ""
        reach = max(map(len, self._stop), default=1) - 1
        before = max(0, len(self._whole) - reach)
        self._whole += more
        self._ends.append(len(self._whole))
        found = [at for sequence in self._stop if (at := self._whole.find(sequence, before)) >= 0]
        if found:
            self.stopped = True
            self._whole = self._whole[: min(found)]
            return self._give(len(self._whole))
        return self._give(self._safe())

    def _safe(self) -> int:
        """Up to where the text cannot be the beginning of a stop sequence."""
        size = len(self._whole)
        reach = max(map(len, self._stop), default=1) - 1
        for at in range(max(0, size - reach), size):
            tail = self._whole[at:]
            if any(sequence.startswith(tail) for sequence in self._stop):
                return at
        return size

    def _give(self, to: int) -> str:
        if self._strip and not self._parts:
            self._left = to - len(self._whole[:to].lstrip())
        part = self._whole[self._left : max(self._left, to)]
        if self._strip:
            part = part.rstrip()
        if part:
            self._parts.append(part)
            self._left += len(part)
        return part
