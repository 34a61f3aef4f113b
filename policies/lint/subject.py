"""What lints look at: a loaded policy, and what of the world around it they may know."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from guard.errors import GenguardError
from guard.protocols import Generator
from guard.registry import generators
from guard.rules import AllOf, AnyOf, CheckSpec, Condition, Found, Not, Policy, Rule, ScoreAtLeast, ScoreByLanguage
from guard.traits import Traits
from policies.conditions import RESERVED, Known
from policies.lint.comments import Allowance
from policies.loaded import LoadedPolicy
from policies.mistake import Position
from policies.source import Entry, Node

Measure = ScoreAtLeast | ScoreByLanguage | Found


@dataclass(frozen=True, slots=True)
class Subject:
    """A policy with everything that lints may ask: they read no clock, no network and no file."""

    loaded: LoadedPolicy
    now: datetime
    """The time that exceptions and conditions on time are held against."""
    hub: bool = True
    """Whether models that a policy names can be fetched from a hub."""
    activating: bool = False
    """Whether the policy is about to be activated."""
    before: Policy | None = None
    """The version before this one, where there is one to compare with."""
    allowances: tuple[Allowance, ...] = ()
    """The comments of its files that allow a finding."""

    @property
    def policy(self) -> Policy:
        """The compiled policy."""
        return self.loaded.policy

    @property
    def checks(self) -> dict[str, Known]:
        """What each check of the policy can report."""
        return dict(self.loaded.checks)

    def traits(self, check: str) -> Traits:
        """What kind of check it is."""
        return self.loaded.checks[check].traits

    def head(self, *path: str) -> Position:
        """Where a key of the file stands, or the file's first one when it has no such key."""
        root = self.loaded.root
        return root.place_of(path) if path and path[0] in root.entries else root.place_of(("policy",))

    def rule_node(self, rule: str) -> Node:
        """The mapping that a rule is written in."""
        return _listed(self.loaded.root, "rules", rule)

    def rule(self, rule: str, *path: str | int) -> Position:
        """Where a rule stands, or a key of it."""
        return self.rule_node(rule).place_of(path)

    def exception(self, exception: str, *path: str | int) -> Position:
        """Where an exception stands, or a key of it."""
        return _listed(self.loaded.root, "exceptions", exception).place_of(path)

    def check(self, check: str, *path: str) -> Position:
        """Where a check stands, or a key of it."""
        return self.loaded.root.place_of(("checks", check, *path))

    def rules(self) -> Iterator[tuple[Rule, Position]]:
        """All rules with the place where each begins."""
        for rule in self.policy.rules:
            yield rule, self.rule(rule.id)

    def specs(self) -> Iterator[tuple[CheckSpec, Position]]:
        """All checks with the place where each stands, in the order of the file."""
        order = {name: index for index, name in enumerate(self.loaded.checks)}
        for spec in sorted(self.policy.checks, key=lambda one: order[one.name]):
            yield spec, self.check(spec.name)

    def generators(self) -> list[Generator] | None:
        """The generators the policy speaks for; None where its patterns leave that open, or name one that is not here."""
        names = generators.names()
        if not set(self.policy.generators) <= set(names):
            return None
        try:
            return [generators.make(name) for name in self.policy.generators]
        except (GenguardError, ImportError, ValueError, TypeError, OSError):
            return None


def _listed(root: Node, section: str, name: str) -> Node:
    """The item of a list of mappings with that id."""
    items = root.entries[section].node.items if section in root.entries else []
    named = (node for node in items if "id" in node.entries and node.entries["id"].node.value == name)
    return next(named, Node(root.at, {}))


def measures(condition: Condition, *, negated: bool = False) -> Iterator[tuple[Measure, bool]]:
    """Every place of a condition that asks a check, with whether it stands under `not`."""
    match condition:
        case Not(inner):
            yield from measures(inner, negated=not negated)
        case AllOf(parts) | AnyOf(parts):
            for part in parts:
                yield from measures(part, negated=negated)
        case ScoreAtLeast() | ScoreByLanguage() | Found():
            yield condition, negated


def labels(measure: Measure, known: Known) -> set[str]:
    """The labels that a place of a condition asks for."""
    every = set(known.labels or ())
    if isinstance(measure, Found):
        return set(measure.labels) or every
    return every if measure.label == "*" else {measure.label}


def written(node: Node) -> Iterator[tuple[str, Entry]]:
    """Every key of a condition as it is written, but `any`, `all` and `not`, with its place and value."""
    for key, entry in node.entries.items():
        if key == "not":
            yield from written(entry.node)
        elif key in ("any", "all"):
            for item in entry.node.items:
                yield from written(item)
        else:
            yield key, entry


@dataclass(frozen=True, slots=True)
class Threshold:
    """A least score as it is written."""

    check: str
    key: str
    """What it is written at: `toxicity.threat`."""
    at: Position
    value: float
    """From 0 to 1."""
    by_language: bool


def thresholds(node: Node, subject: Subject) -> Iterator[Threshold]:
    """Every threshold of a condition; of one by language, each."""
    for key, entry in written(node):
        check = key.partition(".")[0]
        if key in RESERVED or check not in subject.loaded.checks:
            continue
        for one in entry.node.entries.values() or (entry,):
            value = one.node.value
            if isinstance(value, int | float) and not isinstance(value, bool):
                yield Threshold(check, key, one.at, value, one is not entry)
