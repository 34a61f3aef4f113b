"""Which master key is in force, and how a writer follows when another process changes it.

A ledger begins with the key that its entry 0 names; each `key_rotation` entry of the master key names the one before and after.
The new key lies beside the old one, as `<key file>.next`, before the transaction that puts it in force commits, and takes its
place afterwards: whenever a process stops, the key in force is in one of the two files.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, select

from audit.canonical import loads
from audit.events import KEY_ROTATION, MASTER, Event, event_from
from audit.keys import Place, find_master_key, key_file_of, next_key_file
from audit.models import is_fact, tables
from audit.stores import Store
from audit.vault import Vault
from guard.errors import LedgerError
from guard.keyfile import sync_folder

_ENTRY, _TERM, _, _LEDGER, _, _ = tables()
NEVER = -1
_LATEST = (
    select(_TERM.c.idx)
    .join(_ENTRY, _ENTRY.c.idx == _TERM.c.idx)
    .where(_ENTRY.c.kind == KEY_ROTATION, is_fact(_TERM), _TERM.c.name == "what", _TERM.c.value == MASTER)
    .order_by(_TERM.c.idx.desc())
    .limit(1)
)


@dataclass(frozen=True, slots=True)
class InForce:
    """The master key in force, without the key."""

    key_id: str
    since: int
    """The entry that put it in force; NEVER: it is the first."""
    old_tags: tuple[str, ...]
    """Keys that copies of older outputs are found with, sealed under it, hexadecimal."""


def key_in_force(connection: Connection) -> InForce:
    """By the log as it is. Raises LedgerError when its entry cannot be read."""
    since = rotated_at(connection)
    if since == NEVER:
        return InForce(connection.execute(select(_LEDGER.c.key_id)).scalar_one(), NEVER, ())
    event = event_from(loads(connection.execute(select(_ENTRY.c.body).where(_ENTRY.c.idx == since)).scalar_one()))
    return InForce(str(event.fields["after"]), since, tags_of(event))


def rotated_at(connection: Connection) -> int:
    """The latest rotation of the master key; NEVER when there is none."""
    since: int | None = connection.execute(_LATEST).scalar_one_or_none()
    return NEVER if since is None else since


def tags_of(event: Event) -> tuple[str, ...]:
    """What a rotation says of older keys of copies."""
    found = event.fields.get("tags", ())
    return found if isinstance(found, tuple) else ()


def vault_in_force(connection: Connection, database: Place, key_file: Path | None) -> Vault | str:
    """The vault of the key in force, or why there is none. Raises LedgerError for a key that is there and unusable."""
    known = key_in_force(connection)
    master = find_master_key(database, key_file, known.key_id)
    if master is None:
        return "the master key is not here"
    vault = Vault(master)
    if vault.key_id != known.key_id:
        return "the master key is another ledger's, or an older one"
    vault.remember(known.old_tags)
    return vault


class Keyring:
    """A writer's master key, as it is and as it becomes."""

    def __init__(self, store: Store, key_file: Path | None, vault: Vault, since: int) -> None:
        """`since`: the rotation that the vault is of."""
        self.store, self.key_file, self.vault = store, key_file, vault
        self._since = since

    def follow(self, connection: Connection) -> None:
        """Take the key that is in force now. Raises LedgerError when it is not here: nothing can be sealed then."""
        if rotated_at(connection) == self._since:
            return
        vault = vault_in_force(connection, self.store, self.key_file)
        if isinstance(vault, str):
            raise LedgerError(
                f"the master key of {self.store.name} was changed, and {vault}",
                advice="Name the new key with key_file or GENGUARD_MASTER_KEY, and open the ledger again.",
            )
        self.vault, self._since = vault, rotated_at(connection)


def settle(database: Place, key_file: Path | None, key_id: str) -> None:
    """Let the next key take the place of the old one, when it is in force. Raises OSError."""
    path = key_file_of(database, key_file)
    if path is None:
        return
    waiting = next_key_file(path)
    master = find_master_key(database, waiting) if waiting.exists() else None
    if master is not None and Vault(master).key_id == key_id:
        with contextlib.suppress(FileNotFoundError):  # another process was faster
            waiting.replace(path)
        sync_folder(path.absolute().parent)
