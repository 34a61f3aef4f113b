"""Which mode a policy allows, and why: what its checks can say before a text ends, and whether its rules keep to it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from guard.following import why_whole
from guard.protocols import Check
from guard.rules import (
    AllOf,
    AnyOf,
    Attribute,
    Condition,
    Found,
    Length,
    MarkSpec,
    Not,
    Policy,
    Rule,
    ScoreAtLeast,
    ScoreByLanguage,
    matches,
)
from guard.traits import Places, traits_of
from guard.types import Action, Modality, Stage, StreamMode

_NEVER_FAILS = frozenset({"label", "aigc"})
"""Marks on texts that are never missing: a line of its own, and what goes beside the text."""
_PERSON = "PERSON"


@dataclass(frozen=True, slots=True)
class Plan:
    """How texts leave under a policy."""

    mode: StreamMode
    reasons: tuple[str, ...] = ()
    """Why a text has to be whole, each with what it is about in front; empty where the policy asked for it, or nothing speaks
    against it."""

    @property
    def words(self) -> str:
        """All of it in one line."""
        if self.mode is StreamMode.WINDOW:
            return "texts leave while they are made"
        return "texts leave at their end" + (f": {'; '.join(self.reasons)}" if self.reasons else ", as the policy asks")


@dataclass(frozen=True, slots=True)
class Seen:
    """What counts of a check here."""

    whole: str
    """Why it has to see all of a text at once; empty when it can follow one."""
    places: Places
    labels: frozenset[str]

    @classmethod
    def of(cls, check: Check) -> Seen:
        """A built check; it need not be loaded."""
        return cls(why_whole(check), traits_of(check).places, frozenset(check.labels))


def plan_of(policy: Policy, checks: Mapping[str, Check]) -> Plan:
    """The plan of a policy whose checks are built."""
    return plan(policy, {name: Seen.of(check) for name, check in checks.items()})


def plan(policy: Policy, checks: Mapping[str, Seen]) -> Plan:
    """`checks`: by their name in the policy."""
    if policy.stream is StreamMode.BUFFER:
        return Plan(StreamMode.BUFFER)
    reasons = tuple(why for part in (_checks(policy, checks), _rules(policy, checks), _marks(policy)) for why in part)
    return Plan(StreamMode.BUFFER if reasons else StreamMode.WINDOW, reasons)


def asks_length(policy: Policy) -> bool:
    """Whether a rule or an exception may depend on how long a text is."""
    conditions = [*(one.when for one in policy.rules), *(one.when for one in policy.exceptions)]
    return any(one is not None and _asks_length(one) for one in conditions)


def _checks(policy: Policy, checks: Mapping[str, Seen]) -> Iterator[str]:
    for spec in policy.checks:
        if spec.applies(Stage.OUTPUT, Modality.TEXT) and (why := checks[spec.name].whole):
            yield f"check {spec.name!r}: {why}"


def _rules(policy: Policy, checks: Mapping[str, Seen]) -> Iterator[str]:
    for rule in policy.rules:
        asked = [one for one in _measures(rule.when) if _reads_text(policy, one)]
        if not asked or _never(rule.when):
            continue
        if why := _changes(rule.when):
            yield f"rule {rule.id!r}: {why}"
        elif rule.action is Action.LABEL:
            yield f"rule {rule.id!r}: whether it labels a text is known at its end"
        elif rule.action is Action.REDACT and (why := _cut(rule, asked, checks)):
            yield f"rule {rule.id!r}: {why}"
    if any(_asks_length(one.when) for one in policy.exceptions if one.when is not None):
        yield "exceptions: whether one holds depends on how long the text becomes"


def _reads_text(policy: Policy, measure: Measure) -> bool:
    return any(one.name == measure.check and one.applies(Stage.OUTPUT, Modality.TEXT) for one in policy.checks)


def _changes(condition: Condition) -> str:
    """Why a condition may come to hold, or cease to, for what has left already; empty when it cannot."""
    if _asks_length(condition):
        return "whether it holds depends on how long the text becomes"
    if any(isinstance(one, Not) and list(_measures(one)) for one in _parts(condition)):
        return "it holds where something is not found, which is known at the end"
    if any(
        isinstance(one, AllOf) and sum(bool(list(_measures(each))) for each in one.conditions) > 1 for one in _parts(condition)
    ):
        return "it asks for several findings together, and the last may come when the first has left"
    return ""


def _cut(rule: Rule, asked: list[Measure], checks: Mapping[str, Seen]) -> str:
    """Why what a rule redacts is not known at once; empty when it is."""
    for one in asked:
        if checks[one.check].places is not Places.EACH:
            return f"what it cuts is where {one.check!r} scores highest, which is known at the end"
    if rule.operator == "pseudonymise" and any(_PERSON in _labels(one, checks[one.check]) for one in asked):
        return "a full name may follow and change what a given name before it becomes"
    return ""


def _marks(policy: Policy) -> Iterator[str]:
    for spec in policy.marks:
        if spec.modality is Modality.TEXT and not _is_sure(spec):
            yield f"mark {spec.use!r}: whether a text carries it is known at its end, and `on_unmarkable` is not allow"
        elif spec.modality is Modality.TEXT and spec.only_labelled:
            yield f"mark {spec.use!r}: whether it is put on is known at the end"


def _is_sure(spec: MarkSpec) -> bool:
    return spec.use in _NEVER_FAILS or (spec.use == "text_watermark" and spec.on_unmarkable is Action.ALLOW)


# --- conditions ------------------------------------------------------------------------------------------------------

Measure = ScoreAtLeast | ScoreByLanguage | Found


def _parts(condition: Condition) -> Iterator[Condition]:
    yield condition
    if isinstance(condition, AllOf | AnyOf):
        for one in condition.conditions:
            yield from _parts(one)
    elif isinstance(condition, Not):
        yield from _parts(condition.condition)


def _measures(condition: Condition) -> Iterator[Measure]:
    return (one for one in _parts(condition) if isinstance(one, ScoreAtLeast | ScoreByLanguage | Found))


def _never(condition: Condition) -> bool:
    """Whether a condition cannot hold for a text that is an output."""
    if isinstance(condition, AllOf):
        return any(map(_never, condition.conditions))
    if isinstance(condition, AnyOf):
        return all(map(_never, condition.conditions))
    here = {"stage": Stage.OUTPUT.value, "modality": Modality.TEXT.value}
    return isinstance(condition, Attribute) and condition.name in here and not matches(here[condition.name], condition.patterns)


def _asks_length(condition: Condition) -> bool:
    return any(isinstance(one, Length) for one in _parts(condition))


def _labels(measure: Measure, check: Seen) -> frozenset[str]:
    named = measure.labels if isinstance(measure, Found) else frozenset({measure.label} - {"*"})
    return named or check.labels
