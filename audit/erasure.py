"""Makes a subject's content unreadable for good: its keys, its payloads and its fingerprints go, the log stays.

One transaction destroys them and appends an `erasure` entry that says how many; then the pages are overwritten
(`audit.scrub`). Every leaf stays as it was, so that every proof still verifies. The subject's name stays in the entries, in
the clear: it has to be an opaque id.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, delete, func, select

from audit.body import DECISION
from audit.canonical import loads
from audit.drafts import Check, Effect
from audit.events import ERASURE, SUBJECT, Event, Value, event_from
from audit.failpoints import failpoint
from audit.holds import holding, need_reason, told
from audit.ledger import SqlLedger
from audit.models import FINGERPRINT, tables
from audit.query import reading
from audit.scrub import scrub
from guard.errors import InputError, LedgerError

_ENTRY, _, _, _, _PAYLOAD, _KEY = tables()
_TRIES = 20


@dataclass(frozen=True, slots=True)
class Erased:
    """What an erasure did."""

    index: int
    """The entry that says so."""
    event: Event
    leaf: bytes
    trouble: str
    """Why deleted bytes may still stand in the files; empty when they were overwritten."""
    again: bool = False
    """Whether it had been done before, and was only overwritten again."""

    def count(self, what: str) -> int:
        """How many `keys`, `payloads` or `fingerprints` went."""
        return int(str(self.event.fields.get(what, 0)))


@dataclass(frozen=True, slots=True)
class _Found:
    secrets: tuple[bytes, ...]
    payloads: int
    fingerprints: int

    @property
    def counts(self) -> dict[str, int]:
        return {"keys": len(self.secrets), "payloads": self.payloads, "fingerprints": self.fingerprints}


class _MovedError(LedgerError):
    """Content of the subject came while it was being erased."""


def erase(ledger: SqlLedger, subject: str, *, actor: str, reason: str, tenant: str = "", basis: str = "") -> Erased:
    """Erase the content of a subject. `tenant`: whose subject; empty: of every tenant. `basis`: the legal one.

    What is erased already is only overwritten again. Content that comes later is sealed under a new key and stays. Raises
    RefusedError when a hold covers some of it, InputError without subject or reason or when nothing of it is stored,
    LedgerError when the ledger cannot be written.
    """
    if not subject.strip():
        raise InputError("found no subject, expected the id that its decisions were recorded under")
    reason = need_reason(reason, "erase")
    engine = ledger.reader
    for _ in range(_TRIES):
        with reading(engine) as connection:
            found = _found(connection, subject, tenant)
            before = _earlier(connection, subject, tenant)
        if not found.secrets:
            if before is None:
                raise InputError(f"nothing of subject {subject!r} is stored, expected content of it")
            return Erased(*before, scrub(ledger.store, None), again=True)
        fields: dict[str, Value] = {"what": SUBJECT, **found.counts, "basis": basis}
        stated = {name: value for name, value in fields.items() if value}
        event = Event(ERASURE, actor, stated, reason=reason, tenant=tenant, subject=subject)
        try:
            index = ledger.record_sync(event, unless=_held(subject, tenant), effect=_destruction(subject, tenant, found))
        except _MovedError:
            continue
        failpoint("erase: recorded")
        with reading(engine) as connection:
            leaf = connection.execute(select(_ENTRY.c.leaf).where(_ENTRY.c.idx == index)).scalar_one()
        return Erased(index, event, bytes(leaf), scrub(ledger.store, found.secrets))
    raise LedgerError(f"content of the subject kept coming while it was erased, {_TRIES} times", advice="Try again.")


def _mine(subject: str, tenant: str) -> list[ColumnElement[bool]]:
    return [_KEY.c.subject == subject, *([_KEY.c.tenant == tenant] if tenant else [])]


def _found(connection: Connection, subject: str, tenant: str) -> _Found:
    mine = _mine(subject, tenant)
    secrets = connection.execute(select(_KEY.c.wrapped).where(*mine)).scalars().all()
    ids = select(_KEY.c.id).where(*mine)
    payloads, fingerprints = (
        connection.execute(select(func.count()).select_from(table).where(table.c.key.in_(ids))).scalar_one()
        for table in (_PAYLOAD, FINGERPRINT)
    )
    return _Found(tuple(bytes(one) for one in secrets), payloads, fingerprints)


def _earlier(connection: Connection, subject: str, tenant: str) -> tuple[int, Event, bytes] | None:
    """The latest erasure of the same."""
    whose = _ENTRY.c.tenant == tenant if tenant else _ENTRY.c.tenant.is_(None)
    found = select(_ENTRY.c.idx, _ENTRY.c.body, _ENTRY.c.leaf).where(whose, _ENTRY.c.subject == subject)
    row = connection.execute(found.where(_ENTRY.c.kind == ERASURE).order_by(_ENTRY.c.idx.desc()).limit(1)).one_or_none()
    return None if row is None else (row.idx, event_from(loads(row.body)), bytes(row.leaf))


def _held(subject: str, tenant: str) -> Check:
    wanted = [_ENTRY.c.kind == DECISION, _ENTRY.c.subject == subject, *([_ENTRY.c.tenant == tenant] if tenant else [])]

    def unless(connection: Connection) -> str:
        held = holding(connection, wanted)
        return f"the subject's content must be kept: {told(held)}" if held else ""

    return unless


def _destruction(subject: str, tenant: str, found: _Found) -> Effect:
    mine = _mine(subject, tenant)
    ids = select(_KEY.c.id).where(*mine)

    def effect(connection: Connection) -> None:
        payloads = connection.execute(delete(_PAYLOAD).where(_PAYLOAD.c.key.in_(ids))).rowcount
        fingerprints = connection.execute(delete(FINGERPRINT).where(FINGERPRINT.c.key.in_(ids))).rowcount
        keys = connection.execute(delete(_KEY).where(*mine)).rowcount
        if (keys, payloads, fingerprints) != tuple(found.counts.values()):
            raise _MovedError("content of the subject came while it was erased")
        failpoint("erase: content deleted")

    return effect
