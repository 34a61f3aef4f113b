"""Text from language models of `transformers`, causal or encoder-decoder: a folder, a hub name, or the bundled service agent.

Safetensors only, no code from the folder. A tokenizer with a chat template gets the prompt's turns as messages, and a prompt
without turns as one message of the user; without a template the model reads the prompt as it stands.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import asdict, dataclass
from typing import Any

from generators.base import MAX_SEED, Worker, limited, origin, output_seeds, parse
from generators.language_model import LanguageModel, load
from generators.residency import Slot
from generators.sampling import Batch, Drawn, Order, Score, Settings
from generators.spelling import Spelling
from guard.errors import ParameterError
from guard.protocols import Generator, Piece, TokenMark
from guard.registry import generators
from guard.types import Content, Making, Modality, Origin, Stage, TokenScore

MAX_STOPS = 16


@dataclass(frozen=True, slots=True)
class LanguageParameters:
    """What a caller may ask of a language model."""

    seed: int | None = limited(None, 0, MAX_SEED)
    n: int = limited(1, 1, 16)
    """Outputs a prompt."""
    max_new_tokens: int = limited(128, 1, 8192)
    """Tokens of one output at most; fewer when the model's context ends."""
    temperature: float = limited(0.8, 0.0, 2.0)
    top_p: float = limited(0.95, 0.0, 1.0)
    top_k: int = limited(0, 0, 1_000_000)
    repetition_penalty: float = limited(1.0, 1.0, 2.0)
    stop: tuple[str, ...] = ()
    """An output ends before the first of these."""
    logprobs: bool = False
    """Whether an output tells how likely the model found its tokens, before any of these settings."""
    top_logprobs: int = limited(0, 0, 20)
    """And which others were likeliest in their place."""

    @property
    def settings(self) -> Settings:
        """What of it concerns the choice of a token."""
        return Settings(self.temperature, self.top_p, self.top_k, self.repetition_penalty)

    def recorded(self) -> dict[str, Any]:
        """What of it an origin names: all that an output depends on, but the seed, which is its own."""
        left_out = dict.fromkeys(("n", "logprobs", "top_logprobs"))
        return asdict(self) | left_out | {"stop": json.dumps(self.stop) if self.stop else None}


class LanguageGenerator:
    """One language model as a generator."""

    modality = Modality.TEXT

    def __init__(self, model: str, *, device: str, name: str, batch: int, revision: str | None, warm: bool) -> None:
        """See `language`."""
        if batch < 1:
            raise ParameterError(f"{name}: found batch {batch}, expected at least 1")
        self.name = name
        self.model = model
        self._batch, self._warm = batch, warm
        self._worker = Worker(name)
        self._loaded = Slot(lambda: load(model, device, revision))

    def load(self) -> None:
        """Load the model, and warm it up where that is asked for: draw one token.

        Raises ModelError when it is not there, was changed, or is no language model.
        """
        with self._loaded.use() as loaded:
            if self._warm:
                self._worker.wait(lambda: _warm_up(loaded))

    def unload(self) -> None:
        """Free the model's memory, when the calls that use it are done; the next call loads it again."""
        self._loaded.free()

    def __call__(self, prompts: Sequence[Content], parameters: Mapping[str, Any], /) -> AsyncIterator[tuple[int, Content]]:
        """Yield outputs in the order in which they end, batch by batch.

        Raises ParameterError at once; InputError for an empty prompt and TooLargeError for one that fills the model's context,
        before anything is generated.
        """
        return self.marked(prompts, parameters, ())

    def marked(
        self, prompts: Sequence[Content], parameters: Mapping[str, Any], marks: Sequence[TokenMark | None], /
    ) -> AsyncIterator[tuple[int, Content]]:
        """The same with a watermark, or None, for the outputs of each prompt; at temperature 0 there is no choice to mark."""
        asked, each = self._asked(parameters), list(marks) or [None] * len(prompts)
        return self._worker.stream(lambda: self._outputs(prompts, asked, each))

    def stream(
        self, prompts: Sequence[Content], parameters: Mapping[str, Any], marks: Sequence[TokenMark | None] = (), /
    ) -> AsyncIterator[tuple[int, Piece]]:
        """Yield what each token adds; the last piece of an output brings the whole of it. Raises as a call does."""
        asked, each = self._asked(parameters), list(marks) or [None] * len(prompts)
        return self._flat(self._worker.stream(lambda: self._steps(prompts, asked, each)))

    def tokens(self, text: str, /) -> Sequence[int]:
        """Token ids of an output as a reader finds them, without special ones. Raises as `load`."""
        return self._loaded.get().tokens(text)

    def _asked(self, parameters: Mapping[str, Any]) -> LanguageParameters:
        asked = parse(LanguageParameters, parameters, generator=self.name)
        if len(asked.stop) > MAX_STOPS or not all(asked.stop):
            found = f"{len(asked.stop)} sequences" if len(asked.stop) > MAX_STOPS else "an empty sequence"
            raise ParameterError(f"{self.name}: parameter 'stop': found {found}, expected up to {MAX_STOPS} that are not empty")
        if asked.top_logprobs and not asked.logprobs:
            raise ParameterError(f"{self.name}: parameter 'top_logprobs': found it without logprobs, expected both")
        return asked

    async def _flat(self, steps: Any) -> AsyncIterator[tuple[int, Piece]]:
        async with aclosing(steps) as lists:
            async for pieces in lists:
                for piece in pieces:
                    yield piece

    def _outputs(
        self, prompts: Sequence[Content], asked: LanguageParameters, marks: Sequence[TokenMark | None]
    ) -> Iterator[tuple[int, Content]]:
        for pieces in self._steps(prompts, asked, marks):
            for index, piece in pieces:
                if piece.content is not None:
                    yield index, piece.content

    def _steps(
        self, prompts: Sequence[Content], asked: LanguageParameters, marks: Sequence[TokenMark | None]
    ) -> Iterator[list[tuple[int, Piece]]]:
        """What each step of each batch brings, where it brings anything."""
        with self._loaded.use() as loaded:
            yield from self._drawn(loaded, prompts, asked, marks)

    def _drawn(
        self,
        loaded: LanguageModel,
        prompts: Sequence[Content],
        asked: LanguageParameters,
        marks: Sequence[TokenMark | None],
    ) -> Iterator[list[tuple[int, Piece]]]:
        encoded = [loaded.encode(prompt, f"{self.name}: prompt {index}") for index, prompt in enumerate(prompts)]
        outputs = output_seeds(len(prompts), asked.n, asked.seed)
        replies = [
            _Reply(
                loaded,
                asked,
                prompts[index],
                at % asked.n,
                self._origin(loaded, asked, seed, marks[index]),
                Order(
                    encoded[index],
                    seed,
                    min(asked.max_new_tokens, loaded.room(encoded[index])),
                    asked.settings,
                    marks[index],
                    asked.top_logprobs if asked.logprobs else None,
                ),
            )
            for at, (index, seed) in enumerate(outputs)
        ]
        for start in range(0, len(outputs), self._batch):
            beside = replies[start : start + self._batch]
            batch = Batch(loaded.forward([one.order.prompt for one in beside]), [one.order for one in beside])
            for drawn in batch.steps(loaded.ends, lambda row, token, beside=beside: beside[row].add(token)):  # type: ignore[misc]
                pieces = [(outputs[start + one.row][0], beside[one.row].piece(one)) for one in drawn]
                if some := [(index, piece) for index, piece in pieces if piece.text or piece.content is not None]:
                    yield some

    def _origin(self, loaded: LanguageModel, asked: LanguageParameters, seed: int, mark: TokenMark | None) -> Origin:
        named = asked.recorded() | ({"text_watermark": mark.method} if mark and asked.temperature > 0 else {})
        return origin(self.name, model=loaded.files.name, digest=loaded.files.digest, parameters=named, seed=seed)


def _warm_up(loaded: LanguageModel) -> None:
    order = Order(loaded.tokens("a") or [0], 0, 1)
    for _ in Batch(loaded.forward([order.prompt]), [order]).steps((), lambda _row, _token: False):
        pass


class _Reply:
    """One output on its way from tokens to a content."""

    def __init__(
        self,
        loaded: LanguageModel,
        asked: LanguageParameters,
        prompt: Content,
        choice: int,
        source: Origin,
        order: Order,
    ) -> None:
        self._loaded, self._prompt, self._choice, self._source = loaded, prompt, choice, source
        self.order = order
        self._spelling: Spelling = loaded.spelling(asked.stop)
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


@generators.register("language")
def language(
    *,
    model: str = "bundled/language-service",
    device: str = "auto",
    name: str = "language",
    batch: int = 32,
    revision: str | None = None,
    warm: bool = False,
) -> Generator:
    """Text from a causal or an encoder-decoder language model, in bfloat16 on CUDA and float32 on a CPU.

    `model`: `bundled/NAME`, a folder, `sha256:` and the digest of one, or a hub name `owner/name` (downloaded on first use;
    `revision` pins it). `batch`: outputs generated side by side. `warm`: draw a token when it is loaded, so that the first
    caller does not wait for what is only done once.
    """
    return LanguageGenerator(model, device=device, name=name, batch=batch, revision=revision, warm=warm)
