"""By when a request has to be answered: whoever sets it says so once, and what is made for the request stops then.

    with within(seconds):                      # for this task, and all that it begins
        await guard.release(generator, prompt)

Generators are stopped, and whatever they asked elsewhere is cancelled. Checks are not cut short: their own deadlines stand in
the policy, and a caller could go around one that lets pass what it cannot read. Who sets a deadline also ends the waiting for
all else, a little later (`LATE_S`), so that what was begun is on record by then.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from contextvars import ContextVar
from time import monotonic
from typing import TypeVar

from guard.errors import DeadlineError

T = TypeVar("T")
LATE_S = 0.25
"""Seconds after a deadline in which what it stopped is recorded."""

_UNTIL: ContextVar[float | None] = ContextVar("genguard-deadline", default=None)


@contextmanager
def within(seconds: float) -> Generator[None]:
    """Give what happens in here, and in tasks that begin in here, so many seconds; less when there were fewer left."""
    until, known = monotonic() + seconds, _UNTIL.get()
    token = _UNTIL.set(until if known is None else min(until, known))
    try:
        yield
    finally:
        _UNTIL.reset(token)


def left() -> float | None:
    """Seconds until the deadline, negative after it; None without one."""
    until = _UNTIL.get()
    return None if until is None else until - monotonic()


async def before(wait: Callable[[], Awaitable[T]]) -> T:
    """Await what `wait` begins, up to the deadline. Raises DeadlineError at it."""
    seconds = left()
    if seconds is None:
        return await wait()
    if seconds <= 0:
        raise passed()
    try:
        async with asyncio.timeout(seconds) as scope:
            return await wait()
    except TimeoutError:
        if not scope.expired():
            raise
        raise passed() from None


def passed() -> DeadlineError:
    """The error at a deadline."""
    return DeadlineError("not done within the deadline of this request", advice="Ask for less, or give it more time.")
