"""What modules that know files alone still use of `audit.stores`: a ledger's path, an engine on it, errors with its name."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path

from sqlalchemy import Engine

from audit.stores import DEFAULT_URL, SqliteStore, open_store
from audit.stores.postgres import KEY_FOLDER
from audit.stores.sqlite import raw
from guard.errors import LedgerError

__all__ = ["DEFAULT_URL", "clear_errors", "database_path", "raw", "reader_engine", "writer_engine"]


def database_path(url: str) -> Path:
    """The file behind a ledger URL; of a server, the name in GENGUARD_KEY_FOLDER that files beside it begin with.

    Raises LedgerError for a URL that cannot be used, and for a server's without that folder.
    """
    store = open_store(url)
    path = store.beside("")
    if path is None:
        raise LedgerError(
            f"the ledger {store.name} has no place for the keys that a file has beside it",
            advice=f"Name a folder for them: {KEY_FOLDER}=/etc/genguard/keys. All machines need the same files.",
        )
    return path


def writer_engine(path: Path, busy_timeout_ms: int) -> Engine:
    """`Store.writer` of a file."""
    return SqliteStore(path).writer(busy_timeout_ms)


def reader_engine(source: str | Path, busy_timeout_ms: int = 5000) -> Engine:
    """`Store.reader` of a URL or a file."""
    return open_store(source).reader(busy_timeout_ms)


def clear_errors(doing: str, source: str | Path) -> AbstractContextManager[None]:
    """`Store.clear_errors` of a URL or a file."""
    return open_store(source).clear_errors(doing)
