"""How entries are found: window by window of indices, from where the page begins, until there are enough or a bound is reached.

A window is one statement over a stretch of indices, larger after a quick one and smaller after a slow one. So a page costs what
its own entries cost, whatever index the database chooses, and no query runs for ever: past its bounds it tells where it
stopped, and goes on from there when it is asked to.
"""

from __future__ import annotations

import time
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from sqlalchemy import ColumnElement, Connection, inspect, select

from audit.body import DECISION
from audit.conditions import Window, condition, ends, known_values, within
from audit.grammar import ANY, TERMS, Filter, about
from audit.models import is_fact, tables
from audit.moments import windows
from audit.reasons import says, split

PATIENCE_S = 2.0
"""Seconds after which a search stops, at the end of its window."""
MAX_BODIES = 50_000
"""Bodies that are read for words at most."""
_FIRST, _SMALLEST, _LARGEST = 8192, 256, 1 << 18
_QUICK_S, _SLOW_S = 0.05, 0.2
_BATCH = 2000
"""Bodies that are in memory at once."""
_TENANTS = 200
_FEW = 1000
_PROBED = frozenset({"id", "request", "subject", "parent", "kind", "tenant", "generator", "policy", "actor", "version"})
"""Filters on columns that an index begins with, or with a tenant; those on terms are probed, too."""
_LATER = frozenset({"kind", "actor", "version"})
"""Those whose index ledgers of before do not have."""
_ENTRY, _TERM, _HEAD = tables()[:3]


@dataclass(slots=True)
class Search:
    """One search in one transaction. `low`, `high`: the indices that are searched, `high` not among them."""

    connection: Connection
    wanted: tuple[Filter, ...]
    low: int
    high: int
    upwards: bool = False
    patience: float = 0.0
    """Seconds."""
    size: int = 0
    """Entries in the ledger."""
    place: int = 0
    """How far it came: all of `low` to `high` on the one side of it was searched."""
    stopped: str = ""
    """Which bound ended it; empty when none did."""
    bodies: int = 0
    _words: tuple[Filter, ...] = ()
    _few: list[int] | None = None
    """All indices that come into question, when they are few."""
    _spans: list[Window] | None = None
    """Where entries of the times asked for can be, in order; None for anywhere."""
    _started: float = field(default_factory=time.monotonic)

    @classmethod
    def open(
        cls,
        connection: Connection,
        wanted: Sequence[Filter],
        *,
        before: int | None = None,
        after: int | None = None,
        patience: float | None = None,
    ) -> Search:
        """Begin one: downwards, or upwards when there is only `after`. `patience`: seconds, PATIENCE_S by default."""
        patience = PATIENCE_S if patience is None else patience
        plain, words = split(wanted)
        if not any(one.key == "kind" for one in plain):
            plain = (*plain, Filter("kind", about(plain)))
        plain = (*plain, *_owners(connection, plain))
        size = connection.execute(select(_HEAD.c.size)).scalar_one()
        low, high = _narrowed(plain, 0 if after is None else max(0, after + 1), size if before is None else min(size, before))
        upwards = after is not None and before is None
        few = _few(connection, plain)
        found = cls(connection, plain, low, max(low, high), upwards, patience, size, _words=words, _few=few)
        found._spans = windows(connection, plain, size) if few is None else None
        found.place = found.low if upwards else found.high
        return found

    def find(self, limit: int) -> list[int]:
        """The nearest indices, at most `limit`, in the order of the search."""
        found: list[int] = []
        for window in self._windows():
            more, reached = self._hits(window, limit - len(found))
            found += more
            if len(found) >= limit:
                self.place = found[-1] + 1 if self.upwards else found[-1]
                break
            if reached is not None:
                self.place = reached
        return found

    def parts(self, enough: int | None = None) -> Iterator[ColumnElement[bool]]:
        """Conditions on `entry` that each hold of a part of what is sought; together, of all down to `place`.

        `enough`: with words, the matches after which it ends.
        """
        left = enough
        for window in self._windows():
            if not self._words:
                yield self._conditions(window)
                continue
            hits, reached = self._hits(window, _BATCH if left is None else max(1, min(left, _BATCH)))
            left = None if left is None else left - len(hits)
            if reached is not None:
                self.place = reached
            if hits:
                yield _ENTRY.c.idx.in_(hits)

    def _windows(self) -> Iterator[Window]:
        """Stretches of indices; moves `place` behind each, and ends with a reason when a bound is reached."""
        span = max(1, self.size) if self._few is not None else _BATCH if self._words else _FIRST
        while self.low < self.place if not self.upwards else self.place < self.high:
            begun = time.monotonic()
            end = self._skip()
            if self.upwards:
                window = (self.place, min(end, self.place + span))
                self.place = window[1]
            else:
                window = (max(end, self.place - span), self.place)
                self.place = window[0]
            if window[0] < window[1]:
                yield window
            if self.place == (self.high if self.upwards else self.low):
                return
            now = time.monotonic()
            if now - begun < _QUICK_S:
                span = min(span * 4, _LARGEST)
            elif now - begun > _SLOW_S:
                span = max(span // 4, _SMALLEST)
            if self.bodies >= MAX_BODIES:
                self.stopped = f"{self.bodies:,} entries were read for words"
            elif now - self._started > self.patience:
                self.stopped = f"{self.patience:g} s have passed"
            if self.stopped:
                return

    def _hits(self, window: Window, limit: int) -> tuple[list[int], int | None]:
        """The nearest matches of a window, and where it was left when not all of it was searched."""
        order = _ENTRY.c.idx.asc() if self.upwards else _ENTRY.c.idx.desc()
        conditions = self._conditions(window)
        if not self._words:
            statement = select(_ENTRY.c.idx).where(conditions).order_by(order).limit(limit)
            return list(self.connection.execute(statement).scalars()), None
        read = select(_ENTRY.c.idx, _ENTRY.c.body).where(conditions).order_by(order)
        most = min(_BATCH, max(1, MAX_BODIES - self.bodies))
        rows = self.connection.execute(read.limit(most)).all()
        hits: list[int] = []
        for number, row in enumerate(rows, 1):
            if says(row.body, self._words):
                hits.append(row.idx)
            if len(hits) == limit or number == most:
                self.bodies += number
                return hits, row.idx + 1 if self.upwards else row.idx
        self.bodies += len(rows)
        return hits, None

    def _conditions(self, window: Window) -> ColumnElement[bool]:
        found = within(window)
        if self._few is not None:
            found = _ENTRY.c.idx.in_([idx for idx in self._few if window[0] <= idx < window[1]])
        for one in self.wanted:
            found = found & condition(one, window)
        return found

    def _skip(self) -> int:
        """Move `place` past entries that no time asked for can be at; return how far one may go from there."""
        if self._spans is None:
            return self.high if self.upwards else self.low
        if self.upwards:
            number = bisect_right(self._spans, self.place, key=lambda span: span[1])
            start, stop = self._spans[number] if number < len(self._spans) else (self.high, self.high)
            self.place = min(self.high, max(self.place, start))
            return min(self.high, stop)
        number = bisect_left(self._spans, self.place, key=lambda span: span[0]) - 1
        start, stop = self._spans[number] if number >= 0 else (self.low, self.low)
        self.place = max(self.low, min(self.place, stop))
        return max(self.low, start)


def _few(connection: Connection, wanted: Sequence[Filter]) -> list[int] | None:
    """All indices that one filter allows, when an index finds them and they are few; None when no filter is like that."""
    tenants = [condition(one) for one in wanted if one.key == "tenant" and not one.excluded]
    for one in wanted:
        if (
            one.excluded
            or (one.key not in _PROBED and one.key not in TERMS)
            or (one.key == "kind" and {DECISION, ANY} & {*one.values})
        ):
            continue
        if (one.key == "subject" and not tenants) or (one.key in _LATER and not _indexed(connection, f"ix_entry_{one.key}")):
            continue
        if one.key in TERMS:
            found = select(_TERM.c.idx).where(is_fact(_TERM), _TERM.c.name == one.key, _TERM.c.value.in_(one.values)).distinct()
        else:
            found = select(_ENTRY.c.idx).where(condition(one), *(tenants if one.key == "subject" else ()))
        indices = list(connection.execute(found.limit(_FEW + 1)).scalars())
        if len(indices) <= _FEW:
            return indices
    return None


def _indexed(connection: Connection, name: str) -> bool:
    """Whether there is an index that ledgers of before do not have."""
    return any(one["name"] == name for one in inspect(connection).get_indexes(_ENTRY.name))


def _owners(connection: Connection, wanted: Sequence[Filter]) -> tuple[Filter, ...]:
    """All tenants, when subjects are asked for and no tenant is: the index on subjects begins with them."""
    if not any(one.key == "subject" and not one.excluded for one in wanted) or any(one.key == "tenant" for one in wanted):
        return ()
    tenants = known_values(connection, _ENTRY.c.tenant, _TENANTS)
    return (Filter("tenant", tuple(tenants)),) if 0 < len(tenants) < _TENANTS else ()


def _narrowed(wanted: Sequence[Filter], low: int, high: int) -> Window:
    """The window that ranges of indices leave."""
    for one in wanted:
        if one.key == "idx" and not one.excluded:
            pairs = [ends("idx", value) for value in one.values]
            low = max(low, min(int(first or 0) for first, _ in pairs))
            high = min(high, max(int(last) + 1 if last else high for _, last in pairs))
    return low, high
