"""Columns and decisions one by one give the same, and what is claimed of a decision holds whatever was not measured."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import timedelta
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.decide import EARLY_STOP, decide
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
    ScoreByLanguage,
)
from guard.types import Action, CheckResult, Context, Finding, Mark, Modality, Region, Span, Stage, Status
from policies.lineage import answers
from policies.rejudge import Outcome, edits, rederive, rejudge
from policies.replay import Replay
from policies.tabular import REASONS, STRENGTH, Plan, Sheet
from tests.fakes import policy
from tests.policies.recorded import NOW, columns, decided

WATERMARK = MarkSpec("watermark", Modality.TEXT)
NAMES, LABELS = ("a", "b", "c"), ("word", "dark")
scores = st.sampled_from([0, 300, 500, 700, 1000])
names = st.sampled_from(NAMES)
labels = st.sampled_from([*LABELS, "*"])
leaves: st.SearchStrategy[Condition] = st.one_of(
    st.builds(ScoreAtLeast, names, labels, scores),
    st.builds(Found, names, st.frozensets(st.sampled_from(LABELS))),
    st.builds(lambda name, one, two: ScoreByLanguage(name, "word", (("*", one), ("zh", two))), names, scores, scores),
    st.sampled_from([
        Attribute("tenant", ("acme", "b*")), Attribute("stage", ("output",)), Attribute("language", ("zh*",)),
        Attribute("purpose", ("none", "test")), Attribute("consent", ("crm-*",)),
        Length(at_least=11), Length(below=11), Clock(hours=(540, 600)), Clock(since=NOW),
    ]),
)  # fmt: skip
conditions: st.SearchStrategy[Condition] = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.builds(Not, inner),
        st.builds(lambda parts: AllOf(tuple(parts)), st.lists(inner, min_size=1, max_size=3)),
        st.builds(lambda parts: AnyOf(tuple(parts)), st.lists(inner, min_size=1, max_size=3)),
    ),
    max_leaves=4,
)
actions = st.sampled_from(Action)
rules = st.builds(
    lambda name, when, action, way: Rule(name, when, action, "privacy", operator=way if action is Action.REDACT else ""),
    st.sampled_from("uvwxyz"), conditions, actions, st.sampled_from(["mask", "replace"]),
)  # fmt: skip
specs = st.builds(
    lambda name, use, on_failure, stages, deadline: CheckSpec(
        name, use, {}, deadline, on_failure, stages=stages, modalities=frozenset({Modality.TEXT})
    ),
    names, st.sampled_from(["one", "two", "three"]), st.sampled_from([Action.BLOCK, Action.REVIEW, Action.ALLOW]),
    st.sampled_from([frozenset(Stage), frozenset(Stage), frozenset({Stage.OUTPUT})]), st.sampled_from([1, 2, 2, 2, 3]),
)  # fmt: skip
exceptions = st.builds(
    lambda name, about, when, days: Exemption(name, tuple(about), "legal", "a trial", NOW + timedelta(days=days), when),
    st.sampled_from("pq"), st.lists(st.sampled_from("uvwxyz"), min_size=1, max_size=3), st.one_of(st.none(), conditions),
    st.sampled_from([-1, 1]),
)  # fmt: skip
policies = st.builds(
    lambda checks, some, out, marks: policy(checks, some, marks, exceptions=tuple(out)),
    st.lists(specs, min_size=1, max_size=3, unique_by=lambda one: one.name),
    st.lists(rules, max_size=5, unique_by=lambda one: one.id),
    st.lists(exceptions, max_size=2, unique_by=lambda one: one.id),
    st.sampled_from([(), (WATERMARK,), (replace(WATERMARK, on_unmarkable=Action.REVIEW),)]),
)  # fmt: skip
findings = st.builds(
    Finding, st.just("privacy"), st.sampled_from(LABELS), scores, st.sampled_from([Span(0, 3), Span(4, 6), Span(4, 6), None])
)
contexts = st.builds(
    Context, st.sampled_from(Stage), st.sampled_from([Modality.TEXT, Modality.TEXT, Modality.TEXT, Modality.IMAGE]),
    st.just("list"), st.sampled_from(["acme", "beta", "other"]), st.sampled_from(["en", "zh-Hans"]), st.sampled_from([10, 12]),
    st.sampled_from([NOW, NOW + timedelta(hours=2)]), st.sampled_from(["none", "test"]), st.sampled_from(["none", "crm-1"]),
)  # fmt: skip
marks = st.sampled_from([
    (), (), (Mark("watermark", "m", "ab", verified=True),), (Mark("watermark", "m", "", verified=False, error="no room"),),
    (Mark("redaction", "", "", verified=False, error="no key"),),
])  # fmt: skip


@st.composite
def answered(draw: st.DrawFn, spec: CheckSpec, context: Context) -> CheckResult:
    """What a check came to, among all that can be recorded."""
    status = draw(st.sampled_from([Status.OK] * 6 + [Status.FAILED, Status.TIMEOUT, Status.SKIPPED]))
    early = EARLY_STOP if status is Status.SKIPPED and draw(st.booleans()) else "gone"
    whole = (
        Span(0, draw(st.sampled_from([context.length] * 4 + [5]))) if context.modality is Modality.TEXT else Region(0, 0, 9, 9)
    )
    found = tuple(draw(st.lists(findings, max_size=3))) if status is Status.OK else ()
    error = "" if status is Status.OK else early
    latency, version = draw(st.sampled_from([500, 500, 1500, 2500])), draw(st.sampled_from(["1", "1", "1", "2"]))
    return CheckResult(spec.name, spec.use, version, "", status, found, whole if status is Status.OK else None, latency, error)


@st.composite
def histories(draw: st.DrawFn) -> tuple[Policy, list[Any]]:
    """A policy and decisions that were made under it."""
    old = draw(policies)
    made = []
    for _ in range(draw(st.integers(1, 5))):
        context = draw(contexts)
        owed = [spec for spec in old.checks if spec.applies(context.stage, context.modality)]
        results = [draw(answered(spec, context)) for spec in owed if draw(st.integers(0, 9))]
        made.append(decided(old, results, context, draw(marks)))
    return old, made


@st.composite
def drafts(draw: st.DrawFn, old: Policy) -> Policy:
    """A policy near another one: often only a rule or a check of it was changed."""
    if draw(st.integers(0, 3)) == 0:
        return draw(policies)
    kept = [rule if draw(st.integers(0, 3)) else draw(rules) for rule in old.rules] + draw(st.lists(rules, max_size=1))
    unique = {rule.id: rule for rule in kept}
    checks = {spec.name: spec if draw(st.integers(0, 4)) else draw(specs) for spec in old.checks}
    checks = {spec.name: spec for spec in checks.values()}
    out = old.exceptions if draw(st.booleans()) else ()
    return policy(list(checks.values()), list(unique.values()), old.marks, exceptions=out)


@given(st.data())
@settings(max_examples=120)
def test_columns_agree_with_decisions_one_by_one(data: st.DataObject) -> None:
    """For any policy, draft and history: the same action, or the same reason why there is none."""
    old, made = data.draw(histories())
    draft = data.draw(drafts(old))
    batch, plan = columns(made), Plan.of(draft, old, answers(draft, old))
    trusted = {spec.name: np.array([one.version == "1" for one in batch.sources] or [False], bool) for spec in draft.checks}
    judged = Sheet(plan, batch, np.arange(len(made)), trusted).judge()
    for place, decision in enumerate(made):
        if judged.exactly[place]:
            continue
        if plan.own:
            expected: tuple[int | None, Any] = (rederive(draft, decision).action.strength, None)
        else:
            outcome = rejudge(draft, plan.answers, decision, lambda _, result: result.version == "1")
            expected = (outcome.action.strength if outcome.action else None, outcome.reason)
        reason = REASONS[judged.reason[place]] if judged.reason[place] >= 0 else None
        assert (int(judged.strength[place]) if reason is None else None, reason) == expected


@given(st.data())
@settings(max_examples=100)
def test_the_policy_of_then_gives_every_recorded_action_again(data: st.DataObject) -> None:
    """With failures, timeouts, early stops, partial reads, redactions, marks, exceptions and times."""
    old, made = data.draw(histories())
    replay = Replay(old, {})
    replay._plans[old.revision] = Plan.of(old, old, answers(old, old))
    replay.add(columns(made))
    summary = replay.summary()
    assert (summary.replayed, summary.unchanged, summary.changed_edits, summary.flips) == (len(made), len(made), 0, ())
    for decision in made:
        assert rederive(old, decision) == decision.verdict


@given(st.data())
@settings(max_examples=120)
def test_a_replay_counts_what_decisions_one_by_one_give(data: st.DataObject) -> None:
    """Flips, redactions that changed, and reasons."""
    old, made = data.draw(histories())
    draft = data.draw(drafts(old))
    plan = Plan.of(draft, old, answers(draft, old))
    replay = Replay(draft, {}, as_measured=True)
    replay._plans[old.revision] = plan
    replay.add(columns(made))
    flips: Counter[tuple[str, str]] = Counter()
    reasons: Counter[str] = Counter()
    edited = 0
    for decision in made:
        own = plan.own
        outcome = Outcome(rederive(draft, decision)) if own else rejudge(draft, plan.answers, decision, lambda *_: True)
        if outcome.verdict is None:
            reasons[str(outcome.reason)] += 1
        elif outcome.verdict.action is not decision.verdict.action:
            flips[decision.verdict.action.value, outcome.verdict.action.value] += 1
        else:
            redacted = outcome.verdict.action is Action.REDACT
            edited += redacted and edits(outcome.verdict) != edits(decision.verdict)
    summary = replay.summary()
    assert {(one.before, one.after): one.count for one in summary.flips} == flips
    assert (summary.reasons, summary.changed_edits) == (reasons, edited)
    assert summary.replayed == len(made) - sum(reasons.values())


@given(st.data())
@settings(max_examples=120)
def test_no_answer_of_a_check_that_was_not_asked_changes_the_action(data: st.DataObject) -> None:
    """What is replayed without a check comes to the same action, whatever that check would have found."""
    old, made = data.draw(histories())
    draft = data.draw(drafts(old))
    given = answers(draft, old)
    for decision in made:
        if decision.marks:
            continue
        outcome = rejudge(draft, given, decision, lambda _, result: result.version == "1")
        if outcome.verdict is None:
            continue
        context, by_name = decision.context, {one.check: one for one in decision.results}
        results = []
        for spec, answer in zip(draft.checks, given, strict=True):
            if spec.applies(context.stage, context.modality):
                result = by_name.get(answer.recorded)
                late = result is not None and answer.late(result.status is Status.TIMEOUT, result.latency_us)
                stopped = result is not None and result.error == EARLY_STOP
                other = result is not None and result.status is Status.OK and result.version != "1"
                kept = result is not None and not (stopped or other or (late and result.status in {Status.OK, Status.TIMEOUT}))
                if kept and result is not None:
                    results.append(replace(result, check=spec.name))
                else:
                    whole = Span(0, context.length) if context.modality is Modality.TEXT else Region(0, 0, 9, 9)
                    found = tuple(data.draw(st.lists(findings, max_size=3)))
                    results.append(CheckResult(spec.name, spec.use, "1", "", Status.OK, found, whole))
        assert decide(draft, results, context).action is outcome.action
        assert STRENGTH[outcome.verdict.action.value] == outcome.verdict.action.strength
