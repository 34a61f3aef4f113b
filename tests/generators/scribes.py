"""Generators whose outputs say what they were made from, and that tests can hold up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any

from generators.base import output_seeds
from guard.errors import InputError, ParameterError
from guard.protocols import Asked, Piece, TokenMark
from guard.types import Content, Modality, Origin, Request, Stage
from tests.fakes import text


def prompt(data: str, tenant: str = "default") -> Content:
    return text(data, stage=Stage.PROMPT, request=Request(f"request of {data}", tenant=tenant))


class Plain:
    """Makes texts of prompt, seed and `style`. Waits before the first output while `open` is cleared."""

    name = "scribe"
    modality = Modality.TEXT

    def __init__(self) -> None:
        self.calls: list[list[str]] = []
        self.open: asyncio.Event | None = None
        self.running = self.stopped = 0

    def load(self) -> None:
        """Nothing."""

    def __call__(self, prompts: Sequence[Content], parameters: Mapping[str, Any], /) -> AsyncIterator[tuple[int, Content]]:
        return self._outputs(prompts, parameters, [None] * len(prompts))

    async def _outputs(
        self, prompts: Sequence[Content], parameters: Mapping[str, Any], marks: Sequence[TokenMark | None]
    ) -> AsyncIterator[tuple[int, Content]]:
        async for index, piece in self._made([Asked(one, parameters) for one in prompts], parameters, marks):
            if piece.content is not None:
                yield index, piece.content

    async def _made(
        self, asked: Sequence[Asked], parameters: Mapping[str, Any], marks: Sequence[TokenMark | None]
    ) -> AsyncIterator[tuple[int, Piece]]:
        seeds = output_seeds(len(asked), parameters.get("n", 1), parameters.get("seed"))
        async for found in self._write([(index, asked[index], seed, marks[index]) for index, seed in seeds]):
            yield found

    async def _write(self, todo: Sequence[tuple[int, Asked, int, TokenMark | None]]) -> AsyncIterator[tuple[int, Piece]]:
        self.calls.append(list(dict.fromkeys(asked.prompt.text for _, asked, _, _ in todo)))
        self.running += 1
        try:
            if self.open is not None:
                await self.open.wait()
            for _, asked, _, _ in todo:
                self._accept(asked)
            choices: dict[int, int] = {}
            for index, asked, seed, mark in todo:
                await asyncio.sleep(0)
                choice = choices[index] = choices.get(index, -1) + 1
                style, marked = asked.parameters.get("style", "plain"), "unmarked" if mark is None else mark.method
                said = f"{asked.prompt.text}|{seed}|{style}|{marked}"
                if asked.prompt.text.startswith("breaks"):
                    raise RuntimeError(f"broken by {asked.prompt.text}")
                yield index, Piece(choice, said[:3])
                origin = Origin(self.name, parameters=(("seed", str(seed)),))
                content = Content(Modality.TEXT, said, "text/plain", Stage.OUTPUT, origin, asked.prompt.request)
                yield index, Piece(choice, said[3:], content)
        finally:
            self.running -= 1
            self.stopped += 1

    def _accept(self, asked: Asked) -> None:
        if asked.prompt.text.startswith("empty"):
            raise InputError(f"found {asked.prompt.text}, expected more")
        if "wrong" in asked.parameters:
            raise ParameterError("unknown parameter 'wrong'")


class Tokens(Plain):
    """Draws tokens, and streams."""

    def marked(
        self, prompts: Sequence[Content], parameters: Mapping[str, Any], marks: Sequence[TokenMark | None], /
    ) -> AsyncIterator[tuple[int, Content]]:
        return self._outputs(prompts, parameters, marks)

    def stream(
        self, prompts: Sequence[Content], parameters: Mapping[str, Any], marks: Sequence[TokenMark | None] = (), /
    ) -> AsyncIterator[tuple[int, Piece]]:
        return self._made([Asked(one, parameters) for one in prompts], parameters, marks or [None] * len(prompts))

    def tokens(self, text: str, /) -> Sequence[int]:
        return list(text.encode())


class Joint(Tokens):
    """Makes outputs of several callers side by side."""

    gone: Callable[[int], bool]

    async def joint(
        self, asked: Sequence[Asked], gone: Callable[[int], bool], /, *, pieces: bool
    ) -> AsyncIterator[tuple[int, Piece]]:
        self.gone = gone
        todo = []
        for index, one in enumerate(asked):
            for _, seed in output_seeds(1, one.parameters.get("n", 1), one.parameters.get("seed")):
                todo.append((index, one, seed, one.mark))
        async for index, piece in self._write(todo):
            if not gone(index) and (pieces or piece.content is not None):
                yield index, piece
