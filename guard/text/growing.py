"""Windows of one text that grows: each word is made into tokens once.

The windows are those of `guard.text.windows.cut`, token for token. That needs a tokenizer to which a space is a border: one of
BERT's kind, which makes the same tokens of a word whatever stands on the other side of a space. Others read all of the text
anew.
"""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any

from guard.text.windows import Window, readable
from guard.types import Span

_BORDERS = " \n。"
_LOCAL = ("BertNormalizer", "BertPreTokenizer")
_MOST_KNOWN, _LONGEST_KNOWN = 20_000, 32
_Tokens = tuple[list[int], list[tuple[int, int]]]
"""Numbers of tokens, and where each begins and ends."""


@dataclass(frozen=True, slots=True)
class Words:
    """A tokenizer by itself: it cuts nothing off, and threads may share it."""

    backend: Any
    front: Sequence[int]
    """What a window begins with."""
    back: Sequence[int]
    """What it ends with."""
    known: dict[str, _Tokens] = field(default_factory=dict)
    """Tokens of what stood between two spaces before."""

    def read(self, text: str) -> _Tokens:
        """The tokens of a text, without those that a window begins and ends with."""
        parts = text.split(" ")
        found = {part: self.known.get(part) for part in parts if part}
        if new := [part for part, tokens in found.items() if tokens is None]:
            found |= self._learnt(new)
        numbers, places, begin = list[int](), list[tuple[int, int]](), 0
        for part in parts:
            if tokens := found.get(part):
                numbers += tokens[0]
                places += [(begin + start, begin + end) for start, end in tokens[1]]
            begin += len(part) + 1
        return numbers, places

    def _learnt(self, parts: Sequence[str]) -> dict[str, _Tokens]:
        """The tokens of each part, read in one text."""
        read = self.backend.encode(readable(" ".join(parts)), add_special_tokens=False)
        left = deque(zip(read.ids, read.offsets, strict=True))
        found, begin = dict[str, _Tokens](), 0
        for part in parts:
            numbers, places, end = list[int](), list[tuple[int, int]](), begin + len(part)
            while left and left[0][1][1] <= end:
                number, place = left.popleft()
                numbers.append(number)
                places.append((place[0] - begin, place[1] - begin))
            found[part], begin = (numbers, places), end + 1
        if len(self.known) + len(found) > _MOST_KNOWN:
            self.known.clear()
        self.known.update((part, tokens) for part, tokens in found.items() if len(part) <= _LONGEST_KNOWN)
        return found


def words(tokenizer: Any) -> Words | None:
    """What reads a text word by word; None for a tokenizer to which a space is no border."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None or (type(backend.normalizer).__name__, type(backend.pre_tokenizer).__name__) != _LOCAL:
        return None
    added = tokenizer.added_tokens_decoder.values()
    if any(one.lstrip or one.rstrip or any(border in one.content for border in _BORDERS) for one in added):
        return None
    own = copy.deepcopy(backend)
    own.no_truncation()
    own.no_padding()
    bare, whole = (own.encode("a", add_special_tokens=special).ids for special in (False, True))
    before = len(whole) - len(bare) - 1
    if before < 0 or whole[before : before + len(bare)] != bare:
        return None
    return Words(own, whole[:before], whole[before + len(bare) :])


class Growing:
    """Cuts one text. Calls come one after another."""

    def __init__(self, words: Words, size: int, overlap: int) -> None:
        """`size`: tokens of a window with its ends; `overlap`: how many of them the next one reads again."""
        self._words = words
        self._room = size - len(words.front) - len(words.back)
        self._step = self._room - overlap
        self._forget()

    def _forget(self) -> None:
        self._text = ""
        """What ends at a border."""
        self._tokens: list[int] = []
        self._places: list[tuple[int, int]] = []
        self._full: list[Window] = []
        """Windows that do not change any more."""

    def cut(self, text: str) -> list[Window]:
        """All windows of the text, which begins as in the last call, in order."""
        if not text.startswith(self._text):
            self._forget()
        begin = len(self._text)
        tokens, places = self._words.read(text[begin:])
        places = [(begin + start, begin + end) for start, end in places]
        border = 1 + max(text.rfind(one) for one in _BORDERS)
        stay = sum(end <= border for _, end in places) if border > begin else 0
        self._tokens += tokens[:stay]
        self._places += places[:stay]
        if border > begin:
            self._text = text[:border]
        return self._windows(tokens[stay:], places[stay:])

    def _windows(self, tokens: list[int], places: list[tuple[int, int]]) -> list[Window]:
        """With these behind what stays."""
        first = len(self._full) * self._step
        tokens, places = self._tokens[first:] + tokens, self._places[first:] + places
        found, stays = list(self._full), len(self._tokens) - first
        for start in range(0, max(1, len(tokens)), self._step):
            stop = min(start + self._room, len(tokens))
            window = self._window(tokens[start:stop], places[start:stop])
            found.append(window)
            if stop == len(tokens):
                break
            if stop <= stays and len(found) == len(self._full) + 1:
                self._full.append(window)
        return [one for one in found if one.span.end > one.span.start]

    def _window(self, tokens: list[int], places: list[tuple[int, int]]) -> Window:
        real = [place for place in places if place[1] > place[0]]
        span = Span(min(real)[0], max(map(itemgetter(1), real))) if real else Span(0, 0)
        return Window(0, span, [*self._words.front, *tokens, *self._words.back])
