"""Which recorded results are answers to a draft's checks: those of the same check with the same parameters, whatever its name.

A parameter of the type `guard.registry.Floor` only leaves weak findings out. A higher one can be applied to what was recorded.
A lower one asks for scores that nobody kept, which matters as soon as a rule of the draft asks below the old one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from guard.errors import GenguardError
from guard.registry import checks as registry
from guard.rules import CheckSpec, Condition, Found, Policy, ScoreAtLeast
from policies.compare import measured
from policies.document import canonical, frozen


class Reason(StrEnum):
    """Why a decision cannot be replayed."""

    NOT_RUN = "a check of the draft did not run then"
    PARAMETERS = "a check of the draft ran with other parameters"
    FLOOR = "a check left out scores that the draft asks for"
    IDENTITY = "a check had another model, bank or version than lately"
    EARLY = "a check was not started because an earlier group had blocked"
    DEADLINE = "a check took longer than the draft allows, or had less time"
    REDACTION = "other places would be redacted than those that could not be"
    UNKNOWN = "the ledger does not have the policy it was made under"
    UNREADABLE = "the policy it was made under cannot be read by this version"


@dataclass(frozen=True, slots=True)
class Answer:
    """Where the results for one of the draft's checks come from."""

    check: str
    """Its name in the draft."""
    recorded: str
    """Its name in the policy of then; empty when there is none to take."""
    reason: Reason
    """Why there is none."""
    least: int
    """Findings below this score, per mille, were reported, and would not be by the draft's check; 0: there are none."""
    before_ms: int
    """The deadline of then."""
    now_ms: int

    def late(self, timed_out: Any, latency_us: Any) -> Any:
        """Whether the draft's deadline might make a difference to a result; with columns, to each of them."""
        if self.now_ms > self.before_ms:
            return timed_out
        if self.now_ms < self.before_ms:
            return (timed_out ^ True) & (latency_us > self.now_ms * 1000)
        return timed_out & False


@dataclass(frozen=True, slots=True)
class Measure:
    """What a check measures: two that are equal give the same findings but for their floors."""

    use: str
    parameters: str
    floor: int
    """Per mille; 0 when it has none that is known."""

    @property
    def key(self) -> tuple[str, str]:
        """All but the floor."""
        return self.use, self.parameters


def measure(spec: CheckSpec) -> Measure:
    """What a line of a policy's checks measures. Defaults count as given; of a check that is not installed none is known."""
    parameters, floor = dict(frozen(spec.parameters)), ""
    try:
        defaults = {name: one.default for name, one in registry.signature(spec.use).parameters.items()}
        floor = registry.floor(spec.use)
    except GenguardError:
        defaults = {}
    least = parameters.pop(floor, defaults.get(floor, 0)) if floor else 0
    told = {name: value for name, value in parameters.items() if name not in defaults or not _same(value, defaults[name])}
    return Measure(spec.use, canonical(told), least)


def _same(value: Any, default: Any) -> bool:
    frozen_default = frozen(default)
    return bool(value == frozen_default) and isinstance(value, bool) == isinstance(frozen_default, bool)


def answers(draft: Policy, recorded: Policy) -> list[Answer]:
    """Where the answers to each of the draft's checks are among the results of another policy."""
    old = {spec.name: (spec, measure(spec)) for spec in recorded.checks}
    return [_answer(draft, spec, old) for spec in draft.checks]


def _answer(draft: Policy, spec: CheckSpec, old: Mapping[str, tuple[CheckSpec, Measure]]) -> Answer:
    mine = measure(spec)
    same = [(before, its) for before, its in old.values() if its.key == mine.key]
    same.sort(key=lambda one: (one[0].name != spec.name, one[1].floor, one[0].name))
    if not same:
        reason = Reason.PARAMETERS if any(its.use == spec.use for _, its in old.values()) else Reason.NOT_RUN
        return Answer(spec.name, "", reason, 0, 0, 0)
    for before, its in same:
        if its.floor <= mine.floor or not _asks_below(draft, spec.name, its.floor):
            least = mine.floor if mine.floor > its.floor else 0
            return Answer(spec.name, before.name, Reason.NOT_RUN, least, before.deadline_ms, spec.deadline_ms)
    return Answer(spec.name, "", Reason.FLOOR, 0, 0, 0)


def _asks_below(policy: Policy, check: str, floor: int) -> bool:
    """Whether a condition of a policy would see findings of a check that score less."""
    return any(
        least < floor
        for condition in conditions(policy)
        for one in measured(condition)
        if one.check == check
        for least in _least(one)
    )


def _least(condition: Condition) -> Iterable[int]:
    if isinstance(condition, Found):
        return (0,)
    if isinstance(condition, ScoreAtLeast):
        return (condition.score,)
    return (score for _, score in condition.scores)  # type: ignore[union-attr]


def conditions(policy: Policy) -> Iterator[Condition]:
    """Every condition of a policy: of its rules and of its exceptions."""
    yield from (rule.when for rule in policy.rules)
    yield from (one.when for one in policy.exceptions if one.when is not None)
