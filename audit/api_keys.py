"""API keys of a service: made, looked up, replaced and withdrawn, each step an entry of the ledger without a secret.

A key reads `gg_<id>_<secret>`. Of the secret only scrypt's hash is kept (RFC 7914), under a salt of its own. A row that is not
what the entries about it say (`audit.key_record`) is no key: whoever only writes to the table can open nothing.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import os
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from sqlalchemy import Connection, Engine, exists, insert, or_, select, update

from audit.body import time_from, time_string
from audit.canonical import loads
from audit.events import API_KEY, Event, Value, event_from
from audit.key_record import MADE, REVOKED, ROTATED, KeyRecord, secret_digest, step_of
from audit.ledger import SqlLedger
from audit.models import API_KEYS, is_fact, tables
from audit.query import reading
from audit.stores import open_store, store_of
from guard.errors import InputError, LedgerError

COST = 14
"""Binary logarithm of scrypt's N; r is 8 and p is 1: 16 MiB and some 40 ms a try."""
_ROWS = API_KEYS
_ENTRY, _TERM, *_ = tables()
_log = logging.getLogger(__name__)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_TOKEN = re.compile(r"gg_([0-9a-f]{12})_([A-Za-z0-9_-]{43})")


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key, without its secret."""

    id: str
    """Public: shown in lists, and part of the key."""
    name: str
    """Whose it is; recorded as the actor of what is done with it."""
    tenant: str
    """Empty: none in particular."""
    roles: tuple[str, ...]
    made: datetime
    expires: datetime | None = None
    revoked: datetime | None = None
    used: datetime | None = None
    """When it was last used, by the hour."""
    salt: bytes = field(default=b"", repr=False)
    digest: bytes = field(default=b"", repr=False)
    cost: int = field(default=COST, repr=False)

    @property
    def prefix(self) -> str:
        """How the key begins."""
        return f"gg_{self.id}_"

    def state(self, now: datetime) -> str:
        """`live`, `expired` or `revoked`."""
        if self.revoked is not None:
            return "revoked"
        return "expired" if self.expires is not None and self.expires <= now else "live"

    def opens(self, secret: str) -> bool:
        """Whether the secret is its own. Takes some 40 ms, whatever it answers."""
        return hmac.compare_digest(_hash(secret, self.salt, self.cost), self.digest)


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key that was made just now: the only moment at which its secret is known."""

    key: ApiKey
    token: str = field(repr=False)
    """What a caller sends."""
    entry: int
    """Index of the ledger's entry."""


def split(token: str) -> tuple[str, str] | None:
    """Id and secret of a key; None for what is no such key."""
    found = _TOKEN.fullmatch(token)
    return (found[1], found[2]) if found else None


def make_key(
    ledger: SqlLedger,
    name: str,
    roles: Sequence[str],
    *,
    actor: str,
    tenant: str = "",
    expires: datetime | None = None,
    reason: str = "",
) -> NewKey:
    """Make a key. Raises InputError for a name or time that cannot be, RefusedError when a live key has the name."""
    now = datetime.now(UTC)
    for text in (name, *([tenant] if tenant else [])):
        if not _NAME.fullmatch(text):
            raise InputError(f"found the name {text[:64]!r}, expected 1 to 64 letters, digits, dots, hyphens and underscores")
    if expires is not None and expires <= now:
        raise InputError(f"found {expires.isoformat()} as the key's end, expected a moment to come")

    def unless(connection: Connection) -> str:
        live = [one for one in _of_name(connection, name) if one.state(now) == "live"]
        return f"a key of the name {name!r} is in use; rotate or revoke it, or take another name" if live else ""

    fresh, token = _fresh(name, tenant, tuple(roles), now, expires)
    event = Event(API_KEY, actor, _fields(MADE, fresh), reason=reason, tenant=tenant, time=now)
    return NewKey(fresh, token, ledger.record_sync(event, unless=unless, effect=lambda connection: _insert(connection, fresh)))


def rotate_key(
    ledger: SqlLedger, which: str, *, actor: str, overlap: timedelta, expires: datetime | None = None, reason: str = ""
) -> NewKey:
    """Make a key in the place of another, which ends after `overlap`. Roles, tenant and, unless given, the end stay.

    `which`: name or id. Raises InputError when none is live, RefusedError when it was changed meanwhile, or is not what the
    entries about it say.
    """
    now = datetime.now(UTC)
    old = max(_live(ledger.reader, which, now), key=lambda one: one.made)
    fresh, token = _fresh(old.name, old.tenant, old.roles, now, expires or old.expires)
    end = min(now + overlap, old.expires) if old.expires is not None else now + overlap

    def unless(connection: Connection) -> str:
        found = _proven(connection, old.id)
        return "" if found is not None and found.state(now) == "live" else "the key was changed, or is not what its entries say"

    def effect(connection: Connection) -> None:
        connection.execute(update(_ROWS).where(_ROWS.c.id == old.id).values(expires=time_string(end)))
        _insert(connection, fresh)

    fields = _fields(ROTATED, fresh) | {"replaces": old.id, "ends": time_string(end)}
    event = Event(API_KEY, actor, fields, reason=reason, tenant=old.tenant, time=now)
    return NewKey(fresh, token, ledger.record_sync(event, unless=unless, effect=effect))


def revoke_key(ledger: SqlLedger, which: str, *, actor: str, reason: str = "") -> tuple[ApiKey, ...]:
    """Withdraw the live keys of a name, or the one of an id. Raises InputError when there is none."""
    now = datetime.now(UTC)
    found = _live(ledger.reader, which, now)
    for one in found:
        fields: dict[str, Value] = {"step": REVOKED, "key": one.id, "name": one.name}
        event = Event(API_KEY, actor, fields, reason=reason, tenant=one.tenant, time=now)
        ledger.record_sync(event, effect=partial(_revoke, ident=one.id, now=now))
    return found


def _revoke(connection: Connection, ident: str, now: datetime) -> None:
    connection.execute(update(_ROWS).where(_ROWS.c.id == ident, _ROWS.c.revoked.is_(None)).values(revoked=time_string(now)))


def all_keys(source: str | Engine) -> tuple[ApiKey, ...]:
    """Every key there ever was, the oldest first. Raises LedgerError."""
    with reading(source) as connection:
        if not _there(connection):
            return ()
        return tuple(_key(row) for row in connection.execute(select(_ROWS).order_by(_ROWS.c.made, _ROWS.c.id)).mappings())


def find_key(url: str, ident: str) -> ApiKey | None:
    """A key by its id; None, too, for a row that is not what the entries about it say. Raises LedgerError."""
    with reading(url) as connection:
        return _proven(connection, ident) if _there(connection) else None


def has_keys(url: str) -> bool:
    """Whether there ever was a key, by rows or by entries, also when there is no ledger yet. Raises LedgerError."""
    if not open_store(url).exists():
        return False
    with reading(url) as connection:
        if connection.execute(select(exists().where(is_fact(_TERM), _TERM.c.name == "key"))).scalar_one():
            return True
        return _there(connection) and bool(connection.execute(select(exists(_ROWS.select()))).scalar_one())


def touch(url: str, ident: str, now: datetime) -> None:
    """Note that a key is in use, by the hour. Raises LedgerError."""
    hour = time_string(now.replace(minute=0, second=0, microsecond=0))
    store = open_store(url)
    older = or_(_ROWS.c.used.is_(None), _ROWS.c.used < hour)
    with store.clear_errors("note the use of a key"), store.writer(1000).connect() as connection, connection.begin():
        connection.execute(update(_ROWS).where(_ROWS.c.id == ident, older).values(used=hour))


def _fresh(name: str, tenant: str, roles: tuple[str, ...], now: datetime, expires: datetime | None) -> tuple[ApiKey, str]:
    ident, secret, salt = secrets.token_hex(6), secrets.token_urlsafe(32), os.urandom(16)
    key = ApiKey(ident, name, tenant, roles, now, expires, salt=salt, digest=_hash(secret, salt, COST), cost=COST)
    return key, f"{key.prefix}{secret}"


def _hash(secret: str, salt: bytes, cost: int) -> bytes:
    return hashlib.scrypt(secret.encode(), salt=salt, n=1 << cost, r=8, p=1, maxmem=1 << (cost + 12), dklen=32)


def _fields(step: str, key: ApiKey) -> dict[str, Value]:
    end = {"expires": time_string(key.expires)} if key.expires is not None else {}
    digest = secret_digest(key.salt, key.digest, key.cost)
    return {"step": step, "key": key.id, "name": key.name, "roles": key.roles, "digest": digest, **end}


def _insert(connection: Connection, key: ApiKey) -> None:
    row = {name: getattr(key, name) for name in ("id", "name", "tenant", "salt", "digest", "cost")}
    end = time_string(key.expires) if key.expires is not None else None
    connection.execute(insert(_ROWS), {**row, "roles": ",".join(key.roles), "made": time_string(key.made), "expires": end})


def _live(source: Engine, which: str, now: datetime) -> tuple[ApiKey, ...]:
    found = tuple(one for one in all_keys(source) if which in {one.id, one.name, one.prefix} and one.state(now) == "live")
    if not found:
        raise InputError(f"found no live key {which[:64]!r}, expected a name or an id", advice="`genguard key list` shows all.")
    return found


def _of_name(connection: Connection, name: str) -> list[ApiKey]:
    return [_key(row) for row in connection.execute(select(_ROWS).where(_ROWS.c.name == name)).mappings()]


def _proven(connection: Connection, ident: str) -> ApiKey | None:
    """A key whose row is what the entries about it say."""
    row = connection.execute(select(_ROWS).where(_ROWS.c.id == ident)).mappings().one_or_none()
    if row is None:
        return None
    recorded = _recorded(connection, ident).keys.get(ident)
    fault = (-1, "a row", "none: no entry made it") if recorded is None else next(recorded.misfits(dict(row)), None)
    if fault is None:
        return _key(row)
    _log.error("key %s is refused: found %s, expected %s; `genguard audit verify` tells more", ident, *fault[1:])
    return None


def _recorded(connection: Connection, ident: str) -> KeyRecord:
    """What the entries about one key say. An entry that cannot be read says nothing."""
    about = select(_TERM.c.idx).where(is_fact(_TERM), _TERM.c.name.in_(("key", "replaces")), _TERM.c.value == ident)
    entries = select(_ENTRY.c.idx, _ENTRY.c.body).where(_ENTRY.c.idx.in_(about), _ENTRY.c.kind == API_KEY)
    record = KeyRecord()
    for idx, body in connection.execute(entries.order_by(_ENTRY.c.idx)):
        try:
            record.follow(step_of(idx, event_from(loads(bytes(body)))))
        except (LedgerError, KeyError, TypeError, ValueError, AttributeError):
            continue
    return record


def _there(connection: Connection) -> bool:
    """Whether the ledger has the table: one of before that nobody opened for writing since has not."""
    return _ROWS.name in store_of(connection).tables(connection)


def _key(row: Mapping[Any, Any]) -> ApiKey:
    try:
        given = {name: row[name] for name in ("made", "expires", "revoked", "used")}
        times = {name: None if text is None else time_from(text) for name, text in given.items()}
        kept: dict[str, Any] = {**{name: row[name] for name in ("id", "name", "tenant", "cost")}, **times}
        return ApiKey(**kept, roles=tuple(row["roles"].split(",")), salt=bytes(row["salt"]), digest=bytes(row["digest"]))
    except (TypeError, ValueError, AttributeError):
        advice = "`genguard audit verify` tells more."
        raise LedgerError("found a key of the service that cannot be read, expected one", advice=advice) from None
