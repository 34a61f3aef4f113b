"""Holds a policy against an outside taxonomy: which of its items some rule answers, by which checks, and which none does.

An item counts as covered when a rule that does more than record has a category which `guard.taxonomy` maps to it. It means that
the policy acts on harm of this kind, not that it finds all of it: how well a check finds what it looks for is measured apart.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from guard.rules import AllOf, AnyOf, Condition, Found, Policy, Rule, ScoreAtLeast, ScoreByLanguage
from guard.taxonomies import TAXONOMIES, Item, Taxonomy
from guard.taxonomy import CATEGORIES
from guard.types import Action


@dataclass(frozen=True, slots=True)
class Covered:
    """One item of the taxonomy, and what of the policy belongs to it."""

    item: Item
    categories: tuple[str, ...]
    """Our categories that belong to it; empty: no category of ours does, so no rule can."""
    rules: tuple[str, ...]
    """Rules that act on it, in the policy's order."""
    checks: tuple[str, ...]
    """Checks that these rules ask, by their names in the policy."""
    recorded: tuple[str, ...]
    """Rules with the action `allow`, which only write it down."""

    @property
    def gap(self) -> str:
        """Why no rule acts on it, in words; empty where one does."""
        if self.rules:
            return ""
        if self.recorded:
            return f"only recorded, by {', '.join(self.recorded)}"
        if self.categories:
            return f"no rule of category {' or '.join(self.categories)}"
        return "no category of genguard belongs to it"


@dataclass(frozen=True, slots=True)
class Coverage:
    """A policy held against one taxonomy."""

    policy: str
    revision: str
    taxonomy: Taxonomy
    items: tuple[Covered, ...]
    """In the taxonomy's own order."""

    @property
    def covered(self) -> tuple[Covered, ...]:
        """Items that a rule acts on."""
        return tuple(item for item in self.items if item.rules)

    @property
    def uncovered(self) -> tuple[Covered, ...]:
        """Items that none does."""
        return tuple(item for item in self.items if not item.rules)


def coverage(policy: Policy, taxonomy: str) -> Coverage:
    """Hold a policy against a taxonomy of `guard.taxonomies.TAXONOMIES`. Raises KeyError for another name."""
    found = TAXONOMIES[taxonomy]
    return Coverage(policy.id, policy.revision, found, tuple(_covered(policy, found, item) for item in found.items))


def _covered(policy: Policy, taxonomy: Taxonomy, item: Item) -> Covered:
    categories = tuple(name for name, category in CATEGORIES.items() if item.code in getattr(category, taxonomy.name))
    rules = [rule for rule in policy.rules if rule.category in categories]
    acting = [rule for rule in rules if rule.action is not Action.ALLOW]
    return Covered(
        item,
        categories,
        tuple(rule.id for rule in acting),
        _asked(policy, acting),
        tuple(rule.id for rule in rules if rule.action is Action.ALLOW),
    )


def _asked(policy: Policy, rules: list[Rule]) -> tuple[str, ...]:
    asked = {check for rule in rules for check in checks_of(rule.when)}
    return tuple(spec.name for spec in policy.checks if spec.name in asked)


def checks_of(condition: Condition) -> Iterator[str]:
    """Names of the checks whose findings make a condition hold. What stands under `not` finds nothing."""
    match condition:
        case ScoreAtLeast(check) | ScoreByLanguage(check) | Found(check):
            yield check
        case AllOf(parts) | AnyOf(parts):
            for part in parts:
                yield from checks_of(part)
