"""One state of a ledger in a PostgreSQL database: a `Source` on a server."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from audit.stores import Store
from audit.verifier.source import Row, Source, SourceError
from guard.errors import LedgerError


class PostgresSource:
    """A transaction on a server, which goes on after what cannot be read."""

    batch = 256
    """Each statement is a question to the server."""

    def __init__(self, store: Store, connection: Connection, snapshot: str = "") -> None:
        """`connection`: in a transaction that has read nothing. `snapshot`: what `share` of another said."""
        self._store, self._engine = store, connection
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
                return self._store.objects(self._engine)
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
                raise LedgerError(f"cannot verify {self._store.name}: {told}", advice=_ADVICE) from None
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
def open_server(store: Store, snapshot: str = "") -> Iterator[Source]:
    """What the database holds now, or at a snapshot, for as long as it takes. Raises SourceError and LedgerError."""
    try:
        connection = store.reader().connect()
    except SQLAlchemyError:
        raise LedgerError(f"cannot verify {store.name}: the server does not answer", advice=_ADVICE) from None
    with connection:
        try:
            connection.begin()
            opened = PostgresSource(store, connection, snapshot)
        except SQLAlchemyError as error:
            raise SourceError(str(getattr(error, "orig", None) or error)) from None
        yield opened
