"""What a store of a ledger does, whichever database it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

from sqlalchemy import Connection, Engine, Table
from sqlalchemy.exc import DBAPIError

Rows = Sequence[Sequence[Any]]
"""Each with the values of a table's columns, in their order."""


def translated(
    connection: Connection, statement: str, error: Exception, base: type[Exception], gone: bool = False
) -> DBAPIError:
    """What SQLAlchemy would make of a driver's error. `base`: of all errors of the driver; `gone`: is the connection lost?"""
    found = DBAPIError.instance(
        statement, (), error, base, hide_parameters=True, connection_invalidated=gone, dialect=connection.dialect
    )
    assert isinstance(found, DBAPIError)
    return found


class Store(Protocol):
    """A database that holds, or is to hold, one ledger."""

    @property
    def backend(self) -> str:
        """`sqlite` or `postgresql`."""

    @property
    def overwrites(self) -> bool:
        """Whether `scrub` can overwrite all that was deleted; otherwise it says what stays."""

    @property
    def name(self) -> str:
        """What it is called in messages: a path, or a URL without its password."""

    @property
    def path(self) -> Path | None:
        """The file; None for a server."""

    @property
    def triggers(self) -> Mapping[str, Sequence[str]]:
        """The statements that make each trigger of a new ledger, by its name."""

    def exists(self) -> bool:
        """Whether there is a ledger. Raises LedgerError when a server cannot be asked."""

    def need(self) -> None:
        """Raise LedgerError unless there is one."""

    def prepare(self) -> None:
        """Raise LedgerError where a ledger could not begin."""

    def writer(self, wait_ms: int) -> Engine:
        """An engine whose every transaction holds the write lock and whose every commit is on disk.

        `wait_ms`: how long a transaction may wait for the lock.
        """

    def reader(self, wait_ms: int = 5000) -> Engine:
        """An engine that cannot write. A transaction sees one state of the ledger throughout."""

    def clear_errors(self, doing: str) -> AbstractContextManager[None]:
        """Turn errors of the database and the file system into LedgerError: "cannot `doing` `name`: ...".

        Parameters of a statement never get into it.
        """

    def lost(self, error: BaseException) -> bool:
        """Whether an error means that the connection is gone, while the database may well be there for a new one."""

    def objects(self, connection: Connection) -> dict[str, str]:
        """What there is in the ledger's place: "table entry", "index ix_entry_kind", "trigger ..." and how it is defined."""

    def expected(self) -> dict[str, str]:
        """What `objects` gives of a new ledger."""

    def tables(self, connection: Connection) -> set[str]:
        """Names of all tables in the ledger's place, also of those that are not the ledger's."""

    def drop_triggers(self, connection: Connection, names: Sequence[str]) -> None:
        """Inside a transaction that `make_triggers` ends: let rows be changed."""

    def make_triggers(self, connection: Connection, names: Sequence[str]) -> None:
        """Make triggers, each of `triggers`."""

    def run(self, connection: Connection, statement: str, values: Sequence[Any] = ()) -> Any:
        """Run a statement that both databases understand, with `?` for each value; returns the driver's cursor.

        For the few that every commit needs: SQLAlchemy takes longer over one than the database. Raises what it would raise.
        """

    def packed(self, table: Table, rows: Rows) -> Any:
        """Rows, of which there may be none, as `insert` takes them: made before the write lock is taken."""

    def insert(self, connection: Connection, table: Table, packed: Any, start: int | None = None) -> None:
        """Add rows the fastest way. `start`: is added to the first value of each; it was not known when they were packed."""

    @property
    def tells(self) -> bool:
        """Whether it tells others what is announced."""

    def announce(self, connection: Connection) -> None:
        """Inside a transaction: have those who listen told, once it is committed, that something they follow has changed."""

    def told(self, leaving: Callable[[], bool], begun: Callable[[], None]) -> Iterator[None]:
        """Each time that something was announced, and once when it is listened for: `begun` is called then.

        Ends soon after `leaving` says so. Raises errors of the database, which `clear_errors` turns into LedgerError.
        """

    def mark(self) -> object:
        """What tells this file from another that takes its place; hand it to `replaced`. Does no more I/O than that takes."""

    def replaced(self, mark: object, *, log: bool = False) -> bool:
        """Whether the open database is no longer the one of that name: writing would go into the void.

        `log`: right after a commit, when its log has to be there too.
        """

    def log(self) -> object:
        """What tells the write-ahead log of that name from another; None where there is none to be looked at."""

    def settle(self) -> None:
        """Bring what the write-ahead log holds into the database, as far as that holds nobody up. Raises LedgerError."""

    def synced(self) -> None:
        """Make the names of new files durable. Raises OSError."""

    def beside(self, suffix: str) -> Path | None:
        """The file of that suffix beside the database; None where there is no such place."""

    def scrub(self, secrets: Sequence[bytes] | None, wait_s: float) -> str:
        """Overwrite what was deleted; see `audit.scrub.scrub`."""
