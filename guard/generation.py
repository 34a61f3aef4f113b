"""Runs a generator ahead of its judge: making the next outputs and judging the last ones overlap."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any

from guard import watching
from guard.deadline import before
from guard.errors import GenerationError, GenguardError
from guard.previews import Watch
from guard.protocols import Generator, TokenGenerator, TokenMark
from guard.types import Content

_Pair = tuple[int, Content]


async def generate(
    generator: Generator,
    prompts: Sequence[Content],
    parameters: Mapping[str, Any],
    most: int,
    marks: Sequence[TokenMark | None] = (),
    watch: Watch | None = None,
) -> AsyncGenerator[list[_Pair]]:
    """Yield (index of the prompt, output) in batches of up to `most`: whatever is ready when the caller is.

    `marks`: what a TokenGenerator puts into the outputs of each prompt; empty: nothing into any. `watch`: looks at previews.
    The generator runs ahead by two batches and then waits; it has stopped when this one is closed. Raises GenerationError when
    it fails with something that is not an error of ours, or yields anything else than such pairs; DeadlineError as `before`.
    """
    ready: asyncio.Queue[_Pair | None] = asyncio.Queue()
    room = asyncio.Semaphore(2 * most)
    task = asyncio.create_task(_pump(generator, prompts, parameters, marks, ready, room, watch))
    try:
        done = False
        while not done:
            batch = [await before(ready.get)]
            while batch[-1] is not None and not ready.empty() and len(batch) < most:
                batch.append(ready.get_nowait())
            done = batch[-1] is None
            if pairs := [pair for pair in batch if pair is not None]:
                for _ in pairs:
                    room.release()
                yield pairs
        await _ended(task)
    finally:
        task.cancel()
        if watch is not None:
            watch.close()
        await asyncio.wait([task])


async def _pump(
    generator: Generator,
    prompts: Sequence[Content],
    parameters: Mapping[str, Any],
    marks: Sequence[TokenMark | None],
    ready: asyncio.Queue[_Pair | None],
    room: asyncio.Semaphore,
    watch: Watch | None,
) -> None:
    """Fill the queue; None is the end, whatever brought it about."""
    try:
        if watch is not None:
            source = watch.source(prompts, parameters)
        elif any(marks) and isinstance(generator, TokenGenerator):
            source = generator.marked(prompts, parameters, marks)
        else:
            source = generator(prompts, parameters)
        try:
            with watching.step(watching.GENERATE, generator=generator.name, prompts=len(prompts)) as step:
                async for pair in source:
                    index, content = _checked(pair, generator, prompts)
                    tell(step, content)
                    if watch is not None:
                        watch.made(index, content)
                    ready.put_nowait((index, content))
                    await room.acquire()
        finally:
            if isinstance(source, AsyncGenerator):
                await source.aclose()
    finally:
        ready.put_nowait(None)


def tell(step: watching.Step, output: Content) -> None:
    """Say what is known of how an output was made."""
    making = output.making
    if making is not None and watching.watched():
        counts = {"prompt_tokens": making.prompt_tokens, "output_tokens": making.output_tokens}
        known: dict[str, watching.Fact] = {name: count for name, count in counts.items() if count is not None}
        step.tell(finish=making.finish, **known)


async def _ended(task: asyncio.Task[None]) -> None:
    """Raise what the generator raised, as an error of ours."""
    await asyncio.wait([task])
    error = asyncio.CancelledError() if task.cancelled() else task.exception()
    if isinstance(error, GenguardError):
        raise error
    if error is not None:
        raise GenerationError(f"the generator failed with {type(error).__name__}, nothing more was made") from error


def _checked(pair: _Pair, generator: Generator, prompts: Sequence[Content]) -> _Pair:
    index, content = pair
    if type(index) is not int or not 0 <= index < len(prompts) or not isinstance(content, Content):
        raise GenerationError(
            f"generator {generator.name!r} yielded ({type(index).__name__}, {type(content).__name__}), "
            f"expected (index of one of {len(prompts)} prompts, Content)"
        )
    # Both say which policy judges: neither may come from elsewhere.
    if content.origin.generator != generator.name or content.request != prompts[index].request:
        raise GenerationError(
            f"generator {generator.name!r} yielded an output of generator {content.origin.generator!r} for request "
            f"{content.request.id!r}, expected its own name and the prompt's request"
        )
    return index, content
