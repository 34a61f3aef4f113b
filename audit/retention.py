"""Drops decisions at their age: bodies, columns, terms, payloads, fingerprints and keys go; leaves stay, so does every proof.

It works in runs of entries, each in one transaction with its `retention_prune` entry: `below` is where the run ends, and no
entry from there on was touched. Policies, rollouts, holds and all other events survive, and so does what a hold covers.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import BindParameter, Connection, bindparam, delete, func, or_, select, update

from audit.body import DECISION, time_string
from audit.drafts import Effect
from audit.events import AGE, RETENTION_PRUNE, Event, Value
from audit.failpoints import failpoint
from audit.gaps import PRUNED
from audit.holds import active_holds, holding
from audit.ledger import SqlLedger
from audit.models import FINGERPRINT, tables
from audit.moments import renew_moments
from audit.projected import ENTRY_COLUMNS
from audit.query import reading
from audit.scrub import scrub
from audit.stores import store_of
from guard.errors import InputError, LedgerError

FLOOR_DAYS = 183
"""Six months: logs of high-risk systems have to be kept as long (Regulation (EU) 2024/1689, Art. 19 and 26)."""
RUN = 20_000
"""Entries of one transaction."""
_TRIES = 20
_ENTRY, _TERM, _HEAD, _, _PAYLOAD, _KEY = tables()
_IN_THE_WAY = ("entry_no_update", "term_no_delete", "moment_no_update")


@dataclass(frozen=True, slots=True)
class Pruned:
    """What was dropped, or would be."""

    below: int
    """No entry of this index or a larger one is old enough."""
    bodies: int
    payloads: int
    keys: int
    fingerprints: int
    held: dict[str, int]
    """Decisions that were old enough and are kept, by the hold that covers them."""
    entries: tuple[int, ...] = ()
    """The entries that say so."""
    trouble: str = ""
    """Why deleted bytes may still stand in the files."""


@dataclass(frozen=True, slots=True)
class _Run:
    ids: tuple[int, ...]
    payloads: int
    fingerprints: int
    secrets: tuple[bytes, ...]
    """Wrapped keys that nothing else uses."""
    held: int


class _MovedError(LedgerError):
    """The run is not what it was when it was counted."""


def check_days(days: int) -> int:
    """An age that entries may be dropped at. Raises InputError for one under the floor."""
    if days < FLOOR_DAYS:
        raise InputError(f"found a retention of {days} days, expected {FLOOR_DAYS} or more", advice="Six months are the floor.")
    return days


def plan(ledger: SqlLedger, days: int, *, now: datetime | None = None) -> Pruned:
    """What `prune` would drop. `days`: age. Raises InputError for fewer than the floor, LedgerError."""
    with reading(ledger.reader) as connection:
        below = _below(connection, _cutoff(days, now))
        whole = _run(connection, 0, below)
        held = holding(connection, [_ENTRY.c.idx < below])
        return Pruned(below, len(whole.ids), whole.payloads, len(whole.secrets), whole.fingerprints, held)


def prune(ledger: SqlLedger, days: int, *, actor: str, reason: str = "", now: datetime | None = None) -> Pruned:
    """Drop decisions of at least this age in days, but for those under a hold; then overwrite the pages.

    Raises InputError for fewer days than the floor, LedgerError when the ledger cannot be written; what was recorded until then
    is done.
    """
    engine = ledger.reader
    with reading(engine) as connection:
        below = _below(connection, _cutoff(days, now))
        held = holding(connection, [_ENTRY.c.idx < below])
    runs: dict[int, _Run] = {}
    for start in range(0, below, RUN):
        done = _prune_run(ledger, start, min(start + RUN, below), days, actor, reason or f"older than {days} days")
        if done is not None:
            runs[done[0]] = done[1]
    failpoint("prune: recorded")
    secrets = [secret for run in runs.values() for secret in run.secrets]
    trouble = scrub(ledger.store, secrets) if runs else ""
    bodies = sum(len(run.ids) for run in runs.values())
    payloads = sum(run.payloads for run in runs.values())
    fingerprints = sum(run.fingerprints for run in runs.values())
    return Pruned(below, bodies, payloads, len(secrets), fingerprints, held, tuple(runs), trouble)


def _prune_run(ledger: SqlLedger, start: int, stop: int, days: int, actor: str, reason: str) -> tuple[int, _Run] | None:
    engine = ledger.reader
    for _ in range(_TRIES):
        with reading(engine) as connection:
            run = _run(connection, start, stop)
        if not run.ids:
            return None
        fields: dict[str, Value] = {
            "what": AGE,
            "below": stop,
            "days": days,
            "bodies": len(run.ids),
            "payloads": run.payloads,
            "keys": len(run.secrets),
            "fingerprints": run.fingerprints,
            "held": run.held,
        }
        stated = {name: value for name, value in fields.items() if value}
        try:
            index = ledger.record_sync(Event(RETENTION_PRUNE, actor, stated, reason=reason), effect=_dropping(run, start, stop))
        except _MovedError:
            continue
        return index, run
    raise LedgerError(f"entries {start} to {stop - 1} kept changing while they were dropped", advice="Try again.")


def _cutoff(days: int, now: datetime | None) -> str:
    return time_string((now or datetime.now(UTC)) - timedelta(days=check_days(days)))


def _below(connection: Connection, cutoff: str) -> int:
    """The first entry that is younger: clocks may run back, and what stands after a young entry waits for it."""
    young: int | None = connection.execute(select(func.min(_ENTRY.c.idx)).where(_ENTRY.c.time >= cutoff)).scalar_one()
    size: int = connection.execute(select(_HEAD.c.size)).scalar_one()
    return size if young is None else young


def _run(connection: Connection, start: int, stop: int) -> _Run:
    """What of a run of entries can go."""
    inside = (_ENTRY.c.kind == DECISION, _ENTRY.c.idx >= start, _ENTRY.c.idx < stop)
    covers = [hold.covers for hold in active_holds(connection)]
    kept = set(connection.execute(select(_ENTRY.c.idx).where(*inside, or_(*covers))).scalars()) if covers else set()
    ids = [idx for idx in connection.execute(select(_ENTRY.c.idx).where(*inside)).scalars() if idx not in kept]
    going = set(ids)
    used: dict[str, int] = {}
    payloads = 0
    rows = select(_PAYLOAD.c.idx, _PAYLOAD.c.key).where(_PAYLOAD.c.idx >= start, _PAYLOAD.c.idx < stop)
    for idx, key in connection.execute(rows):
        if idx in going:
            payloads += 1
            used[key] = used.get(key, 0) + 1
    prints = select(FINGERPRINT.c.idx).where(FINGERPRINT.c.idx >= start, FINGERPRINT.c.idx < stop)
    fingerprints = sum(idx in going for idx in connection.execute(prints).scalars())
    secrets = [one for key, count in used.items() if (one := _last(connection, key, count)) is not None]
    return _Run(tuple(sorted(ids)), payloads, fingerprints, tuple(secrets), len(kept))


def _last(connection: Connection, key: str, count: int) -> bytes | None:
    """The wrapped key, when these are all the payloads that it has."""
    has: int = connection.execute(select(func.count()).select_from(_PAYLOAD).where(_PAYLOAD.c.key == key)).scalar_one()
    found = connection.execute(select(_KEY.c.wrapped).where(_KEY.c.id == key)).scalar_one_or_none()
    return bytes(found) if found is not None and has == count else None


def _dropping(run: _Run, start: int, stop: int) -> Effect:
    one: BindParameter[Any] = bindparam("one")
    emptied = {**dict.fromkeys(ENTRY_COLUMNS[2:]), **PRUNED}
    statements = (
        update(_ENTRY).where(_ENTRY.c.idx == one).values(emptied),
        delete(_TERM).where(_TERM.c.idx == one),
        delete(_PAYLOAD).where(_PAYLOAD.c.idx == one),
        delete(FINGERPRINT).where(FINGERPRINT.c.idx == one),
    )

    def effect(connection: Connection) -> None:
        if _run(connection, start, stop) != run:
            raise _MovedError("the entries are not what they were when they were counted")
        rows = [{"one": idx} for idx in run.ids]
        with _unlocked(connection):
            failpoint("prune: unlocked")
            for statement in statements:
                connection.execute(statement, rows)
            renew_moments(connection, start, stop)
        if run.secrets:
            connection.execute(delete(_KEY).where(_KEY.c.wrapped == one), [{"one": secret} for secret in run.secrets])
        failpoint("prune: content dropped")

    return effect


@contextmanager
def _unlocked(connection: Connection) -> Iterator[None]:
    """Inside the transaction, without the triggers that keep entries as they are; nobody else ever sees it so."""
    store = store_of(connection)
    store.drop_triggers(connection, _IN_THE_WAY)
    yield
    store.make_triggers(connection, _IN_THE_WAY)
