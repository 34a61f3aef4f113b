"""Where the master key comes from: a file beside the database, another file, or the environment; never the database itself."""

from __future__ import annotations

import os
from pathlib import Path

from audit.stores import Store, open_store
from audit.vault import KEY_SIZE, Vault
from guard.errors import LedgerError
from guard.keyfile import decode_key, write_new_key

ENVIRONMENT = "GENGUARD_MASTER_KEY"

Place = Path | Store
"""The ledger that a key is for: its store, or its file."""

_ADVICE = (
    "Put the key file back from its backup, name it with key_file, or set GENGUARD_MASTER_KEY. Without it no stored prompt or "
    "output can be read again; decisions and proofs can."
)


def default_key_file(database: Path) -> Path:
    """`<database>.key`."""
    return database.with_name(database.name + ".key")


def own_key_file(database: Place, key_file: Path | None) -> Path:
    """`key_file`, or the default. Raises LedgerError for a ledger on a server, which has no place beside it."""
    store = _store(database)
    found = key_file or store.beside(".key")
    if found is None:
        raise LedgerError(
            f"no master key for the ledger {store.name}: found neither a key file nor {ENVIRONMENT}, expected one of them",
            advice=f"Name a file with key_file or GENGUARD_KEY_FILE, or a folder with GENGUARD_KEY_FOLDER: it is made when the "
            f"ledger begins. Or set {ENVIRONMENT}. All processes that write need the same key.",
        )
    return found


def next_key_file(key_file: Path) -> Path:
    """`<key file>.next`: where a new key lies until it takes the old one's place (`audit.keyring`)."""
    return key_file.with_name(key_file.name + ".next")


def key_file_of(database: Place, key_file: Path | None) -> Path | None:
    """The file that the master key is looked for in; None when it comes from the environment, or from nowhere."""
    return None if key_file is None and ENVIRONMENT in os.environ else key_file or _store(database).beside(".key")


def find_master_key(database: Place, key_file: Path | None, key_id: str = "") -> bytes | None:
    """The master key: of `key_file` if given, else of the environment, else of the default file; None when there is none.

    `key_id`: which it has to be, where that is known: then the one that waits to take its place may be it. Raises LedgerError
    for a key that is there and unusable.
    """
    key = _master_key(database, key_file)
    path = key_file_of(database, key_file)
    if not key_id or path is None or (key is not None and Vault(key).key_id == key_id):
        return key
    waiting = next_key_file(path)
    other = _master_key(database, waiting) if waiting.exists() else None
    return other if other is not None and Vault(other).key_id == key_id else key


def _master_key(database: Place, key_file: Path | None) -> bytes | None:
    if key_file is None and ENVIRONMENT in os.environ:
        return _decode(os.environ[ENVIRONMENT], f"the environment variable {ENVIRONMENT}")
    path = key_file or _store(database).beside(".key")
    if path is None:
        return None
    try:
        return _decode(path.read_text("ascii"), f"the key file {path}")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeError) as error:
        raise LedgerError(f"cannot read the key file {path}: {_why(error)}") from None


def need_master_key(database: Place, key_file: Path | None, key_id: str = "") -> bytes:
    """The master key of an existing ledger. Raises LedgerError when there is none: a new one would open nothing."""
    key = find_master_key(database, key_file, key_id)
    if key is None:
        path = own_key_file(database, key_file)
        raise LedgerError(f"no master key for the ledger {_store(database).name}: there is no {path}", advice=_ADVICE)
    return key


def make_master_key(database: Place, key_file: Path | None) -> bytes:
    """The master key of a ledger that begins now, made when there is none yet. The file appears whole, with mode 0600."""
    key = find_master_key(database, key_file)
    if key is not None:
        return key
    path = own_key_file(database, key_file)
    try:
        write_new_key(path)
    except OSError as error:
        raise LedgerError(
            f"cannot write the key file {path}: {_why(error)}", advice="Choose a folder that exists and is writable."
        ) from None
    return need_master_key(database, path)


def _store(database: Place) -> Store:
    return open_store(database) if isinstance(database, Path) else database


def _decode(text: str, where: str) -> bytes:
    key = decode_key(text)
    if key is None:
        raise LedgerError(
            f"{where} does not hold a master key, expected {KEY_SIZE} bytes as base64",
            advice="Make one: openssl rand -base64 32",
        )
    return key


def _why(error: Exception) -> str:
    return (error.strerror or type(error).__name__) if isinstance(error, OSError) else type(error).__name__
