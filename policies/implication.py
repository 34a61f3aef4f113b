"""Proves of two conditions that one cannot hold without the other.

Sound and incomplete: what is said to follow does, for all findings, contents and times; what follows is not always seen. The
proof is on the form of the conditions alone, brought into a normal form in which `not` stands before leaves only. That form
has the same value everywhere, because the three-valued logic of `guard.conditions` (Kleene's strong
one) keeps De Morgan's laws.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from itertools import combinations

from guard.rules import AllOf, AnyOf, Attribute, Clock, Condition, Found, Length, Not, ScoreAtLeast, ScoreByLanguage, matches
from guard.types import Modality, Stage
from policies.conditions import Known

_ENUMS: dict[str, tuple[str, ...]] = {"modality": tuple(Modality), "stage": tuple(Stage)}
_WILD = "*?["
_Measure = ScoreAtLeast | ScoreByLanguage | Found
_MAX_STEPS = 20_000
"""Comparisons of one proof at most; a proof that takes more is given up."""


def implies(premise: Condition, conclusion: Condition, checks: Mapping[str, Known] | None = None) -> bool:
    """Whether a condition proves another: wherever `premise` is true, `conclusion` is true.

    `checks`: what each check reads; where it is known, a condition on its findings also says something of stage and modality.
    False says that no proof was found.
    """
    return _Proof(checks or {}).follows(normal(premise), normal(conclusion))


def never(condition: Condition, checks: Mapping[str, Known] | None = None) -> bool:
    """Whether a condition proves to be true nowhere. False says that no proof was found."""
    return _Proof(checks or {}).empty(normal(condition))


def within(pattern: str, other: str) -> bool:
    """Whether whatever matches a shell-style pattern matches another one, by their form. False where that is not seen."""
    if pattern == other or set(other) == {"*"}:
        return True
    fixed = _literal(pattern)
    if fixed == pattern:
        return fnmatchcase(pattern, other)
    head = _literal(other)
    return other == f"{head}*" and fixed.startswith(head)


def _literal(pattern: str) -> str:
    """The text that all it matches begins with: the whole pattern where nothing in it is a wildcard."""
    first = min((pattern.index(one) for one in _WILD if one in pattern), default=len(pattern))
    return pattern[:first]


def normal(condition: Condition, *, negated: bool = False) -> Condition:
    """The condition, or its contrary, with `not` before leaves only, nested lists made one, and known words spelled out."""
    match condition:
        case Not(inner):
            return normal(inner, negated=not negated)
        case AllOf(parts) | AnyOf(parts):
            kind = AllOf if isinstance(condition, AllOf) is not negated else AnyOf
            inside = [normal(part, negated=negated) for part in parts]
            flat = tuple(one for part in inside for one in (part.conditions if isinstance(part, kind) else (part,)))
            return kind(flat)
        case Attribute(name, patterns) if name in _ENUMS:
            held = tuple(value for value in _ENUMS[name] if matches(value, patterns) is not negated)
            return Attribute(name, held)
        case _:
            return Not(condition) if negated else condition


class _Proof:
    """One proof, with a bound on its length."""

    def __init__(self, checks: Mapping[str, Known]) -> None:
        self._checks = checks
        self._steps = 0

    def follows(self, premise: Condition, conclusion: Condition) -> bool:
        """Whether `conclusion` follows; both in normal form."""
        self._steps += 1
        if self._steps > _MAX_STEPS:
            return False
        if isinstance(premise, AnyOf):
            return all(self.follows(part, conclusion) for part in premise.conditions)
        if isinstance(conclusion, AllOf):
            return all(self.follows(premise, part) for part in conclusion.conditions)
        if isinstance(conclusion, AnyOf) and any(self.follows(premise, part) for part in conclusion.conditions):
            return True
        if isinstance(premise, AllOf):
            return any(self.follows(part, conclusion) for part in premise.conditions)
        return premise == conclusion or self._leaf(premise, conclusion)

    def empty(self, condition: Condition) -> bool:
        """Whether a condition in normal form is true nowhere."""
        match condition:
            case AnyOf(parts):
                return all(self.empty(part) for part in parts)
            case AllOf(parts):
                return any(self.empty(part) for part in parts) or any(
                    self._exclude(one, other) for one, other in combinations(parts, 2)
                )
            case Attribute(name, patterns):
                return name in _ENUMS and not patterns
            case Length(at_least, below):
                return below is not None and below <= at_least
            case Clock(since, until):
                return since is not None and until is not None and until <= since
            case _:
                return False

    def _exclude(self, one: Condition, other: Condition) -> bool:
        """Whether two conditions are never true together."""
        self._steps += 1
        if self._steps > _MAX_STEPS:
            return False
        proven = False
        match one, other:
            case (AnyOf(parts), alone) | (alone, AnyOf(parts)):
                proven = all(self._exclude(part, alone) for part in parts)
            case (AllOf(parts), alone) | (alone, AllOf(parts)):
                proven = any(self._exclude(part, alone) for part in parts)
            case Not(inner), holds if not isinstance(holds, Not):
                proven = self.follows(holds, inner)
            case holds, Not(inner) if not isinstance(holds, Not):
                proven = self.follows(holds, inner)
            case Attribute(name, patterns), Attribute(name_, patterns_) if name == name_:
                proven = all(_apart(pattern, pattern_) for pattern in patterns for pattern_ in patterns_)
            case Length(at_least, below), Length(at_least_, below_):
                proven = min(_end(below), _end(below_)) <= max(at_least, at_least_)
            case (Attribute(), Found() | ScoreAtLeast() | ScoreByLanguage()):
                proven = self._unread(other, one)
            case (Found() | ScoreAtLeast() | ScoreByLanguage(), Attribute()):
                proven = self._unread(one, other)
        return proven

    def _unread(self, measure: Condition, where: Condition) -> bool:
        """Whether a check never reads what an attribute, stage or modality, asks for."""
        assert isinstance(measure, _Measure)
        assert isinstance(where, Attribute)
        return where.name in _ENUMS and not set(where.patterns) & self._reads(measure, where.name)

    def _reads(self, measure: _Measure, name: str) -> set[str]:
        known = self._checks.get(measure.check)
        if known is None:
            return set(_ENUMS[name])
        return {value.value for value in (known.stages if name == "stage" else known.modalities)}

    def _leaf(self, premise: Condition, conclusion: Condition) -> bool:
        proven = False
        match premise, conclusion:
            case Not(inner), Not(inner_):
                proven = self._refutes(inner, inner_)
            case ((Found() | ScoreAtLeast() | ScoreByLanguage()), (Found() | ScoreAtLeast() | ScoreByLanguage())):
                proven = _finds(premise, conclusion)
            case ((Found() | ScoreAtLeast() | ScoreByLanguage()), Attribute(name, patterns)) if name in _ENUMS:
                proven = self._reads(premise, name) <= set(patterns)
            case Attribute(name, patterns), Attribute(name_, patterns_) if name == name_:
                proven = all(any(within(pattern, other) for other in patterns_) for pattern in patterns)
            case Attribute(name, patterns), Not(Attribute(name_, patterns_)) if name == name_:
                proven = all(_apart(pattern, other) for pattern in patterns for other in patterns_)
            case Length(), Length():
                proven = premise.at_least >= conclusion.at_least and _end(premise.below) <= _end(conclusion.below)
            case Clock(), Clock():
                proven = _times(premise, conclusion)
        return proven

    def _refutes(self, premise: Condition, conclusion: Condition) -> bool:
        """Whether a leaf that is false makes another one false. Measures are false only where their check read everything."""
        match premise, conclusion:
            case ((Found() | ScoreAtLeast() | ScoreByLanguage()), (Found() | ScoreAtLeast() | ScoreByLanguage())):
                return _finds(conclusion, premise)
            case (Attribute(), Attribute()) | (Length(), Length()):
                return self._leaf(conclusion, premise)
            case _:
                return False  # of equal clocks `follows` knows; a clock without a time is neither true nor false


def _finds(premise: _Measure, conclusion: _Measure) -> bool:
    """Whether each finding that a measure counts is counted by another."""
    if premise.check != conclusion.check or not _labels(premise, conclusion):
        return False
    if isinstance(conclusion, Found):
        return True
    if isinstance(premise, Found):
        return all(score == 0 for score in _scores(conclusion))
    if isinstance(premise, ScoreByLanguage) and isinstance(conclusion, ScoreByLanguage):
        languages = {tag for tag, _ in (*premise.scores, *conclusion.scores)}
        return all(premise.at(_spoken(tag)) >= conclusion.at(_spoken(tag)) for tag in languages)
    return min(_scores(premise)) >= max(_scores(conclusion))


def _spoken(tag: str) -> str:
    return "" if tag == "*" else tag


def _scores(measure: ScoreAtLeast | ScoreByLanguage) -> Iterable[int]:
    return (measure.score,) if isinstance(measure, ScoreAtLeast) else tuple(score for _, score in measure.scores)


def _labels(premise: _Measure, conclusion: _Measure) -> bool:
    """Whether the labels that a measure asks for are among another's. None stands for all of them."""
    wanted, known = _asked(premise), _asked(conclusion)
    return known is None or (wanted is not None and wanted <= known)


def _asked(measure: _Measure) -> frozenset[str] | None:
    if isinstance(measure, Found):
        return measure.labels or None
    return None if measure.label == "*" else frozenset((measure.label,))


def _apart(pattern: str, other: str) -> bool:
    """Whether nothing matches both patterns, by their form."""
    one, two = _literal(pattern), _literal(other)
    if one == pattern:
        return not fnmatchcase(pattern, other)
    if two == other:
        return not fnmatchcase(other, pattern)
    return not (one.startswith(two) or two.startswith(one))


def _end(below: int | None) -> float:
    return float("inf") if below is None else below


def _times(premise: Clock, conclusion: Clock) -> bool:
    same_zone = premise.zone == conclusion.zone
    if conclusion.days and not (same_zone and premise.days and premise.days <= conclusion.days):
        return False
    if conclusion.hours is not None and not (same_zone and premise.hours == conclusion.hours):
        return False
    since = conclusion.since is None or (premise.since is not None and premise.since >= conclusion.since)
    until = conclusion.until is None or (premise.until is not None and premise.until <= conclusion.until)
    return since and until
