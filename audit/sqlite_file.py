"""A ledger's file by SQLite alone: what those who read it need, without SQLAlchemy, which takes a third of a second to load."""

from __future__ import annotations

import ctypes
import sqlite3
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from urllib.parse import quote

_OK, _MULTITHREAD = 0, 2
"""`SQLITE_OK`, `SQLITE_CONFIG_MULTITHREAD`."""
_OBJECTS = "SELECT type, name, tbl_name, sql FROM sqlite_master"


def connect_file(name: str, wait_ms: int) -> sqlite3.Connection:
    """A connection by SQLite's URI. `wait_ms`: how long a statement may wait for a lock."""
    return sqlite3.connect(name, uri=True, timeout=wait_ms / 1000, isolation_level=None, check_same_thread=False)


def open_reading(file: Path, wait_ms: int = 5000) -> sqlite3.Connection:
    """A connection that cannot write and has read something. Text that is not UTF-8 comes back with surrogates.

    Raises sqlite3.Error, with nothing left open.
    """
    name = f"file:{quote(str(file))}?mode=ro"
    try:
        connection = _probed(name, wait_ms)
    except sqlite3.OperationalError:
        if file.with_name(file.name + "-wal").exists():
            raise
        # A backup on a medium that takes no -shm file: nobody writes to it.
        connection = _probed(name + "&immutable=1", wait_ms)
    connection.text_factory = _text
    connection.execute("PRAGMA query_only=ON")
    connection.execute("PRAGMA trusted_schema=OFF")
    return connection


def one_thread_each() -> None:
    """Let SQLite take no lock for each column of a row that is read, which is a fifth of reading rows.

    For a process that has no connection yet, and will use each from one thread at a time. Where Python does not let SQLite be
    reached, nothing changes.
    """
    with suppress(OSError, AttributeError):
        library = ctypes.CDLL(import_module("_sqlite3").__file__)
        if library.sqlite3_shutdown() == _OK:
            library.sqlite3_config(_MULTITHREAD)
            library.sqlite3_initialize()


def objects(connection: sqlite3.Connection) -> dict[str, str]:
    """Tables, indexes and triggers, as SQLite keeps each statement. Indexes of its own, on keys, have none."""
    return {f"{kind} {name}": sql for kind, name, _, sql in connection.execute(_OBJECTS) if sql is not None}


def _probed(name: str, wait_ms: int) -> sqlite3.Connection:
    connection = connect_file(name, wait_ms)
    try:
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.Error:
        connection.close()
        raise
    except UnicodeDecodeError:  # SQLite quotes a damaged schema in its message
        connection.close()
        raise sqlite3.DatabaseError("malformed database schema: it holds text that is no UTF-8") from None
    return connection


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")
