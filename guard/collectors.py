"""Conditions as functions that say why they hold, for rules whose predicate said that they do.

What they collect is what `guard.conditions.evaluate` gives as findings and words, without values that nobody asks for again.
"""

from __future__ import annotations

from collections.abc import Callable

from guard.conditions import clock_moment, listing, words
from guard.predicates import Facts, Predicate, predicate
from guard.rules import AllOf, AnyOf, Attribute, Clock, Condition, Found, Length, Not, ScoreAtLeast, ScoreByLanguage
from guard.types import Finding

Collector = Callable[[Facts, list[Finding], list[str]], None]
"""Adds the findings and the words that show why a condition holds; called only when it does."""


def collector(condition: Condition) -> Collector:
    """The collector of a condition."""
    match condition:
        case AllOf(conditions):
            return _every(tuple(collector(one) for one in conditions))
        case AnyOf(conditions):
            return _some(tuple((predicate(one), collector(one)) for one in conditions))
        case Not(inner):
            said = f"not ({words(inner)})"
            return lambda _facts, _findings, told: told.append(said)
        case Attribute() | Length() | Clock():
            return _fact(condition)
        case _:
            return _measure(condition)


def _every(parts: tuple[Collector, ...]) -> Collector:
    def collect(facts: Facts, findings: list[Finding], told: list[str]) -> None:
        for part in parts:
            part(facts, findings, told)

    return collect


def _some(parts: tuple[tuple[Predicate, Collector], ...]) -> Collector:
    def collect(facts: Facts, findings: list[Finding], told: list[str]) -> None:
        for holds, part in parts:
            if holds(facts) is True:
                part(facts, findings, told)

    return collect


def _fact(condition: Attribute | Length | Clock) -> Collector:
    if isinstance(condition, Attribute):
        name = condition.name
        return lambda facts, _findings, told: told.append(f"{name} is {getattr(facts.context, name)}")
    if isinstance(condition, Length):
        return lambda facts, _findings, told: told.append(f"length is {facts.context.length}")
    return lambda facts, _findings, told: told.append(clock_moment(condition, facts.context))


def _measure(condition: ScoreAtLeast | ScoreByLanguage | Found) -> Collector:
    check = condition.check
    if isinstance(condition, Found):
        labels = condition.labels

        def found(facts: Facts, findings: list[Finding], told: list[str]) -> None:
            here = [one for one in facts.known[check].findings if not labels or one.label in labels]
            findings += here
            told.append(f"{check} found {listing(here)}")

        return found
    if isinstance(condition, ScoreAtLeast):
        return _scored(check, condition.label, condition.score)
    by_language = {score: _scored(check, condition.label, score) for _, score in condition.scores}
    return lambda facts, findings, told: by_language[condition.at(facts.context.language)](facts, findings, told)


def _scored(check: str, label: str, least: int) -> Collector:
    asked, anything = f" is at least {least / 1000:.3f}", label == "*"

    def scored(facts: Facts, findings: list[Finding], told: list[str]) -> None:
        for one in facts.known[check].findings:
            if (anything or one.label == label) and one.score >= least:
                findings.append(one)
                told.append(f"{check}.{one.label} {one.score / 1000:.3f}{asked}")

    return scored
