"""A generator bound to a guard."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from guard.protocols import Generator
from guard.types import Content, Release, Request

if TYPE_CHECKING:
    from guard.pipeline import Guard


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
