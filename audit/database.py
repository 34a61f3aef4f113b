"""Connections to the ledger's database, for its writer and for its readers, with errors that say what to do.

Readers open the file read-only and can be many; writers of several processes take turns (`BEGIN IMMEDIATE`).
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from guard.errors import LedgerError

DEFAULT_URL = "sqlite:///genguard.db"

_PAGE_SIZE = 8192
"""Bytes. An entry is 2 to 3 kB: pages of 4096 would hold one each."""


def database_path(url: str) -> Path:
    """The file behind a ledger URL. Raises LedgerError for a URL that this version cannot use."""
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise LedgerError(
            "found a ledger URL that cannot be read, expected one such as sqlite:///genguard.db",
            advice=f"For a file, write sqlite:/// and its path; the default is {DEFAULT_URL}.",
        ) from None
    if parsed.drivername not in {"sqlite", "sqlite+pysqlite"}:
        raise LedgerError(
            f"found a ledger URL for {parsed.drivername}, expected sqlite: this version keeps its ledger in SQLite",
            advice="PostgreSQL comes in a later version. Use sqlite:///PATH, or sqlite:////PATH for an absolute path.",
        )
    if parsed.host or parsed.query:
        raise LedgerError(
            "found a ledger URL with a host or with options, expected sqlite:/// and a path",
            advice="Three slashes begin a relative path, four an absolute one.",
        )
    if not parsed.database or parsed.database == ":memory:":
        raise LedgerError("found a ledger URL without a file: a ledger in memory is not durable", advice=f"Use {DEFAULT_URL}.")
    return Path(parsed.database).absolute()  # whatever folder the process changes to later


def writer_engine(path: Path, busy_timeout_ms: int) -> Engine:
    """An engine whose every transaction is `BEGIN IMMEDIATE` and whose every commit is on disk."""

    def connect() -> sqlite3.Connection:
        connection = _connect(f"file:{quote(str(path))}?mode=rwc", busy_timeout_ms)
        for pragma in (
            f"page_size={_PAGE_SIZE}",  # only a new database takes it
            "journal_mode=WAL",
            "synchronous=FULL",
            "secure_delete=ON",
            "wal_autocheckpoint=4000",
            "trusted_schema=OFF",
        ):
            _persist(connection, f"PRAGMA {pragma}", busy_timeout_ms / 1000)
        return connection

    return _engine(connect, "BEGIN IMMEDIATE")


def reader_engine(path: Path, busy_timeout_ms: int = 5000) -> Engine:
    """An engine that cannot write. A transaction sees one state of the ledger throughout.

    Text that is not UTF-8 comes back with surrogates instead of failing: the verifier has to be able to look at it.
    """

    def connect() -> sqlite3.Connection:
        name = f"file:{quote(str(path))}?mode=ro"
        try:
            connection = _probed(name, busy_timeout_ms)
        except sqlite3.OperationalError:
            if path.with_name(path.name + "-wal").exists():
                raise
            # A backup on a medium that takes no -shm file: nobody writes to it.
            connection = _probed(name + "&immutable=1", busy_timeout_ms)
        connection.text_factory = _text
        connection.execute("PRAGMA query_only=ON")
        connection.execute("PRAGMA trusted_schema=OFF")
        return connection

    return _engine(connect, "BEGIN")


@contextmanager
def clear_errors(doing: str, path: Path) -> Iterator[None]:
    """Turn errors of the database and the file system into LedgerError. Parameters of a statement never get into it."""
    try:
        yield
    except DBAPIError as error:
        raise LedgerError(f"cannot {doing} {path}: {error.orig}", advice=_advice(error.orig)) from None
    except (SQLAlchemyError, sqlite3.Error) as error:
        text = str(error) if isinstance(error, sqlite3.Error) else type(error).__name__
        raise LedgerError(f"cannot {doing} {path}: {text}", advice=_advice(error)) from None
    except OSError as error:
        raise LedgerError(f"cannot {doing} {path}: {error.strerror or type(error).__name__}", advice=_advice(error)) from None


def raw(connection: Connection) -> sqlite3.Connection:
    """The driver's connection, for statements that need no translation."""
    found: Any = connection.connection.driver_connection
    assert isinstance(found, sqlite3.Connection)
    return found


def _connect(name: str, busy_timeout_ms: int) -> sqlite3.Connection:
    return sqlite3.connect(name, uri=True, timeout=busy_timeout_ms / 1000, isolation_level=None, check_same_thread=False)


def _probed(name: str, busy_timeout_ms: int) -> sqlite3.Connection:
    """A connection that has read something, or an error and none left open."""
    connection = _connect(name, busy_timeout_ms)
    try:
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.Error:
        connection.close()
        raise
    except UnicodeDecodeError:  # SQLite quotes a damaged schema in its message
        connection.close()
        raise sqlite3.DatabaseError("malformed database schema: it holds text that is no UTF-8") from None
    return connection


def _persist(connection: sqlite3.Connection, statement: str, timeout: float) -> None:
    """Run a statement that SQLite fails at once, whatever the busy timeout, when another process begins the same file."""
    until = time.monotonic() + timeout
    while True:
        try:
            connection.execute(statement)
        except sqlite3.Error as error:
            if "locked" not in str(error) or time.monotonic() > until:
                connection.close()
                raise
            time.sleep(0.01)
        else:
            return


def _engine(connect: Any, begin: str) -> Engine:
    engine = create_engine("sqlite://", creator=connect, poolclass=NullPool, hide_parameters=True)

    @event.listens_for(engine, "begin")
    def _(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    return engine


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def _advice(error: BaseException | None) -> str:
    text = str(error)
    for sign, advice in _SIGNS.items():
        if sign in text:
            return advice
    return ""


_SIGNS = {
    "unable to open": "The folder must exist and be writable; the ledger makes its file, not its folder.",
    "ermission denied": "Make the file and its folder accessible to this user.",
    "readonly": "Make the file and its folder writable for this user.",
    "disk is full": "Free some space; nothing that was acknowledged is lost, and writing goes on by itself.",
    "disk I/O": "Check the disk and its free space; nothing that was acknowledged is lost.",
    "not a database": "The file is not a ledger, or was damaged: run `genguard audit verify`, or name another.",
    "no such table": "The file is not a ledger: name another with --ledger sqlite:///PATH.",
    "malformed": "The file is damaged: run `genguard audit verify`, and restore a backup.",
    "locked": "Another process has held the ledger for too long.",
}
