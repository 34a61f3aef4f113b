"""One background event loop for all callers that have none."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
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
