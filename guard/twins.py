"""A guard's methods for code without an event loop: they run on one in the background (`guard.sync`)."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator, Sequence
from typing import TYPE_CHECKING, Any, cast

from guard.bench import Deployment
from guard.protocols import Generator
from guard.rules import Policy
from guard.streaming.events import Event
from guard.sync import iterate, run_sync
from guard.types import CALLER, Content, Origin, Release, Request, Stage

if TYPE_CHECKING:
    from guard.pipeline import Guard


class SyncTwins:
    """What `guard.pipeline.Guard` has of them."""

    @property
    def _awaited(self) -> Guard:
        return cast("Guard", self)

    def adopt_sync(self, *policies: Policy | Deployment, **given: Any) -> None:
        """`adopt` for code without an event loop."""
        run_sync(self._awaited.adopt(*policies, **given))

    def release_sync(
        self, generator: Generator, prompt: str | Content, *, request: Request | None = None, **parameters: Any
    ) -> Release:
        """`release` for code without an event loop."""
        return run_sync(self._awaited.release(generator, prompt, request=request, **parameters))

    def release_many_sync(
        self, generator: Generator, prompts: Sequence[str | Content], *, request: Request | None = None, **parameters: Any
    ) -> list[tuple[int, Release]]:
        """`release_many` for code without an event loop: all releases at once."""

        async def collect() -> list[tuple[int, Release]]:
            return [pair async for pair in self._awaited.release_many(generator, prompts, request=request, **parameters)]

        return run_sync(collect())

    def check_sync(
        self,
        content: str | bytes | Content,
        *,
        request: Request | None = None,
        stage: Stage = Stage.OUTPUT,
        origin: Origin = CALLER,
        media_type: str = "",
    ) -> Release:
        """`check` for code without an event loop."""
        return run_sync(self._awaited.check(content, request=request, stage=stage, origin=origin, media_type=media_type))

    def stream_sync(
        self, generator: Generator, prompt: str | Content, *, request: Request | None = None, **parameters: Any
    ) -> Iterator[Event]:
        """`stream` for code without an event loop. Close it, or read it to its end."""

        def events() -> AsyncGenerator[Event]:
            return self._awaited.stream(generator, prompt, request=request, **parameters)

        return iterate(events)
