"""Whatever goes wrong, nothing is released; and the reason is on record."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any
from uuid import UUID

import pytest

from guard import registry
from guard.admission import Limits
from guard.chain import Chain
from guard.errors import (
    GenerationError,
    GenguardError,
    LedgerError,
    ModelError,
    ParameterError,
    PolicyError,
    RegistryError,
    TooLargeError,
)
from guard.pipeline import Guard
from guard.protocols import Check
from guard.rules import Found, MarkSpec
from guard.types import Action, Content, Mark, Marking, Modality, Region, Release, Request, Scan, Span, Stage
from tests.fakes import (
    IMAGE,
    AsyncCheck,
    ClaimingCheck,
    CrashingCheck,
    EchoGenerator,
    FakeCheck,
    HangingCheck,
    ImageCheck,
    ListGenerator,
    MemoryLedger,
    PartialCheck,
    UnloadableCheck,
    WordCheck,
    damaged_png,
    finding,
    png,
    policy,
    rule,
    spec,
    text,
    word_policy,
)

PROMPT, OUTPUT = "the prompt", "the output"


def guarded(
    checks: Mapping[str, Check], *rules: Any, ledger: MemoryLedger | None = None, **fields: Any
) -> tuple[Guard, MemoryLedger]:
    """A guard with these checks, each blocking on failure; and its ledger."""
    ledger = ledger or MemoryLedger()
    on_outputs = {"stages": frozenset({Stage.OUTPUT}), "deadline_ms": fields.pop("deadline_ms", 60_000)}
    house = policy([spec(name, check, **on_outputs) for name, check in checks.items()], rules, **fields)
    return Guard(house, ledger, chains={house.id: Chain(house, checks)}), ledger


def denied(release: Release, ledger: MemoryLedger, reason: str) -> None:
    """Nothing leaves, and the recorded decision says why."""
    assert release.content is None
    recorded = ledger.decisions[-1]
    assert recorded is release.decision
    assert recorded.released is None
    assert recorded.verdict.action is Action.BLOCK
    assert reason in recorded.verdict.explanation
    assert PROMPT not in recorded.verdict.explanation
    assert OUTPUT not in recorded.verdict.explanation


# --- the sound case, so that the others show something ----------------------------------------------------------------


def test_with_everything_sound_an_output_is_released() -> None:
    """The same parts, none of them broken."""
    guard, ledger = guarded({"a": FakeCheck(), "b": WordCheck("bad"), "c": AsyncCheck()})
    release = asyncio.run(guard.release(ListGenerator(OUTPUT), PROMPT))
    assert release.content is not None
    assert release.content.text == OUTPUT
    assert len(ledger.decisions) == 2


# --- checks ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("check", "reason"),
    [
        (CrashingCheck(), "failed: ValueError"),
        (CrashingCheck(error=SystemExit), "failed: RuntimeError"),
        (CrashingCheck(error=asyncio.CancelledError), "failed:"),
        (AsyncCheck(30), "timeout: no answer within 50 ms"),
        (UnloadableCheck(), "could not be loaded: ModelError"),
        (PartialCheck(3), "it read 0 to 3 of 10"),
        (ClaimingCheck(Scan((), None)), "skipped: it read nothing"),
        (ClaimingCheck(Scan((), Span(0, 99))), "failed: it read 0 to 99"),
        (ClaimingCheck(Scan((finding(where=Span(0, 99)),), Span(0, 10))), "failed: found span 0 to 99"),
        (ClaimingCheck(lambda _: []), "failed: ValueError"),
        (ClaimingCheck(lambda _: [None]), "failed: found NoneType"),
    ],
)
def test_a_check_that_does_not_do_its_work_releases_nothing(check: Any, reason: str) -> None:
    """A sound check beside it does not make up for it."""
    guard, ledger = guarded({"a": check, "b": FakeCheck()}, deadline_ms=50 if isinstance(check, AsyncCheck) else 60_000)
    denied(asyncio.run(guard.release(ListGenerator(OUTPUT), PROMPT)), ledger, reason)


def test_a_hanging_check_releases_nothing() -> None:
    """The caller gets an answer in time, and no output."""
    check = HangingCheck()
    guard, ledger = guarded({"a": check}, deadline_ms=50)
    denied(asyncio.run(guard.release(ListGenerator(OUTPUT), PROMPT)), ledger, "timeout: no answer within 50 ms")
    check.freed.set()


def test_a_failing_check_on_prompts_keeps_them_from_the_generator() -> None:
    """Prompts are content too."""
    check, generator, ledger = CrashingCheck(), ListGenerator(OUTPUT), MemoryLedger()
    house = policy([spec("a", check)])
    guard = Guard(house, ledger, chains={house.id: Chain(house, {"a": check})})
    denied(asyncio.run(guard.release(generator, PROMPT)), ledger, "failed: ValueError")
    assert generator.prompts == []


def test_an_output_that_no_check_reads_is_not_released() -> None:
    """A policy of text checks does not let an image through."""
    guard, ledger = guarded({"a": FakeCheck()})
    denied(asyncio.run(guard.release(ListGenerator(png()), PROMPT)), ledger, "no check of this policy reads image")


# --- policies --------------------------------------------------------------------------------------------------------


def test_an_empty_policy_cannot_be_used() -> None:
    """Neither no policy at all, nor one that measures nothing."""
    with pytest.raises(PolicyError, match="no policy"):
        Guard([], MemoryLedger())
    with pytest.raises(PolicyError, match="no checks"):
        Guard(policy([]), MemoryLedger())


@pytest.mark.parametrize("status", ["draft", "shadow", "deprecated", "", "LIVE"])
def test_a_policy_that_is_not_live_cannot_be_used(status: str) -> None:
    """Only `live` judges."""
    house, checks = word_policy("bad", status=status)
    with pytest.raises(PolicyError, match="expected 'live'"):
        Guard(house, MemoryLedger(), chains={house.id: Chain(house, checks)})


def test_an_unknown_check_or_marker_cannot_be_used() -> None:
    """The guard is not even built."""
    with pytest.raises(RegistryError, match="unknown check"):
        Guard(policy([spec("no-such")]), MemoryLedger())
    house, checks = word_policy("bad", marks=[MarkSpec("no-such", Modality.TEXT)])
    with pytest.raises(RegistryError, match="unknown marker"):
        Guard(house, MemoryLedger(), chains={house.id: Chain(house, checks)})


def test_two_policies_of_one_id_cannot_be_used() -> None:
    """An entry has to say which one judged."""
    house, _ = word_policy("bad")
    with pytest.raises(PolicyError, match="2 policies with the id 'house'"):
        Guard([house, house], MemoryLedger())


def test_a_chain_of_another_revision_cannot_be_used() -> None:
    """Checks of yesterday's policy do not measure for today's rules."""
    old, checks = word_policy("bad")
    new, _ = word_policy("bad", action=Action.REVIEW)
    with pytest.raises(PolicyError, match="another revision"):
        Guard(new, MemoryLedger(), chains={old.id: Chain(old, checks)})


@pytest.mark.parametrize("fields", [{"generators": ("gan-*",)}, {"tenants": ("acme",)}])
def test_what_no_policy_covers_is_not_released(fields: dict[str, Any]) -> None:
    """Neither prompts nor content made elsewhere."""
    generator = ListGenerator(OUTPUT)
    guard, ledger = guarded({"a": FakeCheck()}, **fields)
    denied(asyncio.run(guard.release(generator, PROMPT)), ledger, "no policy covers generator 'list' and tenant 'default'")
    assert generator.prompts == []
    denied(asyncio.run(guard.check(OUTPUT)), ledger, "no policy covers generator 'caller'")


# --- the ledger ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["broken", "unrecordable"])
def test_with_the_ledger_down_nothing_is_released(how: str) -> None:
    """Not a prompt, not an output, not a check, not a refusal: an error."""
    generator = ListGenerator(OUTPUT)
    guard, ledger = guarded({"a": FakeCheck()}, ledger=MemoryLedger(**{how: True}))
    for work in (guard.release(generator, PROMPT), guard.check(OUTPUT), guard.check(damaged_png())):
        with pytest.raises(LedgerError):
            asyncio.run(work)
    with pytest.raises(LedgerError):
        guard.release_sync(generator, PROMPT)
    assert generator.prompts == []
    assert ledger.decisions == []


def test_a_ledger_that_breaks_after_the_prompt_releases_no_output() -> None:
    """The prompt is on record, the output is made, and it stays inside."""
    guard, ledger = guarded({"a": FakeCheck()})

    class Breaking(ListGenerator):
        def content(self, output: str | bytes, prompt: Content) -> Content:
            ledger.broken = True
            return super().content(output, prompt)

    with pytest.raises(LedgerError):
        asyncio.run(guard.release(Breaking(OUTPUT), PROMPT))
    assert [decision.context.stage for decision in ledger.decisions] == [Stage.PROMPT]


def test_a_receipt_of_another_decision_releases_nothing() -> None:
    """A ledger that mixes up its callers is found out."""

    class Mixing(MemoryLedger):
        async def append(self, decision: Any, /) -> Any:
            first = await super().append(decision)
            return type(first)(UUID(int=1), first.index, first.leaf_hash, first.tree_size)

    guard, _ = guarded({"a": FakeCheck()}, ledger=Mixing())
    with pytest.raises(ValueError, match="receipt is for decision"):
        asyncio.run(guard.check(OUTPUT))


# --- generators ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [RuntimeError(OUTPUT), KeyError(OUTPUT), asyncio.CancelledError(), MemoryError()])
def test_a_generator_that_fails_releases_nothing_and_quotes_nothing(error: BaseException) -> None:
    """The caller gets a GenerationError; what was made before is on record, but is not handed out by `release`."""
    for outputs in ((error,), (OUTPUT, error)):
        guard, ledger = guarded({"a": FakeCheck()})
        with pytest.raises(GenerationError) as caught:
            asyncio.run(guard.release(ListGenerator(*outputs), PROMPT))
        assert OUTPUT not in str(caught.value)
        assert len(ledger.decisions) == len(outputs)


def test_a_generator_that_fails_midway_gives_what_was_decided_before() -> None:
    """Each output that was yielded is recorded; then the failure is raised."""
    guard, ledger = guarded({"a": FakeCheck()})

    async def script() -> list[str]:
        seen = []
        with pytest.raises(GenerationError):  # noqa: PT012 - the last turn of the loop raises
            async for _, release in guard.release_many(ListGenerator("one", "two", RuntimeError()), [PROMPT]):
                assert release.content is not None
                seen.append(release.content.text)
        return seen

    assert asyncio.run(script()) == ["one", "two"]
    assert len(ledger.decisions) == 3


def test_errors_of_ours_reach_the_caller_as_they_are() -> None:
    """A wrong parameter is the caller's to correct."""
    guard, _ = guarded({"a": FakeCheck()})
    with pytest.raises(ParameterError, match="temperature"):
        asyncio.run(guard.release(ListGenerator(ParameterError("found temperature 9, expected at most 2")), PROMPT))


@pytest.mark.parametrize("error", [ModelError("no model folder"), OSError("no such file")])
def test_a_generator_that_cannot_be_loaded_releases_nothing(error: Exception) -> None:
    """An error of ours stays what it is, a stranger's becomes one; and the next call tries again."""

    class Unloadable(ListGenerator):
        def load(self) -> None:
            self.loads += 1
            raise error

    generator = Unloadable(OUTPUT)
    guard, _ = guarded({"a": FakeCheck()})
    for _ in range(2):
        with pytest.raises(ModelError if isinstance(error, GenguardError) else GenerationError):
            asyncio.run(guard.release(generator, PROMPT))
    assert generator.loads == 2
    assert generator.prompts == []


@pytest.mark.parametrize(
    "pair",
    [(1, "content"), (-1, "content"), (True, "content"), (None, "content"), (0, None), (0, OUTPUT), None, "stranger", "tenant"],
)
def test_a_generator_that_yields_something_else_releases_nothing(pair: Any) -> None:
    """Neither an output that belongs to no prompt, nor one under a stranger's name or tenant."""

    class Odd(ListGenerator):
        async def __call__(self, prompts: Any, parameters: Any, /) -> Any:
            sound = self.content(OUTPUT, prompts[0])
            other = ListGenerator(OUTPUT)
            other.name = "stranger"
            named: dict[Any, Any] = {
                "stranger": (0, other.content(OUTPUT, prompts[0])),
                "tenant": (0, Content(sound.modality, OUTPUT, "text/plain", sound.stage, sound.origin, Request("r", "other"))),
            }
            if pair in ("stranger", "tenant"):
                yield named[pair]
            else:
                yield (pair[0], sound) if pair and pair[1] == "content" else pair

    guard, ledger = guarded({"a": FakeCheck()})
    with pytest.raises(GenerationError) as caught:
        asyncio.run(guard.release(Odd(), PROMPT))
    assert OUTPUT not in str(caught.value)
    assert len(ledger.decisions) == 1


@pytest.mark.parametrize("result", [None, 7, [], "text"])
def test_a_generator_that_is_no_generator_releases_nothing(result: Any) -> None:
    """What cannot be iterated is a failure like any other."""

    class NoGenerator(ListGenerator):
        def __call__(self, prompts: Any, parameters: Any, /) -> Any:
            return result

    guard, _ = guarded({"a": FakeCheck()})
    with pytest.raises(GenerationError):
        asyncio.run(guard.release(NoGenerator(), PROMPT))


def test_a_generator_that_makes_nothing_or_too_much_is_an_error() -> None:
    """`release` promises one output."""
    guard, _ = guarded({"a": FakeCheck()})
    for outputs in ((), ("one", "two")):
        with pytest.raises(GenerationError, match=f"made {len(outputs)} outputs, expected 1"):
            asyncio.run(guard.release(ListGenerator(*outputs), PROMPT))


# --- input -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ("\ud800", "unpaired surrogate"),
        ("x" * 51, "a text of 51 characters, expected at most 50"),
        (b"", "no readable image"),
        (b"GIF89a" + b"\0" * 64, "no readable image"),
        (b"\0" * 301, "an image file of 301 bytes"),
    ],
)
def test_input_that_is_no_content_is_refused_and_recorded(data: str | bytes, reason: str) -> None:
    """Before any check or decoder sees it; the payload is not kept."""
    check = FakeCheck()
    ledger = MemoryLedger()
    house = policy([spec("a", check)])
    guard = Guard(house, ledger, chains={house.id: Chain(house, {"a": check})}, limits=Limits(text=50, image=300))
    release = asyncio.run(guard.check(data))
    denied(release, ledger, reason)
    assert release.refused
    assert check.batches == []


def test_a_content_that_is_not_what_it_says_is_refused() -> None:
    """An image that calls itself a text, and the other way round."""
    guard, ledger = guarded({"a": FakeCheck()})
    for modality, data in ((Modality.TEXT, png()), (Modality.IMAGE, OUTPUT)):
        wrong = Content(modality, data, "", Stage.OUTPUT, ListGenerator().content("", _prompt()).origin, Request("r"))
        denied(asyncio.run(guard.check(wrong)), ledger, f"modality {modality.value} that holds")


@pytest.mark.parametrize("data", [None, 7, bytearray(b"x"), ["text"]])
def test_what_is_no_content_at_all_is_a_type_error(data: Any) -> None:
    """A mistake of the program, not of its input."""
    guard, ledger = guarded({"a": FakeCheck()})
    with pytest.raises(TypeError, match="expected"):
        asyncio.run(guard.check(data))
    assert ledger.decisions == []


def test_a_damaged_image_is_not_released() -> None:
    """Its header passes, its pixels cannot be read: the check fails, and so nothing leaves."""
    guard, ledger = guarded({"a": ImageCheck()})
    denied(asyncio.run(guard.check(damaged_png())), ledger, "failed: InputError: found a damaged image file")


def test_an_output_over_the_limit_is_refused_under_its_own_request() -> None:
    """Of two requests in one batch, each has its own outputs on record, refused ones included."""
    check, ledger = FakeCheck(), MemoryLedger()
    house = policy([spec("a", check)])
    guard = Guard(house, ledger, chains={house.id: Chain(house, {"a": check})}, limits=Limits(text=20))
    prompts = [_prompt("short", Request("one", "acme")), _prompt("long", Request("two", "globex"))]

    class Growing(EchoGenerator):
        def content(self, output: str | bytes, prompt: Content) -> Content:
            return super(EchoGenerator, self).content("x" * (30 if prompt.text == "long" else 3), prompt)

    async def script() -> dict[int, Release]:
        return {index: release async for index, release in guard.release_many(Growing(), prompts)}

    releases = asyncio.run(script())
    assert releases[1].refused
    assert "a text of 30 characters" in releases[1].verdict.explanation
    assert (releases[1].decision.request.id, releases[1].decision.context.tenant) == ("two", "globex")
    assert (releases[0].decision.request.id, releases[0].decision.context.tenant) == ("one", "acme")


def test_an_error_of_the_edge_can_be_recorded_as_a_refusal() -> None:
    """A body over the limit never becomes a content, and is on record all the same."""
    guard, ledger = guarded({"a": FakeCheck()})
    denied(asyncio.run(guard.refuse(TooLargeError("found 9 bytes, expected at most 3"), Request("r"))), ledger, "found 9 bytes")


# --- edits and marks -------------------------------------------------------------------------------------------------


def test_a_redaction_that_cannot_be_applied_releases_nothing() -> None:
    """A region outside the image is only found when it is cut."""
    check = ClaimingCheck(Scan((finding(where=Region(0, 0, 999, 999)),), Region(0, 0, 32, 32)), IMAGE)
    guard, ledger = guarded({"a": check}, rule(Action.REDACT, Found("a"), operator="fill"))
    release = asyncio.run(guard.check(png()))
    denied(release, ledger, "redaction: ValueError")
    assert release.decision.marks[0].kind == "redaction"


def test_a_redaction_with_an_unknown_operator_releases_nothing() -> None:
    """The text is not released uncut either."""
    guard, ledger = guarded({"a": WordCheck("output")}, rule(Action.REDACT, Found("a"), operator="shred"))
    denied(asyncio.run(guard.check(OUTPUT)), ledger, "redaction: ValueError")


class Marker:
    """Marks nothing, in one of several ways."""

    kind = "fake"
    modality = Modality.TEXT

    def __init__(self, how: str) -> None:
        self.how = how

    def load(self) -> None:
        if self.how == "load":
            raise ModelError("no model folder")

    def __call__(self, content: Content, marking: Marking, /) -> Any:
        answers: dict[str, Any] = {
            "unverified": (content, Mark("fake", "none", "", verified=False, error="too short")),
            "none": None,
            "no content": (None, Mark("fake", "none", "00", verified=True)),
            "no mark": (content, None),
            "other content": (_prompt("another"), Mark("fake", "none", "00", verified=True)),
        }
        if self.how == "raise":
            raise ValueError(content.text)
        return answers[self.how]


@pytest.fixture
def marked(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Builds a policy with a marker that fails in a given way."""

    def build(how: str, follows: Action) -> tuple[Guard, MemoryLedger]:
        markers: registry.Registry[Any] = registry.Registry("marker", {})
        markers.register("fake")(lambda: Marker(how))
        monkeypatch.setattr("guard.marks.order.markers", markers)
        return guarded({"a": FakeCheck()}, marks=[MarkSpec("fake", Modality.TEXT, on_unmarkable=follows)])

    return build


@pytest.mark.parametrize("how", ["raise", "load", "unverified", "none", "no content", "no mark", "other content"])
def test_an_output_that_cannot_be_marked_is_not_released(how: str, marked: Any) -> None:
    """Whatever the marker does instead of marking."""
    guard, ledger = marked(how, Action.BLOCK)
    denied(asyncio.run(guard.check(OUTPUT)), ledger, "fake: ")
    assert asyncio.run(marked(how, Action.REVIEW)[0].check(OUTPUT)).content is None


@pytest.mark.parametrize("how", ["raise", "load", "unverified", "no content", "other content"])
def test_a_policy_may_let_unmarkable_outputs_leave_unmarked(how: str, marked: Any) -> None:
    """What leaves is the output itself, and the missing mark is on record."""
    release = asyncio.run(marked(how, Action.ALLOW)[0].check(OUTPUT))
    assert release.content is not None
    assert release.content.text == OUTPUT
    assert not release.decision.marks[0].verified


def test_loading_ahead_names_what_cannot_be_loaded(marked: Any) -> None:
    """Checks and marks alike; nothing is raised, since every decision would say it again."""
    guard, _ = marked("load", Action.BLOCK)
    assert asyncio.run(guard.load()) == {"house.fake": "ModelError: no model folder"}
    guard, _ = guarded({"a": UnloadableCheck(), "b": FakeCheck()})
    assert asyncio.run(guard.load()) == {"house.a": "ModelError: no model folder for 'bundled/none'"}


def _prompt(data: str = "x", request: Request | None = None) -> Content:
    return text(data, stage=Stage.PROMPT, request=request)
