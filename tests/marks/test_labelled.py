"""Rules with the action `label`: outputs that carry the visible label because a rule asked for it."""

from __future__ import annotations

import pytest

from guard.chain import Chain
from guard.pipeline import Guard
from guard.registry import checks
from guard.types import Action, Stage
from policies import loads
from tests.fakes import FakeCheck, MemoryLedger, WordCheck

HOUSE = """
policy: house
version: 1
status: live
checks:
  poem: {use: poem_words, deadline_ms: 20000}
  name: {use: name_words, deadline_ms: 20000}
  bad: {use: bad_words, deadline_ms: 20000}
rules:
  - {id: poem, when: {poem: word}, action: label}
  - {id: name, when: {name: word}, action: redact, with: {operator: replace, text: N.}}
  - {id: bad, when: {bad: word}, action: block}
marks:
  label: {profile: eu, text: Made by AI, modalities: [text], apply: rules}
"""
WORDS: dict[str, FakeCheck] = {"poem": WordCheck("rose"), "name": WordCheck("anna"), "bad": WordCheck("bad")}


@pytest.fixture
def ledger() -> MemoryLedger:
    return MemoryLedger()


def guarded(house: str, ledger: MemoryLedger, monkeypatch: pytest.MonkeyPatch) -> Guard:
    for name, check in WORDS.items():
        monkeypatch.setitem(checks._factories, f"{name}_words", lambda check=check: check)
    policy = loads(house)
    return Guard(policy, ledger, chains={policy.id: Chain(policy, WORDS)})


@pytest.mark.parametrize(
    ("given", "released", "action"),
    [
        ("a rose", "a rose\n\nMade by AI", Action.LABEL),
        ("a stone", "a stone", Action.ALLOW),
        ("anna", "N.", Action.REDACT),
        ("anna, a rose", "N., a rose\n\nMade by AI", Action.REDACT),  # the stricter action does not take the label away
        ("a bad rose", None, Action.BLOCK),
    ],
)
def test_only_outputs_at_which_a_label_rule_fires_carry_the_label(
    given: str, released: str | None, action: Action, ledger: MemoryLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also beside a redaction; the ledger has the mark of those, and none of the others."""
    release = guarded(HOUSE, ledger, monkeypatch).check_sync(given)
    assert (release.content.text if release.content else None) == released
    assert release.verdict.action is action
    assert [(mark.kind, mark.verified) for mark in ledger.decisions[0].marks] == (
        [("label", True)] if released and "Made by AI" in released else []
    )


def test_a_label_for_all_outputs_is_on_those_of_a_label_rule_too(ledger: MemoryLedger, monkeypatch: pytest.MonkeyPatch) -> None:
    """There the rule is only recorded."""
    guard = guarded(HOUSE.replace("apply: rules", "apply: always"), ledger, monkeypatch)
    for given in ("a rose", "a stone"):
        release = guard.check_sync(given)
        assert release.content is not None
        assert release.content.text == f"{given}\n\nMade by AI"
    assert [decision.verdict.action for decision in ledger.decisions] == [Action.LABEL, Action.ALLOW]


def test_an_exception_takes_the_label_off(ledger: MemoryLedger, monkeypatch: pytest.MonkeyPatch) -> None:
    """A rule that is set aside asks for nothing."""
    pilot = "exceptions: [{id: pilot, rules: poem, owner: me, reason: Pilot., expires: 9000-12-31}]\n"
    release = guarded(HOUSE + pilot, ledger, monkeypatch).check_sync("a rose")
    assert release.content is not None
    assert (release.content.text, release.verdict.action) == ("a rose", Action.ALLOW)
    assert "set aside by exception pilot" in release.verdict.fired[0].because


def test_prompts_are_never_labelled(ledger: MemoryLedger, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rule is recorded there, and nothing is written into what a person asked."""
    release = guarded(HOUSE, ledger, monkeypatch).check_sync("a rose", stage=Stage.PROMPT)
    assert release.content is not None
    assert (release.content.text, release.verdict.action) == ("a rose", Action.LABEL)
