"""Sessions of browsers: who logged in, by what, and until when. They are no part of the log; of each a hash is kept."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256

from sqlalchemy import Connection, delete, insert, select, update

from audit.body import time_from, time_string
from audit.models import SESSIONS
from audit.query import reading
from audit.stores import open_store

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


def begin_session(url: str, session: Session) -> str:
    """Keep it; return what the browser gets. Forgets those that are over. Raises LedgerError."""
    token = secrets.token_urlsafe(32)
    times = {name: time_string(getattr(session, name)) for name in ("made", "seen", "ends")}
    kept = {name: getattr(session, name) for name in ("name", "tenant", "proof")}
    row = {**kept, **times, "id": _hash(token), "roles": ",".join(session.roles)}
    with open_store(url).clear_errors("begin a session"), _writing(url) as connection, connection.begin():
        connection.execute(delete(_ROWS).where(_ROWS.c.ends < time_string(datetime.now(UTC))))
        connection.execute(insert(_ROWS), row)
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


def end_session(url: str, token: str) -> None:
    """Forget it. Raises LedgerError."""
    with open_store(url).clear_errors("end a session"), _writing(url) as connection, connection.begin():
        connection.execute(delete(_ROWS).where(_ROWS.c.id == _hash(token)))


def over(session: Session, now: datetime, idle: timedelta) -> bool:
    """Whether it has ended, by its end or for it was not used for `idle`."""
    return now >= session.ends or now - session.seen >= idle


def _writing(url: str) -> Connection:
    return open_store(url).writer(_WAIT_MS).connect()


def _hash(token: str) -> str:
    return sha256(token.encode()).hexdigest()
