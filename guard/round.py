"""One round of checks: all are asked at once, each under its own deadline, whether it blocks a thread or is awaited.

Checks that are coroutine functions run as tasks of the event loop, all others through their `guard.batching.Batcher`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import cast

from guard.batching import Answer, Asking
from guard.instrument import Instrument
from guard.types import Content, Scan
from guard.workers import Overdue

QUEUE_WAIT_S = 60.0
"""How long a batch may wait for a check that is busy with others, on top of its deadline: load alone must not block."""

Timed = tuple[Answer, float]
"""What a check answers for one content, and how many seconds that took, the wait for its turn included."""
_Ended = tuple[Sequence[Scan] | Exception, float]


@dataclass(slots=True, eq=False)
class Question:
    """Some contents for one check."""

    instrument: Instrument
    seconds: float
    """Its deadline."""
    contents: Sequence[Content]
    asking: Asking | None = None
    task: asyncio.Task[_Ended] | None = None
    overdue: bool = False


async def ask(questions: Sequence[Question]) -> list[list[Timed]]:
    """For each question one answer a content, in order: a Scan, Overdue, or what the check raised over this content alone.

    When one content of several makes an awaited check fail, each is asked about by itself. Raises BusyError when there is no
    room to wait for one of the checks; nothing goes on then, nor when the caller is cancelled.
    """
    began = monotonic()
    try:
        for one in questions:
            _begin(one)
        tasks = [one for one in questions if one.task is not None]
        if tasks:
            await _in_time(tasks, began)
        return [await _answers(one, began) for one in questions]
    finally:
        _leave(questions)


def _begin(one: Question) -> None:
    check = one.instrument.check
    if check.blocking:
        one.asking = one.instrument.batcher.begin(one.contents, one.seconds, wait=QUEUE_WAIT_S)
    else:
        one.task = asyncio.get_running_loop().create_task(_ended(one))


async def _ended(one: Question) -> _Ended:
    try:
        answer = one.instrument.check(one.contents)
        if not asyncio.iscoroutine(answer) and isinstance(answer, Sequence):
            return TypeError("a check that is not blocking has to be a coroutine function"), monotonic()
        scans = await answer
        if len(scans) != len(one.contents):
            return ValueError(f"found {len(scans)} scans, expected {len(one.contents)}"), monotonic()
    except Exception as error:  # noqa: BLE001 - told to the one whose content it was
        return error, monotonic()
    return scans, monotonic()


async def _in_time(questions: Sequence[Question], began: float) -> None:
    """Wait for awaited checks, the shortest deadlines first, and cancel what is late."""
    for seconds in sorted({one.seconds for one in questions}):
        mine = {one.task: one for one in questions if one.task is not None and one.seconds == seconds}
        _, late = await asyncio.wait(mine, timeout=max(0.0, began + seconds - monotonic()))
        for task in late:
            mine[task].overdue = True
            task.cancel()


async def _answers(one: Question, began: float) -> list[Timed]:
    if one.asking is not None:
        answers = await one.asking.future
        return [(answer, one.asking.took_s) for answer in answers]
    task = one.task
    assert task is not None
    if one.overdue:
        return [(Overdue(f"no answer within {one.seconds} s"), monotonic() - began)] * len(one.contents)
    if task.cancelled():  # a cancellation that leaked out of the check
        found, ended = cast("_Ended", (asyncio.CancelledError(), monotonic()))
    else:
        found, ended = task.result()
    if not isinstance(found, BaseException):
        return [(scan, ended - began) for scan in found]
    if len(one.contents) == 1:
        return [(found, ended - began)]
    alone = [Question(one.instrument, one.seconds, [content]) for content in one.contents]
    return [(await ask([single]))[0][0] for single in alone]


def _leave(questions: Iterable[Question]) -> None:
    for one in questions:
        if one.asking is not None:
            one.instrument.batcher.leave(one.asking)
        elif one.task is not None and not one.task.done():
            one.task.cancel()
