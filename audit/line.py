"""The writer's one connection: made when it is needed, given up after a failure, and not asked for too often while it fails."""

from __future__ import annotations

import time

from sqlalchemy import Connection, Engine

from audit.stores import Store
from guard.errors import LedgerError

_FIRST_S, _LONGEST_S = 0.1, 2.0
"""Pauses between attempts to connect, each twice the one before."""


class Line:
    """Used by the writer's thread alone."""

    def __init__(self, engine: Engine, store: Store) -> None:
        """Connects to nothing yet."""
        self._engine, self._store = engine, store
        self._connection: Connection | None = None
        self.fresh = True
        """Whether nobody has looked yet whose ledger is behind the connection."""
        self._pause = _FIRST_S
        self._failure: LedgerError | None = None
        self._not_before = 0.0
        self._log: object = None
        """Of the connection."""
        self._astray = False
        """Whether that log is no longer the database's."""

    def connection(self) -> Connection:
        """The connection. Raises LedgerError when there is none, at once while the latest attempt is less than a pause ago."""
        if self._connection is None:
            if self._failure is not None and time.monotonic() < self._not_before:
                raise LedgerError(str(self._failure), advice=self._failure.advice)
            try:
                with self._store.clear_errors("connect to the ledger"):
                    self._connection = self._engine.connect()
            except LedgerError as error:
                self._failure, self._not_before = error, time.monotonic() + self._pause
                self._pause = min(2 * self._pause, _LONGEST_S)
                raise
            self._failure, self._pause, self.fresh = None, _FIRST_S, True
        return self._connection

    def patiently(self, seconds: float) -> Connection:
        """The connection, tried for again and again. Raises LedgerError after `seconds`."""
        until = time.monotonic() + seconds
        while True:
            try:
                return self.connection()
            except LedgerError:
                if time.monotonic() >= until:
                    raise
                time.sleep(_FIRST_S)

    def drop(self) -> None:
        """Give the connection up, whatever state it is in. Raises LedgerError when even that fails.

        One whose log is not the database's any more stays as it is: to close it would write that log into the database, over
        what others have committed since.
        """
        if self._astray:
            return
        connection, self._connection, self._log = self._connection, None, None
        if connection is not None:
            with self._store.clear_errors("close the ledger"):
                connection.close()

    @property
    def log(self) -> object:
        """The write-ahead log that the connection writes to; None while that is not known."""
        return self._log

    def check_log(self) -> None:
        """In a transaction or right after it: raise LedgerError when it is not the database's own log that is written to."""
        found = self._store.log()
        self._log = self._log or found
        if found != self._log:
            self._astray = True
            raise LedgerError(
                f"the write-ahead log of {self._store.name} was replaced while the ledger was open: nothing more is written",
                advice="Something in this process opened and closed the database's file, which cancels SQLite's locks on it; "
                "then another process took it for unused. Restart this process; what was acknowledged is there.",
            )
