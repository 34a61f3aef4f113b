"""What changed in a condition, and whether it can hold more or less often for it.

Two conditions are matched by structure: parts that are the same are left out, parts that ask the same thing are compared, the
rest was added or removed. In the order false < unknown < true, `all` is the least of its parts, `any` the greatest, and `not`
turns the order round; so a part that can only rise lets the whole rise, or fall under an odd number of `not`. Where nothing
follows from that, nothing is claimed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from guard.conditions import words
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
)
from policies.conditions import same_key

Measured = ScoreAtLeast | ScoreByLanguage | Found


@dataclass(frozen=True, slots=True)
class Shift:
    """One change of a condition, in words."""

    what: str
    way: int | None
    """Where the condition goes by it: 1 it holds more often, -1 less often, 0 as often, None: who knows."""
    before: str = ""
    after: str = ""
    gives_findings: bool = False
    """Whether a part was added or removed whose findings a redaction would cut out."""


def shifts(old: Condition, new: Condition) -> list[Shift]:
    """Every change from one condition to another; empty when they are the same but for the order of their parts."""
    return list(_shifts(old, new, 1))


def measured(condition: Condition) -> Iterator[Measured]:
    """Every part of a condition that asks a check."""
    match condition:
        case AllOf(parts) | AnyOf(parts):
            for part in parts:
                yield from measured(part)
        case Not(inner):
            yield from measured(inner)
        case ScoreAtLeast() | ScoreByLanguage() | Found():
            yield condition
        case _:
            pass


def finds(condition: Condition) -> bool:
    """Whether a condition that holds always names a finding: only then has a redaction something to cut out."""
    match condition:
        case AllOf(parts):
            return any(map(finds, parts))
        case AnyOf(parts):
            return all(map(finds, parts))
        case ScoreAtLeast() | ScoreByLanguage() | Found():
            return True
        case _:
            return False


def renamed(condition: Condition, names: Mapping[str, str]) -> Condition:
    """The condition with checks called by other names; those that `names` lacks keep theirs."""
    match condition:
        case AllOf(parts):
            return AllOf(tuple(renamed(part, names) for part in parts))
        case AnyOf(parts):
            return AnyOf(tuple(renamed(part, names) for part in parts))
        case Not(inner):
            return Not(renamed(inner, names))
        case ScoreAtLeast() | ScoreByLanguage() | Found():
            return replace(condition, check=names.get(condition.check, condition.check))
        case _:
            return condition


def score(per_mille: int) -> str:
    """A threshold as policies write it: `0.60`."""
    return f"{per_mille / 1000:.3f}" if per_mille % 10 else f"{per_mille / 1000:.2f}"


def _shifts(old: Condition, new: Condition, sign: int) -> Iterator[Shift]:
    if same_key(old) == same_key(new):
        return
    kind = _common_kind(old, new)
    if kind is not None:
        yield from _several(kind, _parts(old, kind), _parts(new, kind), sign)
    elif isinstance(old, Not) and isinstance(new, Not):
        yield from _shifts(old.condition, new.condition, -sign)
    else:
        yield _leaf(old, new, sign)


def _common_kind(old: Condition, new: Condition) -> type[AllOf | AnyOf] | None:
    """As what both can be compared: a condition alone is also `all`, or `any`, of that one condition."""
    for kind in (AllOf, AnyOf):
        for one, other in ((old, new), (new, old)):
            alone = not isinstance(other, AllOf | AnyOf)
            if isinstance(one, kind) and (
                isinstance(other, kind) or alone or any(type(p) is type(other) for p in one.conditions)
            ):
                return kind
    return None


def _parts(condition: Condition, kind: type[AllOf | AnyOf]) -> list[Condition]:
    return list(condition.conditions) if isinstance(condition, kind) else [condition]


def _several(kind: type, old: list[Condition], new: list[Condition], sign: int) -> Iterator[Shift]:
    """Parts of `all` or `any`: the same ones are left out, then those of one subject are paired."""
    keys = [same_key(one) for one in new]
    left = []
    for one in old:
        key = same_key(one)
        if key in keys:
            place = keys.index(key)
            del keys[place], new[place]
        else:
            left.append(one)
    removed: list[Condition] = []
    for one in left:
        found = next((place for place, other in enumerate(new) if _alike(one, other)), None)
        if found is None:
            removed.append(one)
        else:
            yield from _shifts(one, new.pop(found), sign)
    what, way = ("condition", -1) if kind is AllOf else ("alternative", 1)
    for gone, verb, parts in ((-1, "removed", removed), (1, "added", new)):
        for part in parts:
            told = (words(part), "") if gone < 0 else ("", words(part))
            gives = kind is AllOf and sign > 0 and any(True for _ in measured(part))
            yield Shift(f"{what} {verb}: {words(part)}", way * gone * sign, *told, gives_findings=gives)


def _alike(one: Condition, other: Condition) -> bool:
    """Whether one may be what became of the other: both of one subject, or one of them among alternatives now."""
    if _subject(one) == _subject(other):
        return True
    return any(
        isinstance(whole, AllOf | AnyOf) and any(_subject(part) == _subject(alone) for part in whole.conditions)
        for whole, alone in ((one, other), (other, one))
    )


def _subject(condition: Condition) -> tuple[str, ...]:
    """What a condition is about: two of one subject are one that was changed."""
    match condition:
        case ScoreAtLeast(check, label, _) | ScoreByLanguage(check, label, _):
            return ("score", check, label)
        case Found(check, _):
            return ("found", check)
        case Attribute(name, _):
            return ("attribute", name)
        case Not(inner):
            return ("not", *_subject(inner))
        case _:
            return (type(condition).__name__,)


def _leaf(old: Condition, new: Condition, sign: int) -> Shift:
    way = _way(old, new)
    way = None if way is None else way * sign
    before, after = words(old), words(new)
    match old, new:
        case ScoreAtLeast(check, label, first), ScoreAtLeast(other, another, second) if (check, label) == (other, another):
            name = check if label == "*" else f"{check}.{label}"
            return Shift(f"threshold of {name} {score(first)} -> {score(second)}", way, score(first), score(second))
        case Found(check, first), Found(other, second) if check == other and first and second:
            return Shift(
                f"labels of {check}: {_listed(first, second)}", way, ", ".join(sorted(first)), ", ".join(sorted(second))
            )
        case Attribute(name, first), Attribute(other, second) if name == other:
            told = (" or ".join(first), " or ".join(second))
            return Shift(f"{name} is {told[0]} -> {told[1]}", way, *told)
        case _:
            return Shift(f"condition {before} -> {after}", way, before, after)


def _listed(old: frozenset[str], new: frozenset[str]) -> str:
    parts = [f"+{one}" for one in sorted(new - old)] + [f"-{one}" for one in sorted(old - new)]
    return ", ".join(parts)


def _way(old: Condition, new: Condition) -> int | None:
    rises, falls = _implies(old, new), _implies(new, old)
    if rises == falls:
        return 0 if rises else None
    return 1 if rises else -1


def _implies(one: Condition, other: Condition) -> bool:
    """Whether `other` is at least as true as `one`, whatever was measured. False where that is not certain."""
    match one, other:
        case ((ScoreAtLeast() | ScoreByLanguage() | Found()), (ScoreAtLeast() | ScoreByLanguage() | Found())):
            return one.check == other.check and _matches_all_of(one, other)
        case Attribute(name, patterns), Attribute(another, others):
            return name == another and ("*" in others or set(patterns) <= set(others))
        case Length(least, below), Length(other_least, other_below):
            return other_least <= least and (other_below is None or (below is not None and below <= other_below))
        case Clock(), Clock():
            return _within(one, other)
        case _:
            return False


def _matches_all_of(one: Measured, other: Measured) -> bool:
    """Whether every finding that satisfies `one` satisfies `other`."""
    if isinstance(other, Found):
        mine = one.labels if isinstance(one, Found) else frozenset({one.label})
        return not other.labels or (bool(mine) and mine <= other.labels)
    if isinstance(one, Found):
        return other.label == "*" and all(_at(other, tag) == 0 for tag in _tags(other))
    if other.label not in {"*", one.label}:
        return False
    tags = _tags(one) | _tags(other)
    return all(_at(other, tag) <= _at(one, tag) for tag in tags)


def _tags(condition: ScoreAtLeast | ScoreByLanguage) -> set[str]:
    """The languages at which a threshold changes; `*` for the rest."""
    return {"*"} if isinstance(condition, ScoreAtLeast) else {"*", *(tag for tag, _ in condition.scores)}


def _at(condition: ScoreAtLeast | ScoreByLanguage, tag: str) -> int:
    if isinstance(condition, ScoreAtLeast):
        return condition.score
    return condition.at("" if tag == "*" else tag)


def _within(one: Clock, other: Clock) -> bool:
    """Whether all times of `one` are times of `other`."""
    if other.hours is not None and (one.hours, one.zone) != (other.hours, other.zone):
        return False
    if other.days and not (one.days and one.days <= other.days and one.zone == other.zone):
        return False
    since = other.since is None or (one.since is not None and one.since >= other.since)
    return since and (other.until is None or (one.until is not None and one.until <= other.until))
