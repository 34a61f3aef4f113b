"""What lints say of rules holds when the policy decides."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from hypothesis import event, given, settings
from hypothesis import strategies as st

from guard.decide import decide
from guard.redact import redact_text
from guard.rules import AllOf, CheckSpec, Condition, Policy, Rule, ScoreAtLeast
from guard.types import Action, Context, Modality, Verdict
from policies.lint import Subject
from policies.lint.rules import _covered, _never_fires, _time_over
from policies.loaded import LoadedPolicy
from policies.mistake import Position
from policies.source import Node
from tests.policies.worlds import CHECKS, answers, conditions, measures

NOW = datetime(2026, 11, 10, tzinfo=UTC)
OPERATORS = ("mask", "replace", "remove")
SPECS = tuple(CheckSpec(name, name, stages=known.stages, modalities=known.modalities) for name, known in CHECKS.items())


@st.composite
def rules(draw: st.DrawFn, number: int, when: Condition | None = None) -> Rule:
    """A rule of any action."""
    action = draw(st.sampled_from(Action))
    return Rule(
        f"r{number}",
        when if when is not None else draw(measures | measures | measures | conditions),
        action,
        draw(st.sampled_from(["hate", "violence"])),
        message=draw(st.sampled_from([(), (("en", "No."),), (("en", "Never."),)])),
        operator=draw(st.sampled_from(OPERATORS)) if action is Action.REDACT else "",
        parameters=draw(st.sampled_from([(), (("keep_last", "4"),)])) if action is Action.REDACT else (),
    )


@st.composite
def policies(draw: st.DrawFn) -> Policy:
    """Two or three rules, often on nearly the same."""
    first = draw(rules(0))
    near = (
        replace(first.when, score=draw(st.sampled_from([300, 500, 800])))
        if isinstance(first.when, ScoreAtLeast)
        else first.when
    )
    more = [draw(rules(1, near if draw(st.booleans()) else None)), *([draw(rules(2))] if draw(st.booleans()) else [])]
    return Policy("house", 1, "live", "", "", SPECS, (first, *more))


def subject(policy: Policy) -> Subject:
    return Subject(LoadedPolicy(policy, (), CHECKS, Node(Position("house.yaml", 1, 1), {}), "house.yaml"), NOW)


def left(verdict: Verdict, context: Context) -> tuple[object, ...]:
    """What anyone outside of the record can tell of a verdict."""
    text = "abcdefghij" * 6
    shown = "" if verdict.action is Action.BLOCK else redact_text(text[: context.length], verdict.edits)
    return verdict.action, verdict.message, shown


@settings(max_examples=600)
@given(policies(), st.data())
def test_a_rule_that_decides_nothing_can_be_left_out(policy, data):
    """Action, message and edits stay what they are."""
    for rule, other in _covered(subject(policy)):
        less = replace(policy, rules=tuple(one for one in policy.rules if one is not rule))
        for results, context in data.draw(st.lists(answers(), min_size=2, max_size=5)):
            whole, without = decide(policy, results, context), decide(less, results, context)
            fired = {one.rule for one in whole.fired}
            event(f"fires: {rule.id in fired}, {rule.action} under {other.action}")
            assert rule.id not in fired or other.id in fired
            assert left(whole, context) == left(without, context)


@settings(max_examples=400)
@given(conditions, conditions, st.data())
def test_a_rule_that_never_fires_does_not(one, other, data):
    """Not at any time, or not from now on."""
    policy = Policy("house", 1, "live", "", "", SPECS, (data.draw(rules(0, AllOf((one, other)))),))
    never, over = list(_never_fires(subject(policy))), list(_time_over(subject(policy)))
    event(f"never {bool(never)}, over {bool(over)}")
    for results, context in data.draw(st.lists(answers(), min_size=2, max_size=5)) if never or over else ():
        if never or (context.time is not None and context.time >= NOW and context.modality is Modality.TEXT):
            assert "r0" not in {one.rule for one in decide(policy, results, context).fired}
