"""Reads days, times, hours, days of the week and time zones as authors write them."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo, available_timezones

from policies.mistake import Mistakes, listed, one_of
from policies.source import Node

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
MOMENT = "a day such as 2026-12-31, or a time with its zone such as 2026-12-31T18:00:00Z"

_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?([Zz]|[+-][0-9]{2}:[0-9]{2})")
_HOURS = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])-(?:([01][0-9]|2[0-3]):([0-5][0-9])|(24):(00))")
_HERE = ("Factory", "localtime", "posixrules")
"""Names that a machine gives a zone of its own choice: no decision may depend on them."""


def moment(key: str, node: Node, zone: tzinfo, mistakes: Mistakes, *, through: bool) -> datetime | None:
    """A day or a time, in UTC; None, with the mistake noted, when it is neither.

    A day stands for its first moment in `zone`; with `through`, for the first moment after it.
    """
    text = node.value
    try:
        if isinstance(text, str) and _DAY.fullmatch(text):
            first = date.fromisoformat(text) + timedelta(days=through)
            return datetime.combine(first, time.min, zone).astimezone(UTC)
        if isinstance(text, str) and _TIME.fullmatch(text):
            return datetime.fromisoformat(text.upper()).astimezone(UTC)
    except (ValueError, OverflowError):
        mistakes.add(node.at, f"{node.describe()} for {key!r}, which no calendar has", MOMENT)
        return None
    mistakes.add(node.at, f"{node.describe()} for {key!r}", MOMENT)
    return None


def hours(node: Node, mistakes: Mistakes) -> tuple[int, int] | None:
    """`18:00-08:00` as minutes of a day."""
    found = _HOURS.fullmatch(node.value) if isinstance(node.value, str) else None
    if found is None:
        mistakes.add(node.at, f"{node.describe()} for 'hours'", "two times of a day, such as 18:00-08:00 or 09:00-24:00")
        return None
    first, *rest = (int(one) for one in found.groups() if one is not None)
    span = (first * 60 + rest[0], rest[1] * 60 + rest[2])
    if span[0] == span[1]:
        mistakes.add(node.at, f"{node.describe()} for 'hours', which is no time at all", "two different times")
        return None
    return span


def days(node: Node, mistakes: Mistakes) -> frozenset[int] | None:
    """`sat`, `mon-fri`, or a list of these, as numbers; Monday is 0."""
    found: set[int] = set()
    good = bool(node.items) or isinstance(node.value, str)
    if not good:
        mistakes.add(node.at, f"{node.describe()} for 'days'", f"days of the week ({listed(DAYS)}), or a range such as mon-fri")
    for one in node.items or ([node] if good else []):
        known = _range(one.value) if isinstance(one.value, str) else None
        if known is None:
            short = str(one.value)[:3].lower()
            hint = f"did you mean {short!r}?" if short in DAYS else ""
            mistakes.add(one.at, f"{one.describe()} for 'days'", f"{one_of(DAYS)}, or a range such as mon-fri", hint)
        good = good and known is not None
        found |= known or set()
    return frozenset(found) if good else None


def _range(text: str) -> set[int] | None:
    first, _, last = text.partition("-")
    if first not in DAYS or (last or first) not in DAYS:
        return None
    start = DAYS.index(first)
    return {(start + step) % 7 for step in range((DAYS.index(last or first) - start) % 7 + 1)}


def zone(node: Node | None, mistakes: Mistakes) -> ZoneInfo | None:
    """A time zone by its IANA name; UTC when there is none."""
    if node is None:
        return ZoneInfo("UTC")
    if isinstance(node.value, str) and node.value in _zones():
        return ZoneInfo(node.value)
    hint = _nearest(node.value, mistakes.closest) if isinstance(node.value, str) else ""
    mistakes.add(node.at, f"{node.describe()} for 'zone'", "the IANA name of a time zone, such as Europe/Berlin or UTC", hint)
    return None


@lru_cache(maxsize=1)
def _zones() -> frozenset[str]:
    return frozenset(available_timezones()) - set(_HERE)


def _nearest(name: str, closest: Callable[[str, list[str]], str]) -> str:
    """A hint at the zone of that city, or else of a similar name."""
    city = name.rpartition("/")[2].replace(" ", "_").casefold()
    same = [one for one in sorted(_zones()) if one.rpartition("/")[2].casefold() == city]
    if same:
        return f"did you mean {same[0]!r}?"
    alike = [one for one in sorted(_zones()) if one[:1].casefold() == name[:1].casefold()]
    return closest(name, alike) or closest(name, sorted(_zones()))
