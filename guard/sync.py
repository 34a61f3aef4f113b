"""One background event loop for all callers that have none."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator
from contextlib import aclosing
from typing import Any, TypeVar

T = TypeVar("T")

_loop: asyncio.AbstractEventLoop | None = None
_thread: threading.Thread | None = None
_lock = threading.Lock()


def run_sync(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end and return its result; an interrupted wait cancels it.

    Raises RuntimeError when it is called on the background loop itself, which would wait for itself for ever.
    """
    global _loop, _thread  # noqa: PLW0603 - one loop a process
    with _lock:
        if _loop is None:
            _loop = asyncio.new_event_loop()
            _thread = threading.Thread(target=_loop.run_forever, name="genguard-sync", daemon=True)
            _thread.start()
    if threading.current_thread() is _thread:
        work.close()
        raise RuntimeError("a synchronous call inside genguard's own event loop, expected the awaited one")
    future = asyncio.run_coroutine_threadsafe(work, _loop)
    try:
        return future.result()
    except BaseException:
        future.cancel()
        raise


def iterate(make: Callable[[], AsyncGenerator[T]]) -> Iterator[T]:
    """Items of an asynchronous generator, each made when the one before was taken; its errors are raised here.

    The generator is closed when this one is, or has ended.
    """
    ready: asyncio.Queue[T] = asyncio.Queue(1)

    async def fill() -> None:
        async with aclosing(make()) as items:
            async for item in items:
                await ready.put(item)
                await ready.join()

    async def start() -> asyncio.Task[None]:
        return asyncio.create_task(fill())

    async def take() -> list[T]:
        getting = asyncio.create_task(ready.get())
        await asyncio.wait([getting, task], return_when=asyncio.FIRST_COMPLETED)
        if getting.done():
            return [getting.result()]
        getting.cancel()
        await asyncio.wait([getting])
        task.result()
        return []

    async def taken() -> None:
        ready.task_done()

    async def stop() -> None:
        task.cancel()
        await asyncio.wait([task])

    task = run_sync(start())
    try:
        while found := run_sync(take()):
            yield found[0]
            run_sync(taken())
    finally:
        run_sync(stop())
