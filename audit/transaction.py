"""What the writer does inside one transaction: begin a ledger, number entries, add them, swap the head."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import Connection, Engine, insert, select

from audit import merkle
from audit.body import config_body
from audit.canonical import dumps
from audit.failpoints import failpoint
from audit.keyring import NEVER, Keyring, key_in_force, settle
from audit.keys import make_master_key, need_master_key
from audit.migrate import schema_of, stamp, upgrade
from audit.models import FINGERPRINT, LATER, SCHEMA_VERSION, metadata, tables
from audit.projected import ENTRY_COLUMNS, project, terms
from audit.stores import Store, store_of
from audit.vault import Key, Sealed, Vault
from audit.written import decision_entry, decision_terms
from guard.errors import LedgerError
from guard.types import Decision, Rollout

NIL = UUID(int=0)

_ENTRY, _TERM, _HEAD, _LEDGER, _PAYLOAD, _KEY = tables()


@dataclass(slots=True)
class Draft:
    """An entry before it has an index."""

    leaf: bytes
    columns: dict[str, Any]
    """Those of `entry` but `idx`, in the table's order."""
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
    source: Decision | None = field(default=None, repr=False)
    """What it is made of anew, should its subject key have been destroyed meanwhile."""

    @property
    def plain(self) -> bool:
        """Whether nothing but its revision has to be looked at: so with nearly every decision."""
        return not (self.activates or self.registers or self.rolls_out or self.unless or self.effect)

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
        read_head(connection)
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
    insert_batch(connection, gather(store, [draft]), 0)
    connection.execute(insert(_HEAD), {"id": 1, "size": 1, "frontier": merkle.pack([draft.leaf])})
    store.synced()
    return master


def draft_of(body: dict[str, Any]) -> Draft:
    """Everything that follows from a body."""
    data = dumps(body)
    leaf = merkle.leaf_hash(data)
    columns = {**project(body), "leaf": leaf, "body": data}
    return Draft(leaf, {name: columns[name] for name in ENTRY_COLUMNS[1:]}, terms(body))


def decision_draft(decision: Decision, payloads: Mapping[str, Mapping[str, Any]], copies: Mapping[str, str]) -> Draft:
    """`draft_of` the decision's body, in half the time. Raises LedgerError for a value that a body cannot hold."""
    leaf, columns = decision_entry(decision, payloads, copies)
    return Draft(leaf, columns, decision_terms(decision, copies))


_READ = "SELECT size, frontier, (SELECT max(idx) FROM entry) FROM head"


def read_head(connection: Connection) -> tuple[int, bytes]:
    """Size and frontier, after a look at whether they can be right. Raises LedgerError: nothing is built on damage."""
    found = store_of(connection).run(connection, _READ).fetchone()
    if found is None:
        raise _damaged("there is no head")
    size, frontier, last = found
    try:
        merkle.unpack(frontier, size)
    except (ValueError, TypeError) as error:
        raise _damaged(str(error)) from None
    if last is None or last + 1 != size:
        raise _damaged(f"the head says {size} entries, and the last index is {last}")
    return size, bytes(frontier)


def _damaged(why: str) -> LedgerError:
    return LedgerError(f"the ledger is damaged: {why}", advice="Run `genguard audit verify`, and restore a backup.")


@dataclass(frozen=True, slots=True)
class Batch:
    """The rows of some drafts, ready but for the index that the first will have, and what has to be looked at besides."""

    drafts: Sequence[Draft]
    leaves: list[bytes]
    entries: Any
    terms: Any
    keys: Any
    payloads: Any
    fingerprints: Any
    stored: frozenset[str]
    """Subject keys that the ledger holds, as far as is known here."""
    masters: frozenset[str]
    """Master keys that what is sealed goes back to."""


def gather(store: Store, drafts: Sequence[Draft]) -> Batch:
    """Make the rows of drafts, which takes no lock."""
    facts: list[Sequence[Any]] = []
    payloads: list[Sequence[Any]] = []
    keys: dict[str, Key] = {}
    for place, draft in enumerate(drafts):
        facts += [(place, name, value) for name, value in sorted(draft.terms)]
        for sealed in draft.sealed:
            key = sealed.key
            keys[key.id] = key
            payloads.append((place, sealed.part, key.id, sealed.nonce, sealed.wrapped, sealed.ciphertext))
    new = [(key.id, key.tenant, key.subject, key.wrapped) for key in keys.values() if not key.stored]
    prints = [
        (place, *(draft.fingerprint[name] for name in ("decision", "key", "sealed")))
        for place, draft in enumerate(drafts)
        if draft.fingerprint
    ]
    return Batch(
        drafts,
        [draft.leaf for draft in drafts],
        store.packed(_ENTRY, [(place, *draft.columns.values()) for place, draft in enumerate(drafts)]),
        store.packed(_TERM, facts),
        store.packed(_KEY, new),
        store.packed(_PAYLOAD, payloads),
        store.packed(FINGERPRINT, prints),
        frozenset([key.id for key in keys.values() if key.stored]),
        frozenset([draft.master for draft in drafts if draft.sealed]),
    )


def insert_batch(connection: Connection, batch: Batch, start: int) -> None:
    """Add entries with their terms, payloads, fingerprints and new subject keys, numbered from `start`. A batch serves once."""
    store = store_of(connection)
    store.insert(connection, _ENTRY, batch.entries, start)
    failpoint("append: entries in")
    store.insert(connection, _TERM, batch.terms, start)
    failpoint("append: terms in")
    store.insert(connection, _KEY, batch.keys)
    failpoint("append: keys in")
    store.insert(connection, _PAYLOAD, batch.payloads, start)
    failpoint("append: payloads in")
    store.insert(connection, FINGERPRINT, batch.fingerprints, start)


_SWAP = "UPDATE head SET size = ?, frontier = ? WHERE id = 1 AND size = ? AND frontier = ?"


def swap_head(connection: Connection, size: int, frontier: bytes, new_size: int, new_frontier: bytes) -> None:
    """Compare-and-swap the head. Raises LedgerError when it is not what was read."""
    if store_of(connection).run(connection, _SWAP, (new_size, new_frontier, size, frontier)).rowcount != 1:
        raise LedgerError("the head changed under the write lock: another program writes to this database")
