"""Reads the conditions that ask no check: who asks, what is made, how long it is, and when."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase

from guard.rules import Attribute, Clock, Length, matches
from guard.types import Modality, Stage
from policies import moments
from policies.mistake import Mistakes, Position, describe, listed, one_of
from policies.source import Node
from policies.wording import unknown_key

ATTRIBUTES = ("tenant", "generator", "language", "modality", "stage", "purpose", "consent")
FACTS = (*ATTRIBUTES, "length", "time")
MAX_PATTERN = 200

ENUMS: dict[str, tuple[str, ...]] = {"modality": tuple(Modality), "stage": tuple(Stage)}
_WILD = frozenset("*?[")
_LENGTH = ("at_least", "below")
_TIME = ("since", "until", "days", "hours", "zone")
_LONGEST = 1_000_000_000


def fact(name: str, node: Node, scope: Mapping[str, tuple[str, ...]], mistakes: Mistakes) -> Attribute | Length | Clock | None:
    """One condition on a fact; None, with the mistakes noted, when it cannot be."""
    if name == "length":
        return _length(node, mistakes)
    if name == "time":
        return _time(node, mistakes)
    return _attribute(name, node, scope.get(name, ()), mistakes)


def texts(key: str, node: Node, expected: str, mistakes: Mistakes) -> list[Node]:
    """A text or a list of texts; empty, with the mistake noted, for anything else."""
    nodes = node.items or [node]
    wrong = [one for one in nodes if not isinstance(one.value, str) or not one.value]
    for one in wrong:
        mistakes.add(one.at, f"{one.describe()} under {key!r}", expected)
    return [] if wrong else nodes


def _attribute(name: str, node: Node, scope: tuple[str, ...], mistakes: Mistakes) -> Attribute | None:
    nodes = texts(name, node, "a pattern or a list of patterns", mistakes)
    sound = [_pattern(name, one.at, one.value, scope, mistakes) for one in nodes]
    return Attribute(name, tuple(one.value for one in nodes)) if sound and all(sound) else None


def _pattern(name: str, at: Position, pattern: str, scope: tuple[str, ...], mistakes: Mistakes) -> bool:
    """Whether a pattern can match; the mistake is noted when it cannot."""
    before, values = len(mistakes), ENUMS.get(name, ())
    if len(pattern) > MAX_PATTERN:
        mistakes.add(at, f"a pattern of {len(pattern)} characters", f"at most {MAX_PATTERN}")
    if values and not any(fnmatchcase(value, pattern) for value in values):
        hint = mistakes.closest(pattern, values)
        mistakes.add(at, f"{name} {describe(pattern)}, which matches nothing", one_of(values), hint)
    if scope and not _WILD & set(pattern) and not matches(pattern, scope):
        hint = mistakes.closest(pattern, scope)
        mistakes.add(at, f"{name} {describe(pattern)}", f"a {name} that `applies_to` covers ({listed(scope)})", hint)
    return len(mistakes) == before


def _keys(name: str, node: Node, known: tuple[str, ...], needed: tuple[str, ...], mistakes: Mistakes) -> bool:
    """Whether a mapping has known keys only, and one of those that it needs."""
    before = len(mistakes)
    if not isinstance(node.value, dict):
        mistakes.add(node.at, f"{node.describe()} for {name!r}", f"a mapping with {' or '.join(map(repr, needed))}")
    for key, entry in node.entries.items():
        if key not in known:
            unknown_key(key, known, entry.at, mistakes, f" in {name!r}")
    if len(mistakes) == before and not any(key in needed for key in node.entries):
        held = f"only {listed(node.entries)}" if node.entries else "an empty mapping"
        mistakes.add(node.at, f"{held} for {name!r}", f"at least {one_of(needed)}")
    return len(mistakes) == before


def _length(node: Node, mistakes: Mistakes) -> Length | None:
    if not _keys("length", node, _LENGTH, _LENGTH, mistakes):
        return None
    found: dict[str, int] = {}
    for key, entry in node.entries.items():
        value = entry.node.value
        if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= _LONGEST:
            found[key] = value
        else:
            expected = f"a whole number of characters (of a text) or bytes (of an image file), 1 to {_LONGEST}"
            mistakes.add(entry.node.at, f"{entry.node.describe()} for {key!r}", expected)
    if len(found) < len(node.entries):
        return None
    length = Length(found.get("at_least", 0), found.get("below"))
    if length.below is not None and length.below <= length.at_least:
        at = node.value_at(("below",))
        mistakes.add(at, f"{length.below} for 'below'", f"more than 'at_least', which is {length.at_least}")
        return None
    return length


def _time(node: Node, mistakes: Mistakes) -> Clock | None:
    if not _keys("time", node, _TIME, _TIME[:-1], mistakes):
        return None
    before, given = len(mistakes), {key: entry.node for key, entry in node.entries.items()}
    where = moments.zone(given.get("zone"), mistakes)
    spans = {
        key: moments.moment(key, given[key], where, mistakes, through=key == "until")
        for key in ("since", "until")
        if key in given and where is not None
    }
    days = moments.days(given["days"], mistakes) if "days" in given else frozenset()
    hours = moments.hours(given["hours"], mistakes) if "hours" in given else None
    if len(mistakes) > before or where is None or days is None:
        return None
    since, until = spans.get("since"), spans.get("until")
    if since is not None and until is not None and until <= since:
        mistakes.add(given["until"].at, f"{given['until'].describe()} for 'until'", "a time after 'since'")
        return None
    return Clock(since, until, days, hours, where.key)
