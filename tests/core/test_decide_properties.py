"""What holds of every verdict, whatever the policy and the results."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from guard.collectors import collector
from guard.conditions import evaluate, measured
from guard.decide import blocks, decide
from guard.predicates import Facts, predicate
from guard.redact import redact
from guard.rules import (
    AllOf,
    AnyOf,
    Attribute,
    Clock,
    Condition,
    Exemption,
    Found,
    Length,
    Not,
    Policy,
    Rule,
    ScoreAtLeast,
    ScoreByLanguage,
)
from guard.sieve import sieve
from guard.types import CALLER, Action, CheckResult, Content, Context, Edit, Finding, Modality, Request, Span, Stage, Status
from tests.fakes import finding, policy, result, spec

NOW = datetime(2026, 11, 27, 21, 30, tzinfo=UTC)
CHECKS = ("a", "b", "c")
LABELS = ("word", "dark", "name")
LENGTH = 10
MANY = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])

spans = st.tuples(st.integers(0, LENGTH - 1), st.integers(1, LENGTH)).map(
    lambda pair: Span(min(pair), max(*pair, min(pair) + 1))
)
findings = st.builds(
    finding, st.sampled_from(LABELS), st.sampled_from([0, 250, 500, 750, 1000]), st.none() | spans, st.just("privacy")
)
statuses = st.sampled_from([Status.OK] * 5 + [Status.FAILED, Status.TIMEOUT, Status.SKIPPED])
scanned = st.sampled_from([Span(0, LENGTH)] * 4 + [Span(0, 5)])
leaves = st.one_of(
    st.builds(ScoreAtLeast, st.sampled_from(CHECKS), st.sampled_from((*LABELS, "*")), st.sampled_from([0, 250, 600, 1000])),
    st.builds(
        lambda check, label, low, high: ScoreByLanguage(check, label, (("*", low), ("zh", high))),
        st.sampled_from(CHECKS),
        st.sampled_from((*LABELS, "*")),
        st.sampled_from([250, 750]),
        st.sampled_from([500, 1000]),
    ),
    st.builds(lambda check, labels: Found(check, frozenset(labels)), st.sampled_from(CHECKS), st.sets(st.sampled_from(LABELS))),
    st.sampled_from(
        [
            Attribute("stage", ("output",)),
            Attribute("tenant", ("shop*", "bank")),
            Attribute("language", ("zh*",)),
            Length(at_least=5),
            Length(below=LENGTH),
            Clock(hours=(18 * 60, 8 * 60), zone="Europe/Berlin"),
            Clock(days=frozenset({5, 6})),
            Clock(since=NOW - timedelta(days=1), until=NOW),
        ]
    ),
)
conditions: st.SearchStrategy[Condition] = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3).map(lambda parts: AllOf(tuple(parts))),
        st.lists(inner, min_size=1, max_size=3).map(lambda parts: AnyOf(tuple(parts))),
        inner.map(Not),
    ),
    max_leaves=6,
)
actions = st.sampled_from([Action.ALLOW, Action.LABEL, Action.REDACT, Action.REVIEW, Action.BLOCK])
operators = st.sampled_from(["mask", "replace", "remove"])
contexts = st.builds(
    Context,
    st.sampled_from(Stage),
    st.just(Modality.TEXT),
    st.just("list"),
    st.sampled_from(["shop-1", "bank", "other"]),
    st.sampled_from(["en", "zh-Hans", "und"]),
    st.just(LENGTH),
    st.sampled_from([None, NOW, NOW + timedelta(days=1)]),
)


@st.composite
def all_results(draw: st.DrawFn) -> tuple[CheckResult, ...]:
    """What three checks answered, or did not."""
    made = []
    for name in CHECKS:
        found = draw(st.lists(findings, max_size=3))
        made.append(result(name, *found, status=draw(statuses), scanned=draw(scanned)))
    return tuple(made[: draw(st.integers(0, 3))] if draw(st.booleans()) else made)


def rules_of(parts: Sequence[tuple[Condition, Action, str]]) -> tuple[Rule, ...]:
    """Rules with an id each."""
    return tuple(
        Rule(f"rule-{number}", when, action, "privacy", operator=operator if action is Action.REDACT else "")
        for number, (when, action, operator) in enumerate(parts)
    )


rule_sets = st.lists(st.tuples(conditions, actions, operators), min_size=1, max_size=6).map(rules_of)
exemptions = st.builds(
    lambda number, when, days: Exemption(
        f"ex-{number}", (f"rule-{number}",), "ann", "a pilot", NOW + timedelta(days=days), when
    ),
    st.integers(0, 5),
    st.none() | st.sampled_from([Attribute("tenant", ("bank",)), Length(at_least=5), Clock(days=frozenset({4}))]),
    st.sampled_from([-1, 0, 1, 30]),
)


def made(rules: Sequence[Rule], exceptions: Sequence[Exemption] = ()) -> Policy:
    """A policy of three checks."""
    specs = [spec(name, on_failure=Action.REVIEW) for name in CHECKS]
    return policy(specs, tuple(rules), exceptions=tuple(exceptions))


@MANY
@given(conditions, all_results(), contexts)
def test_predicate_and_collector_say_what_evaluating_the_condition_says(
    condition: Condition, results: tuple[CheckResult, ...], context: Context
) -> None:
    """Unknown included, for conditions of every shape."""
    known = measured(results)
    facts, truth = Facts(known, context), evaluate(condition, known, context)
    assert predicate(condition)(facts) is truth.value
    if truth.value is True:
        findings: list[Finding] = []
        told: list[str] = []
        collector(condition)(facts, findings, told)
        assert (tuple(findings), tuple(told)) == (truth.findings, truth.because)


@MANY
@given(rule_sets, all_results(), contexts, st.lists(exemptions, max_size=2), st.randoms(use_true_random=False))
def test_order_changes_neither_action_nor_edits(
    rules: tuple[Rule, ...],
    results: tuple[CheckResult, ...],
    context: Context,
    exceptions: list[Exemption],
    chance: random.Random,
) -> None:
    """Of rules and of results: only strength counts."""
    first = decide(made(rules, exceptions), results, context)
    mixed, turned = list(rules), list(results)
    chance.shuffle(mixed)
    chance.shuffle(turned)
    second = decide(made(mixed, exceptions), turned, context)
    assert second.action is first.action
    assert set(second.edits) == set(first.edits)
    assert {(one.rule, one.action) for one in second.fired} == {(one.rule, one.action) for one in first.fired}


@MANY
@given(rule_sets, all_results(), contexts, st.tuples(conditions, actions, operators))
def test_one_more_rule_never_weakens_the_action(
    rules: tuple[Rule, ...], results: tuple[CheckResult, ...], context: Context, more: tuple[Condition, Action, str]
) -> None:
    """Nor takes an edit away."""
    before = decide(made(rules), results, context)
    added = replace(rules_of([more])[0], id="one-more")
    after = decide(made((*rules, added)), results, context)
    assert after.action.strength >= before.action.strength
    assert set(before.edits) <= set(after.edits)


@MANY
@given(rule_sets, all_results(), contexts, st.lists(exemptions, max_size=3))
def test_an_exception_only_sets_its_own_rules_aside(
    rules: tuple[Rule, ...], results: tuple[CheckResult, ...], context: Context, exceptions: list[Exemption]
) -> None:
    """They fire as `allow`, leave a trace, and everything else is as before."""
    plain, excepted = decide(made(rules), results, context), decide(made(rules, exceptions), results, context)
    named = {rule for one in exceptions for rule in one.rules}
    assert [one.rule for one in sorted(plain.fired, key=lambda one: one.rule)] == [
        one.rule for one in sorted(excepted.fired, key=lambda one: one.rule)
    ] or any(one.rule.startswith("check:") for one in (*plain.fired, *excepted.fired))
    before = {one.rule: one.action for one in plain.fired}
    for one in excepted.fired:
        if one.action is not before.get(one.rule, one.action):
            assert one.rule in named
            assert one.action is Action.ALLOW
            assert "set aside by exception ex-" in one.because


@MANY
@given(rule_sets, all_results(), contexts, st.lists(exemptions, max_size=2))
def test_what_blocks_early_blocks_in_the_end(
    rules: tuple[Rule, ...], results: tuple[CheckResult, ...], context: Context, exceptions: list[Exemption]
) -> None:
    """The chain may stop when `blocks` says so, since nothing that is still missing could change it."""
    judging = made(rules, exceptions)
    for end in range(len(results) + 1):
        if blocks(judging, results[:end], context):
            assert decide(judging, results, context).action is Action.BLOCK


@MANY
@given(rule_sets, contexts)
def test_what_blocks_before_anything_is_measured_is_known_of_the_policy(rules: tuple[Rule, ...], context: Context) -> None:
    judging = made(rules)
    assert sieve(judging).unmeasured or not blocks(judging, (), context)


@MANY
@given(st.text(alphabet="ab 漢é👍", min_size=LENGTH, max_size=LENGTH), st.lists(spans, min_size=1, max_size=4), operators)
def test_redactions_merged_are_redactions_one_by_one(text: str, places: list[Span], operator: str) -> None:
    """On the original places: from the last to the first, those that do not overlap; one cut for those that do."""
    content = Content(Modality.TEXT, text, "text/plain", Stage.OUTPUT, CALLER, Request("1"))
    edits = [Edit(place, operator, "word", "rule") for place in places]
    merged = redact(content, edits, None).text
    apart: list[Span] = []
    for place in sorted(places, key=lambda one: (one.start, one.end)):
        if apart and place.start < apart[-1].end:
            apart[-1] = Span(apart[-1].start, max(apart[-1].end, place.end))
        else:
            apart.append(place)
    one_by_one = content
    for place in reversed(apart):
        one_by_one = redact(one_by_one, [Edit(place, operator, "word", "rule")], None)
    assert merged == one_by_one.text
