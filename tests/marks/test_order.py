"""guard.marks.order: one order, whatever the policy says, and a last look at all marks in the file that leaves."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from itertools import permutations
from typing import Any
from uuid import UUID

import pytest

from guard.chain import Chain
from guard.errors import ModelError
from guard.marks import order
from guard.marks.aigc import read_aigc
from guard.marks.iptc import GENERATED, read_source_type
from guard.marks.manifest import read_credential
from guard.marks.watermark import payload_in
from guard.pipeline import Guard
from guard.registry import Registry
from guard.rules import MarkSpec
from guard.types import CALLER, Action, Content, Mark, Marking, Modality, Operator, Request, Stage
from tests.fakes import EchoGenerator, FakeCheck, MemoryLedger, marking, policy, spec, text
from tests.marks.conftest import FORMS, WATERMARK_KEY, file

DECISION = UUID(int=7)


class Stamp:
    """Appends its own name to a text; may spoil what is there before."""

    modality = Modality.TEXT

    def __init__(self, kind: str, spoils: str = "") -> None:
        self.kind, self.spoils = kind, spoils
        self.told: list[Marking] = []

    def load(self) -> None:
        pass

    def __call__(self, content: Content, told: Marking, /) -> tuple[Content, Mark]:
        self.told.append(told)
        kept = content.text.replace(self.spoils, "") if self.spoils else content.text
        return replace(content, data=f"{kept}<{self.kind}>"), Mark(self.kind, "stamp", "", verified=True)

    def reread(self, content: Content, mark: Mark, /) -> str:
        return "" if f"<{self.kind}>" in content.text else "it is gone"


def planned(*stamps: Any) -> tuple[order.Planned, ...]:
    return tuple(order.Planned(MarkSpec(one.kind, Modality.TEXT), one) for one in stamps)


def put_on(*stamps: Any, content: Content | None = None) -> tuple[Content, tuple[Mark, ...]]:
    return order.put_on(planned(*stamps), content or text("x"), marking(DECISION), lambda marker: marker.load())


@pytest.fixture
def stamps(monkeypatch: pytest.MonkeyPatch) -> Registry[Any]:
    """Stand-ins for all markers, and one of a third party."""
    registry: Registry[Any] = Registry("marker", {})
    for kind in (*order.ORDER, "strange"):
        registry.register(kind)(lambda kind=kind: Stamp(kind))
    monkeypatch.setattr(order, "markers", registry)
    return registry


def test_the_order_is_the_pixels_then_the_label_then_metadata_then_the_signature() -> None:
    """Whoever changes it has to change this, too."""
    assert order.ORDER == ("watermark", "text_watermark", "label", "aigc", "iptc", "c2pa")


@pytest.mark.usefixtures("stamps")
def test_a_policys_order_of_keys_has_no_influence() -> None:
    """All orders of the specs give one order of marks; a third party's mark comes first."""
    specs = [MarkSpec(kind, Modality.TEXT) for kind in ("strange", *order.ORDER)]
    for mixed in list(permutations(specs))[::37]:
        plan = order.plan(mixed, Operator())
        assert [one.spec.use for one in plan] == ["strange", *order.ORDER]


@pytest.mark.usefixtures("stamps")
def test_the_pipeline_puts_marks_on_in_this_order() -> None:
    """From the policy to the released text, with all the marker is told."""
    ledger, check = MemoryLedger(), FakeCheck()
    house = policy([spec("a", check)], marks=[MarkSpec(kind, Modality.TEXT) for kind in sorted(order.ORDER)])
    guard = Guard(house, ledger, chains={house.id: Chain(house, {"a": check})})
    release = asyncio.run(guard.release(EchoGenerator(), "x"))
    assert release.content is not None
    assert release.content.text == "x<watermark><text_watermark><label><aigc><iptc><c2pa>"
    assert [mark.kind for mark in release.decision.marks] == list(order.ORDER)
    (told,) = guard._bench.seats[house.revision].marks[-1].marker.told  # type: ignore[attr-defined]
    assert (told.decision, told.time, told.revision) == (release.decision.id, release.decision.time, house.revision)
    assert told.prompt is not None
    assert told.prompt.decision == release.decision.parent == ledger.decisions[0].id
    assert (told.ledger, told.edited, told.source.text) == ("memory", False, "x")


# --- the real marks ---------------------------------------------------------------------------------------------------


def dressed(operator: Operator, form: str = "PNG") -> tuple[Content, tuple[Mark, ...], Content]:
    """An image with all marks, in whatever order `order.ORDER` has."""
    given = Content(Modality.IMAGE, file(form), FORMS[form], Stage.OUTPUT, CALLER, Request("r", language="zh"))
    specs = [MarkSpec("c2pa", Modality.IMAGE), MarkSpec("iptc", Modality.IMAGE), MarkSpec("watermark", Modality.IMAGE)]
    specs += [MarkSpec("label", Modality.IMAGE, {"profile": "gb45438"}), MarkSpec("aigc", Modality.IMAGE)]
    plan = order.plan(specs, operator)
    return *order.put_on(plan, given, marking(DECISION, given), lambda marker: marker.load()), given


@pytest.mark.parametrize("form", FORMS)
def test_all_marks_are_in_the_file_that_leaves(form: str, development: Operator) -> None:
    """Read again by their own readers, from the very bytes."""
    content, marks, _ = dressed(development, form)
    assert [mark.kind for mark in marks] == [kind for kind in order.ORDER if kind != "text_watermark"]
    assert [mark.error for mark in marks] == [""] * 5
    assert payload_in(content.file, marks[0].method, WATERMARK_KEY) == marks[0].payload
    assert (read_aigc(content.file) or {})["ProduceID"] == str(DECISION)
    assert read_source_type(content.file) == GENERATED
    assert read_credential(content.file).decision["decision"] == str(DECISION)


@pytest.mark.parametrize(
    ("flipped", "lost"),
    [
        (("label", "watermark", "aigc", "iptc", "c2pa"), "label"),
        (("watermark", "aigc", "label", "iptc", "c2pa"), "aigc"),
        (("watermark", "label", "aigc", "c2pa", "iptc"), "c2pa"),
        (("c2pa", "watermark", "label", "aigc", "iptc"), "c2pa"),
        (("iptc", "watermark", "label", "aigc", "c2pa"), "iptc"),
    ],
)
def test_no_other_order_would_do(
    flipped: tuple[str, ...], lost: str, development: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each flip loses a mark, and the last look says which: with the order as it is, none is lost (above)."""
    monkeypatch.setattr(order, "ORDER", flipped)
    _, marks, _ = dressed(development)
    gone = [mark for mark in marks if not mark.verified]
    assert lost in {mark.kind for mark in gone}
    assert all(mark.error.startswith("lost to a later mark: ") for mark in gone)


# --- what goes wrong -------------------------------------------------------------------------------------------------


def test_a_mark_that_a_later_one_destroys_is_found_out() -> None:
    """It was there once; what counts is the file that leaves."""
    content, marks = put_on(Stamp("a"), Stamp("b", spoils="<a>"), Stamp("c"))
    assert content.text == "x<b><c>"
    assert [mark.verified for mark in marks] == [False, True, True]
    assert marks[0].error == "lost to a later mark: it is gone"


def test_a_reader_that_fails_counts_as_a_mark_that_is_gone() -> None:
    """Nothing is taken on trust, and nothing of a stranger's message is told."""

    class Blind(Stamp):
        def reread(self, content: Content, mark: Mark, /) -> str:
            raise KeyError(content.text)

    _, marks = put_on(Blind("a"), Stamp("b"))
    assert (marks[0].verified, marks[0].error) == (False, "lost to a later mark: KeyError")


def test_a_marker_that_fails_leaves_the_content_to_the_others() -> None:
    """The reason is recorded; the policy decides."""

    class Broken(Stamp):
        def load(self) -> None:
            raise ModelError("nothing is installed")

    content, marks = put_on(Broken("a"), Stamp("b"))
    assert content.text == "x<b>"
    assert (marks[0].kind, marks[0].verified, marks[0].error) == ("a", False, "ModelError: nothing is installed")


def test_prompts_and_other_modalities_are_left_alone() -> None:
    """Only outputs are marked, each by the markers of its modality."""
    given = text("x", stage=Stage.PROMPT)
    assert put_on(Stamp("a"), content=given) == (given, ())
    stamp = Stamp("a")
    stamp.modality = Modality.IMAGE
    content, marks = put_on(stamp)
    assert (content.text, marks) == ("x", ())


def test_a_lost_mark_follows_the_policy(stamps: Registry[Any]) -> None:
    """As one that could not be put on: blocked unless the policy says otherwise."""
    stamps._factories["iptc"] = lambda: Stamp("iptc", spoils="<label>")
    for action, left in ((Action.BLOCK, None), (Action.ALLOW, "x<iptc>")):
        check = FakeCheck()
        marks = [MarkSpec("iptc", Modality.TEXT), MarkSpec("label", Modality.TEXT, on_unmarkable=action)]
        house = policy([spec("a", check)], marks=marks)
        release = asyncio.run(Guard(house, MemoryLedger(), chains={house.id: Chain(house, {"a": check})}).check("x"))
        assert (release.content.text if release.content else None) == left
        assert "lost to a later mark" in release.verdict.explanation
