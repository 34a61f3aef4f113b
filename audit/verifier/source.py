"""One state of a ledger's database, read-only: what every part of the verifier reads, whichever database it is."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from audit.database import raw, reader_engine

Row = tuple[Any, ...]


class Source(Protocol):
    """One state of a database. Statements have `?` for parameters; what cannot be read raises one of `errors`."""

    errors: tuple[type[Exception], ...]

    def strict(self, statement: str, parameters: Sequence[Any] = ()) -> Iterator[Row]:
        """Rows, fast; text that is no Unicode is an error."""
        ...

    def rows(self, statement: str, parameters: Sequence[Any] = ()) -> list[Row]:
        """Rows; text that is no Unicode comes with surrogates."""
        ...

    def has(self, table: str) -> bool:
        """Whether there is such a table."""
        ...

    def capacity(self) -> int:
        """More entries than the database has room for: each takes more than 64 bytes."""
        ...

    def state(self) -> str:
        """What two connections that see the same entries have in common, and others have not."""
        ...


class SqliteSource:
    """A transaction on a file."""

    errors: tuple[type[Exception], ...] = (sqlite3.Error, OverflowError)

    def __init__(self, connection: sqlite3.Connection) -> None:
        """`connection`: in a transaction already."""
        self.connection = connection
        self._lenient, connection.text_factory = connection.text_factory, str
        connection.execute("PRAGMA cache_size=-65536")  # an index's pages are met again and again by SQLite's own check

    def strict(self, statement: str, parameters: Sequence[Any] = ()) -> Iterator[Row]:
        """Rows, one by one."""
        return self.connection.execute(statement, parameters)

    def rows(self, statement: str, parameters: Sequence[Any] = ()) -> list[Row]:
        """All rows at once."""
        self.connection.text_factory = self._lenient
        try:
            return self.connection.execute(statement, parameters).fetchall()
        finally:
            self.connection.text_factory = str

    def has(self, table: str) -> bool:
        """Whether there is such a table."""
        return bool(self.rows("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?", (table,)))

    def capacity(self) -> int:
        """By the size of the file."""
        pages: int = self.connection.execute("PRAGMA page_count").fetchone()[0]
        page_size: int = self.connection.execute("PRAGMA page_size").fetchone()[0]
        return pages * page_size // 64

    def state(self) -> str:
        """The head: it moves with every entry, and nothing is forgotten without one."""
        return repr(self.rows("SELECT id, size, frontier FROM head"))


@contextmanager
def sqlite_source(path: Path) -> Iterator[SqliteSource]:
    """What a file holds now, for as long as it takes."""
    with reader_engine(path).connect() as connection, connection.begin():
        yield SqliteSource(raw(connection))
