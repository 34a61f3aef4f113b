"""Lints on rules against one another: those that cannot fire, and those that decide nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import permutations

from guard.redact import TEXT_OPERATORS
from guard.rules import AllOf, AnyOf, Clock, Condition, Found, Length, Not, Rule, ScoreAtLeast, ScoreByLanguage
from guard.types import Action
from policies.conditions import same_key
from policies.implication import implies, never, normal
from policies.lint.registry import Level, Note, lint
from policies.lint.subject import Subject, measures

_NOWHERE = Length(0, 0)


@lint(
    "never-fires",
    Level.ERROR,
    "The parts of a rule's condition exclude one another.",
    why="""A rule that no content can meet protects nobody, and looks as if it did. Two parts that have to hold together never
    do, such as a score of at least 0.8 that is also `not` at least 0.5, or two tenants at once. Write them as alternatives
    under `any`, or take one out.""",
)
def _never_fires(subject: Subject) -> Iterator[Note]:
    for rule, at in subject.rules():
        if never(rule.when, subject.checks):
            yield Note(
                subject.rule(rule.id, "when"), "parts that never hold together", "a condition that some content can meet", at
            )


@lint(
    "time-over",
    Level.WARNING,
    "A rule's time is over.",
    why="""The condition holds until a moment that has passed, so the rule never fires again. Set a later moment, or take the
    rule out: its past decisions stay explained, because the ledger keeps the policy that made them.""",
)
def _time_over(subject: Subject) -> Iterator[Note]:
    for rule, at in subject.rules():
        later = _after(rule.when, subject)
        if later != rule.when and never(later, subject.checks) and not never(rule.when, subject.checks):
            yield Note(
                subject.rule(rule.id, "when"),
                f"a condition that held for the last time before {subject.now:%Y-%m-%d}",
                "a time that is not over, or no such rule",
                at,
            )


def _after(condition: Condition, subject: Subject) -> Condition:
    """What is left of a condition from now on."""
    match condition:
        case Clock(until=until) if until is not None and until <= subject.now:
            return _NOWHERE
        case AllOf(parts) | AnyOf(parts):
            return type(condition)(tuple(_after(part, subject) for part in parts))
        case Not(inner):
            return Not(_after(inner, subject))
        case _:
            return condition


@lint(
    "never-decides",
    Level.WARNING,
    "A rule never decides anything: wherever it fires, a rule at least as strict fires too.",
    why="""The strictest action of all rules that fire wins. A rule whose condition implies that of a stricter one is recorded
    and changes nothing; often its author meant an exception from the stricter rule, which has to be written into that rule
    with `not`. Rules with the action `allow`, which are there to be recorded, and rules that tell the person, the record or
    another category something of their own do not count.""",
)
def _never_decides(subject: Subject) -> Iterator[Note]:
    for rule, other in _covered(subject):
        if not _by_threshold(rule, other):
            line = subject.rule(other.id).line
            yield Note(
                subject.rule(rule.id, "when"),
                f"a rule that decides nothing: wherever it fires, rule {other.id!r} on line {line} fires too "
                f"({_deed(other)} against {_deed(rule)})",
                "a condition that is not covered, a stricter action, or no such rule",
                subject.rule(rule.id),
            )


@lint(
    "overlapping-thresholds",
    Level.WARNING,
    "Two rules ask for the same scores, and the one with the higher threshold never decides anything.",
    why="""Of two rules on the same label the one with the lower threshold fires wherever the other does. When it is also at
    least as strict, the other one changes nothing: usually the two thresholds or the two actions were mixed up. Give the
    stricter action the higher threshold, or take one of the rules out.""",
)
def _overlapping_thresholds(subject: Subject) -> Iterator[Note]:
    for rule, other in _covered(subject):
        if _by_threshold(rule, other):
            yield Note(
                subject.rule(rule.id, "when"),
                f"{_told(rule)} for {rule.action.value} above {_told(other)} for {other.action.value} in rule {other.id!r} on "
                f"line {subject.rule(other.id).line}",
                "the higher threshold at the stricter action",
                subject.rule(rule.id),
            )


def _covered(subject: Subject) -> Iterator[tuple[Rule, Rule]]:
    """Each rule that decides nothing, with the first rule that covers it."""
    excused = {rule for one in subject.policy.exceptions for rule in one.rules}
    order = {rule.id: index for index, rule in enumerate(subject.policy.rules)}
    seen: set[str] = set()
    for rule, other in permutations(subject.policy.rules, 2):
        if rule.id in seen or other.id in excused or not _outdone(rule, other, earlier=order[rule.id] < order[other.id]):
            continue
        if never(rule.when, subject.checks) or not implies(rule.when, other.when, subject.checks):
            continue
        if rule.action is Action.REDACT and other.action is Action.REDACT and not _same_places(rule, other):
            continue
        seen.add(rule.id)
        yield rule, other


def _outdone(rule: Rule, other: Rule, *, earlier: bool) -> bool:
    """Whether a rule adds nothing to what another one does where both fire. `earlier`: it stands before the other."""
    if rule.action is Action.ALLOW or (rule.action is Action.LABEL and other.action is not Action.BLOCK):
        return False
    spoken = not rule.message or rule.message == other.message or (bool(other.message) and not earlier)
    if rule.action is Action.REDACT:
        # What is held for review is redacted all the same; what has no place is blocked, with the rule's own message.
        gone = other.action is Action.REDACT and _gentler(rule.operator, other.operator)
        return spoken and (other.action is Action.BLOCK or gone)
    if rule.action is not other.action:
        return other.action.strength > rule.action.strength
    return spoken and (rule.category, rule.basis) == (other.category, other.basis)


def _gentler(operator: str, other: str) -> bool:
    return operator in TEXT_OPERATORS and other in TEXT_OPERATORS and _rank(operator) < _rank(other)


def _rank(operator: str) -> int:
    return list(TEXT_OPERATORS).index(operator)


def _same_places(rule: Rule, other: Rule) -> bool:
    """Whether what a rule cuts is cut by another: both ask one thing, outside of alternatives."""
    asked, wanted = list(measures(rule.when)), list(measures(other.when))
    if len(asked) != 1 or len(wanted) != 1 or asked[0][1] or wanted[0][1]:
        return False
    return implies(asked[0][0], wanted[0][0])


def _by_threshold(rule: Rule, other: Rule) -> bool:
    """Whether two conditions differ in nothing but scores."""
    return same_key(_scoreless(normal(rule.when))) == same_key(_scoreless(normal(other.when)))


def _scoreless(condition: Condition) -> Condition:
    match condition:
        case ScoreAtLeast():
            return replace(condition, score=0)
        case ScoreByLanguage(check, label):
            return ScoreAtLeast(check, label, 0)
        case Found(check, labels) if len(labels) < 2:
            return ScoreAtLeast(check, next(iter(labels), "*"), 0)
        case AllOf(parts) | AnyOf(parts):
            return type(condition)(tuple(_scoreless(part) for part in parts))
        case Not(inner):
            return Not(_scoreless(inner))
        case _:
            return condition


def _told(rule: Rule) -> str:
    """The thresholds of a rule: `toxicity.threat 0.8`."""
    told = []
    for measure, _ in measures(rule.when):
        if isinstance(measure, Found):
            told.append(f"{measure.check} {', '.join(sorted(measure.labels)) or 'any'}")
        elif isinstance(measure, ScoreAtLeast):
            told.append(f"{measure.check}{'' if measure.label == '*' else '.' + measure.label} {measure.score / 1000:g}")
        else:
            told.append(f"{measure.check}.{measure.label} by language")
    return ", ".join(dict.fromkeys(told))


def _deed(rule: Rule) -> str:
    return f"{rule.action.value} {rule.operator}".strip()
