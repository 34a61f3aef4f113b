"""Generators and functions that are only reached through a guard: their outputs pass the policy before a caller sees them."""

from __future__ import annotations

import functools
import inspect
import io
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from guard.errors import GenerationError, ParameterError, WithheldError
from guard.ids import uuid7
from guard.sync import run_sync
from guard.types import Content, Origin, Release, Request, Stage

if TYPE_CHECKING:
    from guard.pipeline import Guard
    from guard.protocols import Generator

Function = TypeVar("Function", bound=Callable[..., Any])
RAISE: Any = object()
"""For `withheld`: raise WithheldError."""


class Guarded:
    """A generator that can only be reached through its guard."""

    def __init__(self, guard: Guard, generator: Generator) -> None:
        self._guard = guard
        self._generator = generator

    async def __call__(self, prompt: str | Content, *, request: Request | None = None, **parameters: Any) -> Release:
        """Generate one output and take it through the policy; raises as `Guard.release` does."""
        return await self._guard.release(self._generator, prompt, request=request, **parameters)

    def sync(self, prompt: str | Content, *, request: Request | None = None, **parameters: Any) -> Release:
        """The same for code without an event loop."""
        return self._guard.release_sync(self._generator, prompt, request=request, **parameters)


def decorate(
    guard: Guard,
    function: Function,
    *,
    prompt: str = "",
    name: str = "",
    request: Callable[[Mapping[str, Any]], Request] | None = None,
    withheld: Any = RAISE,
) -> Function:
    """See `Guard.guarded`. Raises ParameterError when the function has no parameter of the prompt's name."""
    signature = inspect.signature(function)
    if prompt and prompt not in signature.parameters:
        told = f"{function.__qualname__}: found no parameter {prompt!r}, expected one of: {', '.join(signature.parameters)}"
        raise ParameterError(told)
    if inspect.isasyncgenfunction(function) or inspect.isgeneratorfunction(function):
        raise ParameterError(
            f"{function.__qualname__} yields pieces, expected a function that returns a text or an image",
            advice="Make a generator of it (`python:module:function`) and use Guard.stream.",
        )
    origin = Origin(name or function.__name__)

    async def run(call: Callable[..., Any], given: inspect.BoundArguments) -> Any:
        asked = request(given.arguments) if request is not None else Request(str(uuid7()))
        if prompt:
            given.apply_defaults()
            release = await guard.check(given.arguments[prompt], request=asked, stage=Stage.PROMPT, origin=origin)
            if release.content is None:
                return _withheld(release, withheld)
            given.arguments[prompt] = release.content.data
        made = call(*given.args, **given.kwargs)
        if inspect.isawaitable(made):
            made = await made
        data, back = _content(made, origin.generator)
        release = await guard.check(data, request=asked, origin=origin)
        if release.content is None:
            return _withheld(release, withheld)
        return back(release.content.data)

    @functools.wraps(function)
    async def awaited(*args: Any, **kwargs: Any) -> Any:
        return await run(function, signature.bind(*args, **kwargs))

    @functools.wraps(function)
    def called(*args: Any, **kwargs: Any) -> Any:
        return _blocking(run, function, signature.bind(*args, **kwargs))

    return awaited if inspect.iscoroutinefunction(function) else called  # type: ignore[return-value]


def _blocking(run: Callable[..., Any], function: Callable[..., Any], given: inspect.BoundArguments) -> Any:
    """Run it on the background loop; the function itself on a thread of its own, since it may block."""
    import asyncio

    async def on_thread(*args: Any, **kwargs: Any) -> Any:
        return await asyncio.to_thread(function, *args, **kwargs)

    return run_sync(run(on_thread, given))


def _content(made: Any, name: str) -> tuple[str | bytes, Callable[[Any], Any]]:
    """What is judged, and what turns what is released back into what the function returns."""
    if isinstance(made, (str, bytes)):
        return made, lambda data: data
    if type(made).__module__.partition(".")[0] == "PIL" and hasattr(made, "save"):
        buffer = io.BytesIO()
        made.save(buffer, "PNG")
        return buffer.getvalue(), _picture
    kind = type(made).__name__
    raise GenerationError(
        f"{name} returned {kind}, expected a str, an image of PIL or an image file's bytes; nothing was released"
    )


def _picture(data: bytes) -> Any:
    from PIL import Image

    image = Image.open(io.BytesIO(data))
    image.load()
    return image


def _withheld(release: Release, wanted: Any) -> Any:
    if wanted is RAISE:
        raise WithheldError(release)
    return wanted(release) if callable(wanted) else wanted
