"""What followed a decision: entries that name it, such as reveals, reviews, appeals, outputs; erasures of its subject."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Engine, Row, or_, select

from audit.canonical import loads
from audit.events import ERASURE, KINDS, Event, event_from
from audit.models import tables
from audit.query import reading

MAX_FOLLOWED = 500
"""Entries that are told at most, the first ones."""

_ENTRY = tables()[0]


@dataclass(frozen=True, slots=True)
class Followed:
    """One entry that names a decision."""

    idx: int
    kind: str
    time: str
    actor: str
    action: str = ""
    """Of a decision."""
    decision: str = ""
    """Of a decision: its id."""
    event: Event | None = None
    """Of an event whose body is still there."""


def followed(source: str | Engine, decision: UUID) -> tuple[Followed, ...]:
    """The entries that name a decision, the oldest first. Raises LedgerError when the ledger cannot be read."""
    statement = select(_ENTRY).where(_ENTRY.c.parent == str(decision)).order_by(_ENTRY.c.idx).limit(MAX_FOLLOWED)
    with reading(source) as connection:
        rows = connection.execute(statement).all()
    return tuple(map(_followed, rows))


def erasures(source: str | Engine, index: int, tenant: str, subject: str) -> tuple[Followed, ...]:
    """Erasures of a tenant's subject after an entry, those of every tenant's too, the oldest first.

    Raises LedgerError when the ledger cannot be read.
    """
    whose = or_(_ENTRY.c.tenant == tenant, _ENTRY.c.tenant.is_(None))
    found = select(_ENTRY).where(whose, _ENTRY.c.subject == subject, _ENTRY.c.idx > index, _ENTRY.c.kind == ERASURE)
    with reading(source) as connection:
        rows = connection.execute(found.order_by(_ENTRY.c.idx).limit(MAX_FOLLOWED)).all()
    return tuple(map(_followed, rows))


def _followed(row: Row[Any]) -> Followed:
    event = event_from(loads(row.body)) if row.kind in KINDS and row.body is not None else None
    return Followed(row.idx, row.kind, row.time, row.actor or "", row.action or "", row.decision or "", event)
