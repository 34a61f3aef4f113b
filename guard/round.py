"""One round of checks: all are asked at once, each under its own deadline, whether it blocks a thread or is awaited.

Checks that are coroutine functions run as tasks of the event loop, all others through their `guard.batching.Batcher`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Generator, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Any, cast

from guard.batching import Answer, Asking
from guard.instrument import Instrument
from guard.types import Content, Scan
from guard.workers import Overdue

QUEUE_WAIT_S = 60.0
"""How long a batch may wait for a check that is busy with others, on top of its deadline: load alone must not block."""

Timed = tuple[Answer, float]
"""What a check answers for one content, and how many seconds that took, the wait for its turn included."""
_Ended = tuple[Sequence[Scan] | BaseException, float]


@dataclass(slots=True, eq=False)
class Question:
    """Some contents for one check."""

    instrument: Instrument
    seconds: float
    """Its deadline."""
    contents: Sequence[Content]
    asking: Asking | None = None
    """Of a check that blocks."""
    task: asyncio.Task[None] | None = None
    """Where a check that is awaited runs."""
    ended: _Ended | None = None


async def ask(questions: Sequence[Question]) -> list[list[Timed]]:
    """For each question one answer a content, in order: a Scan, Overdue, or what the check raised over this content alone.

    When one content of several makes an awaited check fail, each is asked about by itself. Raises BusyError when there is no
    room to wait for one of the checks; nothing goes on then, nor when the caller is cancelled.
    """
    began = monotonic()
    awaited = [one for one in questions if not one.instrument.check.blocking]
    try:
        for one in questions:
            if one.instrument.check.blocking:
                one.asking = one.instrument.batcher.begin(one.contents, one.seconds, wait=QUEUE_WAIT_S)
        if awaited:
            await _in_time(awaited, began)
        return [await _answers(one, began) for one in questions]
    finally:
        for one in questions:
            if one.asking is not None:
                one.instrument.batcher.leave(one.asking)
            elif one.task is not None and one.ended is None:
                one.task.cancel()


async def _in_time(questions: Sequence[Question], began: float) -> None:
    """Run awaited checks: wait for the shortest deadlines first, and cancel what is late."""
    loop = asyncio.get_running_loop()
    first = questions[0].task = loop.create_task(_run(questions))
    await asyncio.sleep(0)  # all have begun then, and many are over
    for seconds in sorted({one.seconds for one in questions if one.ended is None}):
        mine = [one for one in questions if one.ended is None and one.seconds == seconds]
        if not mine:  # they ended while others were waited for
            continue
        tasks = {one.task or first for one in mine}
        _, late = await asyncio.wait(tasks, timeout=max(0.0, began + seconds - monotonic()))
        for one in mine:
            if one.ended is None and (one.task or first) in late:
                one.ended = Overdue(f"no answer within {seconds} s"), monotonic()
        for task in late:
            task.cancel()


async def _run(questions: Sequence[Question]) -> None:
    """Ask one check after the other, as long as they answer without waiting for anything: a task for each costs more than that.

    The first that waits keeps this task for itself, and all after it get tasks of their own.
    """
    loop = asyncio.get_running_loop()
    task = asyncio.current_task()

    for at, one in enumerate(questions):
        waits = _Waits(loop, questions[at + 1 :])
        one.task = task
        await _end(one, waits)
        if waits.happened:
            return


class _Waits:
    """What happens when a check waits for something."""

    __slots__ = ("_loop", "_others", "happened")

    def __init__(self, loop: asyncio.AbstractEventLoop, others: Sequence[Question]) -> None:
        self._loop, self._others, self.happened = loop, others, False

    def __call__(self) -> None:
        if not self.happened:
            self.happened = True
            for one in self._others:
                one.task = self._loop.create_task(_run([one]))


class _Steps:
    """A coroutine that is awaited, and says when it waits for something for the first time."""

    __slots__ = ("_coroutine", "_waits")

    def __init__(self, coroutine: Coroutine[Any, Any, Sequence[Scan]], waits: Callable[[], None]) -> None:
        self._coroutine, self._waits = coroutine, waits

    def __await__(self) -> Generator[Any, Any, Sequence[Scan]]:
        step: Callable[[Any], Any] = self._coroutine.send
        given: Any = None
        while True:
            try:
                awaited = step(given)
            except StopIteration as end:
                return cast("Sequence[Scan]", end.value)
            self._waits()
            try:
                step, given = self._coroutine.send, (yield awaited)
            except BaseException as error:  # noqa: BLE001 - a cancellation, say: the coroutine's own business
                step, given = self._coroutine.throw, error


async def _end(one: Question, waits: Callable[[], None]) -> None:
    """Ask one check, and note what comes of it."""
    found: Sequence[Scan] | BaseException
    try:
        found = await _asked(one, waits)
        if len(found) != len(one.contents):
            found = ValueError(f"found {len(found)} scans, expected {len(one.contents)}")
    except Exception as error:  # noqa: BLE001 - told to the one whose content it was
        found = error
    except asyncio.CancelledError as error:
        if one.task is not None and one.task.cancelling():
            raise
        found = error  # it leaked out of the check
    if one.ended is None:
        one.ended = found, monotonic()


async def _asked(one: Question, waits: Callable[[], None]) -> Sequence[Scan]:
    answer = one.instrument.check(one.contents)
    if asyncio.iscoroutine(answer):
        return await _Steps(answer, waits)
    if isinstance(answer, Sequence):
        raise TypeError("a check that is not blocking has to be a coroutine function")
    waits()
    return await answer


async def _answers(one: Question, began: float) -> list[Timed]:
    if one.asking is not None:
        return [(answer, one.asking.took_s) for answer in await one.asking.future]
    found, ended = one.ended or (asyncio.CancelledError(), monotonic())
    if not isinstance(found, BaseException):
        return [(scan, ended - began) for scan in found]
    if len(one.contents) == 1 or isinstance(found, Overdue):
        return [(found, ended - began)] * len(one.contents)
    alone = [Question(one.instrument, one.seconds, [content]) for content in one.contents]
    return [(await ask([single]))[0][0] for single in alone]
