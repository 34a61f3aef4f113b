"""Conditions as functions that only say whether they hold: what `guard.decide` asks first, for every rule.

`guard.conditions.evaluate` gives the findings and the words besides; it is asked for the few rules that fire. Both always agree
on the value, unknown included.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from guard.conditions import covers, evaluate
from guard.rules import (
    AllOf,
    AnyOf,
    Attribute,
    Clock,
    Condition,
    Found,
    Length,
    Not,
    ScoreAtLeast,
    ScoreByLanguage,
    matches,
)
from guard.types import CheckResult, Context, Modality, Span


class Facts:
    """What the checks found in one content, by what conditions ask for."""

    __slots__ = ("context", "known", "scores", "silence", "tops")

    def __init__(self, known: Mapping[str, CheckResult], context: Context) -> None:
        """`known`: results of checks that ran, by name."""
        self.context = context
        self.known = known
        self.scores: dict[str, dict[str, int]] = {}
        """The highest score by check and label."""
        self.tops: dict[str, int] = {}
        """The highest score of a check that found anything."""
        self.silence: dict[str, bool | None] = {}
        """What it means that a check did not report something: False when it read all, None when it read a part."""
        length, image, silence = context.length, context.modality is Modality.IMAGE, self.silence
        for name, result in known.items():
            read = result.scanned
            # First what `covers` says of nearly all of them: a call takes three times as long.
            whole = (type(read) is Span and not image and read.start == 0 and read.end >= length) or covers(read, context)
            silence[name] = False if whole else None
            if result.findings:
                scores: dict[str, int] = {}
                for finding in result.findings:
                    if finding.score >= scores.get(finding.label, 0):
                        scores[finding.label] = finding.score
                self.scores[name] = scores
                self.tops[name] = max(scores.values())


Predicate = Callable[[Facts], bool | None]


def predicate(condition: Condition) -> Predicate:
    """The function that gives a condition's value: True, False, or None where nobody can know."""
    match condition:
        case AllOf(conditions):
            # Facts of the context cost least and rule out most; the value does not depend on the order.
            ordered = sorted(conditions, key=lambda one: not isinstance(one, Attribute | Length))
            return _all(tuple(predicate(one) for one in ordered))
        case AnyOf(conditions):
            return _any(tuple(predicate(one) for one in conditions))
        case Not(inner):
            return _not(predicate(inner))
        case Attribute() | Length() | Clock():
            return _fact(condition)
        case _:
            return _measure(condition)


def _measure(condition: ScoreAtLeast | ScoreByLanguage | Found) -> Predicate:
    check = condition.check
    if isinstance(condition, Found):
        labels = condition.labels
        if not labels:
            return lambda facts: True if check in facts.tops else facts.silence.get(check)
        return lambda facts: (
            True if (scores := facts.scores.get(check)) and not labels.isdisjoint(scores) else facts.silence.get(check)
        )
    label = condition.label
    if isinstance(condition, ScoreByLanguage):
        by_language = condition
        return lambda facts: _reaches(facts, check, label, by_language.at(facts.context.language))
    score = condition.score
    if label == "*":
        return lambda facts: True if facts.tops.get(check, -1) >= score else facts.silence.get(check)

    def at_least(facts: Facts) -> bool | None:
        scores = facts.scores.get(check)
        return True if scores and scores.get(label, -1) >= score else facts.silence.get(check)

    return at_least


def _reaches(facts: Facts, check: str, label: str, score: int) -> bool | None:
    top = facts.tops.get(check, -1) if label == "*" else facts.scores.get(check, {}).get(label, -1)
    return True if top >= score else facts.silence.get(check)


def _fact(condition: Attribute | Length | Clock) -> Predicate:
    if isinstance(condition, Attribute):
        name, patterns = condition.name, condition.patterns
        if not any(set(pattern) & set("*?[") for pattern in patterns):
            exact = frozenset(patterns)
            return lambda facts: str(getattr(facts.context, name)) in exact
        return lambda facts: matches(str(getattr(facts.context, name)), patterns)
    return lambda facts: evaluate(condition, {}, facts.context).value


def _not(inner: Predicate) -> Predicate:
    def contrary(facts: Facts) -> bool | None:
        value = inner(facts)
        return None if value is None else not value

    return contrary


def _all(parts: tuple[Predicate, ...]) -> Predicate:
    def every(facts: Facts) -> bool | None:
        known: bool | None = True
        for part in parts:
            value = part(facts)
            if value is False:
                return False
            if value is None:
                known = None
        return known

    return every


def _any(parts: tuple[Predicate, ...]) -> Predicate:
    def some(facts: Facts) -> bool | None:
        known: bool | None = False
        for part in parts:
            value = part(facts)
            if value is True:
                return True
            if value is None:
                known = None
        return known

    return some
