"""guard.pipeline, guard.generation and guard.sync: the one way through."""

from __future__ import annotations

import asyncio
import io
import subprocess
import sys
import threading
from collections.abc import Mapping
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from guard import registry
from guard.admission import Limits
from guard.chain import Chain
from guard.generation import generate
from guard.imaging import decode
from guard.pipeline import Guard
from guard.protocols import Check
from guard.rules import AllOf, Attribute, Found, MarkSpec
from guard.sync import run_sync
from guard.types import Action, Content, Mark, Marking, Modality, Receipt, Release, Request, Stage
from tests.fakes import (
    EchoGenerator,
    FakeCheck,
    ImageCheck,
    ListGenerator,
    MemoryLedger,
    WordCheck,
    image,
    png,
    policy,
    rule,
    spec,
    text,
)

ROOT = Path(__file__).parents[2]
CHECKS: Mapping[str, Check] = {"secret": WordCheck("anna"), "bad": WordCheck("bad"), "dark": ImageCheck()}
RULES = (
    rule(Action.REDACT, Found("secret"), "names", operator="replace", parameters=(("text", "[NAME]"),)),
    rule(Action.BLOCK, Found("bad"), "insults", message=(("en", "No insults."),)),
    rule(Action.REVIEW, AllOf((Found("dark"), Attribute("tenant", ("strict",)))), "review"),
    rule(Action.REDACT, AllOf((Found("dark"), Attribute("tenant", ("default",)))), "shade", operator="blur"),
)


def guarded(ledger: MemoryLedger | None = None, **fields: Any) -> tuple[Guard, MemoryLedger]:
    """A guard that cuts `anna` out, blocks `bad`, and blurs or holds dark images."""
    ledger = ledger or MemoryLedger()
    limits = fields.pop("limits", None)
    house = policy([spec(name, check, deadline_ms=20_000) for name, check in CHECKS.items()], RULES, **fields)
    return Guard(house, ledger, chains={house.id: Chain(house, CHECKS)}, limits=limits), ledger


def data(release: Release) -> str | bytes:
    assert release.content is not None
    return release.content.data


def half_dark() -> bytes:
    """White on the left, nearly black stripes on the right."""
    from PIL import Image

    pixels = Image.new("RGB", (32, 32), (255, 255, 255))
    pixels.putdata([(255,) * 3 if n % 32 < 16 else (n % 2 * 12,) * 3 for n in range(32 * 32)])
    buffer = io.BytesIO()
    pixels.save(buffer, "PNG")
    return buffer.getvalue()


async def collect(source: Any) -> list[tuple[int, Release]]:
    return [pair async for pair in source]


# --- one output ------------------------------------------------------------------------------------------------------


def test_one_output_is_released_with_its_receipt() -> None:
    """Content, verdict, receipt and decision belong together, and the prompt's decision is the parent."""
    guard, ledger = guarded()
    release = asyncio.run(guard.release(ListGenerator("fine"), "hello", request=Request("r1", actor="key")))
    prompt, output = ledger.decisions
    assert data(release) == "fine"
    assert (release.decision, release.receipt.decision, release.receipt.index) == (output, output.id, 1)
    assert (prompt.context.stage, output.context.stage) == (Stage.PROMPT, Stage.OUTPUT)
    assert (prompt.parent, output.parent) == (None, prompt.id)
    assert {prompt.request.id, output.request.id} == {"r1"}
    assert (prompt.context.generator, output.context.generator) == ("list", "list")
    assert not release.refused


def test_the_policy_is_recorded_before_the_first_decision_under_it() -> None:
    """The document that a revision stands for is in the ledger."""
    guard, ledger = guarded()
    asyncio.run(guard.check("fine"))
    house = guard.policies[0]
    assert ledger.policies == {house.revision: house.document}
    assert ledger.decisions[0].verdict.revision == house.revision


def test_a_blocked_output_is_a_release_without_content() -> None:
    """A verdict, not an exception; the payload is kept with the decision."""
    guard, ledger = guarded()
    release = asyncio.run(guard.release(ListGenerator("how BAD of you"), "hello"))
    assert release.content is None
    assert release.verdict.message == (("en", "No insults."),)
    assert ledger.decisions[-1].content is not None
    assert ledger.decisions[-1].content.text == "how BAD of you"


def test_a_refused_prompt_never_reaches_the_generator() -> None:
    """And its release says why."""
    guard, ledger = guarded()
    generator = ListGenerator("fine")
    release = asyncio.run(guard.release(generator, "bad words"))
    assert release.content is None
    assert generator.prompts == []
    assert generator.loads == 0
    assert [decision.context.stage for decision in ledger.decisions] == [Stage.PROMPT]


def test_a_redacted_prompt_is_what_the_generator_sees() -> None:
    """The original is on record, the model gets the edited one."""
    guard, ledger = guarded()
    generator = ListGenerator("fine")
    asyncio.run(guard.release(generator, "I am Anna."))
    assert generator.prompts == ["I am [NAME]."]
    assert ledger.decisions[0].content is not None
    assert ledger.decisions[0].content.text == "I am Anna."


def test_a_redacted_output_leaves_edited_and_the_original_is_on_record() -> None:
    """Both, with the edits."""
    guard, ledger = guarded()
    release = asyncio.run(guard.release(ListGenerator("Anna and anna"), "hello"))
    assert data(release) == "[NAME] and [NAME]"
    assert release.verdict.action is Action.REDACT
    assert len(ledger.decisions[-1].verdict.edits) == 2
    assert ledger.decisions[-1].content is not release.content


def test_parameters_reach_the_generator() -> None:
    """One output is asked for, whatever `n` says."""
    guard, _ = guarded()
    generator = ListGenerator("fine")
    asyncio.run(guard.release(generator, "hello", seed=7, n=3))
    assert generator.parameters == [{"seed": 7, "n": 1}]


# --- several prompts and outputs -------------------------------------------------------------------------------------


def test_several_prompts_and_outputs_keep_their_indices() -> None:
    """Refused prompts leave no gap in the numbering of the others."""
    guard, ledger = guarded()
    prompts = ["bad one", "first", "bad two", "second"]
    pairs = asyncio.run(collect(guard.release_many(EchoGenerator(), prompts)))
    assert sorted(index for index, _ in pairs) == [0, 1, 2, 3]
    assert {index: release.content and release.content.text for index, release in pairs} == {
        0: None, 1: "first", 2: None, 3: "second",
    }  # fmt: skip
    by_id = {decision.id: decision for decision in ledger.decisions}
    for index, release in pairs:
        if release.content is not None:
            parent = release.decision.parent
            assert parent is not None
            assert by_id[parent].content is not None
            assert by_id[parent].content.text == prompts[index]  # type: ignore[union-attr]


@pytest.mark.parametrize("most", [1, 2, 3, 64])
def test_outputs_are_judged_in_batches_of_limited_size(most: int) -> None:
    """All of them, in order, whatever the size of a batch."""
    guard, _ = guarded(limits=Limits(outputs=most))
    outputs = [f"output {number}" for number in range(10)]
    pairs = asyncio.run(collect(guard.release_many(ListGenerator(*outputs), ["one", "two"])))
    assert [(index, data(release)) for index, release in pairs] == [(0, one) for one in outputs] + [(1, one) for one in outputs]


def test_no_prompts_make_no_outputs() -> None:
    """And do not start the generator."""
    guard, ledger = guarded()
    generator = ListGenerator("fine")
    assert asyncio.run(collect(guard.release_many(generator, []))) == []
    assert (generator.loads, ledger.decisions) == (0, [])


def test_outputs_are_released_as_they_are_made() -> None:
    """The first one does not wait for the last."""
    guard, _ = guarded()
    generator = ListGenerator(*["fine"] * 5, pause=0.05)

    async def script() -> int:
        async with aclosing(guard.release_many(generator, ["hello"])) as releases:  # type: ignore[type-var]
            async for _ in releases:
                return generator.made
        return 0

    assert asyncio.run(script()) < 5


def test_a_consumer_that_stops_early_stops_the_generator() -> None:
    """When the consumer's `aclose` is done, nothing is being made any more."""
    guard, _ = guarded()
    generator = ListGenerator(*["fine"] * 500, pause=0.005)

    async def script() -> tuple[bool, int, int]:
        async with aclosing(guard.release_many(generator, ["hello"])) as releases:  # type: ignore[type-var]
            async for _ in releases:
                break
        stopped, made = generator.stopped, generator.made
        await asyncio.sleep(0.05)
        return stopped, made, generator.made

    stopped, made, later = asyncio.run(script())
    assert stopped
    assert made == later < 500


def test_cancelling_the_consumer_stops_the_generator() -> None:
    """A client that hangs up does not leave a model working."""
    guard, _ = guarded()
    generator = ListGenerator("fine", pause=30)

    async def script() -> None:
        task = asyncio.create_task(guard.release(generator, "hello"))
        while not generator.prompts:  # noqa: ASYNC110 - a fake without events
            await asyncio.sleep(0.005)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(script())
    assert generator.stopped
    assert generator.made == 0


def test_a_generator_does_not_run_away_from_its_judge() -> None:
    """One that never pauses waits after two batches: memory stays bounded."""
    generator = ListGenerator(*["fine"] * 1000)

    async def script() -> int:
        async with aclosing(generate(generator, [text("hello", stage=Stage.PROMPT)], {}, 4)) as batches:
            async for batch in batches:
                assert len(batch) <= 4
                await asyncio.sleep(0)
                return generator.made
        return 0

    assert asyncio.run(script()) <= 4 + 2 * 4 + 1


def test_a_generator_is_loaded_once_for_many_callers_at_the_same_time() -> None:
    """The second caller waits for the first one's load."""
    guard, _ = guarded()
    generator = EchoGenerator()

    async def script() -> None:
        await asyncio.gather(*(guard.release(generator, "hello") for _ in range(10)))

    asyncio.run(script())
    assert generator.loads == 1


def test_fifty_callers_at_the_same_time_do_not_mix_up_contents() -> None:
    """Each gets the answer to its own prompt, on record under its own request."""
    guard, ledger = guarded(MemoryLedger(pause=0.001))
    generator = EchoGenerator()

    async def script() -> list[Release]:
        return await asyncio.gather(
            *(guard.release(generator, f"text {number}", request=Request(f"r{number}")) for number in range(50))
        )

    releases = asyncio.run(script())
    assert [data(release) for release in releases] == [f"text {number}" for number in range(50)]
    assert [release.decision.request.id for release in releases] == [f"r{number}" for number in range(50)]
    assert len({release.receipt.index for release in releases}) == 50
    assert len(ledger.decisions) == 100
    for release in releases:
        assert ledger.decisions[release.receipt.index] is release.decision


# --- content made elsewhere ------------------------------------------------------------------------------------------


def test_a_text_is_checked() -> None:
    """Passed, edited or withheld, as an output of a generator would be."""
    guard, ledger = guarded()
    releases = [asyncio.run(guard.check(one)) for one in ("fine", "Anna", "bad")]
    assert [release.content and release.content.text for release in releases] == ["fine", "[NAME]", None]
    assert [decision.context.generator for decision in ledger.decisions] == ["caller"] * 3


def test_an_image_is_checked_and_its_region_edited() -> None:
    """The dark part is blurred, and the file that leaves is another one."""
    guard, _ = guarded()
    light, dark = png(), half_dark()
    passed, edited = asyncio.run(guard.check(light)), asyncio.run(guard.check(dark))
    assert data(passed) == light
    assert edited.verdict.action is Action.REDACT
    assert edited.content is not None
    before, after = decode(image(dark)), decode(edited.content)
    assert after.crop((0, 0, 16, 32)).tobytes() == before.crop((0, 0, 16, 32)).tobytes()
    assert after.crop((16, 0, 32, 32)).tobytes() != before.crop((16, 0, 32, 32)).tobytes()


def test_an_output_under_review_is_held() -> None:
    """Nothing leaves until a person decided."""
    guard, _ = guarded()
    release = asyncio.run(guard.check(png(colour=(0, 0, 0)), request=Request("r", "strict")))
    assert (release.content, release.verdict.action) == (None, Action.REVIEW)


def test_a_content_keeps_its_own_request_and_origin() -> None:
    """The request of the call is for texts and files alone."""
    guard, ledger = guarded()
    asyncio.run(guard.check(text("fine", request=Request("own", "acme"), generator="gan"), request=Request("call")))
    assert (ledger.decisions[0].request.id, ledger.decisions[0].context.tenant) == ("own", "acme")
    assert ledger.decisions[0].context.generator == "gan"


def test_a_prompt_is_judged_by_the_policy_of_its_generator() -> None:
    """Also when it is a content that was made elsewhere."""
    guard, ledger = guarded(generators=("list",))
    for prompt in ("hello", text("hello", stage=Stage.PROMPT), text("hello", generator="gan")):
        assert data(asyncio.run(guard.release(ListGenerator("fine"), prompt))) == "fine"
    assert {decision.context.generator for decision in ledger.decisions} == {"list"}


def test_the_policy_that_names_generator_and_tenant_best_judges() -> None:
    """Several policies of one guard; contents of one call may fall under several."""
    mild, strict = WordCheck("bad"), WordCheck("fine")
    policies = [
        policy([spec("words", mild)], [rule(Action.BLOCK, Found("words"))], id="mild", tenants=("acme",)),
        policy([spec("words", strict)], [rule(Action.BLOCK, Found("words"))], id="strict"),
    ]
    checks = {"mild": mild, "strict": strict}
    chains = {one.id: Chain(one, {"words": checks[one.id]}) for one in policies}
    ledger = MemoryLedger()
    guard = Guard(policies, ledger, chains=chains)
    prompts = [text("fine", stage=Stage.PROMPT, request=Request(tenant, tenant)) for tenant in ("acme", "globex")]
    pairs = dict(asyncio.run(collect(guard.release_many(EchoGenerator(), prompts))))
    assert (pairs[0].verdict.policy, pairs[0].content is None) == ("mild", False)
    assert (pairs[1].verdict.policy, pairs[1].content is None) == ("strict", True)
    assert len(ledger.policies) == 2


# --- marks -----------------------------------------------------------------------------------------------------------


class Stamp:
    """Adds the decision's id to texts."""

    kind = "stamp"
    modality = Modality.TEXT
    loads = 0

    def load(self) -> None:
        type(self).loads += 1

    def __call__(self, content: Content, marking: Marking, /) -> tuple[Content, Mark]:
        stamped = replace(content, data=f"{content.text} {marking.decision}")
        return stamped, Mark("stamp", "", marking.decision.hex, verified=True)

    def reread(self, content: Content, mark: Mark, /) -> str:
        return "" if content.text.endswith(str(UUID(mark.payload))) else "gone"


def test_released_outputs_carry_marks_and_prompts_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """After the edits, tied to the decision, on outputs of the marker's modality alone."""
    markers: registry.Registry[Any] = registry.Registry("marker", {})
    markers.register("stamp")(Stamp)
    monkeypatch.setattr("guard.marks.order.markers", markers)
    guard, ledger = guarded(marks=[MarkSpec("stamp", Modality.TEXT)])
    release = asyncio.run(guard.release(EchoGenerator(), "anna"))
    blocked, picture = asyncio.run(guard.check("bad")), asyncio.run(guard.check(png()))
    assert data(release) == f"[NAME] {release.decision.id}"
    assert release.decision.marks == (Mark("stamp", "", release.decision.id.hex, verified=True),)
    assert ledger.decisions[0].marks == blocked.decision.marks == picture.decision.marks == ()
    assert Stamp.loads == 1


# --- wrap and the synchronous twins ----------------------------------------------------------------------------------


def test_a_wrapped_generator_is_guarded() -> None:
    """Awaited or not."""
    guard, ledger = guarded()
    wrapped = guard.wrap(EchoGenerator())
    assert data(asyncio.run(wrapped("anna", seed=1))) == "[NAME]"
    assert wrapped.sync("bad").content is None
    assert len(ledger.decisions) == 3


def test_the_synchronous_twins_do_the_same() -> None:
    """Without an event loop, from several threads."""
    guard, _ = guarded()
    found: list[str | bytes] = []
    threads = [
        threading.Thread(target=lambda n=n: found.append(data(guard.release_sync(EchoGenerator(), f"{n}")))) for n in range(5)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == ["0", "1", "2", "3", "4"]
    assert data(guard.check_sync("anna")) == "[NAME]"
    assert guard.check_sync("x", stage=Stage.PROMPT).decision.context.stage is Stage.PROMPT
    assert [index for index, _ in guard.release_many_sync(EchoGenerator(), ["a", "bad", "c"])] == [1, 0, 2]


def test_the_synchronous_twins_work_inside_a_running_loop() -> None:
    """The same guard, used from an event loop and, within it, by code that has none."""
    guard, _ = guarded()

    async def script() -> tuple[str | bytes, str | bytes, str | bytes]:
        awaited = data(await guard.check("anna"))
        elsewhere = data(await asyncio.to_thread(guard.check_sync, "anna"))
        return awaited, elsewhere, data(guard.check_sync("anna"))  # blocks this loop, but not for ever

    assert asyncio.run(script()) == ("[NAME]",) * 3


def test_a_synchronous_call_on_the_background_loop_itself_is_an_error() -> None:
    """It would wait for itself for ever."""

    async def nested() -> None:
        run_sync(asyncio.sleep(0))

    with pytest.raises(RuntimeError, match="own event loop"):
        run_sync(nested())


def test_errors_of_the_synchronous_twins_are_those_of_the_awaited_ones() -> None:
    """Whatever the coroutine raises is raised here."""

    async def fail() -> None:
        raise KeyError("x")

    with pytest.raises(KeyError):
        run_sync(fail())


def test_the_background_loop_does_not_keep_the_process_from_exiting() -> None:
    """Nor do the workers of a guard that was used."""
    script = (
        "from tests.core.test_pipeline import guarded, EchoGenerator\n"
        "print(guarded()[0].release_sync(EchoGenerator(), 'anna').content.text)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    assert (done.stdout.strip(), done.stderr) == ("[NAME]", "")


# --- the Release itself ----------------------------------------------------------------------------------------------


def test_a_release_cannot_be_built_from_another_decisions_receipt() -> None:
    """Nor with another content or verdict than the recorded ones, nor with content under a verdict that withholds it."""
    guard, _ = guarded()
    passed, blocked = asyncio.run(guard.check("fine")), asyncio.run(guard.check("bad"))
    decision, receipt = passed.decision, passed.receipt
    assert Release(decision.released, decision.verdict, receipt, decision) == passed
    stranger = Receipt(uuid4(), receipt.index, receipt.leaf_hash, receipt.tree_size)
    for parts in (
        (decision.released, decision.verdict, stranger, decision),
        (decision.released, decision.verdict, blocked.receipt, decision),
        (text("other"), decision.verdict, receipt, decision),
        (None, decision.verdict, receipt, decision),
        (decision.released, blocked.verdict, receipt, decision),
        (blocked.decision.content, blocked.verdict, blocked.receipt, blocked.decision),
    ):
        with pytest.raises(ValueError, match=r"receipt|recorded"):
            Release(*parts)


def test_an_image_content_is_released_as_the_very_file_that_came() -> None:
    """What was not edited or marked is not encoded again."""
    guard, _ = guarded()
    content = image()
    assert asyncio.run(guard.check(content)).content is content


def test_checks_run_in_one_batch_for_all_outputs_that_are_ready() -> None:
    """One forward pass for many outputs."""
    check, ledger = FakeCheck(), MemoryLedger()
    house = policy([spec("a", check, stages=frozenset({Stage.OUTPUT}))])
    guard = Guard(house, ledger, chains={house.id: Chain(house, {"a": check})})
    asyncio.run(collect(guard.release_many(EchoGenerator(), ["one", "two", "three"])))
    assert check.batches == [["one", "two", "three"]]
