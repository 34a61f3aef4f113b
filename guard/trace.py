"""Why a condition holds or does not: its tree with what was measured at every leaf.

`guard.conditions.evaluate` says why a condition holds; this also says how far others are from it, for those who write policies.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from guard.conditions import evaluate, words
from guard.rules import AllOf, AnyOf, Condition, Found, Not, ScoreAtLeast, ScoreByLanguage
from guard.types import CheckResult, Context, Finding


@dataclass(frozen=True, slots=True)
class Step:
    """A condition with its value and what it was read from."""

    words: str
    """The condition: `toxicity.threat at least 0.600`; `all`, `any` or `not` for those made of others."""
    value: bool | None
    """None: unknown, because a check did not run to its end."""
    measured: str = ""
    """What was found: `0.410`, `CREDIT_CARD (2)`, `output`; empty for a condition made of others."""
    distance: int | None = None
    """Of a score: how far it is from its threshold, per mille; negative when below. None where nothing was reported."""
    parts: tuple[Step, ...] = ()
    answered: bool = True
    """Whether the check that it asks gave any result; False also for one that does not read such a content."""


def trace(condition: Condition, known: Mapping[str, CheckResult], context: Context) -> Step:
    """The tree of a condition. `known`: results of checks that ran (`guard.conditions.measured`)."""
    match condition:
        case AllOf(conditions):
            return _several("all", condition, conditions, known, context)
        case AnyOf(conditions):
            return _several("any", condition, conditions, known, context)
        case Not(inner):
            return _several("not", condition, (inner,), known, context)
        case ScoreAtLeast() | ScoreByLanguage():
            return _score(condition, known, context)
        case Found():
            found, answered = _found(condition, known), condition.check in known
            return Step(words(condition), evaluate(condition, known, context).value, found, answered=answered)
        case _:
            truth = evaluate(condition, known, context)
            return Step(words(condition), truth.value, "; ".join(truth.because) or "not known")


def _several(
    name: str,
    condition: Condition,
    conditions: tuple[Condition, ...],
    known: Mapping[str, CheckResult],
    context: Context,
) -> Step:
    parts = tuple(trace(one, known, context) for one in conditions)
    value = evaluate(condition, known, context).value
    return Step(name, value, parts=parts, answered=any(part.answered for part in parts))


def _score(condition: ScoreAtLeast | ScoreByLanguage, known: Mapping[str, CheckResult], context: Context) -> Step:
    score = condition.score if isinstance(condition, ScoreAtLeast) else condition.at(context.language)
    value, result = evaluate(condition, known, context).value, known.get(condition.check)
    said = words(condition)
    if isinstance(condition, ScoreByLanguage):
        said += f"; here {score / 1000:.3f} ({context.language})"
    if result is None:
        return Step(said, value, f"check {condition.check} gave no result", answered=False)
    found = [one for one in result.findings if condition.label in ("*", one.label)]
    if not found:
        return Step(said, value, "not reported")
    top = max(found, key=lambda one: one.score)
    name = f"{top.label} " if condition.label == "*" else ""
    return Step(said, value, f"{name}{top.score / 1000:.3f}", top.score - score)


def _found(condition: Found, known: Mapping[str, CheckResult]) -> str:
    result = known.get(condition.check)
    if result is None:
        return f"check {condition.check} gave no result"
    wanted = [one for one in result.findings if not condition.labels or one.label in condition.labels]
    return _counted(wanted) or (f"nothing of it; other labels: {_counted(result.findings)}" if result.findings else "nothing")


def _counted(findings: tuple[Finding, ...] | list[Finding]) -> str:
    names: dict[str, int] = {}
    for one in findings:
        names[one.label] = names.get(one.label, 0) + 1
    return ", ".join(name if count == 1 else f"{name} ({count})" for name, count in names.items())
