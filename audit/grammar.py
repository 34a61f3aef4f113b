"""The filters of a query, and their short form: `action:block category:privacy -generator:echo since:2026-11-01`.

Terms are separated by spaces and all hold; of several values for one key one is enough (`action:block action:review`, or
`action:block,review`); a leading `-` excludes. A value with spaces or commas stands in double quotes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from audit.body import time_string
from guard.errors import InputError
from guard.types import Action, Modality, Stage, Step

COLUMNS = {
    "id": "decision",
    "kind": "kind",
    "request": "request",
    "tenant": "tenant",
    "actor": "actor",
    "subject": "subject",
    "stage": "stage",
    "modality": "modality",
    "generator": "generator",
    "model": "model",
    "action": "action",
    "policy": "policy",
    "revision": "revision",
    "parent": "parent",
}
"""Filters on a column of `entry`, by the column's name there."""

TERMS = ("rule", "category", "mark", "bank", "rollout", "step", "shadow")
TIMES = ("since", "until")
PREFIXES = frozenset({"id", "revision", "parent"})
"""Filters whose value may be cut short."""

KEYS = tuple(sorted((*COLUMNS, *TERMS, *TIMES)))
"""Every filter there is."""

_VALUES: dict[str, tuple[str, ...]] = {
    "action": tuple(Action),
    "shadow": tuple(Action),
    "stage": tuple(Stage),
    "modality": tuple(Modality),
    "step": tuple(Step),
}
_TOKEN = re.compile(r'(?P<minus>-?)(?P<key>[^\s:"]*)(?P<colon>:?)(?P<value>(?:"[^"]*"|[^\s"])*)(?P<open>"?)')
_PART = re.compile(r'"[^"]*"|[^,"]+')


class QueryError(InputError):
    """A query that cannot be understood; `position` counts characters of `query` from 0."""

    def __init__(self, message: str, *, query: str = "", position: int = 0, advice: str = "") -> None:
        pointer = f"{query}\n{' ' * position}^" if query else ""
        super().__init__(message, advice="\n".join(filter(None, (pointer, advice))))
        self.query = query
        self.position = position


@dataclass(frozen=True, slots=True)
class Filter:
    """One key with the values it may have, or may not."""

    key: str
    values: tuple[str, ...]
    excluded: bool = False


def parse(query: str) -> tuple[Filter, ...]:
    """Read the short form. Raises QueryError that points at the mistake."""
    found: dict[tuple[str, bool], tuple[str, ...]] = {}
    place = 0
    while place < len(query):
        if query[place].isspace():
            place += 1
            continue
        token = _TOKEN.match(query, place)
        assert token is not None, "every part of the pattern may be empty"
        key, minus = token["key"], bool(token["minus"])
        if token["open"]:
            raise QueryError("a quotation mark is not closed", query=query, position=token.start("open"))
        if not key or not token["colon"]:
            raise QueryError(
                "expected key:value", query=query, position=token.start("key"), advice=f"Keys are: {', '.join(KEYS)}."
            )
        values = tuple(part.strip('"') for part in _PART.findall(token["value"]))
        if not values or not all(values):
            raise QueryError(f"{key} has no value", query=query, position=token.start("value"))
        try:
            checked = make_filter(key, values, excluded=minus)
        except QueryError as error:
            wrong_key = key not in KEYS or (minus and key in TIMES)
            position = token.start("key" if wrong_key else "value")
            raise QueryError(str(error), query=query, position=position, advice=error.advice) from None
        found[key, minus] = found.get((key, minus), ()) + checked.values
        place = token.end()
    return tuple(Filter(key, values, excluded) for (key, excluded), values in found.items())


def filters_from(named: Mapping[str, str | Iterable[str]]) -> tuple[Filter, ...]:
    """Filters from names and values. Raises QueryError for a name or a value that does not exist."""
    return tuple(make_filter(key, (values,) if isinstance(values, str) else tuple(values)) for key, values in named.items())


def make_filter(key: str, values: tuple[str, ...], *, excluded: bool = False) -> Filter:
    """One filter, checked. Raises QueryError."""
    if key not in KEYS:
        raise QueryError(f"unknown filter {key!r}", advice=f"Filters are: {', '.join(KEYS)}.")
    if not values:
        raise QueryError(f"{key} has no value")
    if key in TIMES:
        if excluded or len(values) > 1:
            raise QueryError(f"{key} takes one time and cannot be excluded")
        return Filter(key, (_time(key, values[0]),))
    allowed = _VALUES.get(key)
    for value in values:
        if allowed is not None and value not in allowed:
            raise QueryError(f"{key} is never {value!r}, expected one of: {', '.join(allowed)}")
    return Filter(key, values, excluded)


def _time(key: str, value: str) -> str:
    """A day stands for its first moment, or with `until` for the first moment after it."""
    try:
        if len(value) == 10:
            day = date.fromisoformat(value) + timedelta(days=key == "until")
            return time_string(datetime(day.year, day.month, day.day, tzinfo=UTC))
        moment = datetime.fromisoformat(value)
    except ValueError:
        raise QueryError(
            f"{key}: found {value!r}, expected a day or a time",
            advice="Write 2026-11-22 or 2026-11-22T09:30:00Z (UTC unless it says).",
        ) from None
    return time_string(moment if moment.tzinfo else moment.replace(tzinfo=UTC))
