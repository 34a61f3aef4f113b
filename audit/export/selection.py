"""Which entries an export has, read in the log's order, a few at a time, from one state of the ledger."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, func, or_, select

from audit.body import DECISION
from audit.conditions import condition, within
from audit.events import KINDS
from audit.grammar import Filter, parse
from audit.models import tables
from audit.moments import hull

PAGE = 500
"""Entries in memory at a time."""
_ENTRY = tables()[0]


@dataclass(frozen=True, slots=True)
class Taken:
    """An entry as it lies in the ledger."""

    idx: int
    leaf: bytes
    body: bytes | None
    """None once retention has dropped it."""
    columns: dict[str, Any]
    """Every other column."""


@dataclass(frozen=True, slots=True)
class Selection:
    """The entries that match a query, below an index."""

    query: str = ""
    """In the short form of `audit.grammar`; decisions, unless it names kinds."""
    every_kind: bool = False
    """Whether entries of all kinds are taken where the query names none."""
    followed: bool = False
    """Whether what was recorded about the matching decisions later (reviews, appeals, overrides) comes along."""
    tenant: str = ""
    """Only this tenant's decisions, whatever else is asked for; empty: all."""
    above: int = -1
    """Only larger indices."""
    below: int | None = None
    """Only smaller indices; None: all."""

    def __post_init__(self) -> None:
        """Check the query. Raises QueryError that points at the mistake."""
        parse(self.query)

    def count(self, connection: Connection) -> int:
        """How many entries it has now."""
        matches = self._matches(connection)
        found: int = connection.execute(select(func.count()).select_from(_ENTRY).where(matches)).scalar_one()
        return found

    def leaves(self, connection: Connection) -> Iterator[tuple[int, bytes, bool]]:
        """Index, leaf hash, and whether the body is still there."""
        columns = (_ENTRY.c.idx, _ENTRY.c.leaf, _ENTRY.c.body.is_not(None).label("whole"))
        for row in self._rows(connection, columns):
            yield row["idx"], bytes(row["leaf"]), bool(row["whole"])

    def entries(self, connection: Connection) -> Iterator[Taken]:
        """The entries, smallest index first."""
        for row in self._rows(connection, tuple(_ENTRY.c)):
            columns = dict(row)
            body = columns.pop("body")
            yield Taken(columns.pop("idx"), bytes(columns.pop("leaf")), None if body is None else bytes(body), columns)

    def _rows(self, connection: Connection, columns: tuple[ColumnElement[Any], ...]) -> Iterator[Any]:
        # One statement, read as it is needed: with a page each, what a filter looks up would be looked up for every page.
        statement = select(*columns).where(self._matches(connection)).order_by(_ENTRY.c.idx).execution_options(yield_per=PAGE)
        with connection.execute(statement) as found:
            yield from found.mappings()

    def _matches(self, connection: Connection) -> ColumnElement[bool]:
        filters = parse(self.query)
        if not self.every_kind and not any(one.key == "kind" for one in filters):
            filters = (*filters, Filter("kind", (DECISION,)))
        if self.tenant:  # filters of their own: values of one key in a query stand beside one another
            filters = (*filters, Filter("tenant", (self.tenant,)), Filter("kind", (DECISION,)))
        low, high = hull(connection, filters)
        # One lower bound: of two, SQLite may walk from the smaller one.
        match = and_(within((max(low, self.above + 1), high)), *map(condition, filters))
        if self.followed and not self.tenant:
            about = select(_ENTRY.c.decision).where(match, _ENTRY.c.decision.is_not(None))
            match = or_(match, and_(_ENTRY.c.kind.in_(tuple(KINDS)), _ENTRY.c.parent.in_(about)))
        return match if self.below is None else and_(match, _ENTRY.c.idx < self.below)
