"""guard.round: awaited checks that are asked one after the other until one has to wait, and then side by side."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest

from guard.instrument import Instrument
from guard.round import Question, ask
from guard.types import Content, Finding, Scan, Span
from guard.workers import Overdue
from tests.fakes import AsyncCheck, FakeCheck, spec, text

PATIENCE = 30.0


class Doing(AsyncCheck):
    """Does something, and then says its name."""

    def __init__(self, name: str, todo: Callable[[], Awaitable[Any]] | None = None) -> None:
        super().__init__()
        self.name, self.todo = name, todo
        self.tasks: list[asyncio.Task[Any] | None] = []

    async def __call__(self, batch: Sequence[Content], /) -> Any:
        self.tasks.append(asyncio.current_task())
        if self.todo is not None:
            await self.todo()
        self.tasks.append(asyncio.current_task())
        return [Scan((Finding("privacy", self.name, 1),), Span(0, one.length)) for one in batch]


def question(check: Any, *names: str, seconds: float = PATIENCE) -> Question:
    return Question(Instrument(spec("a", check), check), seconds, [text(name) for name in names or ("x",)])


def told(answers: list[list[tuple[Any, float]]]) -> list[list[str]]:
    """The name a Scan says, or the kind of the error."""
    return [[one.findings[0].label if isinstance(one, Scan) else type(one).__name__ for one, _ in answer] for answer in answers]


def test_checks_share_a_task_up_to_the_first_that_waits() -> None:
    """Each is in one task from its beginning to its end: timeouts inside it depend on that."""
    checks = [Doing("a"), Doing("b"), Doing("c", lambda: asyncio.sleep(0)), Doing("d"), Doing("e", lambda: asyncio.sleep(0))]

    async def script() -> list[list[tuple[Any, float]]]:
        return await ask([question(check) for check in checks])

    assert told(asyncio.run(script())) == [["a"], ["b"], ["c"], ["d"], ["e"]]
    assert all(check.tasks[0] is check.tasks[1] is not None for check in checks)
    tasks = [check.tasks[0] for check in checks]
    assert tasks[0] is tasks[1] is tasks[2] is not tasks[3]
    assert tasks[3] is tasks[4]


def test_all_have_begun_before_any_is_waited_for() -> None:
    """The first to wait does not hold up the others."""
    begun: list[str] = []
    meeting = asyncio.Event()

    async def meet(name: str) -> None:
        begun.append(name)
        if len(begun) == 3:
            meeting.set()
        await meeting.wait()

    checks = [Doing(name, lambda name=name: meet(name)) for name in "abc"]  # type: ignore[misc]

    async def script() -> Any:
        return await ask([question(check) for check in checks])

    assert told(asyncio.run(script())) == [["a"], ["b"], ["c"]]


def test_timeouts_and_task_groups_inside_a_check_work() -> None:
    """Also after others went before it in the same task."""

    async def impatient() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.001):
                await asyncio.sleep(PATIENCE)

    async def grouped() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(asyncio.sleep(0))
            group.create_task(asyncio.sleep(0.001))

    checks = [Doing("a"), Doing("b", impatient), Doing("c", grouped), Doing("d", impatient)]

    async def script() -> Any:
        return await ask([question(check) for check in checks])

    assert told(asyncio.run(script())) == [["a"], ["b"], ["c"], ["d"]]


def test_each_deadline_is_its_own() -> None:
    """The shorter ones pass while the longer ones go on, whatever the order, and what is late is cancelled."""
    cancelled: list[str] = []

    async def wait(name: str, seconds: float) -> None:
        try:
            await asyncio.sleep(seconds)
        except asyncio.CancelledError:
            cancelled.append(name)
            raise

    def waiting(name: str, takes: float, seconds: float) -> Question:
        return question(Doing(name, lambda: wait(name, takes)), "x", "y", seconds=seconds)

    async def script() -> Any:
        found = await ask([waiting("a", 0.2, 20), waiting("b", 20, 0.05), waiting("c", 0.01, 10), waiting("d", 20, 0.1)])
        await asyncio.sleep(0)
        return found

    assert told(asyncio.run(script())) == [["a", "a"], ["Overdue", "Overdue"], ["c", "c"], ["Overdue", "Overdue"]]
    assert cancelled == ["b", "d"]


def test_a_check_that_will_not_be_cancelled_is_late_all_the_same() -> None:
    """Nobody waits for it, and its answer is nobody's."""
    freed = asyncio.Event()

    async def stubborn() -> None:
        while not freed.is_set():
            try:
                await freed.wait()
            except asyncio.CancelledError:
                continue

    async def script() -> Any:
        found = await ask([question(Doing("a", stubborn), seconds=0.02), question(Doing("b"))])
        freed.set()
        await asyncio.sleep(0)
        return found

    assert told(asyncio.run(script())) == [["Overdue"], ["b"]]


@pytest.mark.parametrize("error", [ValueError, TimeoutError, asyncio.CancelledError])
@pytest.mark.parametrize("later", [False, True])
def test_what_one_raises_does_not_reach_the_others(error: type[BaseException], later: bool) -> None:
    """Whether at once, in the task that it shares, or after it had waited."""

    async def fail() -> None:
        if later:
            await asyncio.sleep(0)
        raise error

    async def script() -> Any:
        return await ask([question(Doing("a")), question(Doing("b", fail)), question(Doing("c"))])

    assert told(asyncio.run(script())) == [["a"], [error.__name__], ["c"]]


def test_what_is_awaited_may_be_a_future_or_fail_before_it_is() -> None:
    """Third parties return what they like."""

    class Odd(FakeCheck):
        blocking = False

        def __init__(self, answer: Callable[[Sequence[Content]], Any]) -> None:
            super().__init__()
            self.answer = answer

        def __call__(self, batch: Sequence[Content], /) -> Any:
            return self.answer(batch)

    async def script() -> Any:
        done = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_soon(done.set_result, [Scan((Finding("privacy", "future", 1),), None)])

        def fail(batch: Sequence[Content]) -> Any:
            raise KeyError

        odd = [Odd(lambda _: done), Odd(fail), Odd(lambda _: []), Odd(lambda _: 7)]
        return await ask([*(question(one) for one in odd), question(Doing("last"))])

    assert told(asyncio.run(script())) == [["future"], ["KeyError"], ["TypeError"], ["TypeError"], ["last"]]


def test_a_caller_that_is_cancelled_takes_all_its_checks_along() -> None:
    """Awaited and blocking ones; no task is left."""

    async def script() -> None:
        checks = [Doing(name, lambda: asyncio.sleep(PATIENCE)) for name in "abc"]
        asked = asyncio.create_task(ask([*map(question, checks), question(FakeCheck())]))
        await asyncio.sleep(0.01)
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
        await asyncio.sleep(0)
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(script())


def test_overdue_says_that_it_had_begun() -> None:
    """As against a content that had no turn."""

    async def script() -> Any:
        return await ask([question(Doing("a", lambda: asyncio.sleep(PATIENCE)), seconds=0.01)])

    found = asyncio.run(script())[0][0][0]
    assert isinstance(found, Overdue)
    assert found.begun
