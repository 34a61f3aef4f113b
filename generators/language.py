"""Text from language models of `transformers`, causal or encoder-decoder: a folder, a hub name, or the bundled service agent.

Safetensors only, no code from the folder. A tokenizer with a chat template gets the prompt's turns as messages, and a prompt
without turns as one message of the user; without a template the model reads the prompt as it stands.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import asdict, dataclass
from typing import Any

from generators.base import MAX_SEED, Worker, fresh_seed, limited, origin, output_seeds, parse
from generators.language_joint import Company
from generators.language_model import LanguageModel, load
from generators.reply import Reply
from generators.residency import Slot, weights
from generators.sampling import Batch, Order, Settings
from guard.errors import ParameterError
from guard.protocols import Asked, Generator, Piece, TokenMark
from guard.registry import generators
from guard.types import Content, Modality, Origin

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
        self._loaded = Slot(lambda: load(model, device, revision), sizes=lambda loaded: weights(loaded.model))
        self._company = Company(self._worker, self._loaded, batch)

    @property
    def beside(self) -> int:
        """Outputs that are made side by side, whichever calls of `joint` they belong to."""
        return self._batch

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

    def joint(
        self, asked: Sequence[Asked], gone: Callable[[int], bool], /, *, pieces: bool
    ) -> AsyncIterator[tuple[int, Piece]]:
        """Outputs of several callers, beside those of all other calls of `joint` that run. Raises as a call does."""
        each = [self._asked(one.parameters) for one in asked]

        def replies(loaded: LanguageModel) -> list[tuple[int, Reply]]:
            return [
                (index, reply)
                for index, (one, own) in enumerate(zip(asked, each, strict=True))
                for reply in self._replies(loaded, index, one, own, own.seed)
            ]

        return self._company.call(replies, gone, pieces=pieces)

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
        first = fresh_seed() if asked.seed is None else asked.seed
        replies = [
            (index, reply)
            for index, (prompt, mark) in enumerate(zip(prompts, marks, strict=True))
            for reply in self._replies(loaded, index, Asked(prompt, {}, mark), asked, first + index * asked.n)
        ]
        for start in range(0, len(replies), self._batch):
            beside = replies[start : start + self._batch]
            orders = [reply.order for _, reply in beside]
            batch = Batch(loaded.forward([order.prompt for order in orders]), orders)
            for drawn in batch.steps(loaded.ends, lambda row, token, beside=beside: beside[row][1].add(token)):  # type: ignore[misc]
                pieces = [(beside[one.row][0], beside[one.row][1].piece(one)) for one in drawn]
                if some := [(index, piece) for index, piece in pieces if piece.text or piece.content is not None]:
                    yield some

    def _replies(
        self, loaded: LanguageModel, index: int, asked: Asked, parameters: LanguageParameters, first: int | None
    ) -> list[Reply]:
        """The outputs of one prompt, their seeds counted up from `first` or a fresh one. Raises as `LanguageModel.encode`."""
        ids = loaded.encode(asked.prompt, f"{self.name}: prompt {index}")
        limit = min(parameters.max_new_tokens, loaded.room(ids))
        top = parameters.top_logprobs if parameters.logprobs else None
        return [
            Reply(
                loaded,
                parameters.stop,
                asked.prompt,
                choice,
                self._origin(loaded, parameters, seed, asked.mark),
                Order(ids, seed, limit, parameters.settings, asked.mark, top),
            )
            for choice, (_, seed) in enumerate(output_seeds(1, parameters.n, first))
        ]

    def _origin(self, loaded: LanguageModel, asked: LanguageParameters, seed: int, mark: TokenMark | None) -> Origin:
        named = asked.recorded() | ({"text_watermark": mark.method} if mark and asked.temperature > 0 else {})
        return origin(self.name, model=loaded.files.name, digest=loaded.files.digest, parameters=named, seed=seed)


def _warm_up(loaded: LanguageModel) -> None:
    order = Order(loaded.tokens("a") or [0], 0, 1)
    for _ in Batch(loaded.forward([order.prompt]), [order]).steps((), lambda _row, _token: False):
        pass


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
