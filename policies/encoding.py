"""Conditions as the JSON values of a policy's document, and back."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from guard.rules import AllOf, AnyOf, Attribute, Clock, Condition, Found, Length, Not, ScoreAtLeast, ScoreByLanguage


def encode(condition: Condition) -> dict[str, Any]:
    """A condition as JSON values."""
    match condition:
        case AllOf(conditions):
            return {"all": [encode(part) for part in conditions]}
        case AnyOf(conditions):
            return {"any": [encode(part) for part in conditions]}
        case Not(inner):
            return {"not": encode(inner)}
        case _:
            return _leaf_fields(condition)


def _leaf_fields(condition: ScoreAtLeast | ScoreByLanguage | Found | Attribute | Length | Clock) -> dict[str, Any]:
    fields: dict[str, Any]
    match condition:
        case ScoreAtLeast(check, label, score):
            fields = {"check": check, "label": label, "at_least": score}
        case ScoreByLanguage(check, label, scores):
            fields = {"check": check, "label": label, "at_least": dict(scores)}
        case Found(check, labels):
            fields = {"check": check, "found": sorted(labels)}
        case Attribute(name, patterns):
            fields = {"attribute": name, "patterns": list(patterns)}
        case Length(at_least, below):
            fields = {"length": {"at_least": at_least} | ({} if below is None else {"below": below})}
        case Clock():
            fields = {"clock": _clock_fields(condition)}
    return fields


def decode(found: Mapping[str, Any]) -> Condition:
    """The condition that `encode` made these JSON values from. Raises ValueError, KeyError or TypeError for others."""
    match found:
        case {"all": [_, *_] as parts}:
            return AllOf(tuple(decode(part) for part in parts))
        case {"any": [_, *_] as parts}:
            return AnyOf(tuple(decode(part) for part in parts))
        case {"not": dict() as inner}:
            return Not(decode(inner))
        case _:
            return _leaf(found)


def _leaf(found: Mapping[str, Any]) -> Condition:
    condition: Condition
    match found:
        case {"check": str(check), "label": str(label), "at_least": int(score)}:
            condition = ScoreAtLeast(check, label, score)
        case {"check": str(check), "label": str(label), "at_least": dict(scores)}:
            condition = ScoreByLanguage(check, label, tuple(sorted(scores.items())))
        case {"check": str(check), "found": [*labels]}:
            condition = Found(check, frozenset(labels))
        case {"attribute": str(name), "patterns": [*patterns]}:
            condition = Attribute(name, tuple(patterns))
        case {"length": dict(bounds)}:
            condition = Length(bounds["at_least"], bounds.get("below"))
        case {"clock": dict(fields)}:
            condition = _clock(fields)
        case _:
            raise ValueError("no condition")
    return condition


def _clock_fields(clock: Clock) -> dict[str, Any]:
    fields: dict[str, Any] = {"zone": clock.zone}
    if clock.days:
        fields["days"] = sorted(clock.days)
    if clock.hours is not None:
        fields["hours"] = list(clock.hours)
    for name, moment in (("since", clock.since), ("until", clock.until)):
        if moment is not None:
            fields[name] = moment.astimezone(UTC).isoformat()
    return fields


def _clock(fields: Mapping[str, Any]) -> Clock:
    moments = {name: datetime.fromisoformat(fields[name]) for name in ("since", "until") if name in fields}
    hours = fields.get("hours")
    first_last = (int(hours[0]), int(hours[1])) if hours else None
    return Clock(days=frozenset(fields.get("days", ())), hours=first_last, zone=fields["zone"], **moments)
