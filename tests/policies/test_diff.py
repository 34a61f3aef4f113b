"""What changed between two policies is told in words, and called stricter or looser only where that is certain."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.decide import decide
from guard.rules import AllOf, AnyOf, Condition, Exemption, Found, MarkSpec, Not, Policy, Rule, ScoreAtLeast, ScoreByLanguage
from guard.types import Action, CheckResult, Finding, Modality, Span, Status
from policies import loads
from policies.diff import Change, Effect, diff, effect
from tests.fakes import context, policy, result, rule, spec

BASE = """policy: house
version: 1
status: live
checks:
  toxicity: {use: toxicity}
  pii: {use: pii, languages: [en]}
rules:
  - id: threat
    title: Threats are blocked
    when: {any: [{toxicity.threat: 0.6}, {toxicity.insult: 0.9}], stage: output}
    action: block
    category: violence
    message: {en: Withheld.}
  - {id: card, when: {pii: [CREDIT_CARD]}, action: redact, category: privacy, with: {operator: mask, keep_last: 4}}
marks: {watermark: {image: true}}
"""


def changed(*pairs: tuple[str, str]) -> tuple[Change, ...]:
    """The changes that come of replacing parts of the base."""
    text = BASE
    for before, after in pairs:
        assert before in text
        text = text.replace(before, after)
    return diff(loads(BASE), loads(text))


@pytest.mark.parametrize(
    ("before", "after", "told", "does"),
    [
        ("threat: 0.6", "threat: 0.5", "rule threat: threshold of toxicity.threat 0.60 -> 0.50", "stricter"),
        ("threat: 0.6", "threat: 0.655", "rule threat: threshold of toxicity.threat 0.60 -> 0.655", "looser"),
        ("{toxicity.insult: 0.9}", "{not: {toxicity.insult: 0.9}}", None, "unknown"),
        (", {toxicity.insult: 0.9}]", "]", "rule threat: alternative removed: toxicity.insult at least 0.900", "looser"),
        (", stage: output", "", "rule threat: condition removed: stage is output", "stricter"),
        ("stage: output", "stage: [output, chunk]", "rule threat: stage is output -> output or chunk", "stricter"),
        ("action: block", "action: review", "rule threat: action block -> review", "looser"),
        ("action: redact, category: privacy, with: {operator: mask, keep_last: 4}", "action: review, category: privacy",
         "rule card: action redact -> review", "unknown"),
        ("keep_last: 4", "keep_last: 2", 'rule card: with {"keep_last": "4"} -> {"keep_last": "2"}', "unknown"),
        ("[CREDIT_CARD]", "[CREDIT_CARD, IBAN_CODE]", "rule card: labels of pii: +IBAN_CODE", "stricter"),
        ("[CREDIT_CARD]", "any", "rule card: condition pii found CREDIT_CARD -> pii found anything", "stricter"),
        ("languages: [en]", "languages: [en, zh]", "check pii: languages [en] -> [en, zh]", "unknown"),
        ("{use: toxicity}", "{use: toxicity, on_failure: review}", "check toxicity: on_failure block -> review", "looser"),
        ("{use: toxicity}", "{use: toxicity, deadline_ms: 900}", "check toxicity: deadline_ms 2000 -> 900", "unknown"),
        ("  - {id: card", "  - {id: card-number", "rule card: is called card-number", "same"),
        ("version: 1", "version: 2", "policy: version 1 -> 2", "same"),
        ("status: live", "status: shadow", "policy: status live -> shadow", "unknown"),
        ("{en: Withheld.}", "{en: Held.}", "rule threat: message in en changed", "same"),
        ("{en: Withheld.}", "{en: Withheld., zh: 已拦截。}", "rule threat: message in zh added", "same"),
        ("category: violence", "category: harassment", "rule threat: category violence -> harassment", "same"),
        ("marks: {watermark: {image: true}}\n", "", "mark watermark (image): removed", "looser"),
    ],
)  # fmt: skip
def test_one_change_is_one_line(before: str, after: str, told: str | None, does: str) -> None:
    """Each as an author would say it."""
    changes = changed((before, after))
    assert [change.effect.value for change in changes].count(does) == 1 or told is None
    assert effect(changes).value == does
    if told is not None:
        assert [str(change) for change in changes] == [told]


def test_rules_come_and_go() -> None:
    """A new rule is named with its action; one that is gone, too."""
    added = changed(("marks:", "  - {id: mail, when: {pii: [EMAIL_ADDRESS]}, action: review, category: privacy}\nmarks:"))
    assert [(str(one), one.effect) for one in added] == [("rule mail: new (review)", Effect.STRICTER)]
    card = BASE[BASE.index("  - {id: card") : BASE.index("marks:")]
    gone = changed((card, ""))
    assert [(str(one), one.effect) for one in gone] == [("rule card: removed (redact)", Effect.LOOSER)]


def test_a_check_by_another_name_is_the_same_check() -> None:
    """Its rules have not changed for it."""
    changes = changed(("  pii: {use", "  personal: {use"), ("{pii: [", "{personal: ["))
    assert [str(change) for change in changes] == ["check pii: is called personal"]
    assert effect(changes) is Effect.SAME


def test_the_same_policy_in_another_spelling_differs_in_nothing() -> None:
    """Order of keys, comments and examples are no part of a policy."""
    text = BASE.replace("any: [{toxicity.threat: 0.6}, {toxicity.insult: 0.9}], stage: output", "stage: output, any: "
                        "[{toxicity.threat: 0.60}, {toxicity.insult: 0.9}]")  # fmt: skip
    assert diff(loads(BASE), loads(text)) == ()


def test_changes_both_ways_are_called_neither() -> None:
    """A lower threshold here and a rule less there: nothing follows for all contents."""
    assert effect(changed(("threat: 0.6", "threat: 0.5"), ("action: block", "action: review"))) is Effect.UNKNOWN


def test_exceptions_and_marks() -> None:
    """More exceptions are looser, fewer are stricter."""
    one = Exemption("pilot", ("block",), "legal", "a trial", datetime(2027, 1, 1, tzinfo=UTC))
    plain = policy([spec("words")], [rule(Action.BLOCK, Found("words"))])
    excepted = replace(plain, exceptions=(one,), revision="1")
    later = replace(plain, exceptions=(replace(one, expires=datetime(2027, 2, 1, tzinfo=UTC)),), revision="2")
    only = replace(plain, exceptions=(replace(one, when=Found("words")),), revision="3")
    assert [(str(c), c.effect.value) for c in diff(plain, excepted)] == [
        ("exception pilot: new (for block until 2027-01-01)", "looser")
    ]
    assert effect(diff(excepted, plain)) is Effect.STRICTER
    assert [str(c) for c in diff(excepted, later)] == ["exception pilot: expires 2027-01-01 -> 2027-02-01"]
    assert effect(diff(excepted, later)) is Effect.LOOSER
    assert effect(diff(excepted, only)) is Effect.STRICTER
    lenient = replace(plain, marks=(MarkSpec("watermark", Modality.IMAGE, on_unmarkable=Action.ALLOW),), revision="4")
    strict = replace(plain, marks=(MarkSpec("watermark", Modality.IMAGE),), revision="5")
    assert [str(c) for c in diff(lenient, strict)] == ["mark watermark (image): on_unmarkable allow -> block"]
    assert effect(diff(lenient, strict)) is Effect.STRICTER


# --- what is claimed holds ---------------------------------------------------------------------------------------------

CHECKS, LABELS = ("a", "b"), ("word", "dark")
scores = st.sampled_from([0, 300, 500, 700, 1000])
leaves = st.one_of(
    st.builds(ScoreAtLeast, st.sampled_from(CHECKS), st.sampled_from([*LABELS, "*"]), scores),
    st.builds(Found, st.sampled_from(CHECKS), st.frozensets(st.sampled_from(LABELS))),
    st.builds(
        lambda check, label, rest, zh: ScoreByLanguage(check, label, (("*", rest), ("zh", zh))),
        st.sampled_from(CHECKS), st.sampled_from([*LABELS, "*"]), scores, scores,
    ),
)  # fmt: skip
conditions: st.SearchStrategy[Condition] = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.builds(Not, inner),
        st.builds(lambda parts: AllOf(tuple(parts)), st.lists(inner, min_size=1, max_size=3)),
        st.builds(lambda parts: AnyOf(tuple(parts)), st.lists(inner, min_size=1, max_size=3)),
    ),
    max_leaves=5,
)
rules = st.builds(
    lambda name, when, action: rule(action, when, name), st.sampled_from("xyz"), conditions, st.sampled_from(Action)
)
rule_sets = st.lists(rules, max_size=3, unique_by=lambda one: one.id)
findings = st.builds(
    Finding, st.just("privacy"), st.sampled_from(LABELS), scores, st.sampled_from([None, Span(0, 3), Span(4, 6)])
)
answers = st.builds(
    lambda found, status, end: (found, status, end),
    st.lists(findings, max_size=3), st.sampled_from([Status.OK, Status.OK, Status.FAILED]), st.sampled_from([10, 10, 5]),
)  # fmt: skip


@st.composite
def pairs(draw: st.DrawFn) -> tuple[Policy, Policy]:
    """Two policies that are near each other: of each rule, often only a part was changed."""
    before: list[Rule] = draw(rule_sets)
    after = [
        replace(one, action=draw(st.sampled_from([one.action, *Action])), when=draw(st.one_of(st.just(one.when), conditions)))
        for one in before
        if draw(st.integers(0, 4))
    ]
    taken = {one.id for one in before}
    after += [one for one in draw(rule_sets) if one.id not in taken]
    specs = [spec("a", on_failure=draw(st.sampled_from([Action.BLOCK, Action.REVIEW, Action.ALLOW]))), spec("b")]
    changed_specs = [replace(specs[0], on_failure=draw(st.sampled_from([Action.BLOCK, Action.ALLOW]))), specs[1]]
    return policy(specs, before), policy(changed_specs, after)


@settings(max_examples=300)
@given(pairs(), answers, answers, st.sampled_from(["en", "zh-Hans"]))
def test_what_is_called_stricter_or_looser_is(pair: tuple[Policy, Policy], a: tuple, b: tuple, language: str) -> None:  # type: ignore[type-arg]
    """For any answers of the checks, no verdict goes the other way."""
    old, new = pair
    results: list[CheckResult] = [
        result(name, *found, status=status, scanned=Span(0, end))
        for name, (found, status, end) in zip(CHECKS, (a, b), strict=True)
    ]
    where = context(language=language)
    before, after = (decide(one, results, where).action.strength for one in (old, new))
    found = effect(diff(old, new))
    assert found is not Effect.STRICTER or after >= before
    assert found is not Effect.LOOSER or after <= before
    assert found is not Effect.SAME or after == before
