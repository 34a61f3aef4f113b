"""The generator that gives every prompt back: for tests, and to try a policy on texts of one's own."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from generators.base import MAX_SEED, limited, origin, parse
from guard.errors import InputError
from guard.protocols import Generator, Piece, TokenMark
from guard.registry import generators
from guard.types import Content, Making, Modality, Stage

_WORD = re.compile(r"\s*\S+\s*")


@dataclass(frozen=True, slots=True)
class EchoParameters:
    """What a caller may ask of the echo."""

    n: int = limited(1, 1, 16)
    """Outputs a prompt."""
    seed: int | None = limited(None, 0, MAX_SEED)
    """Taken and recorded as by other generators; there is nothing to draw."""


class Echo:
    """Answers a text with the same text."""

    modality = Modality.TEXT

    def __init__(self, name: str) -> None:
        """`name`: what policies and entries know it by."""
        self.name = name

    def load(self) -> None:
        """Nothing to load."""

    def __call__(self, prompts: Sequence[Content], parameters: Mapping[str, Any], /) -> AsyncIterator[tuple[int, Content]]:
        """Yield each prompt's text `n` times. Raises ParameterError, and InputError for a prompt that is no text."""
        return self._contents(prompts, self._asked(prompts, parameters))

    def stream(
        self, prompts: Sequence[Content], parameters: Mapping[str, Any], _marks: Sequence[TokenMark | None] = (), /
    ) -> AsyncIterator[tuple[int, Piece]]:
        """Yield each prompt's text word by word, with the spaces after each. Raises as a call does."""
        return self._pieces(prompts, self._asked(prompts, parameters))

    def _asked(self, prompts: Sequence[Content], parameters: Mapping[str, Any]) -> EchoParameters:
        asked = parse(EchoParameters, parameters, generator=self.name)
        for index, prompt in enumerate(prompts):
            if prompt.modality is not Modality.TEXT:
                raise InputError(f"{self.name}: prompt {index}: found {prompt.modality.value}, expected text")
        return asked

    async def _contents(self, prompts: Sequence[Content], asked: EchoParameters) -> AsyncIterator[tuple[int, Content]]:
        async for index, piece in self._pieces(prompts, asked):
            if piece.content is not None:
                yield index, piece.content

    async def _pieces(self, prompts: Sequence[Content], asked: EchoParameters) -> AsyncIterator[tuple[int, Piece]]:
        source = origin(self.name, seed=asked.seed)
        for index, prompt in enumerate(prompts):
            words = _WORD.findall(prompt.text) or [prompt.text]
            for choice in range(asked.n):
                making = Making(choice, prompt_tokens=len(words), output_tokens=len(words))
                whole = Content(Modality.TEXT, prompt.text, "text/plain", Stage.OUTPUT, source, prompt.request, making)
                for word in words[:-1]:
                    yield index, Piece(choice, word)
                yield index, Piece(choice, words[-1], whole)


@generators.register("echo")
def echo(*, name: str = "echo") -> Generator:
    """Every prompt, given back as it is."""
    return Echo(name)
