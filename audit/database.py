"""What modules that know files alone still use of `audit.stores`: a ledger's path, an engine on it, errors with its name."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path

from sqlalchemy import Engine

from audit.stores import DEFAULT_URL, SqliteStore, Store, open_store
from audit.stores.sqlite import raw
from guard.errors import LedgerError

__all__ = ["DEFAULT_URL", "clear_errors", "database_path", "raw", "reader_engine", "writer_engine"]


def database_path(url: str) -> Path:
    """The file behind a ledger URL. Raises LedgerError for a URL of another database, or one that cannot be used."""
    path = open_store(url).path
    if path is None:
        raise LedgerError("found a ledger in PostgreSQL, expected a file: this needs a ledger in SQLite")
    return path


def writer_engine(path: Path, busy_timeout_ms: int) -> Engine:
    """`Store.writer` of a file."""
    return SqliteStore(path).writer(busy_timeout_ms)


def reader_engine(source: Path | Store, busy_timeout_ms: int = 5000) -> Engine:
    """`Store.reader`."""
    return (SqliteStore(source) if isinstance(source, Path) else source).reader(busy_timeout_ms)


def clear_errors(doing: str, source: Path | Store) -> AbstractContextManager[None]:
    """`Store.clear_errors`."""
    return (SqliteStore(source) if isinstance(source, Path) else source).clear_errors(doing)
