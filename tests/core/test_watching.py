"""Who watches a guard is told of what happens, and stops nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Self

import pytest
from fakes import CrashingCheck, EchoGenerator, MemoryLedger, policy, rule, spec, word_policy

from guard import watching
from guard.pipeline import Guard
from guard.rules import Found
from guard.types import Action, CheckResult, Decision


class Notes:
    """Writes down what it is told."""

    def __init__(self) -> None:
        self.steps: list[tuple[str, dict[str, Any]]] = []
        self.ended: list[tuple[str, bool]] = []
        self.checks: list[CheckResult] = []
        self.decisions: list[Decision] = []
        self.lefts: list[float] = []

    def step(self, name: str, facts: Mapping[str, Any], /) -> watching.Step:
        told = dict(facts)
        self.steps.append((name, told))
        return _Noted(self, name, told)

    def checked(self, _policy: str, results: Sequence[CheckResult], since: int, /) -> None:
        assert since > 0
        self.checks += results

    def decided(self, decision: Decision, _since: int, /) -> None:
        self.decisions.append(decision)

    def left(self, seconds: float, /) -> None:
        self.lefts.append(seconds)

    def headers(self) -> Mapping[str, str]:
        return {"traceparent": "here"}


class _Noted:
    def __init__(self, notes: Notes, name: str, facts: dict[str, Any]) -> None:
        self.notes, self.name, self.facts = notes, name, facts

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _kind: object, error: object, _trace: object) -> None:
        self.notes.ended.append((self.name, error is not None))

    def tell(self, **facts: Any) -> None:
        self.facts |= facts


class Broken(Notes):
    """Fails whenever it is told something."""

    def step(self, name: str, facts: Mapping[str, Any], /) -> watching.Step:
        raise RuntimeError(name)

    checked = decided = left = step  # type: ignore[assignment]


def test_a_watch_is_told_of_each_step_and_decision() -> None:
    house, checks = word_policy("dark")
    guard, notes = Guard(house, MemoryLedger(), chains=_chains(house, checks)), Notes()

    async def ask() -> None:
        with watching.watching(notes):
            await guard.release(EchoGenerator(), "a clear day")
        await guard.release(EchoGenerator(), "nobody is told of this")

    asyncio.run(ask())
    assert [name for name, _ in notes.steps] == ["checks", "marks", "append", "generate", "checks", "marks", "append"]
    assert [name for name, failed in notes.ended if failed] == []
    assert [one.context.stage.value for one in notes.decisions] == ["prompt", "output"]
    assert [one.check for one in notes.checks] == ["words", "words"]
    assert notes.steps[0][1] == {"policy": "house", "stage": "prompt", "contents": 1}
    assert notes.steps[3][1] == {"generator": "list", "prompts": 1}
    assert notes.steps[2][1] == {"decision": str(notes.decisions[0].id), "index": 0}


def test_a_step_that_fails_is_told_as_failed() -> None:
    house, checks = word_policy("dark")
    guard, notes = Guard(house, MemoryLedger(broken=True), chains=_chains(house, checks)), Notes()

    async def ask() -> None:
        with watching.watching(notes):
            await guard.check("a clear day")

    with pytest.raises(Exception, match="the disk is full"):
        asyncio.run(ask())
    assert ("append", True) in notes.ended
    assert not notes.decisions


def test_a_check_that_fails_is_told_with_its_status() -> None:
    check = CrashingCheck("boom")
    house = policy([spec("boom", check)], [rule(Action.BLOCK, Found("boom"))])
    guard, notes = Guard(house, MemoryLedger(), chains=_chains(house, {"boom": check})), Notes()

    async def ask() -> None:
        with watching.watching(notes):
            await guard.check("it goes boom")

    asyncio.run(ask())
    assert [one.status.value for one in notes.checks] == ["failed"]


def test_a_watch_that_fails_stops_nothing(caplog: pytest.LogCaptureFixture) -> None:
    house, checks = word_policy("dark")
    guard = Guard(house, MemoryLedger(), chains=_chains(house, checks))

    async def ask() -> str:
        with watching.watching(Broken()):
            release = await guard.release(EchoGenerator(), "a clear day")
        assert release.content is not None
        return release.content.text

    assert asyncio.run(ask()) == "a clear day"
    assert "RuntimeError" in caplog.text


def test_nobody_is_told_outside() -> None:
    assert not watching.watched()
    assert watching.now() == 0
    assert watching.headers() == {}
    with watching.step(watching.CHECKS, contents=1) as step:
        step.tell(contents=2)
    with watching.watching(Notes()):
        assert watching.watched()
        assert watching.headers() == {"traceparent": "here"}
    assert not watching.watched()


def _chains(house: Any, checks: Any) -> Any:
    from guard.chain import Chain

    return {house.id: Chain(house, checks)}
