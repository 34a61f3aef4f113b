"""Which mode a policy allows: each reason for a whole text, and the near miss that needs none."""

from __future__ import annotations

from pathlib import Path

import pytest

import policies
from guard.rules import (
    AllOf,
    AnyOf,
    Attribute,
    CheckSpec,
    Clock,
    Condition,
    Exemption,
    Found,
    Length,
    MarkSpec,
    Not,
    Policy,
    Rule,
    ScoreAtLeast,
)
from guard.streaming.plan import Seen, plan
from guard.traits import Places
from guard.types import Action, Modality, Stage, StreamMode
from policies.load import open_policy
from policies.streams import stream_plan
from tests.fakes import policy, rule

SEEN = {
    "pii": Seen("", Places.EACH, frozenset({"PERSON", "EMAIL_ADDRESS"})),
    "tone": Seen("", Places.WORST, frozenset({"threat"})),
}
ONE, OTHER = Found("pii", frozenset({"EMAIL_ADDRESS"})), ScoreAtLeast("tone", "threat", 500)


def house(*rules: Rule, specs: tuple[CheckSpec, ...] = (), **fields: object) -> Policy:
    return policy([*(CheckSpec(name, name) for name in SEEN), *specs], rules, **fields)


def test_rules_that_ask_for_one_finding_stream() -> None:
    stage = Attribute("stage", ("output", "chunk"))
    when = AllOf((stage, AnyOf((ONE, Found("pii"))), Clock(hours=(0, 60)), Not(Attribute("tenant", ("acme",)))))
    made = house(rule(Action.REDACT, when), rule(Action.BLOCK, AnyOf((OTHER, ONE)), "b"), rule(Action.REVIEW, OTHER, "c"))
    assert plan(made, SEEN).mode is StreamMode.WINDOW
    assert plan(made, SEEN).words == "texts leave while they are made"


@pytest.mark.parametrize(
    ("when", "action", "why"),
    [
        (AllOf((ONE, OTHER)), Action.BLOCK, "several findings together"),
        (AllOf((ONE, Not(OTHER))), Action.REDACT, "not found"),
        (AllOf((ONE, Length(at_least=100))), Action.REDACT, "how long"),
        (ONE, Action.LABEL, "labels a text"),
        (OTHER, Action.REDACT, "scores highest"),
    ],
)
def test_what_is_known_at_the_end_alone_needs_a_whole_text(when: Condition, action: Action, why: str) -> None:
    found = plan(house(rule(action, when, "r")), SEEN)
    assert found.mode is StreamMode.BUFFER
    assert found.reasons[0].startswith("rule 'r': ")
    assert why in found.reasons[0]
    # where the rule never meets an output, it does not matter
    at_prompts = AllOf((Attribute("stage", ("prompt",)), when))
    assert plan(house(rule(action, at_prompts, "r")), SEEN).mode is StreamMode.WINDOW


def test_stand_ins_for_people_need_a_whole_text() -> None:
    people, mail = Found("pii", frozenset({"PERSON"})), ONE
    assert plan(house(rule(Action.REDACT, people, operator="pseudonymise")), SEEN).mode is StreamMode.BUFFER
    assert plan(house(rule(Action.REDACT, mail, operator="pseudonymise")), SEEN).mode is StreamMode.WINDOW


def test_a_check_that_sees_whole_texts_counts_where_it_reads_outputs() -> None:
    seen = {**SEEN, "judge": Seen("it does not follow", Places.WHOLE, frozenset({"bad"}))}
    everywhere, at_prompts = CheckSpec("judge", "judge"), CheckSpec("judge", "judge", stages=frozenset({Stage.PROMPT}))
    assert plan(house(specs=(everywhere,)), seen).reasons == ("check 'judge': it does not follow",)
    assert plan(house(specs=(at_prompts,)), seen).mode is StreamMode.WINDOW


def test_marks_that_may_be_missing_need_a_whole_text() -> None:
    def marked(use: str, follows: Action) -> StreamMode:
        return plan(house(marks=[MarkSpec(use, Modality.TEXT, on_unmarkable=follows)]), SEEN).mode

    assert marked("text_watermark", Action.BLOCK) is StreamMode.BUFFER
    assert marked("text_watermark", Action.ALLOW) is StreamMode.WINDOW
    assert marked("label", Action.BLOCK) is StreamMode.WINDOW
    assert marked("somebody's", Action.ALLOW) is StreamMode.BUFFER


def test_exceptions_that_ask_for_the_length() -> None:
    from datetime import UTC, datetime

    expires = datetime(2027, 1, 1, tzinfo=UTC)
    assert plan(house(exceptions=(Exemption("e", ("r",), "o", "why", expires, Length(below=9)),)), SEEN).reasons
    assert not plan(house(exceptions=(Exemption("e", ("r",), "o", "why", expires),)), SEEN).reasons


def test_a_policy_that_asks_for_it() -> None:
    found = plan(house(stream=StreamMode.BUFFER), SEEN)
    assert (found.mode, found.reasons, found.words) == (StreamMode.BUFFER, (), "texts leave at their end, as the policy asks")


def test_the_enterprise_pack_streams() -> None:
    assert stream_plan(open_policy(Path(policies.__file__).parent / "packs" / "enterprise.yaml")).mode is StreamMode.WINDOW
