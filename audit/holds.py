"""Legal holds: filters whose decisions, and what belongs to them, neither an erasure nor retention may touch.

A hold is set and lifted by entries of kind `hold`; what holds now is what was set and not lifted since.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import uuid4

from sqlalchemy import ColumnElement, Connection, and_, func, select

from audit.body import DECISION
from audit.canonical import loads
from audit.conditions import condition
from audit.events import HOLD, Event, event_from
from audit.grammar import parse
from audit.ledger import SqlLedger
from audit.models import is_fact, tables
from guard.errors import InputError

SET, LIFT = "set", "lift"
_ENTRY, _TERM, _, _, _, _ = tables()


@dataclass(frozen=True, slots=True)
class Hold:
    """One hold that is in force."""

    id: str
    query: str
    """Filters of `audit.grammar`; empty: every decision."""
    actor: str
    reason: str
    time: str
    """When it was set, RFC 3339."""
    index: int
    """The entry that set it."""

    @property
    def covers(self) -> ColumnElement[bool]:
        """The decisions that it covers, as a condition on rows of `entry`."""
        return and_(_ENTRY.c.kind == DECISION, *map(condition, parse(self.query)))


def set_hold(ledger: SqlLedger, query: str, *, actor: str, reason: str) -> Hold:
    """Set a hold on what matches. Raises QueryError for filters that cannot be read, LedgerError without a reason."""
    parse(query)
    hold = uuid4().hex[:8]
    event = Event(HOLD, actor, {"step": SET, "hold": hold, "query": query}, reason=reason)
    index = ledger.record_sync(event)
    return Hold(hold, query, actor, reason, event.time.isoformat(), index)


def lift_hold(ledger: SqlLedger, hold: str, *, actor: str, reason: str) -> int:
    """Lift a hold; return the entry's index. Raises RefusedError when none of this id is in force."""

    def unless(connection: Connection) -> str:
        known = [one.id for one in active_holds(connection)]
        return "" if hold in known else f"no hold {hold!r} is in force, expected one of: {', '.join(known) or '(none)'}"

    return ledger.record_sync(Event(HOLD, actor, {"step": LIFT, "hold": hold}, reason=reason), unless=unless)


def active_holds(connection: Connection) -> tuple[Hold, ...]:
    """Holds in force, oldest first."""
    held = select(_TERM.c.idx).where(is_fact(_TERM), _TERM.c.name == "hold")
    found = select(_ENTRY.c.idx, _ENTRY.c.body).where(_ENTRY.c.idx.in_(held), _ENTRY.c.kind == HOLD).order_by(_ENTRY.c.idx)
    holds: dict[str, Hold] = {}
    for idx, data in connection.execute(found):
        body = loads(data)
        event = event_from(body)
        name = str(event.fields["hold"])
        if event.fields["step"] == SET:
            holds[name] = Hold(name, str(event.fields.get("query", "")), event.actor, event.reason, body["time"], idx)
        else:
            holds.pop(name, None)
    return tuple(holds.values())


def holding(connection: Connection, wanted: Sequence[ColumnElement[bool]]) -> dict[str, int]:
    """How many of the decisions that meet conditions each hold in force covers; holds that cover none are left out."""
    found: dict[str, int] = {}
    for hold in active_holds(connection):
        count: int = connection.execute(select(func.count()).select_from(_ENTRY).where(hold.covers, *wanted)).scalar_one()
        found |= {hold.id: count} if count else {}
    return found


def told(held: dict[str, int]) -> str:
    """What holds cover, in words."""
    return ", ".join(f"hold {name} covers {count} decision{'s' * (count != 1)}" for name, count in held.items())


def need_reason(reason: str, doing: str) -> str:
    """A reason that somebody gave. Raises InputError for an empty one."""
    if not reason.strip():
        raise InputError(f"found no reason to {doing}, expected one", advice="Give it: --reason TEXT.")
    return reason.strip()
