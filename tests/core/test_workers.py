"""guard.workers: one thread, deadlines, spare threads."""

from __future__ import annotations

import asyncio
import threading
import time
from functools import partial

import pytest

from guard.workers import MAX_SPARES, Overdue, Worker, busy


def test_calls_run_one_at_a_time_on_a_thread_of_their_own() -> None:
    """A model is never entered twice at once, and never on the event loop."""
    worker, inside, most, threads = Worker("w"), [0], [0], set[int]()

    def call() -> int:
        inside[0] += 1
        most[0] = max(most[0], inside[0])
        threads.add(threading.get_ident())
        time.sleep(0.005)
        inside[0] -= 1
        return threading.get_ident()

    async def many() -> None:
        await asyncio.gather(*(worker.run(call) for _ in range(10)))

    asyncio.run(many())
    assert most[0] == 1
    assert len(threads) == 1
    assert threading.get_ident() not in threads


def test_a_hung_call_is_overdue_and_the_next_one_gets_a_spare_thread() -> None:
    """What hangs cannot be killed, but nobody has to wait for it."""
    worker, freed = Worker("w"), threading.Event()

    async def script() -> int:
        with pytest.raises(Overdue):
            await worker.run(lambda: freed.wait(30), 0.02)
        return await worker.run(lambda: 7, 20)

    assert asyncio.run(script()) == 7
    freed.set()


def test_a_timeout_of_the_call_itself_is_not_a_deadline() -> None:
    """A TimeoutError from within is the call's own failure."""

    def fail() -> None:
        raise TimeoutError

    with pytest.raises(TimeoutError) as caught:
        asyncio.run(Worker("w").run(fail, 5))
    assert not isinstance(caught.value, Overdue)


def test_more_hung_calls_than_spares_recover_when_any_of_them_returns() -> None:
    """All threads hang: callers time out in the queue; one hung call comes back: work goes on."""
    worker, freed = Worker("w"), [threading.Event() for _ in range(MAX_SPARES + 1)]

    async def script() -> int:
        for one in freed:
            with pytest.raises(Overdue):
                await worker.run(partial(one.wait, 30), 0.02)
        with pytest.raises(Overdue):
            await worker.run(lambda: 7, 0.02)
        freed[0].set()
        return await worker.run(lambda: 7, 20)

    assert asyncio.run(script()) == 7
    for one in freed:
        one.set()


def test_the_time_in_the_queue_is_not_taken_from_the_deadline() -> None:
    """Load makes callers wait longer; it does not make a call that is quick enough overdue."""
    worker = Worker("w")

    async def script() -> list[None]:
        return await asyncio.gather(*(worker.run(lambda: time.sleep(0.1), 1.0, wait=30) for _ in range(15)))

    assert len(asyncio.run(script())) == 15


def test_the_deadline_counts_from_the_beginning_of_a_call_that_had_to_wait() -> None:
    """A call that hangs after its turn came is not given the time that others may wait."""
    worker, freed = Worker("w"), threading.Event()

    async def script() -> Overdue:
        first = asyncio.create_task(worker.run(lambda: time.sleep(0.05), 5, wait=30))
        with pytest.raises(Overdue) as caught:
            await worker.run(lambda: freed.wait(30), 0.05, wait=30)
        await first
        return caught.value

    started = time.monotonic()
    assert asyncio.run(script()).begun
    assert time.monotonic() - started < 10
    freed.set()


def test_a_call_that_gets_no_turn_is_overdue_and_says_so() -> None:
    """The wait has its own bound."""
    worker, freed = Worker("w"), threading.Event()

    async def script() -> Overdue:
        first = asyncio.create_task(worker.run(lambda: freed.wait(30)))
        await asyncio.sleep(0.01)
        with pytest.raises(Overdue) as caught:
            await worker.run(lambda: None, 0.01, wait=0.02)
        freed.set()
        await first
        return caught.value

    assert not asyncio.run(script()).begun


def test_a_caller_that_gives_up_on_a_hung_call_does_not_leave_the_worker_stuck() -> None:
    """The call counts as hung from its deadline on, although nobody waits for it any more."""
    worker, begun, freed = Worker("w"), threading.Event(), threading.Event()

    def hang() -> None:
        begun.set()
        freed.wait(30)

    async def script() -> int:
        gone = asyncio.create_task(worker.run(hang, 1.0))
        assert await asyncio.to_thread(begun.wait, 30)
        gone.cancel()
        with pytest.raises(asyncio.CancelledError):
            await gone
        return await worker.run(lambda: 7, 20)

    assert asyncio.run(script()) == 7
    freed.set()


def test_a_cancelled_caller_takes_its_waiting_call_out_of_the_queue() -> None:
    """Work that nobody waits for is not begun."""
    worker, freed, begun = Worker("w"), threading.Event(), []

    async def script() -> None:
        first = asyncio.create_task(worker.run(lambda: freed.wait(30)))
        await asyncio.sleep(0.02)
        second = asyncio.create_task(worker.run(lambda: begun.append(1)))
        await asyncio.sleep(0)
        second.cancel()
        with pytest.raises(asyncio.CancelledError):
            await second
        freed.set()
        await first
        await worker.run(lambda: None)

    asyncio.run(script())
    assert begun == []


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), GeneratorExit()])
def test_a_call_that_tries_to_end_the_process_fails_alone(error: BaseException) -> None:
    """`sys.exit` inside a library must not take the event loop down."""

    def leave() -> None:
        raise error

    with pytest.raises(RuntimeError, match=type(error).__name__):
        asyncio.run(Worker("w").run(leave, 5))


def test_whether_anything_runs_is_known_also_when_nobody_waits() -> None:
    """Who ends the process has to know."""
    worker, freed = Worker("w"), threading.Event()

    async def script() -> None:
        with pytest.raises(Overdue):
            await worker.run(lambda: freed.wait(30), 0.02)
        assert busy()
        freed.set()
        for _ in range(3000):
            if not busy():
                return
            await asyncio.sleep(0.01)
        raise AssertionError("it never ended")

    asyncio.run(script())


def test_threads_that_are_not_needed_any_more_end() -> None:
    """After a hung call came back, one thread is enough again."""
    worker, freed = Worker("only-here"), threading.Event()

    async def script() -> None:
        with pytest.raises(Overdue):
            await worker.run(lambda: freed.wait(30), 0.02)
        await worker.run(lambda: None, 20)
        freed.set()
        for _ in range(1000):
            if sum(thread.name == "only-here" for thread in threading.enumerate()) == 1:
                return
            await asyncio.sleep(0.01)
        raise AssertionError("two threads are left")

    asyncio.run(script())


def test_a_call_that_is_about_to_return_does_not_count_as_busy() -> None:
    """With a grace it is waited for; one that hangs is told."""
    worker, begun, freed = Worker("w"), threading.Event(), threading.Event()

    def call() -> None:
        begun.set()
        freed.wait(30)

    future = worker.submit(call)
    assert begun.wait(30)
    assert busy()
    assert busy(0.01)
    threading.Timer(0.05, freed.set).start()
    assert not busy(30)
    future.result(30)
