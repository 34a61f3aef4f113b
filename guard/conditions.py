"""Evaluates a rule's conditions over check results.

Conditions are three-valued. What asks a check that did not run to its end is neither true nor false, and neither is its
contrary: such a check is the business of `on_failure`, never of a rule.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from guard.rules import AllOf, AnyOf, Attribute, Condition, Found, Not, ScoreAtLeast, matches
from guard.types import CheckResult, Context, Finding, Modality, Region, Span, Status


@dataclass(frozen=True, slots=True)
class Truth:
    """A condition's value (None: unknown) with the findings and words that show why."""

    value: bool | None
    findings: tuple[Finding, ...] = ()
    because: tuple[str, ...] = ()


_Results = Mapping[str, CheckResult]


def covers(scanned: Span | Region | None, context: Context) -> bool:
    """Whether a check read the whole content. Images are read whole or not at all."""
    if context.modality is Modality.IMAGE:
        return isinstance(scanned, Region)
    return isinstance(scanned, Span) and scanned.start == 0 and scanned.end >= context.length


def measured(results: Sequence[CheckResult]) -> dict[str, CheckResult]:
    """The results that conditions may ask, by check: those of checks that ran."""
    return {result.check: result for result in results if result.status is Status.OK}


def evaluate(condition: Condition, known: _Results, context: Context) -> Truth:
    """The value of a condition, with the findings and the words that show why it holds."""
    match condition:
        case ScoreAtLeast(check, label, score):
            return _leaf(
                known.get(check),
                context,
                lambda finding: label in ("*", finding.label) and finding.score >= score,
                lambda found: tuple(
                    f"{check}.{finding.label} {finding.score / 1000:.3f} is at least {score / 1000:.3f}" for finding in found
                ),
            )
        case Found(check, labels):
            return _leaf(
                known.get(check),
                context,
                lambda finding: not labels or finding.label in labels,
                lambda found: (f"{check} found {_listing(found)}",),
            )
        case Attribute(name, patterns):
            value = str(getattr(context, name))
            return Truth(matches(value, patterns), (), (f"{name} is {value}",))
        case Not(inner):
            truth = evaluate(inner, known, context)
            return Truth(None if truth.value is None else not truth.value, (), (f"not ({_words(inner)})",))
        case AllOf(conditions):
            return _all([evaluate(one, known, context) for one in conditions])
        case AnyOf(conditions):
            return _any([evaluate(one, known, context) for one in conditions])


def _leaf(
    result: CheckResult | None,
    context: Context,
    wanted: Callable[[Finding], bool],
    words: Callable[[list[Finding]], tuple[str, ...]],
) -> Truth:
    if result is None:
        return Truth(None)
    found = [finding for finding in result.findings if wanted(finding)]
    if found:
        return Truth(True, tuple(found), words(found))
    return Truth(False if covers(result.scanned, context) else None)


def _all(truths: list[Truth]) -> Truth:
    if any(truth.value is False for truth in truths):
        return Truth(False)
    if any(truth.value is None for truth in truths):
        return Truth(None)
    return _joined(truths)


def _any(truths: list[Truth]) -> Truth:
    held = [truth for truth in truths if truth.value is True]
    if held:
        return _joined(held)
    return Truth(None if any(truth.value is None for truth in truths) else False)


def _joined(truths: list[Truth]) -> Truth:
    return Truth(
        True,
        tuple(finding for truth in truths for finding in truth.findings),
        tuple(word for truth in truths for word in truth.because),
    )


def _listing(found: Iterable[Finding]) -> str:
    """`CREDIT_CARD, PERSON (2)`, or the titles of the works that matched."""
    counts = Counter(
        f"{finding.match.title!r} ({finding.match.method} distance {finding.match.distance} of {finding.match.limit})"
        if finding.match
        else finding.label
        for finding in found
    )
    return ", ".join(name if count == 1 else f"{name} ({count})" for name, count in counts.items())


def _words(condition: Condition) -> str:
    match condition:
        case ScoreAtLeast(check, label, score):
            return f"{check}.{label} at least {score / 1000:.3f}"
        case Found(check, labels):
            return f"{check} found {', '.join(sorted(labels)) or 'anything'}"
        case Attribute(name, patterns):
            return f"{name} is {' or '.join(patterns)}"
        case Not(inner):
            return f"not ({_words(inner)})"
        case AllOf(conditions):
            return " and ".join(_words(one) for one in conditions)
        case AnyOf(conditions):
            return " or ".join(_words(one) for one in conditions)
