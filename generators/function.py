"""A function of one's own as a generator: plain or async, returning a text, a picture, an image or WAV file, or yielding text.

    generators.make("python", {"function": "shop.answers:reply", "name": "reply"})      # or `use: python:shop.answers:reply`

    async def reply(prompt: str, *, seed: int = 0, tone: str = "kind") -> AsyncIterator[str]: ...

The function gets the text of the prompt, or the Content where its first parameter says so; its keyword parameters are those
that a caller may set. With a parameter `seed` it gets one of its own for each output. What it yields streams as it comes.
A plain function runs on a thread of its own; one that is running cannot be stopped, and keeps the next call waiting.
"""

from __future__ import annotations

import importlib
import inspect
import re
import typing
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from generators.base import MAX_SEED, Worker, limited, origin, output_seeds, parse
from guard.errors import GenerationError, GenguardError, InputError, ParameterError, RegistryError
from guard.protocols import Generator, Piece, TokenMark
from guard.registry import generators
from guard.sound import audio_content
from guard.types import Content, Making, Modality, Origin, Stage

_PATH = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")
_OWN = {"n", "seed"}
_EXPECTED = {
    Modality.TEXT: "a text",
    Modality.IMAGE: "a PIL image or the bytes of an image file",
    Modality.AUDIO: "the bytes of a WAV file",
}


@dataclass(frozen=True, slots=True)
class _Own:
    """What a caller may ask whatever the function is."""

    seed: int | None = limited(None, 0, MAX_SEED)
    n: int = limited(1, 1, 16)
    """Outputs a prompt."""


class FunctionGenerator:
    """One function as a generator."""

    def __init__(
        self, function: Callable[..., Any], *, name: str, modality: Modality = Modality.TEXT, says_prompt: bool = False
    ) -> None:
        """`function`: see the module. `says_prompt`: whether an audio of it says the prompt's words.

        Raises RegistryError for one that takes no prompt.
        """
        self.name = name
        self.modality = modality
        self._function = function
        self._says_prompt = says_prompt
        self._worker = Worker(name)
        self._takes = inspect.signature(function).parameters
        if not self._takes:
            raise RegistryError(f"{name}: the function takes nothing, expected a parameter for the prompt")
        first = next(iter(self._takes))
        self._whole = _hints(function).get(first) is Content
        self._named = [
            one.name
            for one in self._takes.values()
            if one.name != first and one.kind in (one.KEYWORD_ONLY, one.POSITIONAL_OR_KEYWORD)
        ]
        self._model = f"{function.__module__}:{getattr(function, '__qualname__', type(function).__qualname__)}"

    def load(self) -> None:
        """Nothing to load: the function was imported when the generator was made."""

    def __call__(self, prompts: Sequence[Content], parameters: Mapping[str, Any], /) -> AsyncIterator[tuple[int, Content]]:
        """Yield what the function makes, output by output.

        Raises ParameterError and InputError at once; GenerationError when the function fails or makes something else.
        """
        return self._contents(self.stream(prompts, parameters))

    def stream(
        self, prompts: Sequence[Content], parameters: Mapping[str, Any], _marks: Sequence[TokenMark | None] = (), /
    ) -> AsyncGenerator[tuple[int, Piece]]:
        """Yield what the function yields; what it returns is one piece. Raises as a call does."""
        count, seed, given = self._asked(parameters)
        for index, prompt in enumerate(prompts):
            if prompt.modality is not Modality.TEXT:
                raise InputError(f"{self.name}: prompt {index}: found {prompt.modality.value}, expected text")
        return self._pieces(prompts, count, seed, given)

    def _asked(self, parameters: Mapping[str, Any]) -> tuple[int, int | None, dict[str, Any]]:
        """How many outputs, from which seed on, and what else the function is given."""
        own = {name: value for name, value in parameters.items() if name in _OWN}
        asked = parse(_Own, own, generator=self.name)
        if asked.seed is not None and "seed" not in self._takes:
            raise ParameterError(f"{self.name}: parameter 'seed': found one, but the function takes none")
        given = {name: value for name, value in parameters.items() if name not in _OWN}
        for name, value in given.items():
            if name not in self._named:
                expected = ", ".join(sorted({*self._named, "n"})) or "none"
                raise ParameterError(f"{self.name}: unknown parameter {str(name)[:40]!r}, expected one of: {expected}")
            if not isinstance(value, (str, int, float, bool, type(None))):
                raise ParameterError(f"{self.name}: parameter {name!r}: found {type(value).__name__}, expected a plain value")
        return asked.n, asked.seed, given

    async def _contents(self, pieces: AsyncGenerator[tuple[int, Piece]]) -> AsyncIterator[tuple[int, Content]]:
        async with aclosing(pieces) as each:
            async for index, piece in each:
                if piece.content is not None:
                    yield index, piece.content

    async def _pieces(
        self, prompts: Sequence[Content], count: int, seed: int | None, given: Mapping[str, Any]
    ) -> AsyncGenerator[tuple[int, Piece]]:
        for at, (index, own) in enumerate(output_seeds(len(prompts), count, seed)):
            seeded = {"seed": own} if "seed" in self._takes else {}
            source = origin(self.name, model=self._model, parameters=dict(given), seed=seeded.get("seed"))
            prompt, choice = prompts[index], at % count
            parts: list[str] = []
            async with aclosing(self._made(prompt, {**given, **seeded})) as made:
                async for part in made:
                    if isinstance(part, str) and self.modality is Modality.TEXT:
                        parts.append(part)
                        if part:
                            yield index, Piece(choice, part)
                        continue
                    yield index, Piece(choice, "", self._file(part, source, prompt, choice))
            if self.modality is Modality.TEXT:
                text = "".join(parts)
                making = Making(choice)
                yield (
                    index,
                    Piece(choice, "", Content(Modality.TEXT, text, "text/plain", Stage.OUTPUT, source, prompt.request, making)),
                )

    async def _made(self, prompt: Content, given: Mapping[str, Any]) -> AsyncGenerator[Any]:
        """What the function returns, or each thing that it yields; what fails in it, as an error that quotes nothing."""
        asked = prompt if self._whole else prompt.text
        function = self._function
        if inspect.isgeneratorfunction(function):
            async with aclosing(self._worker.stream(lambda: typing.cast(Iterator[Any], function(asked, **given)))) as each:  # type: ignore[type-var]
                async for one in each:
                    yield one
            return
        if not inspect.isasyncgenfunction(function) and not inspect.iscoroutinefunction(function):
            yield await self._worker.run(lambda: function(asked, **given))
            return
        try:
            if inspect.iscoroutinefunction(function):
                yield await function(asked, **given)
                return
            async with aclosing(function(asked, **given)) as each:
                async for one in each:
                    yield one
        except GenguardError:
            raise
        except Exception as error:
            raise GenerationError(f"{self.name}: the function failed with {type(error).__name__}") from error

    def _file(self, made: Any, source: Origin, prompt: Content, choice: int) -> Content:
        from PIL.Image import Image

        from guard.imaging import identify, image_content

        making, request = Making(choice), prompt.request
        if self.modality is Modality.IMAGE and isinstance(made, Image):
            return image_content(made.convert("RGB"), stage=Stage.OUTPUT, origin=source, request=request, making=making)
        if self.modality is Modality.IMAGE and isinstance(made, bytes):
            try:
                return Content(Modality.IMAGE, made, identify(made)[0], Stage.OUTPUT, source, request, making)
            except InputError as error:
                raise GenerationError(f"{self.name}: the function returned bytes that are no image: {error}") from None
        if self.modality is Modality.AUDIO and isinstance(made, bytes):
            said = prompt.text if self._says_prompt else ""
            try:
                return audio_content(made, origin=source, request=request, making=making, transcript=said)
            except InputError as error:
                raise GenerationError(f"{self.name}: the function returned bytes that are no WAV file: {error}") from None
        expected = _EXPECTED[self.modality]
        raise GenerationError(f"{self.name}: the function returned {type(made).__name__}, expected {expected}")


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    try:
        return typing.get_type_hints(function)
    except (NameError, TypeError):
        return {}


def find(path: str) -> Callable[..., Any]:
    """The function at `module:function`. Raises RegistryError when there is none."""
    if not _PATH.fullmatch(path):
        raise RegistryError(f"found function {path[:80]!r}, expected module:function")
    module, _, name = path.partition(":")
    try:
        found = getattr(importlib.import_module(module), name, None)
    except ImportError as error:
        raise RegistryError(f"function {path!r} cannot be imported: {type(error).__name__}: {error}") from error
    if not callable(found):
        raise RegistryError(
            f"module {module} has no function {name!r}", advice="Correct the name; the module must be importable where we run."
        )
    return typing.cast("Callable[..., Any]", found)


@generators.register("python")
def python(*, function: str, modality: str = "text", name: str = "python", says_prompt: bool = False) -> Generator:
    """A function of one's own, by `module:function`. It is code: it is named in the operator's settings alone.

    `modality`: `text`, `image` or `audio`, what it makes. `says_prompt`: whether an audio says the words of its prompt, and no
    others: then checks of its transcript read them. Raises RegistryError when there is no such function.
    """
    kinds = {one.value: one for one in Modality}
    if modality not in kinds:
        raise RegistryError(f"modality is {modality[:20]!r}, expected text, image or audio")
    return FunctionGenerator(find(function), name=name, modality=kinds[modality], says_prompt=says_prompt)
