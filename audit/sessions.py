"""Sessions of browsers: who logged in, by what, and until when. They are no part of the log; of each a hash is kept.

That somebody logged in or out, or was not let in, is an entry of kind `login`, committed together with what it says.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256

from sqlalchemy import Connection, delete, insert, select, update

from audit.body import time_from, time_string
from audit.events import LOGIN, Event, Value
from audit.ledger import SqlLedger
from audit.models import SESSIONS
from audit.query import reading
from audit.stores import open_store

BEGAN, ENDED, REFUSED = "began", "ended", "refused"
"""What the field and term `step` says of a login."""
ISSUER, KEY = "issuer", "key"
"""What its field `by` says."""
STRANGER = "anonymous"
"""The actor of who was not let in: whatever they said of themselves is not proven, and not kept."""
OIDC, STORED = "oidc", "key:"
"""The proof of a login at the issuer, and what that of a key of the ledger begins with."""
_ROWS = SESSIONS
_WAIT_MS = 5000


@dataclass(frozen=True, slots=True)
class Session:
    """Somebody who logged in."""

    name: str
    tenant: str
    roles: tuple[str, ...]
    proof: str
    """What it rests on, and ends with: `key:ID`, `settings:DIGEST`, or `oidc`."""
    made: datetime
    seen: datetime
    """When it was last used, by the minute."""
    ends: datetime
    """When it ends, used or not."""


def begin_session(ledger: SqlLedger, session: Session) -> str:
    """Keep and record it; return what the browser gets. Forgets those that are over. Raises LedgerError."""
    token = secrets.token_urlsafe(32)
    times = {name: time_string(getattr(session, name)) for name in ("made", "seen", "ends")}
    kept = {name: getattr(session, name) for name in ("name", "tenant", "proof")}
    row = {**kept, **times, "id": _hash(token), "roles": ",".join(session.roles)}

    def effect(connection: Connection) -> None:
        connection.execute(delete(_ROWS).where(_ROWS.c.ends < time_string(datetime.now(UTC))))
        connection.execute(insert(_ROWS), row)

    ledger.record_sync(_event(BEGAN, session, roles=session.roles), effect=effect)
    return token


def find_session(url: str, token: str) -> Session | None:
    """The session of what a browser sent. Whether it is over, is for the caller to see. Raises LedgerError."""
    with reading(url) as connection:
        row = connection.execute(select(_ROWS).where(_ROWS.c.id == _hash(token))).mappings().one_or_none()
    if row is None:
        return None
    made, seen, ends = (time_from(row[name]) for name in ("made", "seen", "ends"))
    return Session(row["name"], row["tenant"], tuple(row["roles"].split(",")), row["proof"], made, seen, ends)


def see_session(url: str, token: str, now: datetime) -> None:
    """Note that it is used. Raises LedgerError."""
    seen = time_string(now)
    with open_store(url).clear_errors("go on with a session"), _writing(url) as connection, connection.begin():
        connection.execute(update(_ROWS).where(_ROWS.c.id == _hash(token), _ROWS.c.seen < seen).values(seen=seen))


def end_session(ledger: SqlLedger, token: str, session: Session) -> None:
    """Forget it, and record that it ended. Raises LedgerError; RefusedError for one that is gone."""

    def unless(connection: Connection) -> str:
        there = connection.execute(select(_ROWS.c.id).where(_ROWS.c.id == _hash(token))).first()
        return "" if there is not None else "this session has ended"

    def effect(connection: Connection) -> None:
        connection.execute(delete(_ROWS).where(_ROWS.c.id == _hash(token)))

    ledger.record_sync(_event(ENDED, session), unless=unless, effect=effect)


def record_refusals(ledger: SqlLedger, by: str, count: int) -> None:
    """Record that so many logins were refused. Nothing of what was shown is kept. Raises LedgerError."""
    ledger.record_sync(Event(LOGIN, STRANGER, {"step": REFUSED, "by": by, "count": count}))


def _event(step: str, session: Session, **more: Value) -> Event:
    key = session.proof.removeprefix(STORED) if session.proof.startswith(STORED) else ""
    by = ISSUER if session.proof == OIDC else KEY
    fields: dict[str, Value] = {"step": step, "by": by, "key": key, **more}
    return Event(LOGIN, session.name, {name: value for name, value in fields.items() if value}, tenant=session.tenant)


def over(session: Session, now: datetime, idle: timedelta) -> bool:
    """Whether it has ended, by its end or for it was not used for `idle`."""
    return now >= session.ends or now - session.seen >= idle


def _writing(url: str) -> Connection:
    return open_store(url).writer(_WAIT_MS).connect()


def _hash(token: str) -> str:
    return sha256(token.encode()).hexdigest()
