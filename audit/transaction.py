"""What the writer does inside one transaction: begin a ledger, number entries, add them, swap the head."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import Connection, Engine, func, insert, select, update

from audit import merkle
from audit.body import config_body
from audit.canonical import dumps
from audit.failpoints import failpoint
from audit.keyring import NEVER, Keyring, key_in_force, settle
from audit.keys import make_master_key, need_master_key
from audit.migrate import schema_of, stamp, upgrade
from audit.models import FINGERPRINT, LATER, SCHEMA_VERSION, metadata, project, tables, terms
from audit.stores import Store, store_of
from audit.vault import Key, Sealed, Vault
from guard.errors import LedgerError
from guard.types import Rollout

NIL = UUID(int=0)

_ENTRY, _TERM, _HEAD, _LEDGER, _PAYLOAD, _KEY = tables()


@dataclass(slots=True)
class Draft:
    """An entry before it has an index."""

    leaf: bytes
    columns: dict[str, Any]
    """Those of `entry` but `idx`."""
    terms: set[tuple[str, str]]
    sealed: tuple[Sealed, ...] = ()
    revision: str = ""
    """For a decision or a rollout: the policy revision that must be in the ledger."""
    activates: str = ""
    """For an activation: the revision that it records."""
    registers: str = ""
    """For a change of a bank: the digest that it led to."""
    rolls_out: Rollout | None = None
    unless: Callable[[Connection], str] | None = field(default=None, repr=False)
    """Says inside the transaction why it may not be recorded any more; empty when it may."""
    effect: Callable[[Connection], None] | None = field(default=None, repr=False)
    """What else is changed in the same transaction, such as keys that are destroyed."""
    master: str = ""
    """Id of the master key that what is sealed goes back to."""
    decision: UUID = NIL
    fingerprint: dict[str, Any] = field(default_factory=dict)
    """The row of `fingerprint` but its `idx`; empty for none. Sealed under the key of `sealed`."""
    again: Callable[[], Draft] | None = field(default=None, repr=False)
    """Makes it anew, should its subject key have been destroyed meanwhile."""

    @property
    def alone(self) -> bool:
        """Whether it needs a transaction of its own."""
        return self.unless is not None or self.effect is not None


def open_database(engine: Engine, store: Store, key_file: Path | None) -> Keyring:
    """Begin the ledger, or check that it is one and that the key is its own. Returns its keyring."""
    store.prepare()
    with store.clear_errors("open the ledger"), engine.connect() as connection, connection.begin():
        names = store.tables(connection)
        if not names:
            return Keyring(store, key_file, Vault(_begin(connection, store, key_file)), NEVER)
        missing = {found.name for found in metadata.tables.values()} - names
        if missing - LATER:
            raise LedgerError(
                f"{store.name} is a database without the tables {', '.join(sorted(missing - LATER))}, expected a ledger",
                advice="Name another: the ledger does not share its database.",
            )
        row = connection.execute(select(_LEDGER)).one_or_none()
        if row is None or row.database_schema != SCHEMA_VERSION:
            found = "none" if row is None else row.database_schema
            raise LedgerError(
                f"{store.name} has schema version {found}, expected {SCHEMA_VERSION}", advice="Use the version that made it."
            )
        schema_of(connection)
        known = key_in_force(connection)
        vault = Vault(need_master_key(store, key_file, known.key_id))
        if vault.key_id != known.key_id:
            raise LedgerError(
                f"the master key is not the one of {store.name}: found {vault.key_id}, expected {known.key_id}",
                advice="Name the ledger's own key with key_file or GENGUARD_MASTER_KEY.",
            )
        vault.remember(known.old_tags)
        settle(store, key_file, known.key_id)
        peaks_of(connection, *connection.execute(select(_HEAD.c.size, _HEAD.c.frontier)).one())
        upgrade(connection)
        return Keyring(store, key_file, vault, known.since)


def _begin(connection: Connection, store: Store, key_file: Path | None) -> bytes:
    """Make the tables and entry 0."""
    master = make_master_key(store, key_file)
    failpoint("begin: key made")
    ledger, key_id = str(uuid4()), Vault(master).key_id
    metadata.create_all(connection)
    store.make_triggers(connection, list(store.triggers))
    stamp(connection)
    failpoint("begin: tables made")
    connection.execute(insert(_LEDGER), {"id": 1, "ledger": ledger, "database_schema": SCHEMA_VERSION, "key_id": key_id})
    draft = draft_of(config_body(ledger, SCHEMA_VERSION, key_id, datetime.now(UTC)))
    insert_entries(connection, [draft], 0)
    connection.execute(insert(_HEAD), {"id": 1, "size": 1, "frontier": merkle.pack([draft.leaf])})
    store.synced()
    return master


def draft_of(body: dict[str, Any]) -> Draft:
    """Everything that follows from a body."""
    data = dumps(body)
    leaf = merkle.leaf_hash(data)
    return Draft(leaf, {**project(body), "leaf": leaf, "body": data}, terms(body))


def peaks_of(connection: Connection, size: int, frontier: bytes) -> list[bytes]:
    """The frontier, after a look at whether it can be right. Raises LedgerError: nothing is built on a damaged ledger."""
    last = connection.execute(select(func.max(_ENTRY.c.idx))).scalar()
    try:
        peaks = merkle.unpack(frontier, size)
    except (ValueError, TypeError) as error:
        raise _damaged(str(error)) from None
    if last is None or last + 1 != size:
        raise _damaged(f"the head says {size} entries, and the last index is {last}")
    return peaks


def _damaged(why: str) -> LedgerError:
    return LedgerError(f"the ledger is damaged: {why}", advice="Run `genguard audit verify`, and restore a backup.")


def insert_entries(connection: Connection, drafts: Sequence[Draft], start: int) -> None:
    """Add entries with their terms, payloads, fingerprints and new subject keys, numbered from `start`."""
    store, numbered = store_of(connection), list(enumerate(drafts, start))
    store.insert(connection, _ENTRY, [{"idx": idx, **draft.columns} for idx, draft in numbered])
    failpoint("append: entries in")
    rows = [{"idx": idx, "name": name, "value": value} for idx, draft in numbered for name, value in sorted(draft.terms)]
    if rows:
        store.insert(connection, _TERM, rows)
    failpoint("append: terms in")
    keys: dict[str, Key] = {}
    payloads = []
    for idx, draft in numbered:
        for sealed in draft.sealed:
            if not sealed.key.stored:
                keys[sealed.key.id] = sealed.key
            payloads.append(
                {
                    "idx": idx,
                    "part": sealed.part,
                    "key": sealed.key.id,
                    "nonce": sealed.nonce,
                    "wrapped": sealed.wrapped,
                    "ciphertext": sealed.ciphertext,
                }
            )
    if keys:
        rows = [{"id": key.id, "tenant": key.tenant, "subject": key.subject, "wrapped": key.wrapped} for key in keys.values()]
        store.insert(connection, _KEY, rows)
    failpoint("append: keys in")
    if payloads:
        store.insert(connection, _PAYLOAD, payloads)
    failpoint("append: payloads in")
    if prints := [{"idx": idx, **draft.fingerprint} for idx, draft in numbered if draft.fingerprint]:
        store.insert(connection, FINGERPRINT, prints)


def swap_head(connection: Connection, size: int, frontier: bytes, new_size: int, new_frontier: bytes) -> None:
    """Compare-and-swap the head. Raises LedgerError when it is not what was read."""
    swap = update(_HEAD).where(_HEAD.c.id == 1, _HEAD.c.size == size, _HEAD.c.frontier == frontier)
    if connection.execute(swap.values(size=new_size, frontier=new_frontier)).rowcount != 1:
        raise LedgerError("the head changed under the write lock: another program writes to this database")
