"""Evaluates a rule's conditions over check results.

Conditions are three-valued. What asks a check that did not run to its end is neither true nor false, and neither is its
contrary: such a check is the business of `on_failure`, never of a rule.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple
from zoneinfo import ZoneInfo

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
from guard.types import CheckResult, Context, Finding, Modality, Region, Span, Status

DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")

_OK = Status.OK


class Truth(NamedTuple):
    """A condition's value (None: unknown) with the findings and words that show why."""

    value: bool | None
    findings: tuple[Finding, ...] = ()
    because: tuple[str, ...] = ()


_Results = Mapping[str, CheckResult]


def covers(scanned: Span | Region | None, context: Context) -> bool:
    """Whether a check read the whole content. Images are read whole or not at all, of audio its file's bytes count."""
    if context.modality is Modality.IMAGE:
        return isinstance(scanned, Region)
    return isinstance(scanned, Span) and scanned.start == 0 and scanned.end >= context.length


def measured(results: Sequence[CheckResult]) -> dict[str, CheckResult]:
    """The results that conditions may ask, by check: those of checks that ran."""
    return {result.check: result for result in results if result.status is _OK}


def evaluate(condition: Condition, known: _Results, context: Context) -> Truth:
    """The value of a condition, with the findings and the words that show why it holds."""
    match condition:
        case ScoreAtLeast() | Found() | ScoreByLanguage():
            return _measured(condition, known, context)
        case AllOf(conditions):
            return _all([evaluate(one, known, context) for one in conditions])
        case AnyOf(conditions):
            return _any([evaluate(one, known, context) for one in conditions])
        case Not(inner):
            truth = evaluate(inner, known, context)
            return Truth(None if truth.value is None else not truth.value, (), (f"not ({words(inner)})",))
        case _:
            return _fact(condition, context)


def _measured(condition: ScoreAtLeast | ScoreByLanguage | Found, known: _Results, context: Context) -> Truth:
    check, result = condition.check, known.get(condition.check)
    if result is None:
        return Truth(None)
    if isinstance(condition, Found):
        labels = condition.labels
        found = tuple([one for one in result.findings if not labels or one.label in labels])
        because: tuple[str, ...] = (f"{check} found {listing(found)}",) if found else ()
    else:
        label = condition.label
        score = condition.score if isinstance(condition, ScoreAtLeast) else condition.at(context.language)
        found = tuple([one for one in result.findings if one.score >= score and label in ("*", one.label)])
        because = tuple([f"{check}.{one.label} {one.score / 1000:.3f} is at least {score / 1000:.3f}" for one in found])
    if found:
        return Truth(True, found, because)
    return Truth(False if covers(result.scanned, context) else None)


def _fact(condition: Attribute | Length | Clock, context: Context) -> Truth:
    if isinstance(condition, Attribute):
        value = str(getattr(context, condition.name))
        return Truth(matches(value, condition.patterns), (), (f"{condition.name} is {value}",))
    if isinstance(condition, Clock):
        return _clock(condition, context)
    held = context.length >= condition.at_least and (condition.below is None or context.length < condition.below)
    return Truth(held, (), (f"length is {context.length}",))


def _clock(condition: Clock, context: Context) -> Truth:
    if context.time is None:
        return Truth(None)
    local = context.time.astimezone(ZoneInfo(condition.zone))
    minute, held = local.hour * 60 + local.minute, True
    if condition.hours is not None:
        first, last = condition.hours
        held = first <= minute < last if first <= last else minute >= first or minute < last
    if condition.days:
        held = held and local.weekday() in condition.days
    held = held and (condition.since is None or context.time >= condition.since)
    held = held and (condition.until is None or context.time < condition.until)
    return Truth(held, (), (clock_moment(condition, context),))


def clock_moment(condition: Clock, context: Context) -> str:
    """What time it was where a condition looks at the clock."""
    if context.time is None:
        return "nobody said what time it is"
    local = context.time.astimezone(ZoneInfo(condition.zone))
    return f"the time is {DAYS[local.weekday()]} {local:%H:%M} ({condition.zone}), {local:%Y-%m-%d}"


def _all(truths: list[Truth]) -> Truth:
    values = [truth.value for truth in truths]
    if False in values:
        return Truth(False)
    return Truth(None) if None in values else _joined(truths)


def _any(truths: list[Truth]) -> Truth:
    held = [truth for truth in truths if truth.value is True]
    if held:
        return _joined(held)
    return Truth(None if None in [truth.value for truth in truths] else False)


def _joined(truths: list[Truth]) -> Truth:
    if len(truths) == 1:
        return truths[0]
    return Truth(
        True,
        tuple([finding for truth in truths for finding in truth.findings]),
        tuple([word for truth in truths for word in truth.because]),
    )


def listing(found: Sequence[Finding]) -> str:
    """`CREDIT_CARD, PERSON (2)`, or the titles of the works that matched."""
    if len(found) == 1:
        return _named(found[0])
    counts = Counter(map(_named, found))
    return ", ".join(name if count == 1 else f"{name} ({count})" for name, count in counts.items())


def _named(finding: Finding) -> str:
    match = finding.match
    if match is None:
        return finding.label
    return f"{match.title!r} ({match.method} distance {match.distance} of {match.limit})"


def clock_words(condition: Clock) -> str:
    """The times of a condition: `on Saturday, Sunday from 18:00 to 08:00 (Europe/Berlin)`."""
    parts = []
    if condition.days:
        parts.append("on " + ", ".join(DAYS[day] for day in sorted(condition.days)))
    if condition.hours is not None:
        first, last = condition.hours
        parts.append(f"from {first // 60:02}:{first % 60:02} to {last // 60:02}:{last % 60:02}")
    parts += [f"since {condition.since:%Y-%m-%d %H:%M}"] if condition.since else []
    parts += [f"until {condition.until:%Y-%m-%d %H:%M}"] if condition.until else []
    return f"{' '.join(parts)} ({condition.zone})"


def words(condition: Condition) -> str:
    """A condition in words: `toxicity.threat at least 0.600 and stage is output`."""
    match condition:
        case Not(inner):
            return f"not ({words(inner)})"
        case AllOf(conditions):
            return " and ".join(words(one) for one in conditions)
        case AnyOf(conditions):
            return " or ".join(words(one) for one in conditions)
        case _:
            return _leaf_words(condition)


def _leaf_words(condition: ScoreAtLeast | ScoreByLanguage | Found | Attribute | Length | Clock) -> str:
    match condition:
        case ScoreAtLeast(check, label, score):
            told = f"{check}.{label} at least {score / 1000:.3f}"
        case ScoreByLanguage(check, label, scores):
            each = ", ".join(f"{score / 1000:.3f} ({language})" for language, score in scores)
            told = f"{check}.{label} at least {each}"
        case Found(check, labels):
            told = f"{check} found {', '.join(sorted(labels)) or 'anything'}"
        case Attribute(name, patterns):
            told = f"{name} is {' or '.join(patterns)}"
        case Length(at_least, below):
            told = f"length from {at_least}" + ("" if below is None else f" and below {below}")
        case Clock():
            told = clock_words(condition)
    return told
