"""What was decided over a period, beside the period before it: counts and shares, what persons said of it, what still waits.

All is counted by the database, in one pass a question, from columns that the verifier derives from the bodies; the few entries
by persons are read as they are. Shares are parts of the decisions of the same period.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from statistics import median
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, and_, case, exists, func, or_, select

from audit.body import DECISION, time_from, time_string
from audit.canonical import loads
from audit.conditions import condition, within
from audit.events import APPEAL, FEEDBACK, OVERRIDE, REVIEW
from audit.grammar import Filter, QueryError, parse
from audit.models import tables
from audit.moments import hull
from audit.outcomes import RELEASE, WITHHOLD, Words
from audit.query import reading
from guard.types import Action

DIMENSIONS = {"rule": "", "category": "", "generator": "generator", "tenant": "tenant", "policy": "policy"}
"""What is counted by; with the column of `entry`, or none for a term."""
TOP = 20
"""Values of a dimension that are told, by how often they occur in both periods."""
STOPPED = (Action.REDACT, Action.REVIEW, Action.BLOCK)
"""Actions after which an output does not leave as it was."""
_DECIDE = "decide"
_DAY = timedelta(days=1)

_ENTRY, _TERM = tables()[:2]


@dataclass(frozen=True, slots=True)
class Period:
    """From a moment up to, and without, another; `before` is where the one to compare with begins, and it ends at `since`."""

    since: datetime
    until: datetime
    before: datetime

    @classmethod
    def month(cls, text: str) -> Period:
        """A calendar month (UTC), `2026-11`, beside the month before. Raises QueryError for what is none."""
        try:
            since = datetime.strptime(text, "%Y-%m").replace(tzinfo=UTC)
        except ValueError:
            raise QueryError(f"found {text!r}, expected a month", advice="Write it as 2026-11.") from None
        if since.year < 2:
            raise QueryError(f"found {text!r}, expected a month of our time")
        until = (since + 31 * _DAY).replace(day=1)
        return cls(since, until, (since - _DAY).replace(day=1))

    @classmethod
    def between(cls, since: datetime, until: datetime) -> Period:
        """Any period, beside one of the same length before it. Raises QueryError when it is empty."""
        if since >= until:
            raise QueryError(f"the period from {since} to {until} is empty", advice="Let since: be before until:.")
        try:
            return cls(since, until, since - (until - since))
        except OverflowError:
            raise QueryError("the period before that one would begin before our time", advice="Choose a shorter one.") from None


@dataclass(frozen=True, slots=True)
class Count:
    """How often a value occurs: by action, now and in the period before."""

    value: str
    now: Mapping[str, int]
    before: Mapping[str, int]

    @property
    def total(self) -> int:
        """In the period."""
        return sum(self.now.values())

    @property
    def total_before(self) -> int:
        """In the period before."""
        return sum(self.before.values())


@dataclass(frozen=True, slots=True)
class Persons:
    """What persons said of decisions, in the period, as it stood at its end."""

    decided: int = 0
    """Automatic decisions that a person decided on again (review, override, appeal), each counted once."""
    overturned: int = 0
    """Those of them that came out otherwise: blocked and released, or released and withheld."""
    held_released: int = 0
    held_withheld: int = 0
    """Outputs that were held for a person, and what came of them."""
    appeals: int = 0
    feedback: int = 0
    median_hours: float | None = None
    """From a decision to the first word of a person on it; None without any."""

    @property
    def overturn_rate(self) -> float | None:
        """Overturned of decided; None when nothing was."""
        return self.overturned / self.decided if self.decided else None


@dataclass(frozen=True, slots=True)
class Queue:
    """Held outputs that no person had decided on when the period ended, or by now where it has not."""

    waiting: int = 0
    median_hours: float | None = None
    oldest_hours: float | None = None


@dataclass(frozen=True, slots=True)
class Statistics:
    """All of it."""

    period: Period
    query: str
    total: Count
    """All decisions; its value is empty."""
    by: Mapping[str, Sequence[Count]]
    """Counts for each of DIMENSIONS, most frequent first."""
    days: Sequence[tuple[str, Mapping[str, int]]]
    """Decisions of each day (UTC) of the period that has any, by action."""
    persons: Persons
    persons_before: Persons
    queue: Queue
    size: int = field(default=0)
    """Entries of the ledger when it was counted."""

    def share(self, count: int, *, before: bool = False) -> float:
        """A part of all decisions of a period; 0 when there were none."""
        total = self.total.total_before if before else self.total.total
        return count / total if total else 0.0


def period_of(query: str, now: datetime, days: int = 30) -> tuple[Period, str]:
    """The period that `since:` and `until:` of a query name (default: the last `days`), and the query without them."""
    filters = parse(query)
    times = {one.key: time_from(one.values[0]) for one in filters if one.key in {"since", "until"}}
    until = times.get("until", now)
    period = Period.between(times.get("since", until - timedelta(days=days)), until)
    return period, " ".join(map(_written, (one for one in filters if one.key not in times)))


def statistics(
    source: str | Engine, period: Period, query: str = "", *, tenant: str = "", top: int = TOP, now: datetime | None = None
) -> Statistics:
    """Count. `query`: filters on decisions, without times; `tenant`: only this one's, whatever the query says.

    `now`: until when what waits has waited, where the period is not over; the present when left out.

    Raises QueryError, or LedgerError when the ledger cannot be read.
    """
    filters = [*parse(query), Filter("kind", (DECISION,)), *([Filter("tenant", (tenant,))] if tenant else [])]
    if any(one.key in {"since", "until"} for one in filters):
        raise QueryError("the period is given apart from the filters", query=query)
    matches = and_(*map(condition, filters))
    times = (Filter("since", (time_string(period.before),)), Filter("until", (time_string(period.until),)))
    with reading(source) as connection:
        then = and_(within(hull(connection, times)), matches)
        total = next(_counts(connection, period, then, None, 1), Count("", {}, {}))
        return Statistics(
            period,
            query,
            total,
            {name: tuple(_counts(connection, period, then, name, top)) for name in DIMENSIONS},
            tuple(_days(connection, period, then)),
            _persons(connection, (period.since, period.until), matches),
            _persons(connection, (period.before, period.since), matches),
            _queue(connection, min(period.until, now or datetime.now(UTC)), matches),
            int(connection.execute(select(func.count()).select_from(_ENTRY)).scalar_one()),
        )


def _counts(
    connection: Connection, period: Period, matches: ColumnElement[bool], name: str | None, top: int
) -> Iterator[Count]:
    """Rows by a dimension, or one row over all."""
    now = _ENTRY.c.time >= time_string(period.since)
    parts = [
        func.sum(case((and_(_ENTRY.c.action == action, now if current else ~now), 1), else_=0))
        for current in (True, False)
        for action in Action
    ]
    within = and_(_in(period.before, period.until), matches)
    value: ColumnElement[Any]
    statement: Any
    if name is None:
        statement = select(func.count(), *parts).where(within)
    else:
        value = _ENTRY.c[DIMENSIONS[name]] if DIMENSIONS[name] else _TERM.c.value
        statement = select(value, *parts).where(within).group_by(value).order_by(func.count().desc(), value).limit(top)
        if not DIMENSIONS[name]:
            statement = statement.join(_TERM, and_(_TERM.c.idx == _ENTRY.c.idx, _TERM.c.name == name))
    for first, *numbers in connection.execute(statement):
        counts = [int(number or 0) for number in numbers]
        by_now, by_before = (dict(zip(map(str, Action), counts[start : start + len(Action)], strict=True)) for start in _HALVES)
        yield Count("" if name is None else str(first or ""), _found(by_now), _found(by_before))


_HALVES = (0, len(Action))


def _days(connection: Connection, period: Period, matches: ColumnElement[bool]) -> Iterator[tuple[str, Mapping[str, int]]]:
    day = func.substr(_ENTRY.c.time, 1, 10)
    within = and_(_in(period.since, period.until), matches)
    statement = select(day, _ENTRY.c.action, func.count()).where(within).group_by(day, _ENTRY.c.action).order_by(day)
    found: dict[str, dict[str, int]] = {}
    for date, action, count in connection.execute(statement):
        found.setdefault(date, {})[action] = count
    yield from found.items()


def _persons(connection: Connection, within: tuple[datetime, datetime], matches: ColumnElement[bool]) -> Persons:
    """Reads the entries by persons, which are few; those taken back before the end do not count."""
    about, decision = _ENTRY.alias("about"), _ENTRY
    kinds = (REVIEW, OVERRIDE, APPEAL, FEEDBACK)
    columns = (about.c.idx, about.c.kind, about.c.time, about.c.body, decision.c.decision, decision.c.action)
    statement = (
        select(*columns, decision.c.time.label("asked"))
        .select_from(about.join(decision, about.c.parent == decision.c.decision))
        .where(about.c.kind.in_(kinds), about.c.time >= time_string(within[0]), about.c.time < time_string(within[1]), matches)
        .order_by(about.c.idx)
    )
    said: dict[str, Words] = {}
    actions: dict[str, str] = {}
    waited: dict[str, float] = {}
    kinds_found: Counter[str] = Counter()
    for row in connection.execute(statement).mappings():
        fields = {} if row["body"] is None else loads(row["body"]).get("fields", {})
        opens = row["kind"] == APPEAL and fields.get("step") != _DECIDE
        kinds_found[row["kind"]] += row["kind"] == FEEDBACK or opens
        if said.setdefault(row["decision"], Words()).add(row["idx"], row["kind"], fields):
            actions[row["decision"]] = row["action"]
            waited.setdefault(row["decision"], _hours(row["asked"], row["time"]))
    last = {one: words.last for one, words in said.items() if words.last}
    held = Counter(outcome for one, outcome in last.items() if actions[one] == Action.REVIEW)
    automatic = {one: outcome for one, outcome in last.items() if actions[one] != Action.REVIEW}
    return Persons(
        decided=len(automatic),
        overturned=sum(outcome != _meant(actions[one]) for one, outcome in automatic.items()),
        held_released=held[RELEASE],
        held_withheld=held[WITHHOLD],
        appeals=kinds_found[APPEAL],
        feedback=kinds_found[FEEDBACK],
        median_hours=median(waited[one] for one in last) if last else None,
    )


def _queue(connection: Connection, until: datetime, matches: ColumnElement[bool]) -> Queue:
    about = _ENTRY.alias("about")
    decides = exists().where(_TERM.c.idx == about.c.idx, _TERM.c.name == "step", _TERM.c.value == _DECIDE)
    answered = exists().where(
        about.c.parent == _ENTRY.c.decision,
        about.c.time < time_string(until),
        or_(about.c.kind == OVERRIDE, and_(about.c.kind.in_((REVIEW, APPEAL)), decides)),
    )
    waits = and_(_ENTRY.c.action == Action.REVIEW, _ENTRY.c.time < time_string(until), matches, ~answered)
    count = int(connection.execute(select(func.count()).select_from(_ENTRY).where(waits)).scalar_one())
    if not count:
        return Queue()
    times = select(_ENTRY.c.time).where(waits).order_by(_ENTRY.c.time)
    oldest, middle = (connection.execute(times.offset(place).limit(1)).scalar_one() for place in (0, count // 2))
    return Queue(count, _hours(middle, time_string(until)), _hours(oldest, time_string(until)))


def _in(since: datetime, until: datetime) -> ColumnElement[bool]:
    return and_(_ENTRY.c.time >= time_string(since), _ENTRY.c.time < time_string(until))


def _meant(action: str) -> str:
    """What an automatic action comes to in a person's words."""
    return WITHHOLD if action == Action.BLOCK else RELEASE


def _hours(since: str, until: str) -> float:
    return (time_from(until) - time_from(since)).total_seconds() / 3600


def _found(counts: Mapping[str, int]) -> dict[str, int]:
    return {action: count for action, count in counts.items() if count}


def _written(one: Filter) -> str:
    return ("-" if one.excluded else "") + f"{one.key}:" + ",".join(f'"{value}"' for value in one.values)
