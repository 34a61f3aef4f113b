"""What the writer does inside one transaction: begin a ledger, number entries, add them, swap the head."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import Connection, Engine, bindparam, func, insert, select, update

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
from audit.vault import Sealed, Vault
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
    again: Callable[[], Draft] | None = field(default=None, repr=False)
    """Makes it anew, should its subject key have been destroyed meanwhile."""

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
    insert_entries(connection, [draft], 0)
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


_READ = select(_HEAD.c.size, _HEAD.c.frontier, select(func.max(_ENTRY.c.idx)).scalar_subquery())


def read_head(connection: Connection) -> tuple[int, bytes]:
    """Size and frontier, after a look at whether they can be right. Raises LedgerError: nothing is built on damage."""
    size, frontier, last = connection.execute(_READ).one()
    try:
        merkle.unpack(frontier, size)
    except (ValueError, TypeError) as error:
        raise _damaged(str(error)) from None
    if last is None or last + 1 != size:
        raise _damaged(f"the head says {size} entries, and the last index is {last}")
    return size, bytes(frontier)


def _damaged(why: str) -> LedgerError:
    return LedgerError(f"the ledger is damaged: {why}", advice="Run `genguard audit verify`, and restore a backup.")


def insert_entries(connection: Connection, drafts: Sequence[Draft], start: int) -> None:
    """Add entries with their terms, payloads, fingerprints and new subject keys, numbered from `start`."""
    store = store_of(connection)
    entries: list[tuple[Any, ...]] = []
    facts: list[tuple[Any, ...]] = []
    payloads: list[tuple[Any, ...]] = []
    prints: list[tuple[Any, ...]] = []
    keys: dict[str, tuple[Any, ...]] = {}
    for idx, draft in enumerate(drafts, start):
        entries.append((idx, *draft.columns.values()))
        facts += [(idx, name, value) for name, value in sorted(draft.terms)]
        for sealed in draft.sealed:
            key = sealed.key
            if not key.stored:
                keys[key.id] = (key.id, key.tenant, key.subject, key.wrapped)
            payloads.append((idx, sealed.part, key.id, sealed.nonce, sealed.wrapped, sealed.ciphertext))
        if draft.fingerprint:
            prints.append((idx, *(draft.fingerprint[name] for name in ("decision", "key", "sealed"))))
    store.insert(connection, _ENTRY, entries)
    failpoint("append: entries in")
    store.insert(connection, _TERM, facts)
    failpoint("append: terms in")
    store.insert(connection, _KEY, tuple(keys.values()))
    failpoint("append: keys in")
    store.insert(connection, _PAYLOAD, payloads)
    failpoint("append: payloads in")
    store.insert(connection, FINGERPRINT, prints)


_SWAP = (
    update(_HEAD)
    .where(_HEAD.c.id == 1, _HEAD.c.size == bindparam("old_size"), _HEAD.c.frontier == bindparam("old_frontier"))
    .values(size=bindparam("new_size"), frontier=bindparam("new_frontier"))
)


def swap_head(connection: Connection, size: int, frontier: bytes, new_size: int, new_frontier: bytes) -> None:
    """Compare-and-swap the head. Raises LedgerError when it is not what was read."""
    swapped = connection.execute(
        _SWAP, {"old_size": size, "old_frontier": frontier, "new_size": new_size, "new_frontier": new_frontier}
    )
    if swapped.rowcount != 1:
        raise LedgerError("the head changed under the write lock: another program writes to this database")
