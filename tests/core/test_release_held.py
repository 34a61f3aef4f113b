"""Guard.release_held: what a person lets out that a policy held."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from audit.body import decision_body, decision_from
from guard import registry
from guard.chain import Chain
from guard.decide import decide, set_aside, settle
from guard.errors import LedgerError, PolicyError
from guard.pipeline import Guard
from guard.rules import Found, MarkSpec, Policy
from guard.types import Action, Content, Decision, Mark, Marking, Modality, Release, Reviewed
from tests.fakes import MemoryLedger, WordCheck, policy, rule, spec, text

CHECKS = {"secret": WordCheck("anna"), "odd": WordCheck("odd")}
RULES = (
    rule(Action.REDACT, Found("secret"), "names", operator="replace", parameters=(("text", "[NAME]"),)),
    rule(Action.REVIEW, Found("odd"), "odd"),
)


class Stamp:
    """A mark that a text either gets or not."""

    kind, modality = "stamp", Modality.TEXT
    works = True

    def load(self) -> None:
        """Nothing is needed."""

    def __call__(self, content: Content, marking: Marking) -> tuple[Content, Mark]:
        if not Stamp.works:
            return content, Mark("stamp", "suffix", "", verified=False, error="no room")
        stamped = replace(content, data=content.text + f" #{marking.decision.hex}")
        return stamped, Mark("stamp", "suffix", marking.decision.hex, verified=True)

    def reread(self, content: Content, mark: Mark) -> str:
        return "" if mark.payload in content.text else "it is gone"


@pytest.fixture
def stamped(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A guard whose policy puts a stamp on texts; `on_unmarkable` is given."""
    markers: registry.Registry[Any] = registry.Registry("marker", {})
    markers.register("stamp")(Stamp)
    monkeypatch.setattr("guard.marks.order.markers", markers)
    monkeypatch.setattr(Stamp, "works", True)

    def make(on_unmarkable: Action) -> tuple[Guard, MemoryLedger, Policy]:
        marks = (MarkSpec("stamp", Modality.TEXT, {}, on_unmarkable),)
        house = policy([spec(name, check, deadline_ms=20_000) for name, check in CHECKS.items()], RULES, marks)
        ledger = MemoryLedger()
        return Guard(house, ledger, chains={house.id: Chain(house, CHECKS)}), ledger, house

    return make


def reviewed(held: Decision, *rules: str, **more: Any) -> Reviewed:
    """Ann lets it go."""
    return Reviewed(held.id, held.context.time or held.time, rules, "ann", "false_positive", 9, **more)


def release(guard: Guard, ledger: MemoryLedger, house: Policy, held: Release, *rules: str) -> Release:
    """What leaves of a held output."""
    return asyncio.run(guard.release_held(held.decision, house, reviewed(held.decision, *rules), ledger.append))


def test_what_is_released_is_edited_marked_and_recorded(stamped):
    """As a decision of its own, with a receipt, that derives again from what is recorded."""
    guard, ledger, house = stamped(Action.BLOCK)
    held = guard.check_sync("anna is odd")
    assert (held.content, held.verdict.action) == (None, Action.REVIEW)
    freed = release(guard, ledger, house, held, "odd")
    assert freed.content is not None
    assert freed.content.text == f"[NAME] is odd #{freed.decision.id.hex}"
    assert (freed.verdict.action, freed.receipt.decision, freed.decision.parent) == (
        Action.REDACT,
        freed.decision.id,
        held.decision.id,
    )
    assert ledger.decisions == [held.decision, freed.decision]
    assert "set aside by ann, entry 9" in next(one.because for one in freed.verdict.fired if one.rule == "odd")
    block = {"part": "original", "bytes": 1, "commit": "", "sealed": ""}
    again = decision_from(decision_body(freed.decision, {"original": block, "released": block}))
    assert again.reviewed == freed.decision.reviewed
    derived = settle(decide(house, again.results, again.context), house, again.marks)
    assert set_aside(derived, house, again.reviewed) == freed.verdict == again.verdict


def test_only_the_rules_that_were_seen_are_set_aside(stamped):
    """Of a held output no other rule lets anything out."""
    guard, ledger, house = stamped(Action.BLOCK)
    held = guard.check_sync("odd")
    assert release(guard, ledger, house, held, "names").content is None
    with pytest.raises(PolicyError, match="holds no output"):
        release(guard, ledger, house, guard.check_sync("anna"), "odd")
    other = replace(held.decision, verdict=replace(held.verdict, explanation="otherwise"))
    with pytest.raises(PolicyError, match="as far as that derives again"):
        asyncio.run(guard.release_held(other, house, reviewed(other, "odd"), ledger.append))


@pytest.mark.parametrize(
    ("on_unmarkable", "action"), [(Action.BLOCK, Action.BLOCK), (Action.REVIEW, Action.REVIEW), (Action.ALLOW, Action.ALLOW)]
)
def test_an_output_that_cannot_carry_its_mark_follows_the_policy(stamped, on_unmarkable, action):
    """Blocked, held once more for the mark alone, or let out without."""
    guard, ledger, house = stamped(on_unmarkable)
    held = guard.check_sync("odd")
    Stamp.works = False
    freed = release(guard, ledger, house, held, "odd")
    assert freed.verdict.action is action
    assert (freed.content is None) is (action is not Action.ALLOW)
    if action is Action.REVIEW:
        known = replace(freed.decision, content=held.decision.content)
        once_more = replace(reviewed(known, "mark:stamp", "odd"), judged=held.decision.time)
        last = asyncio.run(guard.release_held(known, house, once_more, ledger.append))
        assert last.content is not None
        assert last.content.text == "odd"


def test_nothing_leaves_when_it_cannot_be_recorded(stamped):
    """Such as after the person undid it."""
    guard, ledger, house = stamped(Action.BLOCK)
    held = guard.check_sync("odd")
    ledger.broken = True
    with pytest.raises(LedgerError):
        release(guard, ledger, house, held, "odd")


def test_a_revision_that_is_no_longer_in_force_marks_as_it_did(stamped):
    """Marks are those of the policy that held it."""
    guard, ledger, house = stamped(Action.BLOCK)
    held = guard.check_sync(text("odd"))
    bare = policy([spec(name, check) for name, check in CHECKS.items()], RULES, version=2)
    later = Guard(bare, ledger, chains={bare.id: Chain(bare, CHECKS)})
    freed = release(later, ledger, house, held, "odd")
    assert freed.content is not None
    assert freed.content.text.endswith(freed.decision.id.hex)
    assert freed.decision.time <= datetime.now(UTC)
