"""A ledger in a SQLite file. Readers open it read-only and can be many; writers of several processes take turns."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import URL, Connection, Engine, Table, create_engine, event
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from audit.insert import flat, insert_rows
from audit.models import TRIGGERS, metadata
from audit.sqlite_file import connect_file, objects, open_reading
from audit.stores.base import Rows, translated
from guard.errors import LedgerError
from guard.keyfile import sync_folder

_PAGE_SIZE = 8192
"""Bytes. An entry is 2 to 3 kB: pages of 4096 would hold one each."""
_CACHE_KB = 32_000
"""Of pages: those that a commit of 512 entries changes have to fit, else SQLite writes them before, and reads them again."""
LOG_PAGES = 16_000
"""Of the write-ahead log; from then on each commit brings it into the database, which `audit.settling` should have done."""
_MISSING = (-1, -1)
_TURN_S, _LONG_TURN_S = 0.0005, 0.001
"""Between looks whether another process is done, at first and later: shorter than what it does between two of its transactions,
which is more where they are long."""
_SOON_S = 0.002


@dataclass(frozen=True, slots=True)
class SqliteStore:
    """A file."""

    file: Path

    backend = "sqlite"
    overwrites = True
    tells = False

    @classmethod
    def of(cls, url: URL) -> SqliteStore:
        """Of a URL. Raises LedgerError for one that names no file."""
        if url.host or url.query:
            raise LedgerError(
                "found a ledger URL with a host or with options, expected sqlite:/// and a path",
                advice="Three slashes begin a relative path, four an absolute one.",
            )
        if not url.database or url.database == ":memory:":
            raise LedgerError(
                "found a ledger URL without a file: a ledger in memory is not durable", advice="Use sqlite:///genguard.db."
            )
        return cls(Path(url.database).absolute())  # whatever folder the process changes to later

    @property
    def name(self) -> str:
        """The path."""
        return str(self.file)

    @property
    def path(self) -> Path:
        """The file."""
        return self.file

    @property
    def triggers(self) -> Mapping[str, Sequence[str]]:
        """See `Store`."""
        return {statement.split()[2]: (statement,) for statement in TRIGGERS}

    def exists(self) -> bool:
        """Whether there is such a file."""
        return self.file.is_file()

    def need(self) -> None:
        """See `Store`."""
        if not self.exists():
            raise LedgerError(f"there is no ledger {self.file}", advice="Name it with --ledger sqlite:///PATH.")

    def prepare(self) -> None:
        """See `Store`."""
        with self.clear_errors("open the ledger"):
            if not self.file.absolute().parent.is_dir():
                raise LedgerError(
                    f"cannot open the ledger {self.file}: there is no folder {self.file.parent}",
                    advice="Make the folder first.",
                )

    def writer(self, wait_ms: int) -> Engine:
        """See `Store`: `BEGIN IMMEDIATE`, and a write-ahead log that each commit flushes."""

        def connect() -> sqlite3.Connection:
            connection = connect_file(f"file:{quote(str(self.file))}?mode=rwc", wait_ms)
            for pragma in (
                f"page_size={_PAGE_SIZE}",  # only a new database takes it
                "journal_mode=WAL",
                "synchronous=FULL",
                "secure_delete=ON",
                f"wal_autocheckpoint={LOG_PAGES}",
                "trusted_schema=OFF",
                f"cache_size=-{_CACHE_KB}",
                "temp_store=MEMORY",
            ):
                _persist(connection, f"PRAGMA {pragma}", wait_ms / 1000)
            connection.execute("PRAGMA busy_timeout=0")  # `_take_turn` waits: SQLite sleeps longer each time, and starves
            return connection

        return self._engine(connect, partial(_take_turn, wait_s=wait_ms / 1000))

    def reader(self, wait_ms: int = 5000) -> Engine:
        """See `Store`. Text that is not UTF-8 comes back with surrogates: the verifier has to be able to look at it."""
        return self._engine(partial(open_reading, self.file, wait_ms), lambda connection: connection.execute("BEGIN"))

    def _engine(self, connect: Callable[[], sqlite3.Connection], begin: Callable[[sqlite3.Connection], object]) -> Engine:
        engine = create_engine(
            "sqlite://",
            creator=connect,
            poolclass=NullPool,
            hide_parameters=True,
            execution_options={"genguard_store": self},
        )

        @event.listens_for(engine, "begin")
        def _(connection: Connection) -> None:
            begin(raw(connection))

        return engine

    @contextmanager
    def clear_errors(self, doing: str) -> Iterator[None]:
        """See `Store`."""
        try:
            yield
        except DBAPIError as error:
            raise LedgerError(f"cannot {doing} {self.file}: {_told(error.orig)}", advice=_advice(error.orig)) from None
        except (SQLAlchemyError, sqlite3.Error) as error:
            text = str(error) if isinstance(error, sqlite3.Error) else type(error).__name__
            raise LedgerError(f"cannot {doing} {self.file}: {text}", advice=_advice(error)) from None
        except OSError as error:
            raise LedgerError(
                f"cannot {doing} {self.file}: {error.strerror or type(error).__name__}", advice=_advice(error)
            ) from None

    def lost(self, error: BaseException) -> bool:
        """Never: there is nothing between."""
        del error
        return False

    def objects(self, connection: Connection) -> dict[str, str]:
        """See `Store`: how SQLite keeps each statement. Indexes of its own, on keys, have none."""
        return objects(raw(connection))

    def expected(self) -> dict[str, str]:
        """See `Store`."""
        return dict(_expected())

    def tables(self, connection: Connection) -> set[str]:
        """See `Store`."""
        return {name for kind, name in map(str.split, self.objects(connection)) if kind == "table"}

    def drop_triggers(self, connection: Connection, names: Sequence[str]) -> None:
        """See `Store`."""
        for name in names:
            connection.exec_driver_sql(f"DROP TRIGGER {name}")

    def make_triggers(self, connection: Connection, names: Sequence[str]) -> None:
        """See `Store`."""
        for name in names:
            for statement in self.triggers[name]:
                connection.exec_driver_sql(statement)

    def run(self, connection: Connection, statement: str, values: Sequence[Any] = ()) -> sqlite3.Cursor:
        """See `Store`."""
        try:
            return raw(connection).execute(statement, values)
        except sqlite3.Error as error:
            raise translated(connection, statement, error, sqlite3.Error) from error

    def packed(self, table: Table, rows: Rows) -> list[Any]:
        """See `Store`: their values end to end."""
        del table
        return flat(rows)

    def insert(self, connection: Connection, table: Table, packed: list[Any], start: int | None = None) -> None:
        """See `Store`."""
        if start is not None:
            width = len(table.columns)
            packed[::width] = [start + place for place in packed[::width]]
        insert_rows(partial(self.run, connection), table, packed)

    def announce(self, connection: Connection) -> None:
        """Nothing: whoever follows looks."""

    def told(self, leaving: Callable[[], bool], begun: Callable[[], None]) -> Iterator[None]:
        """Never."""
        del leaving, begun
        yield from ()

    def mark(self) -> object:
        """Device and inode."""
        return _inode(self.file)

    def replaced(self, mark: object, *, log: bool = False) -> bool:
        """See `Store`."""
        return _inode(self.file) != mark or (log and _inode(self.file.with_name(self.file.name + "-wal")) == _MISSING)

    def log(self) -> object:
        """See `Store`: device and inode."""
        found = _inode(self.beside("-wal"))
        return None if found == _MISSING else found

    def settle(self) -> None:
        """See `Store`."""
        name = f"file:{quote(str(self.file))}?mode=rw"
        with self.clear_errors("settle the log of"), closing(connect_file(name, 0)) as connection:
            connection.execute("PRAGMA synchronous=FULL")
            connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()

    def synced(self) -> None:
        """See `Store`."""
        sync_folder(self.file.absolute().parent)

    def beside(self, suffix: str) -> Path:
        """`<file><suffix>`."""
        return self.file.with_name(self.file.name + suffix)

    def scrub(self, secrets: Sequence[bytes] | None, wait_s: float) -> str:
        """See `Store`."""
        from audit.scrub import scrub_file

        return scrub_file(self, secrets, wait_s)


def raw(connection: Connection) -> sqlite3.Connection:
    """The driver's connection, for statements that need no translation."""
    found: Any = connection.connection.driver_connection
    assert isinstance(found, sqlite3.Connection)
    return found


def _take_turn(connection: sqlite3.Connection, wait_s: float) -> None:
    """Begin a transaction that writes, once no other process does. Raises sqlite3.OperationalError after `wait_s` seconds."""
    begun = time.monotonic()
    while True:
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            waited = time.monotonic() - begun
            if "locked" not in str(error) or waited > wait_s:
                raise
            time.sleep(_TURN_S if waited < _SOON_S else _LONG_TURN_S)
        else:
            return


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


@cache
def _expected() -> tuple[tuple[str, str], ...]:
    engine = create_engine("sqlite://")
    with engine.connect() as connection:
        metadata.create_all(connection)
        for statement in TRIGGERS:
            connection.exec_driver_sql(statement)
        found = objects(raw(connection))
    engine.dispose()
    return tuple(found.items())


def _inode(path: Path) -> tuple[int, int]:
    try:
        found = path.stat()
    except OSError:
        return _MISSING
    return (found.st_dev, found.st_ino)


def _told(error: BaseException | None) -> str:
    """What SQLite says, which quotes no values; of any other error its type."""
    return str(error) if isinstance(error, sqlite3.Error) else type(error).__name__


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
