"""What was measured for each part of a condition, against what the part asks for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from guard.conditions import evaluate, words
from guard.rules import AllOf, AnyOf, Attribute, Condition, Found, Length, Not, Rule, ScoreAtLeast, ScoreByLanguage
from guard.types import CheckResult, Context

Known = Mapping[str, CheckResult]


@dataclass(frozen=True, slots=True)
class Score:
    """The highest score of a label that a condition asks for; 0 where the check reports none."""

    measure: str
    score: int
    threshold: int
    """Both per mille."""


def checks_of(rule: Rule) -> frozenset[str]:
    """The checks that a rule asks."""
    return frozenset(leaf.check for leaf, _ in leaves(rule.when) if isinstance(leaf, ScoreAtLeast | ScoreByLanguage | Found))


def leaves(condition: Condition, *, negated: bool = False) -> Iterator[tuple[Condition, bool]]:
    """The parts of a condition that combine nothing, each with whether it stands under an odd number of `not`."""
    match condition:
        case Not(inner):
            yield from leaves(inner, negated=not negated)
        case AllOf(parts) | AnyOf(parts):
            for part in parts:
                yield from leaves(part, negated=negated)
        case _:
            yield condition, negated


def score_of(leaf: Condition, known: Known, context: Context) -> Score | None:
    """The score that decides a condition on one; None for other conditions, and where the check gave no answer."""
    if not isinstance(leaf, ScoreAtLeast | ScoreByLanguage) or leaf.check not in known:
        return None
    threshold = leaf.score if isinstance(leaf, ScoreAtLeast) else leaf.at(context.language)
    found = [finding for finding in known[leaf.check].findings if leaf.label in ("*", finding.label)]
    highest = max(found, key=lambda finding: finding.score, default=None)
    label = highest.label if highest else leaf.label
    name = leaf.check if label == "*" else f"{leaf.check}.{label}"
    return Score(name, highest.score if highest else 0, threshold)


def decides(leaf: Condition, rule: Rule, known: Known, context: Context) -> bool:
    """Whether the rule would come out otherwise if this one part of its condition did."""
    return evaluate(_turned(rule.when, leaf), known, context).value is not evaluate(rule.when, known, context).value


def _turned(condition: Condition, leaf: Condition) -> Condition:
    """The condition with one of its parts turned into its contrary."""
    if condition == leaf:
        return Not(leaf)
    match condition:
        case Not(inner):
            return Not(_turned(inner, leaf))
        case AllOf(parts):
            return AllOf(tuple(_turned(part, leaf) for part in parts))
        case AnyOf(parts):
            return AnyOf(tuple(_turned(part, leaf) for part in parts))
        case _:
            return condition


def shortfalls(rule: Rule, known: Known, context: Context) -> list[str]:
    """Why a rule did not fire: every part of its condition that is not as the rule needs it, with what was measured."""
    told = [
        _against(leaf, known, context, negated=negated)
        for leaf, negated in leaves(rule.when)
        if evaluate(leaf, known, context).value is not (not negated)
    ]
    return list(dict.fromkeys(told))


def excesses(rule: Rule, known: Known, context: Context) -> list[str]:
    """Why a rule fired: every part of its condition that is as the rule needs it, with what was measured."""
    told = [
        _holds(leaf, known, context, negated=negated)
        for leaf, negated in leaves(rule.when)
        if evaluate(leaf, known, context).value is (not negated)
    ]
    return list(dict.fromkeys(told))


def _against(leaf: Condition, known: Known, context: Context, *, negated: bool) -> str:
    score = score_of(leaf, known, context)
    if score is not None:
        needs = f"less than {shown(score.threshold)}" if negated else shown(score.threshold)
        return f"{score.measure} is {shown(score.score)}, needs {needs}"
    if negated:
        return f"{words(leaf)}, needs the contrary"
    match leaf:
        case Found():
            told = f"{_found(leaf, known)}, needs {', '.join(sorted(leaf.labels)) or 'anything'}"
        case Attribute(name, patterns):
            told = f"{name} is {getattr(context, name)}, needs {' or '.join(patterns)}"
        case Length():
            told = f"length is {context.length}, needs {words(leaf).removeprefix('length ')}"
        case ScoreAtLeast(check) | ScoreByLanguage(check):
            told = f"{check} does not read this"
        case _:
            told = f"needs: {words(leaf)}"
    return told


def _holds(leaf: Condition, known: Known, context: Context, *, negated: bool) -> str:
    score = score_of(leaf, known, context)
    if score is None:
        return f"not ({words(leaf)})" if negated else "; ".join(evaluate(leaf, known, context).because)
    side = "under" if negated else "over"
    distance = abs(score.score - score.threshold)
    return f"{score.measure} is {shown(score.score)}, {shown(distance)} {side} {shown(score.threshold)}"


def _found(leaf: Found, known: Known) -> str:
    if leaf.check not in known:
        return f"{leaf.check} does not read this"
    labels = sorted({finding.label for finding in known[leaf.check].findings})
    return f"{leaf.check} found {', '.join(labels) or 'nothing'}"


def shown(score: int) -> str:
    """A score as policies write it: `0.60`, `0.615`."""
    text = f"{score / 1000:.3f}"
    return text.removesuffix("0")
