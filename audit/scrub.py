"""Overwrites what was deleted, so that the database's files no longer hold the bytes.

SQLite's `secure_delete` (`audit.database`) writes zeros over deleted rows and freed pages, with two gaps: the write-ahead log
holds older pages until it is cut, and a page that was rebuilt when rows moved may keep a copy of a row in its free space.
So the log is written into the database and cut to nothing, the file is searched for the very bytes, and where they are still
found, the table of subject keys is written anew, then the whole database. What a file system, a disk or a backup keeps of
older blocks is beyond it.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from audit.failpoints import failpoint
from audit.stores import SqliteStore, Store

WAIT_S = 10.0
"""Seconds that readers of an older state may keep the log from being cut."""
MAX_SOUGHT = 200
"""Secrets that the file is searched for; of more, the keys are written anew instead."""
_CHUNK = 1 << 22
_KEPT: dict[tuple[int, int], int] = {}
"""A descriptor of each database that was searched, by device and inode. None is ever closed: that would cancel all locks which
this process has on the file (POSIX), so that the next process to close the database would take it for unused and remove the
log that this one writes to. What both acknowledge afterwards would be lost."""
_KEEPING = threading.Lock()
_KEYS = "id, tenant, subject, wrapped"


def scrub(store: Store | Path, secrets: Sequence[bytes] | None, *, wait_s: float = WAIT_S) -> str:
    """Overwrite what was deleted from the database; say why it may remain, empty when it does not.

    `secrets`: bytes that must not be found afterwards; None when they are no longer known: then the keys are written anew in
    any case. `store`: or a SQLite file. Safe while others read and write. Raises LedgerError when the database cannot be
    written.
    """
    return (SqliteStore(store) if isinstance(store, Path) else store).scrub(secrets, wait_s)


def scrub_file(store: SqliteStore, secrets: Sequence[bytes] | None, wait_s: float) -> str:
    """`scrub` of a SQLite file."""
    engine = store.writer(int(wait_s * 1000))
    with store.clear_errors("overwrite deleted parts of"):
        held = engine.raw_connection()
        connection = held.driver_connection
        assert isinstance(connection, sqlite3.Connection)
        try:
            connection.execute(f"PRAGMA busy_timeout={int(wait_s * 1000)}")  # a writer's waits only to begin
            connection.execute("PRAGMA temp_store=FILE")  # VACUUM copies the database; a writer's would be in memory
            return _scrub(connection, store.file, secrets, wait_s)
        finally:
            held.close()


def _scrub(connection: sqlite3.Connection, path: Path, secrets: Sequence[bytes] | None, wait_s: float) -> str:
    if secrets is None or len(secrets) > MAX_SOUGHT:
        _rewrite_keys(connection)
        secrets = None
    steps = (lambda: None, lambda: _rewrite_keys(connection), lambda: connection.execute("VACUUM"))
    for step in steps:
        step()
        if not _cut_log(connection, wait_s):
            return "another process reads an older state of the ledger and keeps its log from being cut"
        failpoint("scrub: log cut")
        if not secrets or not remains(path, secrets):
            return ""
    return "the bytes are still found in the file"


def remains(path: Path, secrets: Sequence[bytes]) -> bool:
    """Whether any of these bytes stand in the database's file or its log. Raises OSError."""
    longest = max(map(len, secrets), default=1)
    log = path.with_name(path.name + "-wal")  # SQLite has no locks on this one
    if log.exists():
        with log.open("rb") as stream:
            if _found(stream.fileno(), secrets, longest):
                return True
    return path.exists() and _found(_kept(path), secrets, longest)


def _found(descriptor: int, secrets: Sequence[bytes], longest: int) -> bool:
    tail, place = b"", 0
    while part := os.pread(descriptor, _CHUNK, place):
        window, place = tail + part, place + len(part)
        if any(secret in window for secret in secrets):
            return True
        tail = window[-(longest - 1) :] if longest > 1 else b""
    return False


def _kept(path: Path) -> int:
    with _KEEPING:
        found = path.stat()
        kept = _KEPT.get((found.st_dev, found.st_ino))
        if kept is None:
            kept = os.open(path, os.O_RDONLY)
            found = os.fstat(kept)
            _KEPT[found.st_dev, found.st_ino] = kept
        return kept


def _cut_log(connection: sqlite3.Connection, wait_s: float) -> bool:
    until = time.monotonic() + wait_s
    while connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]:
        if time.monotonic() > until:
            return False
        time.sleep(0.05)
    return True


def _rewrite_keys(connection: sqlite3.Connection) -> None:
    """Free every page of the table, which zeroes it, and write the rows again."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        rows = connection.execute(f"SELECT {_KEYS} FROM subject_key ORDER BY rowid").fetchall()  # noqa: S608 - fixed text
        connection.execute("DELETE FROM subject_key")
        failpoint("scrub: keys deleted")
        connection.executemany(f"INSERT INTO subject_key ({_KEYS}) VALUES (?, ?, ?, ?)", rows)  # noqa: S608 - fixed text
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise
