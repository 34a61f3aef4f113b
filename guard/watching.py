"""Where a guard tells what it is doing, to whoever watches: nobody unless a caller says so, and then it costs next to nothing.

    with watching(mine):                       # for this task, and all that it begins
        await guard.release(generator, prompt)

A watch gets names, numbers and decisions. It decides nothing: what it raises is logged by its type and goes no further.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from types import TracebackType
from typing import Protocol, Self

from guard.types import CheckResult, Decision

Fact = str | int | float | bool
"""What may be told of a step: never anything that a caller wrote."""

CHECKS, GENERATE, MARKS, APPEND = "checks", "generate", "marks", "append"
"""Steps: contents are measured, outputs are made, edited and marked, and decisions are committed."""

_log = logging.getLogger(__name__)


class Step(Protocol):
    """Something that takes time, from entering to leaving."""

    def __enter__(self) -> Self:
        """It begins."""

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /) -> None:
        """It ends, or fails."""

    def tell(self, **facts: Fact) -> None:
        """Something more about it."""


class Watch(Protocol):
    """Who is told. Called on the event loop, in between: it must not block."""

    def step(self, name: str, facts: Mapping[str, Fact], /) -> Step:
        """A step is about to begin."""

    def checked(self, policy: str, results: Sequence[CheckResult], since: int, /) -> None:
        """Checks ended that were asked together. `since`: when, in nanoseconds of the epoch."""

    def decided(self, decision: Decision, since: int, /) -> None:
        """A decision is committed. `since`: of a stream, when it began, in nanoseconds of the epoch; 0 for others."""

    def left(self, seconds: float, /) -> None:
        """Text of a stream left; so long ago the generator had made the first of it."""

    def headers(self) -> Mapping[str, str]:
        """What a service that is asked on the way has to be told, such as `traceparent`."""


class _Nothing:
    """A step of which nobody wants to know."""

    __slots__ = ()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return

    def tell(self, **_: Fact) -> None:
        return


_WATCH: ContextVar[Watch | None] = ContextVar("genguard-watch", default=None)
_NOTHING = _Nothing()


@contextmanager
def watching(watch: Watch) -> Generator[None]:
    """Let `watch` be told of what happens in here, and in tasks that begin in here."""
    token = _WATCH.set(watch)
    try:
        yield
    finally:
        _WATCH.reset(token)


def watched() -> bool:
    """Whether somebody is told."""
    return _WATCH.get() is not None


def now() -> int:
    """Nanoseconds of the epoch while somebody is told; else 0, which costs nothing."""
    return time.time_ns() if _WATCH.get() is not None else 0


def step(name: str, **facts: Fact) -> Step:
    """A step to enter, and to leave in the same task."""
    watch = _WATCH.get()
    if watch is None:
        return _NOTHING
    try:
        return watch.step(name, facts)
    except Exception as error:  # noqa: BLE001 - whoever watches stops nothing
        _ignored(error)
        return _NOTHING


def checked(policy: str, results: Sequence[CheckResult], since: int) -> None:
    """See `Watch`."""
    if (watch := _WATCH.get()) is not None:
        try:
            watch.checked(policy, results, since)
        except Exception as error:  # noqa: BLE001
            _ignored(error)


def decided(decision: Decision, since: int = 0) -> None:
    """See `Watch`."""
    if (watch := _WATCH.get()) is not None:
        try:
            watch.decided(decision, since)
        except Exception as error:  # noqa: BLE001
            _ignored(error)


def left(seconds: float) -> None:
    """See `Watch`."""
    if (watch := _WATCH.get()) is not None:
        try:
            watch.left(seconds)
        except Exception as error:  # noqa: BLE001
            _ignored(error)


def headers() -> Mapping[str, str]:
    """See `Watch`; empty when nobody watches."""
    watch = _WATCH.get()
    if watch is None:
        return {}
    try:
        return watch.headers()
    except Exception as error:  # noqa: BLE001
        _ignored(error)
        return {}


def _ignored(error: Exception) -> None:
    _log.warning("what happened was not told: %s", type(error).__name__)
