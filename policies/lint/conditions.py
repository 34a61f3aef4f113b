"""Lints on one rule's condition: thresholds that mean something else than they say, and parts without effect."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import permutations

from guard.rules import AllOf, AnyOf, Condition, Rule
from guard.types import Action
from policies.conditions import ConditionReader
from policies.implication import implies, within
from policies.lint.registry import Level, Note, lint
from policies.lint.subject import Subject, Threshold, measures, thresholds, written
from policies.mistake import Mistakes, Position, describe
from policies.source import Node

_PATTERNS = ("tenant", "generator", "language")
"""Facts that are given as patterns."""


@lint(
    "zero-threshold",
    Level.WARNING,
    "A threshold of 0 holds for whatever the check reports.",
    why="""A check reports what it takes for possible, so `at least 0` fires on its weakest suspicion. Write a threshold, or,
    where anything found should count at whatever score, say so: `check: LABEL` or `check: any`.""",
)
def _zero_threshold(subject: Subject) -> Iterator[Note]:
    for one, scope in _thresholds(subject):
        if one.value == 0:
            yield Note(one.at, f"{one.key!r} with threshold 0, which anything reported reaches", "a score above 0", scope)


@lint(
    "certain-threshold",
    Level.WARNING,
    "A threshold of 1 on a check whose scores are estimates is reached almost never.",
    why="""A model's estimate comes near 1 and does not get there, so the rule hardly ever fires. Choose a threshold on
    labelled texts: `genguard eval CHECK FILE --choose-threshold RATE` finds the lowest one with that rate of false alarms.""",
)
def _certain_threshold(subject: Subject) -> Iterator[Note]:
    for one, scope in _thresholds(subject):
        # By language it is a way to leave a language out.
        if one.value == 1 and not one.by_language and subject.traits(one.check).estimates:
            yield Note(one.at, f"{one.key!r} with threshold 1, which an estimate does not reach", "a score below 1", scope)


@lint(
    "unreported-threshold",
    Level.WARNING,
    "A threshold lies below what the check reports.",
    why="""Findings below the check's own parameter (`report_from`, `min_score`) are never reported, so the threshold that
    counts is that one, and lowering the rule's changes nothing. Raise the threshold to what it is, or lower the parameter.""",
)
def _unreported_threshold(subject: Subject) -> Iterator[Note]:
    for one, scope in _thresholds(subject):
        least = subject.traits(one.check).reports_from / 1000
        if 0 < one.value < least:
            yield Note(
                one.at,
                f"{one.key!r} with threshold {one.value:g}, and check {one.check!r} that reports nothing below {least:g}",
                f"a threshold from {least:g}, or a lower `report_from` or `min_score` of the check",
                scope,
            )


def _thresholds(subject: Subject) -> Iterator[tuple[Threshold, Position]]:
    """Every threshold of every rule, with the place where the rule begins."""
    for rule, at in subject.rules():
        for one in thresholds(subject.rule_node(rule.id).entries["when"].node, subject):
            yield one, at


@lint(
    "idle-condition",
    Level.WARNING,
    "A part of a condition changes nothing.",
    why="""Under `any`, an alternative that implies another one adds nothing; where all parts have to hold, a part that another
    one implies takes nothing away. Often two thresholds were mixed up, or one line was forgotten. Take the part out, or make
    it say what was meant.""",
)
def _idle_condition(subject: Subject) -> Iterator[Note]:
    for rule, at in subject.rules():
        for place, told in _idle(subject.rule_node(rule.id).entries["when"].node, rule, subject):
            yield Note(place, told, "a part that makes a difference, or none", at)


def _idle(node: Node, rule: Rule, subject: Subject) -> Iterator[tuple[Position, str]]:
    """Parts without effect, outside of `not`: there, a part may decide whether the whole is unknown."""
    for key in ("any", "all"):
        items = node.entries[key].node.items if key in node.entries else []
        read = [(item.at, condition) for item in items if (condition := _read(item, subject)) is not None]
        yield from _alternatives(read, rule) if key == "any" else _demands(read, rule)
        for item in items:
            yield from _idle(item, rule, subject)
    keys = [
        (entry.at, condition)
        for key, entry in node.entries.items()
        if (condition := _read(Node(entry.at, {key: entry}), subject)) is not None
    ]
    yield from _demands(keys, rule)


def _alternatives(parts: Sequence[tuple[Position, Condition]], rule: Rule) -> Iterator[tuple[Position, str]]:
    for (at, one), (place, other) in _pairs(parts):
        # What an alternative found is cut as well.
        if rule.action is not Action.REDACT or all(not isinstance(part, AllOf | AnyOf) for part in (one, other)):
            yield at, f"an alternative that holds only where the one on line {place.line} does"


def _demands(parts: Sequence[tuple[Position, Condition]], rule: Rule) -> Iterator[tuple[Position, str]]:
    for (place, _), (at, other) in _pairs(parts):
        if rule.action is not Action.REDACT or not any(True for _ in measures(other)):
            yield at, f"a part that always holds where the one on line {place.line} does"


def _pairs(
    parts: Sequence[tuple[Position, Condition]],
) -> Iterator[tuple[tuple[Position, Condition], tuple[Position, Condition]]]:
    """Pairs of which the first implies the second by itself, whatever its check reads; of equals, one pair."""
    told: set[tuple[int, int]] = set()
    for (n, one), (m, other) in permutations(enumerate(parts), 2):
        if (m, n) not in told and implies(one[1], other[1]):
            told.add((n, m))
            yield one, other


def _read(node: Node, subject: Subject) -> Condition | None:
    return ConditionReader(subject.checks, {}, Mistakes(subject.loaded.file)).read(node)


@lint(
    "idle-pattern",
    Level.WARNING,
    "A pattern matches nothing that another one beside it does not match.",
    why="""In a list of patterns one is enough. A pattern that another one covers looks like a limit and is none: with
    `["*", "shop-*"]` every tenant is meant. Take out the one that is not meant.""",
)
def _idle_pattern(subject: Subject) -> Iterator[Note]:
    root = subject.loaded.root.entries
    if "applies_to" in root:
        for entry in root["applies_to"].node.entries.values():
            yield from _covered(entry.node.items, entry.at)
    for rule, at in subject.rules():
        for key, entry in written(subject.rule_node(rule.id).entries["when"].node):
            if key in _PATTERNS:
                yield from _covered(entry.node.items, at)


def _covered(items: Sequence[Node], scope: Position) -> Iterator[Note]:
    texts = [(item.at, item.value) for item in items if isinstance(item.value, str)]
    for index, (at, pattern) in enumerate(texts):
        others = [other for place, other in enumerate(texts) if place != index and within(pattern, other[1])]
        kept = [one for one in others if one[1] != pattern or one[0] < at]
        if kept:
            yield Note(at, f"{describe(pattern)} beside {describe(kept[0][1])}, which covers it", "one of them", scope)
