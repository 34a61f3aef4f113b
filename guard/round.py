"""One round of checks: all are asked at once, each under its own deadline, whether it blocks a thread or is awaited.

Checks that are coroutine functions run as tasks of the event loop, all others through their `guard.batching.Batcher`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from time import monotonic
from types import CoroutineType
from typing import cast

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
    began, awaited = monotonic(), list[Question]()
    try:
        for one in questions:
            if one.instrument.check.blocking:
                one.asking = one.instrument.batcher.begin(one.contents, one.seconds, wait=QUEUE_WAIT_S)
            else:
                awaited.append(one)
        if awaited:
            await _in_time(awaited, began)
        return [_scans(one, began) or await _answers(one, began) for one in questions]
    finally:
        for one in questions:
            if one.asking is not None:
                one.instrument.batcher.leave(one.asking)
            elif one.ended is None and one.task is not None:
                one.task.cancel()


async def _in_time(questions: Sequence[Question], began: float) -> None:
    """Run awaited checks: wait for the shortest deadlines first, and cancel what is late."""
    loop = asyncio.get_running_loop()
    pending = deque(questions)
    while pending:
        loop.create_task(_run(pending))  # noqa: RUF006 - held by what it runs
        await asyncio.sleep(0)  # all have answered by now, or one waits for something
        if pending:  # those after it are taken from it, and go on without it
            rest = deque(pending)
            pending.clear()
            pending = rest
    for seconds in sorted({one.seconds for one in questions if one.ended is None}):
        mine = [one for one in questions if one.ended is None and one.seconds == seconds]
        tasks = {one.task for one in mine if one.task is not None}
        if not tasks:  # they ended while others were waited for
            continue
        _, late = await asyncio.wait(tasks, timeout=max(0.0, began + seconds - monotonic()))
        for one in mine:
            if one.ended is None and one.task in late:
                one.ended = Overdue(f"no answer within {seconds} s"), monotonic()
        for task in late:
            task.cancel()


async def _run(pending: deque[Question]) -> None:
    """Ask one check after the other, as long as they answer without waiting for anything: a task for each costs more than that.

    When one waits, the others are taken out of `pending`.
    """
    task = asyncio.current_task()
    while pending:
        one = pending.popleft()
        one.task = task
        found: Sequence[Scan] | BaseException
        try:
            answer = one.instrument.check(one.contents)
            if not isinstance(answer, CoroutineType) and isinstance(answer, Sequence):
                raise TypeError("a check that is not blocking has to be a coroutine function")  # noqa: TRY301
            found = await answer
        except Exception as error:  # noqa: BLE001 - told to the one whose content it was
            found = error
        except asyncio.CancelledError as error:
            if task is not None and task.cancelling():
                raise
            found = error  # it leaked out of the check
        _note(one, found)


def _note(one: Question, found: Sequence[Scan] | BaseException) -> None:
    """What a check answered, unless it was too late."""
    if one.ended is not None:
        return
    ended = monotonic()
    try:
        if not isinstance(found, BaseException) and len(found) != len(one.contents):
            found = ValueError(f"found {len(found)} scans, expected {len(one.contents)}")
    except Exception as error:  # noqa: BLE001 - an answer that has no length
        found = error
    one.ended = found, ended


def _scans(one: Question, began: float) -> list[Timed]:
    """The answers of a check that was awaited and gave some; else nothing."""
    if one.ended is None or isinstance(one.ended[0], BaseException):
        return []
    took = one.ended[1] - began
    return [(scan, took) for scan in one.ended[0]]


async def _answers(one: Question, began: float) -> list[Timed]:
    if one.asking is not None:
        return [(answer, one.asking.took_s) for answer in await one.asking.future]
    found, ended = one.ended or (asyncio.CancelledError(), monotonic())
    if len(one.contents) == 1 or isinstance(found, Overdue):
        return [(cast("BaseException", found), ended - began)] * len(one.contents)
    alone = [Question(one.instrument, one.seconds, [content]) for content in one.contents]
    return [(await ask([single]))[0][0] for single in alone]
