"""guard.bench, guard.instrument and guard.shadowing: policies that change under a running guard, canaries and shadows."""

from __future__ import annotations

import asyncio
import gc
import inspect
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from guard.bench import Deployment
from guard.canary import Canary, takes
from guard.decide import decide
from guard.errors import GenguardError, LedgerError, ModelError, PolicyError
from guard.pipeline import Guard
from guard.registry import Registry
from guard.rules import AllOf, Attribute, CheckSpec, Found, Policy, ScoreAtLeast
from guard.types import Action, Content, Request, Scan, Stage, Status
from tests.fakes import (
    AsyncCheck,
    EchoGenerator,
    FakeCheck,
    HangingCheck,
    ListGenerator,
    MemoryLedger,
    UnloadableCheck,
    WordCheck,
    finding,
    policy,
    rule,
    text,
    whole,
)


class Scored(FakeCheck):
    """Finds `word` with a score of 500 in every text that holds `bad`."""

    def __init__(self, size: int = 1) -> None:
        super().__init__()
        self.size = size

    def scan(self, content: Content) -> Scan:
        return Scan((finding(score=500),) if "bad" in content.text else (), whole(content))


class Crashing(FakeCheck):
    def scan(self, content: Content) -> Any:
        raise ValueError(content.text)


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, list[FakeCheck]]]:
    """Every check that was built, by its registered name."""
    built: dict[str, list[FakeCheck]] = {}
    checks: Registry[Any] = Registry("check", {})

    def register(name: str, factory: Callable[..., FakeCheck]) -> None:
        def build(**parameters: Any) -> FakeCheck:
            built.setdefault(name, []).append(factory(**parameters))
            return built[name][-1]

        build.__qualname__ = name
        build.__signature__ = inspect.signature(factory)  # type: ignore[attr-defined]
        checks.register(name)(build)

    register("scored", Scored)
    register("words", lambda *, words=("bad",): WordCheck(*words))
    register("gone", UnloadableCheck)
    register("slow", AsyncCheck)
    register("hangs", HangingCheck)
    register("crashes", Crashing)
    monkeypatch.setattr("guard.instrument.registry", checks)
    monkeypatch.setattr("guard.shadowing.WAIT_S", 0.2)
    monkeypatch.setattr("guard.pipeline.WAIT_S", 0.2)
    yield built
    for check in built.get("hangs", []):
        check.freed.set()  # type: ignore[attr-defined]


def use(name: str, group: int = 1, deadline_ms: int = 60_000, **parameters: Any) -> CheckSpec:
    return CheckSpec(name, name, parameters, deadline_ms=deadline_ms, group=group, modalities=FakeCheck.modalities)


def house(at: int = 600, *more: CheckSpec, **fields: Any) -> Policy:
    """Blocks what `scored` scores at least so high."""
    rules = [rule(Action.BLOCK, ScoreAtLeast("scored", "*", at))]
    return policy([use("scored", size=fields.pop("size", 1)), *more], rules, version=at, **fields)


def judged(guard: Guard, data: str = "bad", **request: Any) -> Any:
    return asyncio.run(guard.check(data, request=Request(**{"id": "r", **request}))).decision


# --- adopting --------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("made")
def test_the_next_request_meets_the_new_policy():
    """And its document is recorded before."""
    old, new, ledger = house(), house(400), MemoryLedger()
    guard = Guard(old, ledger)
    assert judged(guard).verdict.action is Action.ALLOW
    asyncio.run(guard.adopt(new))
    assert new.revision in ledger.policies
    assert guard.policies == (new,)
    assert (judged(guard).verdict.action, judged(guard).verdict.revision) == (Action.BLOCK, new.revision)


def test_a_changed_threshold_loads_no_model_again(made):
    """The same check with the same parameters stays; another parameter is another one."""
    guard = Guard(house(), MemoryLedger())
    judged(guard)
    asyncio.run(guard.adopt(house(400)))
    judged(guard)
    (check,) = made["scored"]
    assert check.loads == 1
    asyncio.run(guard.adopt(house(400, size=True)))
    judged(guard)
    assert [one.loads for one in made["scored"]] == [1, 1]


def test_what_nobody_uses_any_more_goes(made):
    """The check, and its thread."""
    guard = Guard(house(), MemoryLedger())
    judged(guard)
    thread = next(one for one in threading.enumerate() if one.ident in made["scored"][0].threads)
    asyncio.run(guard.adopt(house(size=2)))
    judged(guard)
    made["scored"].clear()
    gc.collect()
    thread.join(60)
    assert not thread.is_alive()


@pytest.mark.parametrize(
    ("broken", "error"),
    [
        (lambda: house(400, use("gone")), ModelError),
        (lambda: house(400, use("unknown")), GenguardError),
        (lambda: house(400, use("words", wrong=1)), GenguardError),
        (lambda: house(400, status="draft"), PolicyError),
        (lambda: Deployment(None, shadows=(house(400),)), PolicyError),
        (lambda: Deployment(house(400), canary=house(300, id="other"), share=10), PolicyError),
        (lambda: replace(house(), version=7), PolicyError),
        (
            lambda: policy([use("scored")], [rule(Action.REDACT, Found("scored"), operator="encrypt")]),
            PolicyError,
        ),
    ],
)
@pytest.mark.usefixtures("made")
def test_what_cannot_be_used_changes_nothing(broken, error):
    """A missing model, an unknown check, a draft, a missing key: raised, and the old policy judges on."""
    guard = Guard(house(), MemoryLedger())
    with pytest.raises(error):
        asyncio.run(guard.adopt(broken()))
    assert judged(guard).verdict.version == 600
    with pytest.raises(PolicyError, match="no policy"):
        asyncio.run(guard.adopt())
    with pytest.raises(PolicyError, match="2 policies with the id"):
        asyncio.run(guard.adopt(house(300), house(400)))


@pytest.mark.usefixtures("made")
def test_a_ledger_that_takes_nothing_changes_nothing():
    """The document of a policy comes before its first decision."""
    ledger = MemoryLedger()
    guard = Guard(house(), ledger)
    ledger.unrecordable = True
    with pytest.raises(LedgerError):
        asyncio.run(guard.adopt(house(400)))
    assert guard.policies[0].version == 600


def test_a_check_that_was_broken_before_does_not_keep_a_new_policy_out(made):
    """A rule on another check may be just what helps; what was broken stays fail-closed."""
    guard = Guard(house(600, use("gone")), MemoryLedger())
    asyncio.run(guard.load())
    new = house(400, use("gone"))
    asyncio.run(guard.adopt(new))
    assert guard.policies == (new,)
    assert len(made["gone"]) == 1
    assert judged(guard, "fine").verdict.action is Action.BLOCK


@pytest.mark.usefixtures("made")
def test_a_request_ends_with_the_policy_that_it_began_with():
    """The outputs of a prompt too: here the policy changes between them."""
    old, new, ledger = house(), house(400), MemoryLedger()
    guard = Guard(old, ledger)

    class Switching(ListGenerator):
        async def __call__(self, prompts: Any, parameters: Any, /) -> Any:
            await guard.adopt(new)
            async for pair in super().__call__(prompts, parameters):
                yield pair

    release = asyncio.run(guard.release(Switching("bad"), "hello"))
    assert release.verdict.action is Action.ALLOW
    assert {one.verdict.revision for one in ledger.decisions} == {old.revision}
    assert judged(guard).verdict.revision == new.revision


@pytest.mark.usefixtures("made")
def test_nothing_is_lost_while_policies_change_all_the_time():
    """Under a steady load of many callers: each is answered, by one of the two."""
    versions = [house(), house(400), house(400, use("words")), house(600, size=2)]
    ledger = MemoryLedger()
    guard = Guard(versions[0], ledger)

    async def script() -> list[Any]:
        stop = asyncio.Event()

        async def caller(name: int) -> list[Any]:
            releases = []
            while not stop.is_set():
                number = len(releases)
                releases.append(await guard.release(EchoGenerator(), "bad", request=Request(f"{name}-{number}")))
            return releases

        callers = [asyncio.create_task(caller(name)) for name in range(20)]
        for turn in range(12):
            await guard.adopt(versions[(turn + 1) % len(versions)])
            enough = len(ledger.decisions) + 40
            while len(ledger.decisions) < enough:  # noqa: ASYNC110 - a fake without events
                await asyncio.sleep(0)
        stop.set()
        return [one for releases in await asyncio.gather(*callers) for one in releases]

    releases = asyncio.run(script())
    by_request: dict[str, set[str]] = {}
    for decision in ledger.decisions:
        by_request.setdefault(decision.request.id, set()).add(decision.verdict.revision)
    assert len(by_request) == len(releases) > 40
    assert all(len(revisions) == 1 for revisions in by_request.values())
    assert {one.decision.verdict.revision for one in releases} == {one.revision for one in versions}
    for release in releases:
        assert (release.verdict.action is Action.BLOCK) == (release.verdict.version == 400)


# --- canaries --------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("made")
@pytest.mark.parametrize("by", ["requests", "tenants"])
def test_a_canary_judges_just_its_share(by):
    """As `takes` says, prompt and outputs alike."""
    old, new, ledger = house(), house(400), MemoryLedger()
    guard = Guard(old, ledger)
    asyncio.run(guard.adopt(Deployment(old, new, 30, by)))
    requests = [Request(f"r{number}", f"t{number % 17}") for number in range(200)]

    async def script() -> None:
        await asyncio.gather(*(guard.release(EchoGenerator(), "fine", request=one) for one in requests))

    asyncio.run(script())
    assert len(ledger.decisions) == 400
    for decision in ledger.decisions:
        trial = takes("house", Canary(new.revision, 30, by), decision.request.id, decision.request.tenant)
        assert decision.verdict.revision == (new if trial else old).revision
    assert {one.verdict.revision for one in ledger.decisions} == {old.revision, new.revision}


@pytest.mark.usefixtures("made")
def test_a_canary_alone_judges_its_share_and_others_go_on():
    """A policy that was not in force at all: where the canary is not asked, the next policy is."""
    new, other = house(400), house(id="other")
    guard = Guard(other, MemoryLedger())
    asyncio.run(guard.adopt(Deployment(None, new, 50), other))
    found = {judged(guard, id=str(number)).verdict.policy for number in range(30)}
    assert found == {"house", "other"}


# --- shadows ---------------------------------------------------------------------------------------------------------


def test_a_shadow_is_recorded_and_not_enforced(made):
    """With its verdict and what it was derived from; the shared check ran once."""
    live, shadow = house(), house(400, status="shadow")
    guard = Guard(live, MemoryLedger())
    asyncio.run(guard.adopt(Deployment(live, shadows=(shadow,))))
    decision = judged(guard)
    assert decision.verdict.action is Action.ALLOW
    (told,) = decision.shadows
    assert (told.verdict.action, told.verdict.revision) == (Action.BLOCK, shadow.revision)
    assert told.verdict == decide(shadow, told.results, decision.context)
    assert told.results == decision.results
    assert len(made["scored"][0].batches) == 1


def test_a_shadow_measures_what_the_judge_does_not(made):
    """Other checks, the same with other parameters, and what an early stop left out."""
    live = policy(
        [use("words"), use("scored", group=2)], [rule(Action.BLOCK, Found("words")), rule(Action.LABEL, Found("scored"))]
    )
    shadow = policy(
        [use("scored"), use("slow"), use("words", words=("hello",))], [rule(Action.REVIEW, Found("scored"))], version=2
    )
    guard = Guard(live, MemoryLedger())
    asyncio.run(guard.adopt(Deployment(live, shadows=(shadow,))))
    decision = judged(guard, "bad hello")
    assert [one.status for one in decision.results] == [Status.OK, Status.SKIPPED]
    (told,) = decision.shadows
    assert [(one.check, one.status, len(one.findings)) for one in told.results] == [
        ("scored", Status.OK, 1), ("slow", Status.OK, 0), ("words", Status.OK, 1),
    ]  # fmt: skip
    assert told.verdict.action is Action.REVIEW
    assert decision.verdict.action is Action.BLOCK
    assert len(made["scored"]) == 1


@pytest.mark.parametrize("check", [use("slow", seconds=30.0, deadline_ms=60_000), use("hangs", deadline_ms=60_000)])
@pytest.mark.usefixtures("made")
def test_a_slow_shadow_does_not_hold_a_decision_up(check):
    """What it has not measured in time has timed out, and says why."""
    live, shadow = house(), house(400, check)
    guard = Guard(live, MemoryLedger())
    asyncio.run(guard.adopt(Deployment(live, shadows=(shadow,))))
    started = time.monotonic()
    decision = judged(guard)
    assert time.monotonic() - started < 20
    assert (decision.verdict.action, decision.results[0].status) == (Action.ALLOW, Status.OK)
    (told,) = decision.shadows
    assert [(one.check, one.status) for one in told.results][1] == (check.name, Status.TIMEOUT)
    assert "does not wait" in told.results[1].error


@pytest.mark.usefixtures("made")
def test_a_crashing_shadow_changes_nothing(monkeypatch, caplog):
    """Neither its check, nor its decision itself; and no word of the content gets into the log."""
    live, shadow = house(), house(400, use("crashes"))
    guard = Guard(live, MemoryLedger())
    asyncio.run(guard.adopt(Deployment(live, shadows=(shadow,))))
    decision = judged(guard, "bad topsecret")
    assert decision.verdict.action is Action.ALLOW
    assert [one.status for one in decision.shadows[0].results] == [Status.OK, Status.FAILED]

    def fail(*_: Any) -> Any:
        raise RuntimeError("topsecret")

    monkeypatch.setattr("guard.shadowing.decide", fail)
    decision = judged(guard, "bad topsecret")
    assert (decision.verdict.action, decision.shadows) == (Action.ALLOW, ())
    assert "failed in shadow: RuntimeError" in caplog.text
    assert "topsecret" not in caplog.text


@pytest.mark.usefixtures("made")
def test_a_shadow_decides_only_where_it_would_judge():
    """By its own scope, before and after the other policies; several shadows each for itself."""
    first, last = house(id="first", tenants=("acme",)), house(id="last")
    shadows = (house(300, id="first", tenants=("globex",)), house(200, id="first"))
    guard = Guard([first, last], MemoryLedger())
    late = house(100, id="late")
    asyncio.run(guard.adopt(Deployment(first, shadows=shadows), last, Deployment(None, shadows=(late,))))

    def versions(tenant: str) -> list[int]:
        return [one.verdict.version for one in judged(guard, tenant=tenant).shadows]

    assert (versions("globex"), versions("acme")) == ([300, 200], [200])


@pytest.mark.usefixtures("made")
def test_contents_of_one_call_have_the_shadows_of_their_own_requests():
    """Measured in one batch, told apart."""
    live, shadow, ledger = house(), house(400, use("words"), tenants=("a",)), MemoryLedger()
    guard = Guard(live, ledger)
    asyncio.run(guard.adopt(Deployment(live, shadows=(shadow,))))
    prompts = [text(f"bad {name}", stage=Stage.PROMPT, request=Request(f"r{at}", name)) for at, name in enumerate("abca")]

    async def script() -> None:
        async for _ in guard.release_many(EchoGenerator(), prompts):
            pass

    asyncio.run(script())
    assert len(ledger.decisions) == 8
    for decision in ledger.decisions:
        assert [one.verdict.action for one in decision.shadows] == [Action.BLOCK] * (decision.request.tenant == "a")
        assert all(len(one.results) == 2 for one in decision.shadows)


@pytest.mark.usefixtures("made")
def test_a_caller_that_goes_away_takes_shadows_along():
    """Nothing is left running, and nothing warns."""
    live, shadow = house(600, use("slow", seconds=0.05)), house(400, use("slow", seconds=30.0))
    guard = Guard(live, MemoryLedger())

    async def script() -> int:
        await guard.adopt(Deployment(live, shadows=(shadow,)))
        for pause in (0.01, 0.1):
            task = asyncio.create_task(guard.check("bad"))
            await asyncio.sleep(pause)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        await asyncio.sleep(0.01)
        return len(asyncio.all_tasks())

    assert asyncio.run(script()) == 1


@pytest.mark.usefixtures("made")
def test_conditions_of_a_shadow_see_the_same_context():
    """Tenant, length and time are those of the decision."""
    live = house()
    shadow = policy([use("scored")], [rule(Action.BLOCK, AllOf((Found("scored"), Attribute("tenant", ("acme",)))))], version=2)
    guard = Guard(live, MemoryLedger())
    asyncio.run(guard.adopt(Deployment(live, shadows=(shadow,))))
    actions = [judged(guard, tenant=tenant).shadows[0].verdict.action for tenant in ("acme", "globex")]
    assert actions == [Action.BLOCK, Action.ALLOW]
