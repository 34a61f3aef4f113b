"""Reads the `when` of a rule, and proves that it can hold.

A condition is checked against every stage and modality there is: what no combination can make true is a mistake, because a
rule that can never match protects nobody.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product

from guard.following import SILENT
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
from guard.traits import PLAIN, Traits
from guard.types import Modality, Stage
from policies.document import canonical
from policies.encoding import encode
from policies.facts import ENUMS, FACTS, fact, texts
from policies.mistake import Mistakes, Position, describe, listed, one_of
from policies.scores import EVERY, per_mille, scores_by_language
from policies.source import Node

COMBINATIONS = ("any", "all", "not")
RESERVED = (*COMBINATIONS, *FACTS)
"""Words of the language, which no check can have as its name."""
ANYTHING = "any"
"""`check: any` asks for anything that the check found."""
MAX_DEPTH = 12


@dataclass(frozen=True, slots=True)
class Known:
    """A check as conditions see it. `labels` is None when its entry has mistakes of its own."""

    name: str
    labels: Mapping[str, str] | None
    modalities: frozenset[Modality]
    stages: frozenset[Stage]
    traits: Traits = PLAIN
    whole: str = SILENT
    """Why it has to see all of a text at once; empty when it can follow one that is being made."""

    def runs(self, stage: Stage, modality: Modality) -> bool:
        """Whether it measures such a content."""
        return stage in self.stages and modality in self.modalities


@dataclass(frozen=True, slots=True)
class Measure:
    """A place in a condition that asks a check."""

    condition: ScoreAtLeast | ScoreByLanguage | Found
    at: Position
    key: str
    negated: bool


class ConditionReader:
    """Reads one condition; afterwards `measures` has each place that asks a check."""

    def __init__(self, checks: Mapping[str, Known] | None, scope: Mapping[str, tuple[str, ...]], mistakes: Mistakes) -> None:
        """`checks`: None where a condition may ask none. `scope`: patterns of what the policy applies to, by attribute name."""
        self._checks = checks
        self._scope = scope
        self._mistakes = mistakes
        self.measures: list[Measure] = []

    def read(self, node: Node, *, negated: bool = False, depth: int = 0) -> Condition | None:
        """The condition of one mapping; None when it has mistakes, which are then noted."""
        if not node.entries:
            example = "tenant: shop" if self._checks is None else "toxicity.threat: 0.6"
            self._mistakes.add(node.at, node.describe(), f"a condition, such as `{example}`")
            return None
        if depth > MAX_DEPTH:
            self._mistakes.add(node.at, f"conditions nested more than {MAX_DEPTH} deep", "a flatter condition")
            return None
        parts = [self._part(key, entry.at, entry.node, negated, depth) for key, entry in node.entries.items()]
        whole = [part for part in parts if part is not None]
        if len(whole) < len(parts):
            return None
        # Keys of one mapping have no order of their own, so their order must not reach the revision.
        return whole[0] if len(whole) == 1 else AllOf(tuple(sorted(whole, key=lambda part: canonical(encode(part)))))

    def _part(self, key: str, at: Position, node: Node, negated: bool, depth: int) -> Condition | None:
        if key == "not":
            inner = self.read(node, negated=not negated, depth=depth + 1)
            return None if inner is None else Not(inner)
        if key in COMBINATIONS:
            return self._several(key, node, negated, depth)
        if key in FACTS:
            return fact(key, node, self._scope, self._mistakes)
        if self._checks is not None:
            return self._measure(key, at, node, self._checks, negated)
        expected = f"{one_of(RESERVED)}; an exception says for whom, where and when a rule does not count, not what was found"
        hint = self._mistakes.closest(key, RESERVED)
        self._mistakes.add(at, f"the condition {describe(key)} of an exception", expected, hint)
        return None

    def _several(self, key: str, node: Node, negated: bool, depth: int) -> Condition | None:
        if not node.items:
            self._mistakes.add(node.at, f"{node.describe()} under '{key}'", "a list of conditions, at least one")
            return None
        parts = [self.read(item, negated=negated, depth=depth + 1) for item in node.items]
        whole = tuple(part for part in parts if part is not None)
        if len(whole) < len(parts):
            return None
        if len(whole) == 1:
            return whole[0]
        return AnyOf(whole) if key == "any" else AllOf(whole)

    def _measure(self, key: str, at: Position, node: Node, checks: Mapping[str, Known], negated: bool) -> Condition | None:
        name, dot, label = key.partition(".")
        check = checks.get(name)
        if check is None:
            names = [*RESERVED, *checks]
            expected = f"one of this policy's checks ({listed(checks)}) or {', '.join(RESERVED)}"
            self._mistakes.add(at, f"the condition {describe(key)}", expected, self._mistakes.closest(name, names))
            return None
        condition = self._label_score(check, label, at, node) if dot else self._whole(check, node)
        if condition is not None:
            self.measures.append(Measure(condition, at, key, negated))
        return condition

    def _label_score(self, check: Known, label: str, at: Position, node: Node) -> ScoreAtLeast | ScoreByLanguage | None:
        known = self._label(check, label, at)
        score = self._score(check.name, label, node)
        return score if known else None

    def _whole(self, check: Known, node: Node) -> ScoreAtLeast | ScoreByLanguage | Found | None:
        if isinstance(node.value, int | float | dict) and not isinstance(node.value, bool):
            return self._score(check.name, "*", node)
        if node.value == ANYTHING:
            return Found(check.name)
        expected = f"a score from 0 to 1, a label, a list of labels, or `{ANYTHING}`"
        labels = texts(check.name, node, expected, self._mistakes)
        known = [self._label(check, one.value, one.at) for one in labels]
        return Found(check.name, frozenset(one.value for one in labels)) if known and all(known) else None

    def _label(self, check: Known, label: str, at: Position) -> bool:
        if check.labels is None or label in check.labels:
            return True
        found = f"label {describe(label)}, which check {check.name!r} never reports"
        self._mistakes.add(at, found, one_of(check.labels), self._mistakes.closest(label, check.labels))
        return False

    def _score(self, check: str, label: str, node: Node) -> ScoreAtLeast | ScoreByLanguage | None:
        if not isinstance(node.value, dict):
            score = per_mille(node, self._mistakes)
            return None if score is None else ScoreAtLeast(check, label, score)
        scores = scores_by_language(node, self._mistakes)
        if scores is None:
            return None
        if len(scores) == 1:
            return ScoreAtLeast(check, label, scores[EVERY])
        return ScoreByLanguage(check, label, tuple(sorted(scores.items())))


def situations() -> Iterator[tuple[Stage, Modality]]:
    """Every stage with every modality."""
    return product(Stage, Modality)


def truths(
    condition: Condition, checks: Mapping[str, Known], stage: Stage, modality: Modality, *, blind: bool = False
) -> tuple[bool, bool]:
    """Whether a condition can be true, and whether it can be false, for a content of this stage and modality.

    Errs on the side of what is possible. A check that does not run makes neither, as in `guard.conditions`. `blind`: count no
    finding that is asked for outside of a `not`, so that what can still be true holds without any place to cut.
    """
    match condition:
        case ScoreAtLeast(check, _, _) | ScoreByLanguage(check, _, _) | Found(check, _):
            runs = checks[check].runs(stage, modality)
            return runs and not blind, runs
        case Attribute(name, patterns):
            return _attribute_truths(name, patterns, stage, modality)
        case Length() | Clock():
            return True, True
        case Not(inner):
            true, false = truths(inner, checks, stage, modality)
            return false, true
        case AllOf(parts) | AnyOf(parts):
            pairs = [truths(part, checks, stage, modality, blind=blind) for part in parts]
            every, some = (all, any) if isinstance(condition, AllOf) else (any, all)
            return every(true for true, _ in pairs), some(false for _, false in pairs)


def _attribute_truths(name: str, patterns: tuple[str, ...], stage: Stage, modality: Modality) -> tuple[bool, bool]:
    if name in ENUMS:
        held = matches(stage if name == "stage" else modality, patterns)
        return held, not held
    return True, "*" not in patterns


def same_key(condition: Condition) -> str:
    """A text that two conditions share when they only differ in the order of their parts."""
    match condition:
        case AllOf(parts):
            return f"all({','.join(sorted(map(same_key, parts)))})"
        case AnyOf(parts):
            return f"any({','.join(sorted(map(same_key, parts)))})"
        case Not(inner):
            return f"not({same_key(inner)})"
        case Attribute(name, patterns):
            return canonical({"attribute": name, "patterns": sorted(patterns)})
        case _:
            return canonical(encode(condition))
