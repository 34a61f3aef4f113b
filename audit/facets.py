"""What a query's entries have in common: counts by value, over time, and the most frequent values; bounded, and saying so.

Counted is from the newest entry backwards, window by window (`audit.search`). When a bound ends that, every number is of the
entries from `since` on only, and `complete` is false: a value is then at least its number.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, Engine, func, literal_column, select

from audit.grammar import COLUMNS, TERMS, QueryError, filters_from, parse
from audit.models import tables
from audit.query import reading
from audit.search import Search

FACETS = ("action", "rule", "category", "generator", "tenant", "policy", "stage", "modality")
"""What is counted beside a page."""
ENOUGH = 10_000
"""Entries after which facets are complete enough to choose by."""
FACETS_S, COUNTS_S = 0.5, 5.0
"""Seconds that facets, and series and top values, take at most."""
BUCKETS = {"hour": 13, "day": 10, "month": 7}
"""What a series counts by, with how many characters of a time tell it."""
MAX_TOP = 1000
COUNTABLE = tuple(sorted({*COLUMNS, *TERMS} - {"id", "parent", "request"}))
"""What may be counted by."""

_ENTRY, _TERM = tables()[:2]


@dataclass(frozen=True, slots=True)
class Counts:
    """Numbers over the entries that a query finds."""

    total: int
    """Entries that were counted."""
    values: dict[str, tuple[tuple[str, int], ...]]
    """By key, each value with its number; the most frequent first."""
    complete: bool
    since: int
    """The oldest index that was counted; entries before it were not, unless `complete`."""
    why: str = ""
    """What ended the counting; empty when nothing did."""


@dataclass(frozen=True, slots=True)
class Series:
    """Numbers over time."""

    bucket: str
    points: tuple[tuple[str, dict[str, int]], ...]
    """The beginning of each hour, day or month (UTC) with the numbers by action, the oldest first; those without any are left
    out."""
    complete: bool
    since: int
    why: str = ""


def facets(source: str | Engine, text: str = "", *, most: int = 10, **filters: str | Iterable[str]) -> Counts:
    """The most frequent values of each facet over the newest entries that a query finds; `most` of each.

    Raises QueryError, and LedgerError when the ledger cannot be read.
    """
    with reading(source) as connection:
        search = Search.open(connection, (*parse(text), *filters_from(filters)), patience=FACETS_S)
        return _counts(connection, search, FACETS, most, ENOUGH)


def top(source: str | Engine, key: str, text: str = "", *, most: int = 10, **filters: str | Iterable[str]) -> Counts:
    """The most frequent values of one key over all entries that a query finds.

    Raises QueryError, also for a key that cannot be counted by, and LedgerError when the ledger cannot be read.
    """
    if key not in COUNTABLE:
        raise QueryError(f"cannot count by {key!r}", advice=f"Count by one of: {', '.join(COUNTABLE)}.")
    if not 1 <= most <= MAX_TOP:
        raise QueryError(f"found a number of {most}, expected 1 to {MAX_TOP}")
    with reading(source) as connection:
        search = Search.open(connection, (*parse(text), *filters_from(filters)), patience=COUNTS_S)
        return _counts(connection, search, (key,), most, None)


def series(source: str | Engine, bucket: str, text: str = "", **filters: str | Iterable[str]) -> Series:
    """How many entries that a query finds there were in each `hour`, `day` or `month`, by action.

    Entries without an action count under their kind. Raises QueryError, and LedgerError when the ledger cannot be read.
    """
    if bucket not in BUCKETS:
        raise QueryError(f"cannot count by {bucket!r}", advice=f"Count by one of: {', '.join(BUCKETS)}.")
    found: dict[str, Counter[str]] = {}
    with reading(source) as connection:
        search = Search.open(connection, (*parse(text), *filters_from(filters)), patience=COUNTS_S)
        start = func.substr(_ENTRY.c.time, 1, BUCKETS[bucket])
        name = func.coalesce(_ENTRY.c.action, _ENTRY.c.kind)
        for part in search.parts():
            statement = select(start, name, func.count()).where(part).group_by(start, name)
            for moment, action, number in connection.execute(statement):
                found.setdefault(moment, Counter())[action] += number
        points = tuple((_beginning(moment), dict(sorted(counted.items()))) for moment, counted in sorted(found.items()))
        return Series(bucket, points, not search.stopped, search.place, search.stopped)


def _beginning(moment: str) -> str:
    return moment + ":00Z" if len(moment) == BUCKETS["hour"] else moment


def _counts(connection: Connection, search: Search, keys: Iterable[str], most: int, enough: int | None) -> Counts:
    columns = [key for key in keys if key in COLUMNS]
    names = [key for key in keys if key not in COLUMNS]
    found: dict[str, Counter[str]] = {key: Counter() for key in keys}
    total, why = 0, ""
    for part in search.parts(enough):
        total += _count_columns(connection, part, columns, found)
        if names:
            _count_terms(connection, part, names, found)
        if enough is not None and total >= enough and search.place > search.low:
            why = f"{total:,} entries were counted"
            break
    why = why or search.stopped
    values = {
        key: tuple(sorted(counted.items(), key=lambda pair: (-pair[1], pair[0]))[:most]) for key, counted in found.items()
    }
    return Counts(total, values, not why, search.place, why)


def _count_columns(connection: Connection, part: ColumnElement[bool], keys: list[str], found: dict[str, Counter[str]]) -> int:
    """Count by all columns at once: few combinations occur. Returns how many entries there are."""
    columns = [_ENTRY.c[COLUMNS[key]] for key in keys]
    total = 0
    for *values, number in connection.execute(select(*columns, func.count()).where(part).group_by(*columns)):
        total += number
        for key, value in zip(keys, values, strict=True):
            if value:
                found[key][value] += number
    return total


def _count_terms(connection: Connection, part: ColumnElement[bool], names: list[str], found: dict[str, Counter[str]]) -> None:
    # The name as an expression: else SQLite walks the index on names, which is in the order of the groups, from end to end.
    named = _TERM.c.name.concat(literal_column("''"))
    chosen = (named.in_(names), _TERM.c.idx.in_(select(_ENTRY.c.idx).where(part)))
    statement = select(named, _TERM.c.value, func.count()).where(*chosen).group_by(named, _TERM.c.value)
    for name, value, number in connection.execute(statement):
        found[name][value] += number
