"""guard.chain: groups, deadlines, batches, and checks that misbehave."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from guard.chain import Chain, context_of
from guard.decide import EARLY_STOP
from guard.errors import InputError, PolicyError, RegistryError
from guard.protocols import Check
from guard.rules import Found
from guard.types import Action, CheckResult, Content, Finding, Modality, Region, Scan, Span, Stage, Status
from tests.fakes import (
    IMAGE,
    AsyncCheck,
    ClaimingCheck,
    CrashingCheck,
    FakeCheck,
    HangingCheck,
    ImageCheck,
    PartialCheck,
    UnloadableCheck,
    WordCheck,
    finding,
    image,
    policy,
    rule,
    spec,
    text,
)

ROOT = Path(__file__).parents[2]


def chain(checks: Mapping[str, Check], *rules: Any, **fields: Any) -> Chain:
    """A chain of these checks; `fields` go to each of their lines."""
    return Chain(policy([spec(name, check, **fields) for name, check in checks.items()], rules), checks)


def run(checks: Mapping[str, Check], *contents: Content, **fields: Any) -> list[tuple[CheckResult, ...]]:
    return asyncio.run(chain(checks, **fields).run(contents))


def only(check: Check, content: Content | None = None, **fields: Any) -> CheckResult:
    """The one result of one check on one content."""
    return run({"a": check}, content or text("some text"), **fields)[0][0]


# --- what it takes ---------------------------------------------------------------------------------------------------


def test_a_policy_without_checks_is_refused() -> None:
    """A chain that measures nothing would let everything pass."""
    with pytest.raises(PolicyError, match="no checks"):
        Chain(policy([]), {})


def test_checks_have_to_be_those_the_policy_names() -> None:
    """Neither one more nor one less."""
    house = policy([spec("a"), spec("b")])
    for names in (("a",), ("a", "b", "c"), ("a", "x")):
        with pytest.raises(PolicyError, match="expected"):
            Chain(house, {name: FakeCheck() for name in names})


def test_an_unknown_check_is_refused() -> None:
    """The registry says which ones there are."""
    with pytest.raises(RegistryError, match="unknown check 'no-such'"):
        Chain(policy([spec("no-such")]))


# --- what it gives ---------------------------------------------------------------------------------------------------


def test_each_content_gets_its_own_results_in_the_policys_order() -> None:
    """Whatever the groups, results come as the policy lists its checks."""
    checks = {"late": WordCheck("anna"), "early": WordCheck("bob")}
    house = policy([spec("late", checks["late"], group=2), spec("early", checks["early"], group=1)])
    found = asyncio.run(Chain(house, checks).run([text("anna"), text("bob"), text("nobody")]))
    assert [[one.check for one in results] for results in found] == [["late", "early"]] * 3
    assert [[len(one.findings) for one in results] for results in found] == [[1, 0], [0, 1], [0, 0]]
    assert all(one.status is Status.OK for results in found for one in results)
    assert checks["late"].batches == [["anna", "bob", "nobody"]]


class AwaitedWords(WordCheck):
    """The same without a thread, and without ever waiting."""

    blocking = False

    async def __call__(self, batch: Sequence[Content], /) -> Any:
        return super().__call__(batch)


@pytest.mark.parametrize("kind", [WordCheck, AwaitedWords])
def test_alone_and_together_contents_get_the_same_results(kind: type[WordCheck]) -> None:
    """How many are asked about at once changes nothing but how long it takes; neither does it when all are ready."""
    checks: dict[str, Check] = {
        "words": kind("anna"),
        "pixels": ImageCheck(),
        "half": PartialCheck(3),
        "broken": CrashingCheck(),
    }
    house = policy([spec(name, one, group=1 + (name == "half")) for name, one in checks.items()])
    contents = [text("anna"), image(), text("bob", stage=Stage.PROMPT), text("ann"), text("")]

    async def script() -> list[list[tuple[CheckResult, ...]]]:
        asked = Chain(house, checks)
        alone = [(await asked.run([one]))[0] for one in contents]
        return [alone, await asked.run(contents), [(await asked.run([one]))[0] for one in contents]]

    found = [[[replace(one, latency_us=0) for one in results] for results in way] for way in asyncio.run(script())]
    assert found[0] == found[1] == found[2]
    assert [[one.check for one in results] for results in found[0]] == [
        ["pixels"] if one.modality is Modality.IMAGE else ["words", "half", "broken"] for one in contents
    ]


def test_a_check_is_only_given_what_it_reads() -> None:
    """Texts and images of one batch part ways; no check is asked about the other's."""
    checks = {"words": WordCheck("anna"), "pixels": ImageCheck()}
    found = run(checks, text("anna"), image())
    assert [[one.check for one in results] for results in found] == [["words"], ["pixels"]]


def test_a_check_is_only_asked_at_its_stages() -> None:
    """A check of outputs owes nothing on prompts."""
    assert run({"a": FakeCheck()}, text("x", stage=Stage.PROMPT), stages=frozenset({Stage.OUTPUT})) == [()]


def test_results_carry_identity_and_duration() -> None:
    """Name, registered name, version and time are what an entry needs."""
    found = only(AsyncCheck(0.02))
    assert (found.check, found.use, found.version, found.digest) == ("a", "a", "1", "")
    assert 15_000 < found.latency_us < 2_000_000


def test_the_context_is_the_contents() -> None:
    """Stage, modality, generator, tenant, language, length."""
    seen = context_of(text("abc", generator="gan"))
    assert (seen.stage, seen.generator, seen.tenant, seen.length) == (Stage.OUTPUT, "gan", "default", 3)


# --- groups and threads ----------------------------------------------------------------------------------------------


def test_checks_of_one_group_run_side_by_side() -> None:
    """Both begin before either ends; in two groups the second begins when the first is done."""

    class Telling(AsyncCheck):
        def __init__(self, name: str, told: list[str]) -> None:
            super().__init__(0.1)
            self.called, self.told = name, told

        async def __call__(self, batch: Sequence[Content], /) -> Any:
            self.told.append(f"{self.called} begins")
            found = await super().__call__(batch)
            self.told.append(f"{self.called} ends")
            return found

    def order(groups: tuple[int, int]) -> list[str]:
        told: list[str] = []
        checks = {name: Telling(name, told) for name in "ab"}
        house = policy([spec(name, check, group=group) for (name, check), group in zip(checks.items(), groups, strict=True)])
        asyncio.run(Chain(house, checks).run([text("x")]))
        return told

    assert sorted(order((1, 1))[:2]) == ["a begins", "b begins"]
    assert order((1, 2)) == ["a begins", "a ends", "b begins", "b ends"]


def test_a_blocking_check_runs_off_the_event_loops_thread() -> None:
    """And a coroutine runs on it, so that it may use the loop's connections."""
    blocking, awaited = FakeCheck(), AsyncCheck()
    run({"a": blocking, "b": awaited}, text("x"))
    assert threading.get_ident() not in blocking.threads
    assert awaited.threads == {threading.get_ident()}


def test_the_event_loop_goes_on_while_a_blocking_check_computes() -> None:
    """Other callers are served meanwhile."""
    check = HangingCheck()

    async def script() -> int:
        running = asyncio.create_task(chain({"a": check}).run([text("x")]))
        turns = 0
        while turns < 20:
            await asyncio.sleep(0.001)
            turns += 1
        check.freed.set()
        await running
        return turns

    assert asyncio.run(script()) == 20


def test_later_groups_do_not_start_once_a_rule_blocks() -> None:
    """Early stop, content by content; what was not started says so."""
    first, second = WordCheck("bad"), FakeCheck()
    house = policy([spec("first", first), spec("second", second, group=2)], [rule(Action.BLOCK, Found("first"))])
    found = asyncio.run(Chain(house, {"first": first, "second": second}).run([text("bad"), text("good")]))
    assert [(one.status, one.error) for one in found[0]] == [(Status.OK, ""), (Status.SKIPPED, EARLY_STOP)]
    assert [one.status for one in found[1]] == [Status.OK, Status.OK]
    assert second.batches == [["good"]]


def test_a_milder_rule_stops_nothing() -> None:
    """A later check may still make it stricter."""
    first, second = WordCheck("bad"), FakeCheck()
    house = policy([spec("first", first), spec("second", second, group=2)], [rule(Action.REVIEW, Found("first"))])
    asyncio.run(Chain(house, {"first": first, "second": second}).run([text("bad")]))
    assert second.batches == [["bad"]]


# --- deadlines -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("check", [AsyncCheck(30), HangingCheck("some")], ids=["awaited", "blocking"])
def test_a_check_over_its_deadline_times_out(check: Any) -> None:
    """The result says within what time it gave no answer."""
    found = only(check, deadline_ms=20)
    assert (found.status, found.error) == (Status.TIMEOUT, "no answer within 20 ms")
    assert found.latency_us >= 19_000
    if isinstance(check, HangingCheck):
        check.freed.set()


def test_after_a_hung_call_the_next_one_still_works() -> None:
    """A spare thread takes over."""
    check = HangingCheck("hang")
    house = chain({"a": check}, deadline_ms=1000)

    async def script() -> list[Status]:
        return [(await house.run([text(data)]))[0][0].status for data in ("hang", "fine", "hang", "fine")]

    assert asyncio.run(script()) == [Status.TIMEOUT, Status.OK, Status.TIMEOUT, Status.OK]
    check.freed.set()


def test_a_queue_of_requests_does_not_use_up_the_deadline_of_each() -> None:
    """Twenty at once take two deadlines together, and all are measured."""

    class Slow(FakeCheck):
        def __call__(self, batch: Sequence[Content], /) -> Sequence[Scan]:
            time.sleep(0.1)
            return super().__call__(batch)

    house = chain({"a": Slow()}, deadline_ms=1000)

    async def script() -> list[list[tuple[CheckResult, ...]]]:
        return await asyncio.gather(*(house.run([text("x")]) for _ in range(20)))

    assert {found[0][0].status for found in asyncio.run(script())} == {Status.OK}


def test_a_hanging_check_does_not_keep_the_process_from_exiting() -> None:
    """The thread that hangs is a daemon."""
    script = (
        "import asyncio\n"
        "from guard.chain import Chain\n"
        "from tests.fakes import HangingCheck, policy, spec, text\n"
        "check = HangingCheck()\n"
        "house = Chain(policy([spec('a', check, deadline_ms=50)]), {'a': check})\n"
        "print(asyncio.run(house.run([text('x')]))[0][0].status.value)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=25, check=True)
    assert done.stdout.strip() == "timeout"


def test_loading_is_outside_any_deadline_and_happens_once() -> None:
    """The first call waits for the model; all others find it there."""
    check = FakeCheck()
    loads = check.load

    def slow() -> None:
        time.sleep(1.1)
        loads()

    check.load = slow  # type: ignore[method-assign]
    house = chain({"a": check}, deadline_ms=1000)

    async def script() -> list[list[tuple[CheckResult, ...]]]:
        return await asyncio.gather(*(house.run([text("x")]) for _ in range(5)))

    assert {found[0][0].status for found in asyncio.run(script())} == {Status.OK}
    assert check.loads == 1


# --- failures --------------------------------------------------------------------------------------------------------


def test_a_check_that_cannot_be_loaded_is_recorded_as_failed() -> None:
    """With the reason; its digest is unknown, and that breaks nothing. It is not tried again at once."""
    check = UnloadableCheck()
    house = chain({"a": check, "b": FakeCheck()})

    async def script() -> tuple[dict[str, str], list[tuple[CheckResult, ...]]]:
        return await house.load(), await house.run([text("x"), text("y")])

    troubles, found = asyncio.run(script())
    assert troubles == {"a": "ModelError: no model folder for 'bundled/none'"}
    assert [results[0].status for results in found] == [Status.FAILED] * 2
    assert found[0][0].error == "could not be loaded: ModelError: no model folder for 'bundled/none'"
    assert [results[1].status for results in found] == [Status.OK] * 2
    assert check.loads == 1


def test_a_load_that_failed_is_tried_again_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was missing may have come back: a restart is not needed."""
    monkeypatch.setattr("guard.instrument.RETRY_S", 0.05)
    check = FakeCheck()
    mended = check.load
    check.load = UnloadableCheck().load  # type: ignore[method-assign]
    house = chain({"a": check})

    async def script() -> list[Status]:
        first = await house.run([text("x")])
        check.load = mended  # type: ignore[method-assign]
        await asyncio.sleep(0.1)
        second = await house.run([text("x")])
        return [first[0][0].status, second[0][0].status]

    assert asyncio.run(script()) == [Status.FAILED, Status.OK]
    assert asyncio.run(house.load()) == {}


def test_one_bad_content_does_not_fail_its_neighbours() -> None:
    """A batch that fails is asked again one by one."""
    found = run({"a": CrashingCheck("bad")}, text("one"), text("bad"), text("two"))
    assert [results[0].status for results in found] == [Status.OK, Status.FAILED, Status.OK]


def test_one_bad_check_does_not_fail_the_others() -> None:
    """Side by side, each for itself."""
    found = run({"a": CrashingCheck(), "b": WordCheck("x"), "c": AsyncCheck()}, text("x"))[0]
    assert [one.status for one in found] == [Status.FAILED, Status.OK, Status.OK]


@pytest.mark.parametrize(
    "error", [ValueError, RuntimeError, TimeoutError, KeyError, MemoryError, SystemExit, asyncio.CancelledError]
)
def test_whatever_a_check_raises_is_recorded_as_failed(error: type[BaseException]) -> None:
    """Its own TimeoutError is no missed deadline, and its CancelledError does not cancel the caller."""
    assert only(CrashingCheck(error=error)).status is Status.FAILED


@pytest.mark.parametrize("error", [ValueError, TimeoutError, asyncio.CancelledError])
def test_whatever_a_coroutine_raises_is_recorded_as_failed(error: type[BaseException]) -> None:
    """The same for checks that are awaited."""

    class Crashing(AsyncCheck):
        def scan(self, content: Content) -> Scan:
            raise error("no")

    assert only(Crashing()).status is Status.FAILED


def test_cancelling_the_caller_is_not_taken_for_a_failure() -> None:
    """A caller that is gone gets its cancellation, not a result."""

    async def script() -> None:
        running = asyncio.create_task(chain({"a": AsyncCheck(30)}).run([text("x")]))
        await asyncio.sleep(0.05)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

    asyncio.run(script())


def test_errors_quote_no_content(caplog: pytest.LogCaptureFixture) -> None:
    """Neither in the result nor in the log: a stranger's message may repeat the text."""
    with caplog.at_level(logging.DEBUG):
        found = only(CrashingCheck(), text("topsecret"))
    assert found.error == "ValueError"
    assert "topsecret" not in caplog.text
    assert "ValueError" in caplog.text


def test_our_own_errors_are_quoted_in_full() -> None:
    """They never hold content, and they say what is wrong."""
    assert only(CrashingCheck(error=lambda _: InputError("found a damaged file"))).error == "InputError: found a damaged file"


ALL = Span(0, 9)
OK = Scan((), ALL)


def claim(*findings: Finding, scanned: Any = ALL) -> Scan:
    return Scan(findings, scanned)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (claim(finding(where=Span(0, 10))), "span 0 to 10"),
        (claim(finding(where=Span(-1, 4))), "span -1 to 4"),
        (claim(finding(where=Span(4, 4))), "span 4 to 4"),
        (claim(finding(where=Region(0, 0, 1, 1))), "Region on text"),
        (claim(finding(where="some")), "found a str on text"),
        (claim(finding("some text")), "does not declare"),
        (claim(finding(category="some text")), "CATEGORIES"),
        (claim(finding(score=1001)), "score 1001"),
        (claim(finding(score=-1)), "score -1"),
        (claim(finding(score=0.93)), "type float"),  # type: ignore[arg-type]
        (claim(finding(score=float("nan"))), "type float"),  # type: ignore[arg-type]
        (claim(scanned=Span(0, 10)), "it read 0 to 10"),
        (claim(scanned=Span(-1, 9)), "it read -1 to 9"),
        (claim(scanned=Region(0, 0, 9, 9)), "it read a Region"),
        (claim(*[finding(where=Span(0, 4))] * 1_000_000), "found 1000000 things"),
        (lambda _: [None], "NoneType"),
        (lambda _: [[finding()]], "expected a Scan"),
        (lambda _: [Scan((None,), Span(0, 9))], "no Scan"),  # type: ignore[arg-type]
        (lambda _: [Scan(None, Span(0, 9))], "no Scan"),  # type: ignore[arg-type]
        (lambda _: [], "ValueError"),
        (lambda _: [OK, OK], "ValueError"),
        (lambda _: None, "TypeError"),
        (lambda batch: (OK for _ in batch), "TypeError"),
    ],
)
def test_an_answer_that_cannot_be_true_is_a_failure(answer: Any, words: str) -> None:
    """It says what is impossible, never raises, and quotes nothing of the text."""
    found = only(ClaimingCheck(answer))
    assert found.status is Status.FAILED
    assert found.findings == ()
    assert words in found.error
    assert "some text" not in found.error


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (claim(finding(where=Region(4, 4, 4, 8)), scanned=Region(0, 0, 32, 32)), "expected a box"),
        (claim(finding(where=Region(-1, 0, 4, 8)), scanned=Region(0, 0, 32, 32)), "expected a box"),
        (claim(finding(where=Span(0, 1)), scanned=Region(0, 0, 32, 32)), "Span on image"),
        (claim(scanned=Span(0, 9)), "it read a Span"),
    ],
)
def test_an_impossible_answer_on_an_image_is_a_failure(answer: Scan, words: str) -> None:
    """Regions have to be boxes of pixels."""
    found = only(ClaimingCheck(answer, IMAGE), image())
    assert (found.status, words in found.error) == (Status.FAILED, True)


def test_a_check_that_drops_a_content_of_a_batch_fails_only_where_it_answers_nothing() -> None:
    """Answers are never matched to contents by guess."""

    def skipping(batch: Sequence[Content]) -> list[Scan]:
        return [Scan((), Span(0, content.length)) for content in batch if content.text != "skip me"]

    found = run({"a": ClaimingCheck(skipping)}, text("one"), text("skip me"), text("two"))
    assert [results[0].status for results in found] == [Status.OK, Status.FAILED, Status.OK]


def test_reading_nothing_is_skipped_and_reading_a_part_says_which() -> None:
    """Both are the business of `on_failure`."""
    assert only(ClaimingCheck(claim(scanned=None))).status is Status.SKIPPED
    found = only(PartialCheck(4))
    assert (found.status, found.scanned) == (Status.OK, Span(0, 4))


def test_a_check_whose_identity_raises_still_gives_a_result() -> None:
    """Version and digest are asked of every check, in every state."""
    assert only(UnloadableCheck()).digest == ""


def test_a_plain_function_that_says_it_is_a_coroutine_fails() -> None:
    """It would hold up the event loop: refused, not tolerated."""
    check = FakeCheck()
    check.blocking = False
    assert only(check).status is Status.FAILED


def test_results_are_values_that_nobody_changes_afterwards() -> None:
    """A list that a check keeps does not become part of a recorded result."""
    mine = [finding(where=Span(0, 1))]
    found = only(ClaimingCheck(Scan(mine, Span(0, 9))))  # type: ignore[arg-type]
    mine.clear()
    assert len(found.findings) == 1
    assert replace(found) == found


def test_a_scan_may_name_what_it_was_compared_with() -> None:
    """Its digest is recorded instead of the check's, where the bank changes while the check is in use."""

    class Following(FakeCheck):
        digest = "ab" * 32

        def scan(self, content: Content) -> Scan:
            return replace(super().scan(content), digest="cd" * 32 if "new" in content.text else "")

    results = run({"a": Following()}, text("new"), text("old"))
    assert [one.digest for (one,) in results] == ["cd" * 32, "ab" * 32]
