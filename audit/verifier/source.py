"""One state of a ledger's database, read-only: what every part of the verifier reads, whichever database it is.

What of a database cannot be read, because it is damaged or not what it should be, is a `SourceError`, and a finding. That it
cannot be asked at all, such as a server that is gone, is a LedgerError: then nothing was verified.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from audit.stores import Store
from audit.stores.sqlite import raw
from guard.errors import LedgerError

Row = tuple[Any, ...]
_MAX_INTEGRITY = 20
_HEAD = "SELECT id, size, frontier FROM head"


class SourceError(Exception):
    """What the database cannot read of itself."""


class Source(Protocol):
    """One state of a database. Statements have `?` for parameters. What cannot be read raises SourceError."""

    store: Store

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

    def __init__(self, store: Store, connection: Connection) -> None:
        """`connection`: in a transaction already."""
        self.store, self._engine, self._connection = store, connection, raw(connection)
        self._lenient, self._connection.text_factory = self._connection.text_factory, str
        self._connection.execute("PRAGMA cache_size=-65536")  # an index's pages are met again and again by `broken`

    def all(self, statement: str, parameters: Sequence[Any] = ()) -> list[Row]:
        """See `Source`."""
        try:
            return self._connection.execute(statement, parameters).fetchall()
        except (sqlite3.Error, OverflowError) as error:
            raise SourceError(str(error)) from None

    def each(self, statement: str, parameters: Sequence[Any] = ()) -> Iterator[Row]:
        """See `Source`."""
        try:
            yield from self._connection.execute(statement, parameters)
        except (sqlite3.Error, OverflowError) as error:
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
            return self.store.objects(self._engine)
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


class PostgresSource:
    """A transaction on a server, which goes on after what cannot be read."""

    def __init__(self, store: Store, connection: Connection, snapshot: str = "") -> None:
        """`connection`: in a transaction that has read nothing. `snapshot`: what `share` of another said."""
        self.store, self._engine = store, connection
        driver: Any = connection.connection.driver_connection
        self._driver = driver
        if snapshot:
            assert re.fullmatch("[0-9A-Fa-f-]+", snapshot), "a snapshot has a name of digits"
            self._run(f"SET TRANSACTION SNAPSHOT '{snapshot}'")
        # While helpers are at work, this transaction does nothing for as long as that takes.
        self._run("SET LOCAL idle_in_transaction_session_timeout = 0")
        self._run("SAVEPOINT verifier")

    def _run(self, statement: str) -> None:
        with self._errors(recover=False):
            self._driver.execute(statement)

    def all(self, statement: str, parameters: Sequence[Any] = ()) -> list[Row]:
        """See `Source`."""
        with self._errors(), self._driver.cursor(binary=True) as cursor:
            found: list[Row] = cursor.execute(statement.replace("?", "%s"), parameters).fetchall()
            return found

    def each(self, statement: str, parameters: Sequence[Any] = ()) -> Iterator[Row]:
        """See `Source`: by a cursor of the server's, which gives fewer rows at once when they are large."""
        with self._errors(), self._driver.cursor(name="verifier", binary=True) as cursor:
            cursor.execute(statement.replace("?", "%s"), parameters)
            number = 16
            while rows := cursor.fetchmany(number):
                yield from rows
                size = sum(len(cell) for row in rows for cell in row if isinstance(cell, bytes))
                number = max(1, min(4 * number, 1000, len(rows) * (8 << 20) // (size + 1)))

    def rows(self, statement: str, parameters: Sequence[Any] = ()) -> list[Row]:
        """See `Source`: a server's text is Unicode."""
        return self.all(statement, parameters)

    def objects(self) -> dict[str, str]:
        """See `Source`."""
        try:
            with self._errors():
                return self.store.objects(self._engine)
        except SQLAlchemyError as error:
            raise SourceError(str(getattr(error, "orig", error))) from None

    def capacity(self) -> int:
        """By the size of the table with all that belongs to it."""
        return int(self.rows("SELECT pg_total_relation_size('entry')")[0][0]) // 64

    def broken(self) -> list[str]:
        """Indexes against tables, where the server has `amcheck`."""
        where = self._amcheck()
        if not where:
            return []
        lines = []
        for (name,) in self.rows(_CHECKABLE):
            try:
                self.rows(f"SELECT {where}.bt_index_check(?::text::regclass, true)", (name,))
            except SourceError as error:
                lines.append(f"index {name}: {error}")
        return lines

    def unchecked(self) -> list[str]:
        """See `Source`."""
        if self._amcheck():
            return []
        return ["indexes were not compared with their tables: the server's extension amcheck is not installed in this database"]

    def _amcheck(self) -> str:
        """The schema that the extension is in; empty where it is not."""
        found = self.rows(
            "SELECT quote_ident(n.nspname) FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace "
            "WHERE e.extname = 'amcheck'"
        )
        return str(found[0][0]) if found else ""

    def share(self) -> str:
        """A snapshot that lives as long as this transaction. Inside a savepoint none can be had."""
        self._run("RELEASE SAVEPOINT verifier")
        with self._errors(recover=False):
            found = self._driver.execute("SELECT pg_export_snapshot()").fetchone()[0]
        self._run("SAVEPOINT verifier")
        return str(found)

    @contextmanager
    def _errors(self, *, recover: bool = True) -> Iterator[None]:
        import psycopg

        try:
            yield
        except psycopg.Error as error:
            state = error.sqlstate or ""
            told = (error.diag.message_primary or str(error)).strip().partition("\n")[0]  # details quote rows
            if not state or state.startswith(_NOT_ITS_DATA) or not recover:
                raise LedgerError(f"cannot verify {self.store.name}: {told}", advice=_ADVICE) from None
            self._driver.execute("ROLLBACK TO SAVEPOINT verifier")
            raise SourceError(told) from None


_NOT_ITS_DATA = ("08", "28", "40", "42501", "53", "55", "57")
"""Errors that say nothing about the data: of connections, rights, resources, and cancelled statements."""
_ADVICE = "Check that the server runs, and that the user may read all tables of the ledger and use pg_export_snapshot."
_CHECKABLE = """
SELECT quote_ident(c.relname) FROM pg_class c JOIN pg_index x ON x.indexrelid = c.oid
JOIN pg_am a ON a.oid = c.relam WHERE c.relnamespace = current_schema()::regnamespace AND a.amname = 'btree' ORDER BY 1
"""


@contextmanager
def open_source(store: Store, snapshot: str = "") -> Iterator[Source]:
    """What a ledger's database holds now, or at a snapshot, for as long as it takes. Raises SourceError and LedgerError."""
    try:
        connection = store.reader().connect()
    except (sqlite3.Error, SQLAlchemyError) as error:
        if store.path is None:
            raise LedgerError(f"cannot verify {store.name}: the server does not answer", advice=_ADVICE) from None
        raise SourceError(str(getattr(error, "orig", None) or error)) from None
    with connection:
        try:
            connection.begin()
            opened = SqliteSource(store, connection) if store.path is not None else PostgresSource(store, connection, snapshot)
        except (sqlite3.Error, SQLAlchemyError) as error:
            raise SourceError(str(getattr(error, "orig", None) or error)) from None
        yield opened
