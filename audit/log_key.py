"""The key that a log signs its checkpoints with: Ed25519, in a PEM file beside the database or elsewhere.

Whoever holds it can sign any tree; it proves something against those who do not hold it, and against the holder only together
with an anchor that he cannot rewrite.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, select

from audit.canonical import loads
from audit.events import KEY_ROTATION, LOG, event_from
from audit.models import is_fact, tables
from guard.errors import LedgerError, SettingsError
from guard.keyfile import sync_folder
from guard.note import SigningKey

ORIGIN = "genguard/"
"""Begins the origin of every ledger; its identity follows."""
_ADVICE = "Put it back from its backup. A new key is a new signer: whoever knows the old one has to be told."


_ENTRY, _TERM = tables()[:2]
_LATEST = (
    select(_TERM.c.idx, _ENTRY.c.body)
    .join(_ENTRY, _ENTRY.c.idx == _TERM.c.idx)
    .where(_ENTRY.c.kind == KEY_ROTATION, is_fact(_TERM), _TERM.c.name == "what", _TERM.c.value == LOG)
    .order_by(_TERM.c.idx.desc())
    .limit(1)
)


@dataclass(frozen=True, slots=True)
class Change:
    """An entry that changed the log's key."""

    index: int
    before: str
    """NAME+ID+KEY."""
    after: str


def latest_rotation(connection: Connection) -> Change | None:
    """The latest change of the log's key. Raises LedgerError when its entry cannot be read."""
    row = connection.execute(_LATEST).one_or_none()
    if row is None:
        return None
    if row.body is None:
        raise LedgerError(f"entry {row.idx}, which changed the log's key, has no body", advice="Run `genguard audit verify`.")
    fields = event_from(loads(row.body)).fields
    return Change(row.idx, str(fields["before"]), str(fields["after"]))


def default_log_key_file(database: Path) -> Path:
    """`<database>.log.key`."""
    return database.with_name(database.name + ".log.key")


def origin_of(identity: str) -> str:
    """The origin line of a ledger's checkpoints, which is its key's name too."""
    return f"{ORIGIN}{identity}"


def need_log_key(database: Path, identity: str, key_file: Path | None = None) -> SigningKey:
    """The key of a ledger, made with mode 0600 when there is none yet. Raises LedgerError for a file that cannot be used."""
    path = key_file or default_log_key_file(database)
    try:
        if not path.exists():
            with contextlib.suppress(FileExistsError):  # another process was first
                SigningKey.make(origin_of(identity)).write(path)
            sync_folder(path.absolute().parent)
    except OSError as error:
        raise LedgerError(
            f"cannot write the log key {path}: {error.strerror or type(error).__name__}",
            advice="Choose a folder that exists and is writable.",
        ) from None
    return read_log_key(path, identity)


def read_log_key(path: Path, identity: str) -> SigningKey:
    """The key in a file, by the name of the ledger. Raises LedgerError when it is not there or holds no Ed25519 key."""
    try:
        return SigningKey.read(path, origin_of(identity))
    except SettingsError as error:
        raise LedgerError(str(error), advice=_ADVICE) from None
