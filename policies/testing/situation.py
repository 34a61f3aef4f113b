"""Where the content of an example stands, as far as its author leaves that open: in a place where the rule can hold.

An example beside a rule about one tenant, one language or the night is meant for these. What is chosen depends on the policy
and the example alone, never on the day the tests run.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, time, timedelta
from itertools import islice, product
from zoneinfo import ZoneInfo

from guard.conditions import evaluate
from guard.rules import AllOf, AnyOf, Attribute, Clock, Condition, Found, Length, Not, Policy, Rule, ScoreAtLeast, matches
from guard.rules import ScoreByLanguage as ByLanguage
from guard.types import CALLER, NONE, Context, Modality, Request, Stage
from policies.loaded import RuleTest
from policies.testing.scores import leaves

_TRIES = 20_000
_MONDAY = datetime(2026, 1, 5, tzinfo=UTC)
_DAYS = 14
_AROUND = (timedelta(minutes=-1), timedelta(0))
_STAGES = (Stage.OUTPUT, Stage.PROMPT, Stage.CHUNK)
_UNKNOWN = "und"


def situate(policy: Policy, rule: Rule, test: RuleTest, modality: Modality, length: int) -> Context:
    """The context of an example: the first in which its rule can hold, else the usual one."""
    tenants = [test.tenant] if test.tenant else _names("tenant", Request("").tenant, policy.tenants, rule.when)
    generators = [test.generator] if test.generator else _names("generator", CALLER.generator, policy.generators, rule.when)
    languages = [test.language] if test.language else _names("language", _UNKNOWN, ("*",), rule.when)
    purposes, consents = (_names(name, NONE, ("*",), rule.when) for name in ("purpose", "consent"))
    stages = [Stage(test.stage)] if test.stage else list(_STAGES)
    places = product(stages, tenants, generators, languages, purposes, consents, _moments(rule.when))
    contexts = [
        Context(stage, modality, generator, tenant, language, length, moment, purpose, consent)
        for stage, tenant, generator, language, purpose, consent, moment in islice(places, _TRIES)
    ]
    return next((context for context in contexts if _possible(rule.when, policy, context)[0]), contexts[0])


def usual(policy: Policy) -> tuple[str, str]:
    """A tenant and a generator that the policy applies to: those of a caller who says nothing, where it does."""
    return (
        _names("tenant", Request("").tenant, policy.tenants)[0],
        _names("generator", CALLER.generator, policy.generators)[0],
    )


def _names(name: str, default: str, scope: tuple[str, ...], condition: Condition | None = None) -> list[str]:
    """Values of an attribute to try: the default, then names that fit the patterns of the policy and of the rule."""
    asked = (
        [leaf.patterns for leaf, _ in leaves(condition) if isinstance(leaf, Attribute) and leaf.name == name]
        if condition
        else []
    )
    patterns = [*scope, *(pattern for some in asked for pattern in some)]
    found = [value for value in (default, *map(_plain, patterns)) if value and matches(value, scope)]
    return list(dict.fromkeys(found)) or [default]


def _plain(pattern: str) -> str:
    """A name that fits a pattern; empty where none is seen at a glance."""
    name = re.sub(r"\[([^!\]])[^\]]{0,200}\]", r"\1", pattern).replace("?", "x").replace("*", "").strip("-")
    return name if name and matches(name, (pattern,)) else pattern.replace("*", "x").replace("?", "x")


def _possible(condition: Condition, policy: Policy, context: Context) -> tuple[bool, bool]:
    """Whether a condition can be true, and whether it can be false, in a context, whatever the checks will find."""
    match condition:
        case ScoreAtLeast(check, _, _) | ByLanguage(check, _, _) | Found(check, _):
            runs = any(spec.name == check and spec.applies(context.stage, context.modality) for spec in policy.checks)
            return runs, runs
        case Attribute() | Length() | Clock():
            value = evaluate(condition, {}, context).value
            return value is True, value is False
        case Not(inner):
            true, false = _possible(inner, policy, context)
            return false, true
        case AllOf(parts) | AnyOf(parts):
            pairs = [_possible(part, policy, context) for part in parts]
            every, some = (all, any) if isinstance(condition, AllOf) else (any, all)
            return every(true for true, _ in pairs), some(false for _, false in pairs)


def _moments(condition: Condition) -> list[datetime | None]:
    """Times to try: none where the rule does not ask, else the turns of two weeks in which its times begin or end."""
    clocks = [leaf for leaf, _ in leaves(condition) if isinstance(leaf, Clock)]
    if not clocks:
        return [None]
    begin = max((clock.since for clock in clocks if clock.since), default=None)
    end = min((clock.until for clock in clocks if clock.until), default=None)
    first = begin or (end - timedelta(days=_DAYS) if end else _MONDAY)
    turns = {moment for clock in clocks for moment in _turns(clock, first)}
    edges = {moment + turn for clock in clocks for moment in (clock.since, clock.until) if moment for turn in _AROUND}
    return [*sorted(turns | edges | {first})]


def _turns(clock: Clock, first: datetime) -> Iterator[datetime]:
    zone = ZoneInfo(clock.zone)
    day = first.astimezone(zone).date()
    for minute in (*(clock.hours or ()), 12 * 60):
        for days in range(_DAYS):
            at = datetime.combine(day + timedelta(days=days), time(minute // 60 % 24, minute % 60), zone)
            yield at.astimezone(UTC)
