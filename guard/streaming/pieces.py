"""Runs a generator of pieces ahead of its judge by a bounded number of pieces, and closes it whatever happens."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Mapping
from typing import Any

from guard import watching
from guard.deadline import before
from guard.errors import GenerationError, GenguardError
from guard.generation import tell
from guard.protocols import Piece, StreamingGenerator, TokenMark
from guard.types import Content, Modality

AHEAD = 64
"""Pieces that a generator may be ahead of what was read."""


async def pieces(
    generator: StreamingGenerator, prompt: Content, parameters: Mapping[str, Any], mark: TokenMark | None
) -> AsyncGenerator[list[Piece]]:
    """Yield what is ready, in order, at least one piece at a time.

    The generator has stopped when this one is closed. Raises GenerationError when it fails with something that is not an error
    of ours, or yields anything else than such pieces; DeadlineError at the deadline.
    """
    ready: asyncio.Queue[Piece | None] = asyncio.Queue()
    room = asyncio.Semaphore(AHEAD)
    task = asyncio.create_task(_pump(generator, prompt, parameters, mark, ready, room))
    try:
        done = False
        while not done:
            batch = [await before(ready.get)]
            while batch[-1] is not None and not ready.empty():
                batch.append(ready.get_nowait())
            done = batch[-1] is None
            if found := [piece for piece in batch if piece is not None]:
                yield found
                for _ in found:
                    room.release()
        await asyncio.wait([task])
        error = asyncio.CancelledError() if task.cancelled() else task.exception()
        if isinstance(error, GenguardError):
            raise error
        if error is not None:
            raise GenerationError(f"the generator failed with {type(error).__name__}, nothing more was made") from error
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait([task])


async def _pump(
    generator: StreamingGenerator,
    prompt: Content,
    parameters: Mapping[str, Any],
    mark: TokenMark | None,
    ready: asyncio.Queue[Piece | None],
    room: asyncio.Semaphore,
) -> None:
    """Fill the queue; None is the end, whatever brought it about."""
    try:
        source = generator.stream([prompt], parameters, [mark] if mark is not None else [])
        try:
            with watching.step(watching.GENERATE, generator=generator.name, prompts=1) as step:
                async for _, piece in source:
                    await room.acquire()
                    ready.put_nowait(_checked(piece, generator, prompt))
                    if piece.content is not None:
                        tell(step, piece.content)
        finally:
            if isinstance(source, AsyncGenerator):
                await source.aclose()
    finally:
        ready.put_nowait(None)


def _checked(piece: Piece, generator: StreamingGenerator, prompt: Content) -> Piece:
    content = piece.content if isinstance(piece, Piece) else None
    if not isinstance(piece, Piece) or not isinstance(piece.text, str) or type(piece.choice) is not int:
        raise GenerationError(f"generator {generator.name!r} yielded {type(piece).__name__}, expected a Piece of text")
    if content is not None and content.modality is not Modality.TEXT:
        raise GenerationError(f"generator {generator.name!r} streamed {content.modality.value}, expected text")
    if content is not None and (content.origin.generator != generator.name or content.request != prompt.request):
        raise GenerationError(
            f"generator {generator.name!r} yielded an output of generator {content.origin.generator!r} for request "
            f"{content.request.id!r}, expected its own name and the prompt's request"
        )
    return piece
