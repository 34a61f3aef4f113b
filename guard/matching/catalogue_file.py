"""The file of a catalogue: its tables, how it is begun and opened, and what SQLite says of it in words."""

from __future__ import annotations

import hashlib
import os
import sqlite3
import tempfile
import time as clock
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

from guard.errors import ModelError
from guard.matching.records import canonical

FORMAT = 1
"""Version of the tables."""
_BUSY_S = 30.0

_SCHEMA = (
    """CREATE TABLE bank (
        id INTEGER PRIMARY KEY CHECK (id = 1), format INTEGER NOT NULL, kind TEXT NOT NULL, recorded INTEGER NOT NULL)""",
    """CREATE TABLE work (
        number INTEGER PRIMARY KEY, id TEXT NOT NULL, title TEXT NOT NULL, modality TEXT NOT NULL, owner TEXT NOT NULL,
        licence TEXT NOT NULL, terms TEXT NOT NULL, contact TEXT NOT NULL, valid_from TEXT NOT NULL, valid_until TEXT NOT NULL,
        territory TEXT NOT NULL, digest BLOB NOT NULL, source BLOB NOT NULL, added INTEGER NOT NULL, retired INTEGER)""",
    "CREATE UNIQUE INDEX ux_work_live ON work (id) WHERE retired IS NULL",
    "CREATE INDEX ix_work_gone ON work (id) WHERE retired IS NOT NULL",
    "CREATE TABLE thumbnail (number INTEGER PRIMARY KEY, data BLOB NOT NULL)",
    "CREATE TABLE method (name TEXT PRIMARY KEY) WITHOUT ROWID",
    "CREATE TABLE fingerprint (place INTEGER PRIMARY KEY, method TEXT NOT NULL, view TEXT NOT NULL, data BLOB NOT NULL)",
    "CREATE TABLE change (seq INTEGER PRIMARY KEY, kind TEXT NOT NULL, number INTEGER NOT NULL)",
    """CREATE TABLE batch (
        seq INTEGER PRIMARY KEY, number INTEGER NOT NULL, size INTEGER NOT NULL, head BLOB NOT NULL UNIQUE,
        time TEXT NOT NULL, actor TEXT NOT NULL, source TEXT NOT NULL)""",
    *(
        f"CREATE TRIGGER {table}_no_{verb.lower()} BEFORE {verb} ON {table} "
        f"BEGIN SELECT RAISE(ABORT, '{table} rows cannot be changed'); END"
        for table in ("change", "batch", "fingerprint")
        for verb in ("UPDATE", "DELETE")
    ),
)
SHARED = "CREATE TABLE IF NOT EXISTS shared (id INTEGER PRIMARY KEY CHECK (id = 1), ledger TEXT NOT NULL)"
"""Of a bank that several machines have: the ledger through which. Banks of one machine alone are without it."""


def genesis(kind: str) -> bytes:
    """The digest of a bank that nothing was added to yet."""
    return hashlib.sha256(canonical(["genguard-bank", kind])).digest()


def begin_tables(connection: sqlite3.Connection, kind: str) -> None:
    """Make the tables, unless another process has."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        if not connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone():
            for statement in _SCHEMA:
                connection.execute(statement)
            connection.execute("INSERT INTO bank VALUES (1, ?, ?, 0)", (FORMAT, kind))
            connection.execute("INSERT INTO batch VALUES (0, 0, 0, ?, '', '', '')", (genesis(kind),))
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise


def begin_file(path: Path, kind: str) -> None:
    """A bank without works that only its owner may read, unless there is a file; SQLite gives its companions the same mode.

    It is whole when it comes to its name: others may open it at that moment.
    """
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor, name = tempfile.mkstemp(".db", ".begun-", path.parent)
    os.close(descriptor)
    try:
        with closing(sqlite3.connect(name, isolation_level=None)) as connection:
            connection.execute("PRAGMA synchronous=FULL")
            begin_tables(connection, kind)
        with suppress(FileExistsError):  # another process was first
            os.link(name, path)
    finally:
        Path(name).unlink()
    _sync(path.parent)


def _sync(folder: Path) -> None:
    """Make names in it durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def check_form(connection: sqlite3.Connection, path: Path) -> None:
    """Raises ModelError for tables of another version."""
    row = connection.execute("SELECT format FROM bank").fetchone()
    if row is None or row[0] != FORMAT:
        raise ModelError(
            f"{path} has format {row[0] if row else 'none'}, expected {FORMAT}",
            advice="Use the version of genguard that made it.",
        )


def connect(path: Path) -> sqlite3.Connection:
    """A connection to the file, whose every commit is on disk."""
    connection = sqlite3.connect(
        f"file:{quote(str(path))}?mode=rw", uri=True, timeout=_BUSY_S, isolation_level=None, check_same_thread=False
    )
    until = clock.monotonic() + _BUSY_S
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "trusted_schema=OFF", "cache_size=-65536"):
        while True:
            try:
                connection.execute(f"PRAGMA {pragma}")
            except sqlite3.OperationalError as error:  # which comes at once when another process begins the same file
                if "locked" not in str(error) or clock.monotonic() > until:
                    connection.close()
                    raise
                clock.sleep(0.01)
            else:
                break
    return connection


@contextmanager
def clear_errors(doing: str, path: Path | None) -> Iterator[None]:
    """Turn SQLite's errors into ModelError."""
    try:
        yield
    except sqlite3.Error as error:
        raise ModelError(
            f"cannot {doing} the bank {path.parent.name if path else ''}: {error}", advice=_advice(str(error))
        ) from None


def _advice(text: str) -> str:
    signs = {
        "not a database": "The file is no catalogue of a bank, or was damaged: restore a copy of it.",
        "malformed": "The file is damaged: restore a copy of it.",
        "no such table": "The file is no catalogue of a bank: name another.",
        "locked": "Another process has been writing to it for too long.",
        "readonly": "Make the bank's folder and files writable for this user.",
        "full": "Free some space; nothing that was committed is lost.",
        "unable to open": "The bank's folder and files have to be accessible to this user.",
    }
    return next((advice for sign, advice in signs.items() if sign in text), "")
