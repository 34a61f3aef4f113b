"""One output of a language model on its way from tokens to a content."""

from __future__ import annotations

from collections.abc import Sequence

from generators.language_model import LanguageModel
from generators.sampling import Drawn, Order, Score
from generators.spelling import Spelling
from guard.protocols import Piece
from guard.types import Content, Making, Modality, Origin, Stage, TokenScore


class Reply:
    """One output on its way from tokens to a content."""

    def __init__(
        self,
        loaded: LanguageModel,
        stop: Sequence[str],
        prompt: Content,
        choice: int,
        source: Origin,
        order: Order,
    ) -> None:
        """`stop`: what it ends before; `source`: where it comes from."""
        self._loaded, self._prompt, self._choice, self._source = loaded, prompt, choice, source
        self.order = order
        self._spelling: Spelling = loaded.spelling(stop)
        self._ready = ""
        self._tokens: list[int] = []
        self._scores: list[tuple[Score, tuple[tuple[str, float], ...]]] = []

    def add(self, token: int) -> bool:
        """Spell one more token; whether a stop sequence has just been completed."""
        self._tokens.append(token)
        self._ready += self._spelling.add(token)
        return self._spelling.stopped

    def piece(self, drawn: Drawn) -> Piece:
        """What a step brought."""
        if drawn.score is not None:
            before = self._tokens[:-1]
            top = tuple((self._loaded.shown(before, token), logprob) for token, logprob in drawn.score.top)
            self._scores.append((drawn.score, top))
        text, self._ready = self._ready, ""
        if not drawn.finish:
            return Piece(self._choice, text)
        text += self._spelling.end()
        return Piece(self._choice, text, self._content(drawn.finish))

    def _content(self, finish: str) -> Content:
        spans = self._spelling.spans() if self._scores else []
        scores = tuple(TokenScore(span, one.logprob, top) for span, (one, top) in zip(spans, self._scores, strict=False))
        making = Making(self._choice, finish, len(self.order.prompt), len(self._tokens), scores=scores)
        text, request = self._spelling.text, self._prompt.request
        return Content(Modality.TEXT, text, "text/plain", Stage.OUTPUT, self._source, request, making)
