"""Deadlines of requests: what is made stops at them, and says so."""

from __future__ import annotations

import asyncio

import pytest
from fakes import ListGenerator, MemoryLedger, word_policy

from guard.chain import Chain
from guard.deadline import before, left, within
from guard.errors import DeadlineError
from guard.pipeline import Guard


def test_a_deadline_inside_another_is_never_later() -> None:
    assert left() is None
    with within(5000):
        with within(50_000):
            assert 4000 < (left() or 0) <= 5000
        with within(1000):
            assert 0 < (left() or 0) <= 1000
        assert 4000 < (left() or 0) <= 5000
    assert left() is None


def test_waiting_ends_at_it_and_not_before() -> None:
    """A TimeoutError of what is awaited stays one; who is late already does not begin."""

    async def run() -> None:
        assert await before(lambda: asyncio.sleep(0, 7)) == 7
        with within(60):
            assert await before(lambda: asyncio.sleep(0, 7)) == 7
            with pytest.raises(TimeoutError):
                await before(_impatient)
        with within(0.02), pytest.raises(DeadlineError):
            await before(lambda: asyncio.sleep(60))
        with within(-1), pytest.raises(DeadlineError):
            await before(_never)

    asyncio.run(run())


async def _impatient() -> None:
    raise TimeoutError


async def _never() -> None:
    raise AssertionError


def test_a_generator_that_is_late_is_stopped() -> None:
    """What was made and judged before stays on record."""
    policy, checks = word_policy("bad")
    ledger = MemoryLedger()
    guard = Guard(policy, ledger, chains={policy.id: Chain(policy, checks)})
    slow = ListGenerator(*["fine"] * 1000, pause=0.2)

    async def run() -> None:
        with within(3):
            async for _ in guard.release_many(slow, ["go on"]):
                pass

    with pytest.raises(DeadlineError, match="deadline of this request"):
        asyncio.run(run())
    assert slow.stopped
    assert 1 <= len(ledger.decisions) < 40
