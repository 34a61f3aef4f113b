"""Filters as SQL conditions on rows of `entry`, in portable form."""

from __future__ import annotations

from sqlalchemy import Column, ColumnElement, Connection, and_, exists, false, literal_column, not_, or_, select, true

from audit.body import DECISION
from audit.grammar import ANY, COLUMNS, PREFIXES, RANGES, TERMS, TEXT, Filter, QueryError
from audit.models import is_fact, tables

_ENTRY, _TERM = tables()[:2]

Window = tuple[int, int]
"""Indices from the first up to, not including, the second."""


def condition(wanted: Filter, window: Window | None = None) -> ColumnElement[bool]:
    """A filter as a condition on rows of `entry`. `window`: what the rows are limited to anyway, which saves work.

    Raises QueryError for free text, which the database cannot answer.
    """
    if wanted.key == TEXT:
        raise QueryError("words without a key are not possible here", advice="Ask with keys only, or use `audit query`.")
    if wanted.key == "since":
        return _ENTRY.c.time >= wanted.values[0]
    if wanted.key == "until":
        return _ENTRY.c.time < wanted.values[0]
    if wanted.key in TERMS:
        return _term(wanted, window)
    if wanted.key == "kind" and ANY in wanted.values:
        return false() if wanted.excluded else true()
    column = _ENTRY.c[COLUMNS.get(wanted.key) or RANGES[wanted.key]]
    match: ColumnElement[bool]
    if wanted.key in RANGES:
        match = or_(*[_between(wanted.key, value) for value in wanted.values])
    elif wanted.key in PREFIXES:
        match = or_(*[and_(column >= value, column < value + "\U0010ffff") for value in wanted.values])
    else:
        match = column.in_(wanted.values)
    if not wanted.excluded:
        return and_(match, *_served(wanted))
    return or_(column.is_(None), not_(match))


def within(window: Window) -> ColumnElement[bool]:
    """Rows of `entry` of a window."""
    return and_(_ENTRY.c.idx >= window[0], _ENTRY.c.idx < window[1])


def ends(key: str, value: str) -> tuple[str, str]:
    """The two ends of a range, as `audit.grammar` writes it."""
    assert key in RANGES
    low, _, high = value.partition("..")
    return low, high


def known_values(connection: Connection, column: Column[str], most: int, prefix: str = "") -> list[str]:
    """The values of a column that an index begins with, each found by one look into it; at most `most`, in order."""
    found: list[str] = []
    beyond = column >= prefix
    while len(found) < most:
        near = [column < prefix + "\U0010ffff"] if prefix else []
        value = connection.execute(select(column).where(beyond, *near).order_by(column).limit(1)).scalar_one_or_none()
        if value is None:
            break
        found.append(value)
        beyond = column > value
    return found


def _served(wanted: Filter) -> list[ColumnElement[bool]]:
    """What holds anyway, said so that an index on a part of the entries can be used. Literal: a parameter would not do."""
    if wanted.key == "subject" and all(wanted.values):
        return [_ENTRY.c.subject != literal_column("''")]
    if wanted.key == "kind" and DECISION not in wanted.values:
        return [_ENTRY.c.kind != literal_column(f"'{DECISION}'")]
    return []


def _between(key: str, value: str) -> ColumnElement[bool]:
    low, high = ends(key, value)
    column = _ENTRY.c[RANGES[key]]
    if key == "created":
        return and_(*([column >= low] if low else []), *([column < high] if high else []))
    if low == high:
        return column == int(low)  # which lets an index serve what is in the order of `idx`, too
    return and_(*([column >= int(low)] if low else []), *([column <= int(high)] if high else []))


def _term(wanted: Filter, window: Window | None) -> ColumnElement[bool]:
    one = and_(is_fact(_TERM), _TERM.c.name == wanted.key, _TERM.c.value.in_(wanted.values))
    # As a list when it narrows down (the index on values serves it), as a probe for each entry when it excludes.
    if wanted.excluded:
        return not_(exists().where(one, _TERM.c.idx == _ENTRY.c.idx))
    if window is not None:
        one = and_(one, _TERM.c.idx >= window[0], _TERM.c.idx < window[1])
    return _ENTRY.c.idx.in_(select(_TERM.c.idx).where(one))
