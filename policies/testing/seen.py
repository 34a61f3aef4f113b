"""What tests show of rules: the matter of coverage, and of scores near a threshold."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from guard.conditions import evaluate, words
from guard.rules import Condition, Rule
from guard.types import Context
from policies.conditions import COMBINATIONS, ConditionReader
from policies.loaded import LoadedPolicy
from policies.mistake import Mistakes, Position
from policies.source import Entry, Node
from policies.testing.report import Branch, Coverage, Near
from policies.testing.scores import Known, decides, leaves, score_of


@dataclass(frozen=True, slots=True)
class Seen:
    """A measured content of a test that says something about a rule."""

    at: Position
    """Of the test."""
    test: str
    rule: Rule
    fires: bool
    """Whether the test expects that the rule fires."""
    known: Known
    context: Context


def near(seen: Iterable[Seen], within: int) -> tuple[Near, ...]:
    """The scores that decide a test and lie within a distance, per mille, of their threshold."""
    found = []
    for one in seen:
        for leaf in dict.fromkeys(leaf for leaf, _ in leaves(one.rule.when)):
            score = score_of(leaf, one.known, one.context)
            if (
                score is not None
                and abs(score.score - score.threshold) <= within
                and decides(leaf, one.rule, one.known, one.context)
            ):
                found.append(Near(one.at, one.test, one.rule.id, score.measure, score.score, score.threshold))
    return tuple(found)


def cover(loaded: LoadedPolicy, seen: Iterable[Seen], rules: Sequence[str]) -> Coverage:
    """What tests show of each of these rules: that it fires, that it does not, and each part of its condition both ways."""
    by_rule: dict[str, list[Seen]] = {rule: [] for rule in rules}
    for one in seen:
        by_rule[one.rule.id].append(one)
    wanted = [rule for rule in loaded.policy.rules if rule.id in by_rule]
    return Coverage(tuple(branch for rule in wanted for branch in _branches(loaded, rule, by_rule[rule.id])))


def _branches(loaded: LoadedPolicy, rule: Rule, seen: list[Seen]) -> Iterable[Branch]:
    at = loaded.place_of(rule.id)
    fired = [(one.fires, evaluate(rule.when, one.known, one.context).value is True) for one in seen]
    yield Branch(at, rule.id, "a content at which it fires", (True, True) in fired)
    yield Branch(at, rule.id, "a content at which it does not fire", (False, False) in fired)
    parts = list(_parts(loaded, rule.id))
    if len(parts) < 2:  # then the two above say it all
        return
    for place, leaf in parts:
        values = [evaluate(leaf, one.known, one.context).value for one in seen]
        for value in (True, False):
            yield Branch(place, rule.id, f"{words(leaf)}: {str(value).lower()}", value in values)


def _parts(loaded: LoadedPolicy, rule: str) -> Iterable[tuple[Position, Condition]]:
    """The parts of a rule's condition that combine nothing, as they stand in the file."""
    rules = loaded.root.entries["rules"].node.items
    node = next(node for node in rules if node.entries["id"].node.value == rule)
    reader = ConditionReader(loaded.checks, {}, Mistakes(loaded.file))
    for key, at, value in _keys(node.entries["when"].node):
        leaf = reader.read(Node(at, {key: value}))
        if leaf is not None:
            yield at, leaf


def _keys(node: Node) -> Iterable[tuple[str, Position, Entry]]:
    for key, entry in node.entries.items():
        if key in COMBINATIONS:
            for inner in entry.node.items or [entry.node]:
                yield from _keys(inner)
        else:
            yield key, entry.at, entry
