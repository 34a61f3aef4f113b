"""The words around a match that may raise its score: those that Presidio's `LemmaContextAwareEnhancer` would look at.

It takes the whole text apart with spaCy's tokenizer, and goes back from the match until it has six words that are neither stop
words nor marks, and on from there until it has one, which is most often a part of the match. That tokenizer takes each piece
between white space apart by itself, so that here only the pieces around a match are: a handful, most of them known from other
texts.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from spacy.language import Language

_MOST = 6
"""Words, with that of the match itself: it may be written together with a telling one."""
_NO_WORDS = frozenset({"-PRON-", "be"})  # as in Presidio's NlpArtifacts
_PIECE = re.compile(r"\s+|\S+")
_SPACE = re.compile(r"\s")
_DIGIT = re.compile(r"\d")
_NUMBER = re.compile(r"[0-9]+(?:-[0-9]+)*[.,;]?")
_ZEROS = dict.fromkeys(range(ord("1"), ord("9") + 1), "0")
_BACK = 96
"""Code points that are taken apart at first."""
_KEPT, _LONGEST = 10_000, 24
"""Pieces that are remembered, and how long they may be. None has a digit: what is found is not kept."""


class _Token(NamedTuple):
    """A part of a piece."""

    end: int
    """Where it ends in its piece."""
    word: str
    """In lower case."""
    counts: bool
    parts: tuple[str, ...]
    """What colons divide in it: each part is a word that counts, wherever it stands in the text; the whole is none."""


class _Piece(NamedTuple):
    """What stands between white space, or more white space than one blank."""

    tokens: tuple[_Token, ...]
    words: tuple[str, ...]
    """Those of its tokens that count, the last first."""


class Words:
    """Of texts in one language."""

    def __init__(self, tokenizer: Language) -> None:
        """`tokenizer`: a pipeline without components."""
        self._tokenizer = tokenizer
        self._known: dict[str, _Piece] = {}
        # Its vocabulary is written to while it reads.
        self._lock = threading.Lock()

    def around(self, text: str, start: int) -> set[str]:
        """The words that count up to the token at `start`, no white space, and the first from there on; in lower case."""
        after = _SPACE.search(text, start)
        end, back = after.start() if after else len(text), _BACK
        parts = self._parts(text) if ":" in text else frozenset()
        while (since := max(0, start - back)) and _SPACE.search(text, since, start) is None:
            back *= 4
        while True:
            pieces = _PIECE.findall(text, since, end)
            own = pieces.pop()
            tokens, reach = self._piece(own).tokens, start - end + len(own)
            here = next(number for number, one in enumerate(tokens) if one.end > reach)
            words = [one.word for one in reversed(tokens[: here + 1]) if one.counts or one.word in parts]
            words += self._backwards(pieces[1:] if since else pieces, parts, _MOST - len(words), whole=not since)
            if since == 0 or len(words) >= _MOST:
                return {*words[:_MOST], *self._first(tokens[here:], text, end, parts)}
            back *= 4
            since = max(0, start - back)

    def _backwards(self, pieces: Sequence[str], parts: frozenset[str], most: int, *, whole: bool) -> list[str]:
        """The words of some pieces, the last first, until there are enough; `whole`: a text begins with the first of them."""
        words: list[str] = []
        for number in range(len(pieces) - 1, -1, -1):
            written = pieces[number]
            if written[0] == " " and (number or not whole):  # one space between two words is no token
                if len(written) == 1:
                    continue
                written = written[1:]
            piece = self._known.get(written) or self._piece(written)
            words += [one.word for one in reversed(piece.tokens) if one.counts or one.word in parts] if parts else piece.words
            if len(words) >= most:
                break
        return words

    def _first(self, tokens: Sequence[_Token], text: str, end: int, parts: frozenset[str]) -> tuple[str, ...]:
        """The first word that counts among some tokens, and those of a text from `end` on."""
        while True:
            for one in tokens:
                if one.counts or one.word in parts:
                    return (one.word,)
            found = _PIECE.match(text, end)
            if found is None:
                return ()
            written, end = found.group(), found.end()
            tokens = self._piece(written[1:] if written[0] == " " else written).tokens if written != " " else ()

    def _parts(self, text: str) -> frozenset[str]:
        pieces = {piece for piece in text.split() if ":" in piece}
        return frozenset(part for piece in pieces for token in self._piece(piece).tokens for part in token.parts)

    def _piece(self, piece: str) -> _Piece:
        known = self._known.get(piece)
        if known is not None:
            return known
        number = _NUMBER.fullmatch(piece)
        if number:  # any other is taken apart in the same way, and no word that raises a score is one
            piece = piece.translate(_ZEROS)
            known = self._known.get(piece)
            if known is not None:
                return known
        with self._lock:
            tokens = tuple(self._tokens(piece))
        made = _Piece(tokens, tuple(one.word for one in reversed(tokens) if one.counts))
        if len(piece) <= _LONGEST and (number or not _DIGIT.search(piece)):
            if len(self._known) >= _KEPT:
                self._known.clear()
            self._known[piece] = made
        return made

    def _tokens(self, piece: str) -> Iterator[_Token]:
        with self._tokenizer.memory_zone():  # forgets the words again
            vocabulary = self._tokenizer.vocab
            for token in self._tokenizer.make_doc(piece):
                lemma = token.lower_
                kept = vocabulary[lemma]
                counts = not (kept.is_stop or kept.is_punct or lemma in _NO_WORDS)
                word = lemma.lower()
                parts = tuple(word.split(":")) if counts and ":" in word else ()
                yield _Token(token.idx + len(token), word, counts and not parts, parts)
