"""A policy's conditions as functions, made once as long as the policy is in use."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from guard.collectors import Collector, collector
from guard.predicates import Predicate, predicate
from guard.rules import AllOf, AnyOf, Attribute, Clock, Condition, Exemption, Length, Not, Policy, Rule
from guard.types import Action

_KEPT = 128
"""Policies whose functions are kept."""


@dataclass(frozen=True, slots=True)
class Sieve:
    """A policy's rules and exceptions, each with its predicate, and the rules with what says why they hold."""

    rules: tuple[Rule, ...]
    exceptions: tuple[Exemption, ...]
    firing: tuple[tuple[Rule, Predicate, Collector], ...]
    holding: tuple[tuple[Exemption, Predicate | None], ...]
    messages: Mapping[str, tuple[tuple[str, str], ...]]
    """What the person is told, by rule."""
    unmeasured: bool
    """Whether a rule could block before any check was asked."""


_sieves: dict[int, Sieve] = {}


def sieve(policy: Policy) -> Sieve:
    """The predicates of a policy; made once as long as it is in use."""
    found = _sieves.get(id(policy.rules))
    # A kept sieve holds its rules, so no other tuple can have their identity.
    if found is not None and found.exceptions is policy.exceptions:
        return found
    made = Sieve(
        policy.rules,
        policy.exceptions,
        tuple((rule, predicate(rule.when), collector(rule.when)) for rule in policy.rules),
        tuple((one, None if one.when is None else predicate(one.when)) for one in policy.exceptions),
        {rule.id: rule.message for rule in policy.rules},
        any(rule.action is Action.BLOCK and _free(rule.when, True) for rule in policy.rules),
    )
    while len(_sieves) >= _KEPT:
        _sieves.pop(next(iter(_sieves)), None)
    _sieves[id(policy.rules)] = made
    return made


def _free(condition: Condition, value: bool) -> bool:
    """Whether a condition can have a value while nothing is measured: what asks a check has none then."""
    match condition:
        case AllOf(conditions):
            return (all if value else any)(_free(one, value) for one in conditions)
        case AnyOf(conditions):
            return (any if value else all)(_free(one, value) for one in conditions)
        case Not(inner):
            return _free(inner, not value)
        case _:
            return isinstance(condition, Attribute | Length | Clock)
