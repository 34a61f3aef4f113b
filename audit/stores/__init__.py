"""Where a ledger is kept: one frame for a SQLite file and for a PostgreSQL database.

`open_store(url)` gives a `Store`. It makes engines for one writer and for readers, creates the tables, says what of them is
there, and turns the database's errors into LedgerError. All other modules speak SQL through SQLAlchemy Core.
"""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection, Engine
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from audit.stores.base import Store
from audit.stores.postgres import PostgresStore
from audit.stores.sqlite import SqliteStore
from guard.errors import LedgerError

DEFAULT_URL = "sqlite:///genguard.db"

__all__ = ["DEFAULT_URL", "PostgresStore", "SqliteStore", "Store", "open_store", "store_of"]


def open_store(url: str | Path) -> Store:
    """The store behind a ledger URL, or behind a SQLite file. Connects to nothing yet.

    Raises LedgerError for a URL that cannot be used; what it says never holds the URL's password.
    """
    if isinstance(url, Path):
        return SqliteStore(url)
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise LedgerError(
            "found a ledger URL that cannot be read, expected one such as sqlite:///genguard.db",
            advice=f"For a file, write sqlite:/// and its path; the default is {DEFAULT_URL}.",
        ) from None
    if parsed.drivername in {"sqlite", "sqlite+pysqlite"}:
        return SqliteStore.of(parsed)
    if parsed.drivername in {"postgresql", "postgres", "postgresql+psycopg"}:
        return PostgresStore.of(parsed)
    raise LedgerError(
        f"found a ledger URL for {parsed.drivername}, expected sqlite or postgresql",
        advice="Use sqlite:///PATH (sqlite:////PATH for an absolute path), or postgresql://USER@HOST/DATABASE.",
    )


def store_of(source: Engine | Connection) -> Store:
    """The store that an engine of `Store.reader` or `Store.writer`, or a connection of one, belongs to."""
    found = source.get_execution_options()["genguard_store"]
    assert isinstance(found, SqliteStore | PostgresStore)
    return found
