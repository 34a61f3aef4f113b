"""guard.pipeline with operators that need the redaction key: wired with it or not at all."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from guard.chain import Chain
from guard.decide import decide
from guard.errors import PolicyError
from guard.pipeline import Guard
from guard.redact import KEYED_OPERATORS, keyed_rules
from guard.redaction_key import RedactionKey
from guard.rules import Policy
from guard.types import Action, Request, Stage
from tests.fakes import EchoGenerator, MemoryLedger, word_policy

KEY = RedactionKey(bytes(range(32)))


def keyed(operator: str) -> tuple[Policy, dict[str, object]]:
    """A policy that redacts `anna` with this operator."""
    made, checks = word_policy("anna", action=Action.REDACT)
    return replace(made, rules=tuple(replace(rule, operator=operator) for rule in made.rules)), dict(checks)


def guarded(operator: str, key: RedactionKey | None = KEY) -> tuple[Guard, MemoryLedger]:
    house, checks = keyed(operator)
    ledger = MemoryLedger()
    return Guard(house, ledger, chains={house.id: Chain(house, checks)}, redaction_key=key), ledger  # type: ignore[arg-type]


@pytest.mark.parametrize("operator", sorted(KEYED_OPERATORS))
def test_a_policy_that_needs_a_key_is_not_wired_without_one(operator: str) -> None:
    """The message names policy and rules, and says where a key goes."""
    with pytest.raises(PolicyError, match="'house': found no redaction key, expected one for 'redact'") as caught:
        guarded(operator, None)
    assert "redaction_key=" in caught.value.diagnostics()


def test_a_policy_that_needs_none_is_wired_without() -> None:
    house, _ = keyed("replace")
    assert keyed_rules(house) == ()
    guarded("replace", None)


@pytest.mark.parametrize("operator", sorted(KEYED_OPERATORS))
def test_nothing_leaves_when_the_key_is_gone(operator: str) -> None:
    """Whatever took it away: the redaction fails, is recorded as failed, and the output is blocked."""
    guard, ledger = guarded(operator)
    guard._redaction_key = None
    release = asyncio.run(guard.check("hello anna"))
    assert (release.content, release.verdict.action) == (None, Action.BLOCK)
    assert [mark.kind for mark in ledger.decisions[0].marks] == ["redaction"]


@pytest.mark.parametrize("operator", sorted(KEYED_OPERATORS))
def test_the_verdict_derives_without_the_key_and_quotes_nothing(operator: str) -> None:
    """Which operator on which place by which rule; neither value nor token."""
    guard, ledger = guarded(operator)
    release = asyncio.run(guard.check("hello anna"))
    (decision,) = ledger.decisions
    assert decide(keyed(operator)[0], decision.results, decision.context) == release.verdict
    assert [(edit.operator, edit.label) for edit in release.verdict.edits] == [(operator, "word")]
    assert release.content is not None
    assert "anna" not in repr(release.verdict)
    assert release.content.text.split()[1] not in repr(release.verdict)


def test_prompt_and_reply_share_stand_ins_within_a_conversation() -> None:
    """The echo repeats what the prompt became; asked again in the conversation it becomes the same, elsewhere another."""
    guard, ledger = guarded("pseudonymise")

    def said(conversation: str) -> str:
        request = Request("", conversation=conversation)
        release = guard.release_sync(EchoGenerator(), "hello anna", request=request)
        assert release.content is not None
        return release.content.text

    first, again, elsewhere = said("1"), said("1"), said("2")
    assert first == again
    assert first != elsewhere
    prompts = [one.released.text for one in ledger.decisions if one.context.stage is Stage.PROMPT and one.released]
    assert prompts == [first, again, elsewhere]
    assert guard.check_sync("and anna?", request=Request("x", conversation="1")).content.text == f"and {first.split()[1]}?"  # type: ignore[union-attr]
