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

from guard.batching import Answer, Asking
from guard.instrument import Instrument
from guard.types import Content
from guard.workers import Overdue

QUEUE_WAIT_S = 60.0
"""How long a batch may wait for a check that is busy with others, on top of its deadline: load alone must not block."""

Timed = tuple[Answer, float]
"""What a check answers for one content, and how many seconds that took, the wait for its turn included."""
_Ended = tuple[BaseException, float]
"""What went wrong, and when."""


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
    answers: list[Timed] | None = None
    """Of a check that is awaited and gave some."""
    ended: _Ended | None = None
    """Of one that gave none."""


async def ask(questions: Sequence[Question]) -> list[list[Timed]]:
    """For each question one answer a content, in order: a Scan, Overdue, or what the check raised over this content alone.

    When one content of several makes an awaited check fail, each is asked about by itself. Raises BusyError when there is no
    room to wait for one of the checks; nothing goes on then, nor when the caller is cancelled.
    """
    began = monotonic()
    awaited: list[Question] = []
    blocking: list[Question] = []
    try:
        for one in questions:
            if one.instrument.check.blocking:
                one.asking = one.instrument.batcher.begin(one.contents, one.seconds, wait=QUEUE_WAIT_S)
                blocking.append(one)
            else:
                awaited.append(one)
        if awaited:
            await _in_time(awaited, began)
        return [one.answers or await _answers(one, began) for one in questions]
    except BaseException:
        for one in awaited:
            if one.task is not None and _open(one):
                one.task.cancel()
        raise
    finally:
        for one in blocking:
            if one.asking is not None:
                one.instrument.batcher.leave(one.asking)


def _open(one: Question) -> bool:
    """Whether a check that is awaited has not ended."""
    return one.answers is None and one.ended is None


async def _in_time(questions: Sequence[Question], began: float) -> None:
    """Run awaited checks: wait for the shortest deadlines first, and cancel what is late."""
    loop = asyncio.get_running_loop()
    pending = deque(questions)
    while pending:
        loop.create_task(_run(pending, began))  # noqa: RUF006 - held by what it runs
        await asyncio.sleep(0)  # all have answered by now, or one waits for something
        if pending:  # those after it are taken from it, and go on without it
            rest = deque(pending)
            pending.clear()
            pending = rest
    for seconds in sorted({one.seconds for one in questions if _open(one)}):
        mine = [one for one in questions if _open(one) and one.seconds == seconds]
        tasks = {one.task for one in mine if one.task is not None}
        if not tasks:  # they ended while others were waited for
            continue
        _, late = await asyncio.wait(tasks, timeout=max(0.0, began + seconds - monotonic()))
        for one in mine:
            if _open(one) and one.task in late:
                one.ended = Overdue(f"no answer within {seconds} s"), monotonic()
        for task in late:
            task.cancel()


async def _run(pending: deque[Question], began: float) -> None:
    """Ask one check after the other, as long as they answer without waiting for anything: a task for each costs more than that.

    When one waits, the others are taken out of `pending`. An answer that comes too late is not noted.
    """
    task = asyncio.current_task()
    while pending:
        one = pending.popleft()
        one.task = task
        try:
            answer = one.instrument.check(one.contents)
            if not isinstance(answer, CoroutineType) and isinstance(answer, Sequence):
                raise TypeError("a check that is not blocking has to be a coroutine function")  # noqa: TRY301
            found = await answer
            took = monotonic() - began
            if len(found) != len(one.contents):
                raise ValueError(f"found {len(found)} scans, expected {len(one.contents)}")  # noqa: TRY301
            answers: list[Timed] = [(scan, took) for scan in found]
        except Exception as error:  # noqa: BLE001 - told to the one whose content it was
            _fail(one, error)
        except asyncio.CancelledError as error:
            if task is not None and task.cancelling():
                raise
            _fail(one, error)  # it leaked out of the check
        else:
            if one.ended is None:
                one.answers = answers


def _fail(one: Question, error: BaseException) -> None:
    """Note that a check gave no answers, unless that was known."""
    if one.ended is None:
        one.ended = error, monotonic()


async def _answers(one: Question, began: float) -> list[Timed]:
    if one.asking is not None:
        return [(answer, one.asking.took_s) for answer in await one.asking.future]
    found, ended = one.ended or (asyncio.CancelledError(), monotonic())
    if len(one.contents) == 1 or isinstance(found, Overdue):
        return [(found, ended - began)] * len(one.contents)
    alone = [Question(one.instrument, one.seconds, [content]) for content in one.contents]
    return [(await ask([single]))[0][0] for single in alone]
