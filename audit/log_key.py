"""The key that a log signs its checkpoints with: Ed25519, in a PEM file beside the database or elsewhere.

Whoever holds it can sign any tree; it proves something against those who do not hold it, and against the holder only together
with an anchor that he cannot rewrite.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

from guard.errors import LedgerError, SettingsError
from guard.keyfile import sync_folder
from guard.note import SigningKey

ORIGIN = "genguard/"
"""Begins the origin of every ledger; its identity follows."""
_ADVICE = "Put it back from its backup. A new key is a new signer: whoever knows the old one has to be told."


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
