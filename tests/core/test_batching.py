"""guard.batching: calls that are shared by strangers, who must not notice."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import pytest

from guard import batching
from guard.batching import Batcher, kind_of
from guard.errors import BusyError
from guard.types import Content, Scan, Stage
from guard.workers import MAX_SPARES, Overdue, Worker
from tests.fakes import image
from tests.queues import PATIENCE, Queue, content, echo, said


def run(script: Callable[[Queue], Coroutine[Any, Any, Any]], *given: Any, **named: Any) -> Queue:
    async def whole() -> Queue:
        queue = Queue(*given, **named)
        await queue.shut()
        await script(queue)
        await queue.go()
        return queue

    return asyncio.run(whole())


# --- what goes together ----------------------------------------------------------------------------------------------


def test_a_lone_caller_is_served_at_once() -> None:
    """Nothing waits for company: each gets a call of its own."""
    batcher = Batcher(echo, Worker("test"))

    async def script() -> list[str]:
        return [said((await batcher.run([content(data)], PATIENCE))[0]) for data in ("a", "b", "c")]

    assert asyncio.run(script()) == ["a", "b", "c"]
    figures = batcher.figures()
    assert (figures.calls, figures.contents, figures.largest, figures.waiting) == (3, 3, 1, 0)


def test_what_gathers_while_the_check_is_busy_goes_together() -> None:
    """One call for all of it, and each gets their own."""
    names = [f"text {number}" for number in range(20)]

    async def script(queue: Queue) -> None:
        for name in names:
            queue.ask(content(name))
        await queue.waiting(20)

    queue = run(script)
    assert queue.door.batches == [["first"], names]
    assert [said(task.result()[0]) for task in queue.tasks] == ["first", *names]


def test_only_contents_of_like_length_share_a_call() -> None:
    """Short ones are alike; beyond that a call spans a factor of four, and texts and images part."""
    lengths = [1, 100, 255, 256, 1000, 1023, 1024, 50_000]

    async def script(queue: Queue) -> None:
        for length in lengths:
            queue.ask(content("x" * length))
        await queue.waiting(len(lengths))

    queue = run(script)
    assert [list(map(len, batch)) for batch in queue.door.batches[1:]] == [[1, 100, 255], [256, 1000, 1023], [1024], [50_000]]
    assert kind_of(image()) != kind_of(content("x" * image().length))


def test_a_call_holds_no_more_than_it_may() -> None:
    """A check that says 1 never sees two contents at once."""

    async def script(queue: Queue) -> None:
        queue.ask(*(content(str(number)) for number in range(5)))
        await queue.waiting(5)

    assert [len(batch) for batch in run(script, together=2).door.batches] == [1, 2, 2, 1]
    assert [len(batch) for batch in run(script, together=1).door.batches] == [1, 1, 1, 1, 1, 1]


def test_a_batch_is_expected_to_end_well_within_the_shortest_deadline() -> None:
    """Once it is known that a content takes 20 ms, one with a deadline of 200 ms has at most one beside it."""

    def slow(batch: Sequence[Content]) -> list[Scan]:
        time.sleep(0.02 * len(batch))
        return echo(batch)

    async def script(queue: Queue) -> None:
        queue.door.opened.set()
        await asyncio.gather(*queue.tasks)
        queue.door.entered.clear()
        queue.door.opened.clear()
        await queue.shut()
        for number in range(6):
            queue.ask(content(str(number)), seconds=0.2)
        await queue.waiting(6)

    queue = run(script, slow)
    assert all(len(batch) <= 2 for batch in queue.door.batches)


def test_one_tenants_flood_does_not_starve_another() -> None:
    """Who asks once, after 300 others, is in the next call but one at the latest."""

    async def script(queue: Queue) -> None:
        for number in range(300):
            queue.ask(content(f"flood {number}", "many"))
        await queue.waiting(300)
        queue.ask(content("single", "few"))
        await queue.waiting(301)

    batches = run(script).door.batches
    assert "single" in batches[1]
    assert sum(map(len, batches)) == 302


# --- a bounded queue -------------------------------------------------------------------------------------------------


def test_a_full_queue_says_so_and_when_to_come_again() -> None:
    """Those who wait keep their places."""

    async def script(queue: Queue) -> None:
        for _ in range(10):
            queue.ask(content("x"))
        await queue.waiting(10)
        with pytest.raises(BusyError, match="found 10 contents waiting") as caught:
            await queue.batcher.run([content("y")], PATIENCE)
        assert 1 <= caught.value.retry_after_s <= 60
        assert "Ask again in" in caught.value.diagnostics()

    queue = run(script, most=10)
    assert all(isinstance(task.result()[0], Scan) for task in queue.tasks)
    assert queue.batcher.figures().refused == 1


def test_a_tenant_with_little_waiting_finds_room_that_a_flood_took() -> None:
    """The newest of the longest line gives way, all of its caller's contents with it."""

    async def script(queue: Queue) -> None:
        for number in range(5):
            queue.ask(content(f"{number} a", "many"), content(f"{number} b", "many"))
        await queue.waiting(10)
        queue.ask(content("single", "few"))
        await queue.waiting(9)

    queue = run(script, most=10)
    answers = [task.exception() or task.result() for task in queue.tasks]
    assert isinstance(answers[5], BusyError)
    assert [said(answer[0]) for at, answer in enumerate(answers) if at != 5] == [
        "first",
        *(f"{n} a" for n in range(4)),
        "single",
    ]


def test_outputs_find_room_longer_than_prompts() -> None:
    """What was generated already is not thrown away for what was only asked."""

    async def script(queue: Queue) -> None:
        queue.ask(*(content("x", stage=Stage.PROMPT) for _ in range(6)))
        await queue.waiting(6)
        with pytest.raises(BusyError):
            await queue.batcher.run([content("y", stage=Stage.PROMPT)], PATIENCE)
        queue.ask(content("z"), content("z"))
        await queue.waiting(8)

    run(script, most=8)


def test_a_batch_longer_than_the_queue_is_measured_in_parts() -> None:
    """Somebody's whole file is no flood."""
    names = [str(number) for number in range(3 * batching.MOST_AT_ONCE + 5)]
    batcher = Batcher(echo, Worker("test"), most=batching.MOST_AT_ONCE)
    answers = asyncio.run(batcher.run([content(name) for name in names], PATIENCE))
    assert [said(answer) for answer in answers] == names


# --- cancellation ----------------------------------------------------------------------------------------------------


def test_a_cancelled_caller_frees_its_place() -> None:
    """What waited for nobody is never begun."""

    async def script(queue: Queue) -> None:
        gone = [queue.ask(content(f"gone {number}")) for number in range(10)]
        await queue.waiting(10)
        for task in gone[1:]:
            task.cancel()
        await asyncio.wait(gone[1:])
        assert queue.batcher.figures().waiting == 1
        queue.ask(content("late"))
        await queue.waiting(2)

    queue = run(script, most=10)
    assert queue.door.batches == [["first"], ["gone 0", "late"]]
    assert queue.batcher.figures().withdrawn == 9


def test_a_caller_cancelled_while_its_call_runs_disturbs_nobody() -> None:
    """The call ends, and the others that share it have their answers."""

    async def script(queue: Queue) -> None:
        queue.tasks[0].cancel()
        await asyncio.wait(queue.tasks)
        queue.ask(content("next"))

    queue = run(script)
    assert queue.door.batches == [["first"], ["next"]]
    assert said(queue.tasks[1].result()[0]) == "next"


def test_a_hung_call_that_nobody_waits_for_is_given_up_at_its_deadline() -> None:
    """A spare thread serves the next caller while the hung one hangs."""

    async def script() -> None:
        queue = Queue()
        gone = asyncio.create_task(queue.batcher.run([content("hang")], 0.05, wait=PATIENCE))
        await asyncio.to_thread(queue.door.entered.wait, PATIENCE)
        gone.cancel()
        await asyncio.wait([gone])
        assert said((await queue.batcher.run([content("next")], PATIENCE))[0]) == "next"
        queue.door.opened.set()

    asyncio.run(script())


# --- failures among strangers ----------------------------------------------------------------------------------------


def test_one_bad_content_fails_alone_and_nobody_hears_of_it() -> None:
    """A call that fails is repeated content by content; an error reaches the one whose content it is about."""

    def picky(batch: Sequence[Content]) -> list[Scan]:
        for one in batch:
            if one.text.startswith("bad"):
                raise ValueError(f"cannot read {one.text}")
        return echo(batch)

    async def script(queue: Queue) -> None:
        for name in ("good 1", "bad 1", "good 2", "bad 2"):
            queue.ask(content(name))
        await queue.waiting(4)

    queue = run(script, picky)
    answers = [task.result()[0] for task in queue.tasks[1:]]
    assert [said(answer) for answer in answers[::2]] == ["good 1", "good 2"]
    assert [str(answer) for answer in answers[1::2]] == ["cannot read bad 1", "cannot read bad 2"]
    assert queue.batcher.figures().repeated == 4


@pytest.mark.parametrize("answer", [lambda batch: [], lambda batch: echo(batch)[1:], lambda batch: echo(batch) * 2])
def test_answers_are_never_matched_to_contents_by_guess(answer: Callable[[Sequence[Content]], list[Scan]]) -> None:
    """Another number of scans than of contents says nothing about any of them."""

    def faulty(batch: Sequence[Content]) -> list[Scan]:
        return answer(batch) if len(batch) > 1 else echo(batch)

    async def script(queue: Queue) -> None:
        for name in "abc":
            queue.ask(content(name))
        await queue.waiting(3)

    assert [said(task.result()[0]) for task in run(script, faulty).tasks] == ["first", "a", "b", "c"]


def test_a_content_that_hangs_the_check_takes_no_stranger_down() -> None:
    """After their common call ran late, each is asked about alone: the one that hangs again is overdue."""
    freed = threading.Event()

    def hanging(batch: Sequence[Content]) -> list[Scan]:
        if any(one.text == "hang" for one in batch):
            freed.wait(PATIENCE)
        return echo(batch)

    async def script(queue: Queue) -> None:
        for name in ("a", "hang", "b", "c"):
            queue.ask(content(name), seconds=1.0)
        await queue.waiting(4)
        queue.door.opened.set()
        await asyncio.wait(queue.tasks)
        freed.set()

    queue = run(script, hanging)
    answers = [task.result()[0] for task in queue.tasks[1:]]
    assert isinstance(answers[1], Overdue)
    assert answers[1].begun
    assert [said(answers[at]) for at in (0, 2, 3)] == ["a", "b", "c"]


def test_a_check_that_hangs_whatever_it_is_given_makes_all_overdue() -> None:
    """They do not wait for one another's turns: a few deadlines and it is over, not one for each."""
    freed = threading.Event()

    def dead(batch: Sequence[Content]) -> list[Scan]:
        freed.wait(PATIENCE)
        return echo(batch)

    async def script() -> list[Any]:
        batcher = Batcher(dead, Worker("test"))
        return await batcher.run([content(str(number)) for number in range(4 * MAX_SPARES)], 0.1)

    answers = asyncio.run(script())
    assert len(answers) == 4 * MAX_SPARES
    assert all(isinstance(answer, Overdue) for answer in answers)
    freed.set()


def test_an_answer_that_comes_too_late_is_nobodys() -> None:
    """Neither the one who gave up nor whoever comes next gets it."""

    async def script() -> None:
        queue = Queue()
        late = (await queue.batcher.run([content("late")], 0.05))[0]
        assert isinstance(late, Overdue)
        queue.door.opened.set()
        assert said((await queue.batcher.run([content("next")], PATIENCE))[0]) == "next"

    asyncio.run(script())


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt, asyncio.CancelledError])
def test_a_call_that_tries_to_end_the_process_fails_alone(error: type[BaseException]) -> None:
    """It becomes an answer like another failure."""

    def leave(batch: Sequence[Content]) -> list[Scan]:
        raise error

    answer = asyncio.run(Batcher(leave, Worker("test")).run([content("x")], PATIENCE))[0]
    assert isinstance(answer, RuntimeError)
    assert error.__name__ in str(answer)


def test_a_caller_whose_event_loop_is_closed_disturbs_nobody() -> None:
    """An answer for it finds nobody, and the thread goes on."""
    queue = Queue()

    async def leave() -> None:
        queue.ask(content("first"))
        await asyncio.to_thread(queue.door.entered.wait, PATIENCE)

    asyncio.run(leave())
    queue.door.opened.set()
    assert said(asyncio.run(queue.batcher.run([content("next")], PATIENCE))[0]) == "next"
