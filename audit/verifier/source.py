"""One state of a ledger's database, read-only: what every part of the verifier reads, whichever database it is.

What of a database cannot be read, because it is damaged or not what it should be, is a `SourceError`, and a finding. That it
cannot be asked at all, such as a server that is gone, is a LedgerError: then nothing was verified.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from audit.sqlite_file import objects, open_reading

if TYPE_CHECKING:
    from audit.stores import Store

Row = tuple[Any, ...]
_MAX_INTEGRITY = 20
_MAPPED = 1 << 40
"""Bytes; SQLite maps as many as it was built for, mostly 2 GiB, and reads the rest as ever."""
_HEAD = "SELECT id, size, frontier FROM head"


class SourceError(Exception):
    """What the database cannot read of itself."""


class Source(Protocol):
    """One state of a database. Statements have `?` for parameters. What cannot be read raises SourceError."""

    batch: int
    """Entries that are best read by one statement; a part of `audit.verifier.stretch.CHUNK`."""

    def all(self, statement: str, parameters: Sequence[Any] = ()) -> list[Row]:
        """All rows, fast; text that is no Unicode is an error."""

    def each(self, statement: str, parameters: Sequence[Any] = ()) -> Iterator[Row]:
        """The same, few in memory at once."""

    def rows(self, statement: str, parameters: Sequence[Any] = ()) -> list[Row]:
        """All rows; text that is no Unicode comes with surrogates."""

    def objects(self) -> dict[str, str]:
        """Tables, indexes, triggers and the like, with their definitions."""

    def capacity(self) -> int:
        """More entries than the database has room for: each takes more than 64 bytes."""

    def broken(self) -> list[str]:
        """What the database finds wrong with itself."""

    def unchecked(self) -> list[str]:
        """What `broken` cannot look at here, and why."""

    def share(self) -> str:
        """What another connection needs to see the same; empty where it can only look whether it does."""


def state(source: Source) -> str:
    """The head: it moves with every entry, and nothing is forgotten without one."""
    return repr(source.rows(_HEAD))


class SqliteSource:
    """A transaction on a file."""

    batch = 64
    """So few that what was read is still near the processor when it is hashed: a core spends 3 % less than with 256."""

    def __init__(self, connection: sqlite3.Connection, *, mapped: bool = False) -> None:
        """`connection`: of `open_reading`. `mapped`: see `open_file`."""
        self._connection = connection
        self._lenient, connection.text_factory = connection.text_factory, str
        connection.execute("PRAGMA cache_size=-65536")  # an index's pages are met again and again by `broken`
        if mapped:
            connection.execute(f"PRAGMA mmap_size={_MAPPED}")
        connection.execute("BEGIN")

    def all(self, statement: str, parameters: Sequence[Any] = ()) -> list[Row]:
        """See `Source`."""
        try:
            return self._connection.execute(statement, parameters).fetchall()
        except (sqlite3.Error, OverflowError, UnicodeError) as error:
            raise SourceError(str(error)) from None

    def each(self, statement: str, parameters: Sequence[Any] = ()) -> Iterator[Row]:
        """See `Source`."""
        try:
            yield from self._connection.execute(statement, parameters)
        except (sqlite3.Error, OverflowError, UnicodeError) as error:
            raise SourceError(str(error)) from None

    def rows(self, statement: str, parameters: Sequence[Any] = ()) -> list[Row]:
        """See `Source`."""
        self._connection.text_factory = self._lenient
        try:
            return self.all(statement, parameters)
        finally:
            self._connection.text_factory = str

    def objects(self) -> dict[str, str]:
        """See `Source`."""
        self._connection.text_factory = self._lenient
        try:
            return objects(self._connection)
        except sqlite3.Error as error:
            raise SourceError(str(error)) from None
        finally:
            self._connection.text_factory = str

    def capacity(self) -> int:
        """By the size of the file."""
        pages, size = self.rows("PRAGMA page_count")[0][0], self.rows("PRAGMA page_size")[0][0]
        return int(pages) * int(size) // 64

    def broken(self) -> list[str]:
        """Indexes against tables, pages, the list of free ones."""
        return [line for (line,) in self.rows(f"PRAGMA integrity_check({_MAX_INTEGRITY})") if line != "ok"]

    def unchecked(self) -> list[str]:
        """Nothing."""
        return []

    def share(self) -> str:
        """A file has no snapshots to hand on."""
        return ""


@contextmanager
def open_file(file: Path, *, mapped: bool = False) -> Iterator[Source]:
    """What a file holds now, for as long as it takes. Raises SourceError.

    `mapped`: read it as memory, which saves copying each page. What a disk cannot read then ends the process: only for one that
    another waits for.
    """
    try:
        connection = open_reading(file)
    except sqlite3.Error as error:
        raise SourceError(str(error)) from None
    with closing(connection):
        try:
            opened = SqliteSource(connection, mapped=mapped)
        except sqlite3.Error as error:
            raise SourceError(str(error)) from None
        yield opened


@contextmanager
def open_source(store: Store, snapshot: str = "") -> Iterator[Source]:
    """What a ledger's database holds now, or at a snapshot, for as long as it takes. Raises SourceError and LedgerError."""
    if store.path is not None:
        with open_file(store.path) as source:
            yield source
    else:
        from audit.verifier.postgres import open_server

        with open_server(store, snapshot) as source:
            yield source
