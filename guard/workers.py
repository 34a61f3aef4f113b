"""Daemon threads for work that blocks, so that neither the event loop nor the end of the process waits for it."""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")
_Job = tuple["Future[Any]", Callable[[], Any]]

MAX_SPARES = 4
"""How many hung calls one worker replaces by a fresh thread before it lets callers wait (and time out)."""


_running: set[int] = set()
"""Threads that are inside a call."""


def busy(grace: float = 0.0) -> bool:
    """Whether any worker's thread is inside a call, waited for or not, and still is when `grace` seconds are over.

    A call that has told its result may be about to return.
    """
    until = time.monotonic() + grace
    while _running and time.monotonic() < until:
        time.sleep(0.005)
    return bool(_running)


class Overdue(TimeoutError):  # noqa: N818 - a kind of TimeoutError, which keeps its name
    """The deadline passed; as against a TimeoutError of the call itself."""

    def __init__(self, message: str, *, begun: bool = True) -> None:
        """`begun`: whether the call had its turn at all."""
        super().__init__(message)
        self.begun = begun


class Worker:
    """Runs one call at a time on its own thread: a model is never entered twice at once.

    A call that hangs past its deadline cannot be killed. It is abandoned: the caller gets its timeout, and a spare thread
    takes over, up to MAX_SPARES of them.
    """

    def __init__(self, name: str) -> None:
        """`name` shows in thread lists."""
        self.name = name
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._threads = 0
        self._abandoned = 0

    def close(self) -> None:
        """Let its threads end after what is queued. Nothing may be submitted any more."""
        self._jobs.put(None)

    def submit(self, call: Callable[[], T]) -> Future[T]:
        """Queue a call and return its future."""
        future: Future[T] = Future()
        self._jobs.put((future, call))
        self._ensure_thread()
        return future

    async def run(self, call: Callable[[], T], timeout: float | None = None, *, wait: float = 0.0) -> T:  # noqa: ASYNC109 - the thread is abandoned with it
        """Await a call. Raises Overdue when it takes more than `timeout` seconds, or did not begin within `timeout` + `wait`.

        The clock starts when the call begins, so that waiting in the queue does not use up its time.
        """
        loop = asyncio.get_running_loop()
        entered, began = loop.time(), list[float]()

        def timed() -> T:
            began.append(loop.time())
            return call()

        future = self.submit(timed)
        awaited = asyncio.wrap_future(future)
        awaited.add_done_callback(
            lambda done: done.cancelled() or done.exception()
        )  # an abandoned call may still fail, unheard
        try:
            if timeout is None:
                return await asyncio.shield(awaited)
            # When the call begins nobody is told: waking the loop for that costs as much as a short call. It looks by itself.
            while not awaited.done() and (left := _left(entered, began, timeout, wait, loop.time())) > 0:
                await asyncio.wait([awaited], timeout=left)
        except asyncio.CancelledError:
            # Nobody waits any more, but until its deadline the call is not a hung one.
            if not future.cancel() and timeout is not None:
                loop.call_at((began[0] if began else loop.time()) + timeout, self.give_up, future)
            raise
        if awaited.done():
            return awaited.result()
        self.give_up(future)
        awaited.cancel()
        raise Overdue(f"no answer within {timeout} s", begun=bool(began))

    def give_up(self, future: Future[Any]) -> None:
        """Nobody waits for a submitted call any more: it does not begin, or a spare thread works on while it hangs."""
        if future.cancel() or future.done():
            return
        with self._lock:
            self._abandoned += 1
        future.add_done_callback(lambda _: self._returned())
        self._ensure_thread()

    def _returned(self) -> None:
        with self._lock:
            self._abandoned -= 1

    def _wanted(self) -> int:
        return min(self._abandoned, MAX_SPARES) + 1

    def _ensure_thread(self) -> None:
        with self._lock:
            if self._threads < self._wanted():
                self._threads += 1
                threading.Thread(target=self._serve, name=self.name, daemon=True).start()

    def _serve(self) -> None:
        while True:
            job = self._jobs.get()
            if job is None:
                self._jobs.put(None)  # for the next thread
                return
            future, call = job
            if future.set_running_or_notify_cancel():
                result, error = _attempt(call)
                if error is None:
                    future.set_result(result)
                else:
                    future.set_exception(error)
                del result, error
            del job, future, call
            with self._lock:
                if self._threads > self._wanted():  # a hung call came back: one thread is enough again
                    self._threads -= 1
                    return


def _left(entered: float, began: Sequence[float], timeout: float, wait: float, now: float) -> float:
    """Seconds in which a call cannot be overdue; none where it is. `began`: when, once it has."""
    if began:
        return began[0] + timeout - now
    return min(entered + timeout + wait - now, timeout)  # it may begin right now


def _attempt(call: Callable[[], Any]) -> tuple[Any, Exception | None]:
    """What a call gave, or how it failed. It counts as over before anyone is told."""
    _running.add(threading.get_ident())
    try:
        return call(), None
    except Exception as error:  # noqa: BLE001 - handed to whoever awaits the future
        return None, error
    except BaseException as error:  # noqa: BLE001 - a library's sys.exit() must not end the event loop
        return None, RuntimeError(f"the call raised {type(error).__name__}")
    finally:
        _running.discard(threading.get_ident())
