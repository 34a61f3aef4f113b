"""Changes the master key: every subject key is wrapped anew in one transaction, payloads stay as they are."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import BindParameter, Connection, bindparam, select, update

from audit.events import KEY_ROTATION, MASTER, Event, Value
from audit.failpoints import failpoint
from audit.keyring import key_in_force, settle
from audit.keys import key_file_of, next_key_file
from audit.ledger import SqlLedger
from audit.models import tables
from audit.query import reading
from audit.scrub import scrub
from audit.stores import SqliteStore
from audit.vault import KEY_SIZE, Vault
from guard.errors import InputError, LedgerError
from guard.keyfile import write_new_key

_KEY = tables()[5]
_BATCH = 5000
_TRIES = 20


@dataclass(frozen=True, slots=True)
class Rotated:
    """What a rotation did."""

    index: int
    """The entry that says so."""
    before: str
    after: str
    """Ids of the keys."""
    keys: int
    """Subject keys that were wrapped anew."""
    key_file: Path
    """Where the key in force lies."""
    trouble: str
    """Why keys under the old one may still stand in the files; empty when they were overwritten."""


class _MovedError(LedgerError):
    """Subject keys came while they were wrapped."""


def rotate_key(ledger: SqlLedger, *, actor: str, reason: str = "", new_file: Path | None = None) -> Rotated:
    """Put a new master key in force, in the place of the old one's file, or in `new_file`, which must not be there.

    A key from the environment needs `new_file`; afterwards name that. Raises InputError for a file that cannot be, RefusedError
    when another process was faster, LedgerError when a key does not open or the ledger or the file cannot be written; the old
    key stays in force then.
    """
    ring = ledger.keyring
    place = new_file or key_file_of(ledger.store, ring.key_file)
    if place is None:
        raise InputError(
            "found the master key in the environment, expected a file for the new one", advice="Give --new-key-file."
        )
    if new_file is not None and new_file.exists():
        raise InputError(f"{new_file} is there already, expected a new name", advice="No key is written over.")
    engine = ledger.reader
    with reading(engine) as connection:
        ring.follow(connection)
    old, secret = ring.vault, os.urandom(KEY_SIZE)
    new = Vault(secret)
    target = new_file or next_key_file(place)

    def unless(connection: Connection) -> str:
        return "" if key_in_force(connection).key_id == old.key_id else "the master key was changed meanwhile"

    for _ in range(_TRIES):
        with reading(engine) as connection:
            count = len(connection.execute(select(_KEY.c.id)).all())
        fields: dict[str, Value] = {"what": MASTER, "before": old.key_id, "after": new.key_id, "tags": new.sealed_tags(old)}
        event = Event(KEY_ROTATION, actor, {**fields, **({"keys": count} if count else {})}, reason=reason)

        def effect(connection: Connection, count: int = count) -> None:
            with SqliteStore(target).clear_errors("write the new key"):
                target.unlink(missing_ok=True)  # what an attempt left that was never in force: nobody else writes now
                write_new_key(target, secret)
            failpoint("rotate: key file written")
            if _rewrap(connection, old, new) != count:
                raise _MovedError("subject keys came while they were wrapped")
            failpoint("rotate: keys wrapped")

        try:
            index = ledger.record_sync(event, unless=unless, effect=effect)
        except _MovedError:
            continue
        failpoint("rotate: recorded")
        if new_file is None:
            with SqliteStore(place).clear_errors("put the new key in its place"):
                settle(ledger.store, ring.key_file, new.key_id)
        failpoint("rotate: settled")
        ring.key_file = place if new_file is not None else ring.key_file
        return Rotated(index, old.key_id, new.key_id, count, place, scrub(ledger.store, None))
    raise LedgerError("subject keys kept coming while they were wrapped", advice="Try again.")


def _rewrap(connection: Connection, old: Vault, new: Vault) -> int:
    """Wrap every subject key anew; return how many. Raises SealError for one that does not open."""
    ident: BindParameter[str] = bindparam("ident")
    fresh: BindParameter[bytes] = bindparam("fresh")
    change = update(_KEY).where(_KEY.c.id == ident).values(wrapped=fresh)
    count, last = 0, ""
    while True:
        rows = connection.execute(select(_KEY).where(_KEY.c.id > last).order_by(_KEY.c.id).limit(_BATCH)).all()
        if not rows:
            return count
        wrapped = [old.rewrap(row.id, row.tenant, row.subject, row.wrapped, new) for row in rows]
        connection.execute(change, [{"ident": row.id, "fresh": one} for row, one in zip(rows, wrapped, strict=True)])
        count, last = count + len(rows), rows[-1].id
