"""A ledger in a PostgreSQL database (or in one schema of it). Any number of processes write, in turns; readers never wait.

A writer's transaction holds an advisory lock until it ends, so what it read of the head is true until it commits; a commit is
on the server's disk before it returns. Rows go in by COPY. Readers have a snapshot (`REPEATABLE READ, READ ONLY`).
"""

from __future__ import annotations

import atexit
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, Table, create_engine, event
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from audit.stores import catalog
from audit.stores.base import Rows, translated
from audit.stores.copying import Copied, copied
from guard.errors import LedgerError

LOCK = 0x67656E67756172
"""The advisory lock that a writer holds: one a database."""
KEY_FOLDER = "GENGUARD_KEY_FOLDER"
"""Environment variable: the folder of what a ledger in a file has beside it."""
CONNECT_S = 10
"""Seconds that a connection may take."""
_IDLE_MS = 60_000
"""After which the server ends a transaction whose client does nothing: a stopped process would hold the lock for ever."""
_ORDINARY = {
    "application_name": "genguard",
    "connect_timeout": CONNECT_S,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
    "client_encoding": "utf8",
}
_CHANNEL = "'genguard_' || md5(current_schema())"
"""Of what is announced: one a ledger, since a database may have several."""
_LISTEN_S = 0.5
_TURN = "SELECT pg_advisory_xact_lock(('x' || left(md5(current_schema() || ' ' || %s), 16))::bit(64)::bigint)"
_HELD_MS = 600_000
"""How long a turn may be held by who does nothing in the database meanwhile."""
_NO_TABLE = "42P01"
_KEPT = (
    "the table of keys was written anew, but PostgreSQL keeps what was deleted in its write-ahead log, in replicas and in "
    "backups until those are recycled"
)
_GONE = ("08", "57P")
"""What the server says when it goes, comes, or was away."""
_POOL: Mapping[str, Any] = {"pool_size": 2, "max_overflow": 30, "pool_pre_ping": True, "pool_recycle": 600}
_readers: dict[tuple[PostgresStore, int, int], Engine] = {}
_opening = threading.Lock()
_MESSAGE = 500
"""Characters of the server's message that are told."""
_RELATIONS = "SELECT relname FROM pg_class WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'p', 'v')"


@dataclass(frozen=True, slots=True)
class PostgresStore:
    """A database on a server."""

    url: URL

    backend = "postgresql"
    overwrites = False
    tells = True
    path = None

    @classmethod
    def of(cls, url: URL) -> PostgresStore:
        """Of a URL. Raises LedgerError for one without a database, and without the driver."""
        if not url.database:
            raise LedgerError(
                "found a ledger URL without a database, expected one such as postgresql://USER@HOST/DATABASE",
                advice="Make the database first: createdb genguard. A password may stand in ~/.pgpass or PGPASSWORD.",
            )
        try:
            import psycopg  # noqa: F401 - only whether it is there
        except ImportError:
            raise LedgerError(
                "found a ledger URL for PostgreSQL, and its driver is not installed",
                advice="Install it: pip install 'genguard[postgres]'.",
            ) from None
        return cls(url.set(drivername="postgresql+psycopg"))

    @property
    def name(self) -> str:
        """User, host and database; never what else stands in the URL."""
        host = self.url.query.get("host")
        shown = URL.create(
            "postgresql",
            self.url.username,
            host=self.url.host,
            port=self.url.port,
            database=self.url.database,
            query={"host": host} if host else {},
        )
        return shown.render_as_string()

    @property
    def triggers(self) -> Mapping[str, Sequence[str]]:
        """See `Store`."""
        return catalog.TRIGGERS

    def exists(self) -> bool:
        """Whether the database has a ledger's tables."""
        with self.clear_errors("look for the ledger"), self.reader().connect() as connection, connection.begin():
            return "entry" in self.tables(connection)

    def need(self) -> None:
        """Nothing: whoever reads finds out, by one connection less."""

    def prepare(self) -> None:
        """Nothing: the server says what is wrong."""

    def writer(self, wait_ms: int) -> Engine:
        """See `Store`. Raises LedgerError, on connecting, for a server whose commits are not durable."""
        options = self._options(lock_timeout=wait_ms)
        engine = self._engine({**_ORDINARY, "options": options}, poolclass=NullPool)

        @event.listens_for(engine, "connect")
        def _(connection: Any, _record: object) -> None:
            _insist_on_durability(connection)
            _compress_quickly(connection)

        @event.listens_for(engine, "begin")
        def _(connection: Connection) -> None:
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({LOCK})")

        return engine

    def reader(self, wait_ms: int = 5000) -> Engine:
        """See `Store`."""
        key = (self, wait_ms, os.getpid())  # no process may use another's connections
        with _opening:
            if key not in _readers:
                options = self._options(lock_timeout=wait_ms, default_transaction_read_only="on")
                arguments = {**_ORDINARY, "options": options}
                _readers[key] = self._engine(arguments, isolation_level="REPEATABLE READ", **_POOL)
            return _readers[key]

    def _options(self, **settings: object) -> str:
        """Settings of the session, besides those that the URL asks for."""
        given = self.url.query.get("options", "")
        ours = {"idle_in_transaction_session_timeout": _IDLE_MS, **settings}
        asked = [given] if isinstance(given, str) else list(given)
        return " ".join([*asked, *(f"-c {name}={value}" for name, value in ours.items())]).strip()

    def _engine(self, arguments: Mapping[str, object], **more: Any) -> Engine:
        url = self.url.difference_update_query(["options"])
        engine = create_engine(
            url,
            hide_parameters=True,
            connect_args={name: value for name, value in arguments.items() if name not in url.query},
            execution_options={"genguard_store": self},
            **more,
        )

        @event.listens_for(engine, "connect", insert=True)
        def _(connection: Any, _record: object) -> None:
            connection.prepare_threshold = 2
            encoding = connection.info.parameter_status("server_encoding")
            if encoding != "UTF8":
                raise LedgerError(
                    f"{self.name} has the encoding {encoding}, expected UTF8",
                    advice="Make the database with: createdb --encoding=UTF8 --template=template0 NAME.",
                )

        return engine

    @contextmanager
    def clear_errors(self, doing: str) -> Iterator[None]:
        """See `Store`."""
        try:
            yield
        except DBAPIError as error:
            if _state(error.orig) == _NO_TABLE:
                raise LedgerError(f"there is no ledger in {self.name}", advice=_advice(error.orig)) from None
            raise LedgerError(f"cannot {doing} {self.name}: {_told(error.orig)}", advice=_advice(error.orig)) from None
        except SQLAlchemyError as error:
            raise LedgerError(f"cannot {doing} {self.name}: {type(error).__name__}") from None
        except OSError as error:
            raise LedgerError(f"cannot {doing} {self.name}: {error.strerror or type(error).__name__}") from None
        except Exception as error:
            if not _is_drivers(error):
                raise
            raise LedgerError(f"cannot {doing} {self.name}: {_told(error)}", advice=_advice(error)) from None

    def lost(self, error: BaseException) -> bool:
        """See `Store`."""
        if isinstance(error, DBAPIError):
            without = getattr(error.orig, "sqlstate", None) is None and isinstance(error, OperationalError | InterfaceError)
            return error.connection_invalidated or without or _state(error.orig).startswith(_GONE)
        return _is_drivers(error) and (not _state(error) or _state(error).startswith(_GONE))

    def objects(self, connection: Connection) -> dict[str, str]:
        """See `Store`."""
        return catalog.objects(connection)

    def expected(self) -> dict[str, str]:
        """See `Store`."""
        return catalog.expected()

    def tables(self, connection: Connection) -> set[str]:
        """See `Store`."""
        return set(connection.exec_driver_sql(_RELATIONS).scalars())

    def drop_triggers(self, connection: Connection, names: Sequence[str]) -> None:
        """Only disables them: that lets readers go on."""
        for name in names:
            connection.exec_driver_sql(f"ALTER TABLE {name.split('_no_')[0]} DISABLE TRIGGER {name}")

    def make_triggers(self, connection: Connection, names: Sequence[str]) -> None:
        """See `Store`; those that `drop_triggers` disabled are enabled."""
        there = self.objects(connection)
        for name in names:
            if f"trigger {name}" in there:
                connection.exec_driver_sql(f"ALTER TABLE {name.split('_no_')[0]} ENABLE TRIGGER {name}")
                continue
            for statement in self.triggers[name]:
                connection.exec_driver_sql(statement)

    def run(self, connection: Connection, statement: str, values: Sequence[Any] = ()) -> Any:
        """See `Store`."""
        import psycopg

        driver: Any = connection.connection.driver_connection
        try:
            return driver.execute(statement.replace("?", "%s"), values)
        except psycopg.Error as error:
            raise translated(connection, statement, error, psycopg.Error, driver.closed) from error

    def packed(self, table: Table, rows: Rows) -> Copied | None:
        """See `Store`: as COPY reads them. Raises UnicodeEncodeError for a text that is none."""
        return copied(_kinds(table), rows) if rows else None

    def insert(self, connection: Connection, table: Table, packed: Copied | None, start: int | None = None) -> None:
        """See `Store`: by COPY. Raises what SQLAlchemy makes of the driver's errors."""
        import psycopg

        if packed is None:
            return
        statement = _copy(table)
        driver: Any = connection.connection.driver_connection
        try:
            with driver.cursor() as cursor, cursor.copy(statement) as copy:
                for message in packed.messages(start or 0):
                    copy.write(message)
        except psycopg.Error as error:
            raise translated(connection, statement, error, psycopg.Error, driver.closed) from error

    def announce(self, connection: Connection) -> None:
        """See `Store`."""
        connection.exec_driver_sql(f"SELECT pg_notify({_CHANNEL}, '')")

    def told(self, leaving: Callable[[], bool], begun: Callable[[], None]) -> Iterator[None]:
        """See `Store`."""
        engine = self._engine({**_ORDINARY, "options": self._options()}, poolclass=NullPool)
        held = engine.raw_connection()
        try:
            driver: Any = held.driver_connection
            driver.autocommit = True
            driver.execute(f"LISTEN {driver.execute(f'SELECT {_CHANNEL}').fetchone()[0]}")
            begun()
            yield
            while not leaving():
                for _ in driver.notifies(timeout=_LISTEN_S, stop_after=1):
                    yield
        finally:
            held.invalidate()

    @contextmanager
    def turn(self, what: str, wait_s: float) -> Iterator[None]:
        """Hold the lock of that name in this ledger, of which there may be many: others who ask for it wait.

        It is lost after ten minutes, or with the connection: who does what only one may looks once more under the write lock.
        Raises LedgerError when somebody else has held it for `wait_s` seconds.
        """
        with ExitStack() as held:
            with self.clear_errors(f"wait for the turn of {what} at"):
                connection = held.enter_context(self.reader().connect())
                connection.exec_driver_sql(f"SET LOCAL lock_timeout = {int(wait_s * 1000)}")
                connection.exec_driver_sql(f"SET LOCAL idle_in_transaction_session_timeout = {_HELD_MS}")
                connection.exec_driver_sql(_TURN, (what,))
            try:
                yield
            finally:
                with suppress(SQLAlchemyError):
                    connection.rollback()

    def mark(self) -> object:
        """Nothing: a connection stays with its database; a new one looks at the ledger's id."""
        return None

    def replaced(self, mark: object, *, log: bool = False) -> bool:
        """Never."""
        del mark, log
        return False

    def log(self) -> object:
        """See `Store`."""
        return None

    def settle(self) -> None:
        """Nothing to do: the server does."""

    def synced(self) -> None:
        """Nothing to do."""

    def beside(self, suffix: str) -> Path | None:
        """In the folder that KEY_FOLDER names; without it there is no place, since several machines write."""
        folder = os.environ.get(KEY_FOLDER)
        return Path(folder).absolute() / f"{self.url.database}{suffix}" if folder else None

    def scrub(self, secrets: Sequence[bytes] | None, wait_s: float) -> str:
        """Writes the table of keys anew, and says what PostgreSQL keeps all the same: nothing can be overwritten at once."""
        del secrets
        engine = self.writer(int(wait_s * 1000))
        with self.clear_errors("overwrite deleted parts of"):
            held = engine.raw_connection()
            try:
                driver: Any = held.driver_connection
                driver.autocommit = True
                driver.execute("VACUUM (FULL) subject_key")
            finally:
                held.invalidate()
        return _KEPT


@cache
def _kinds(table: Table) -> tuple[str, ...]:
    return tuple(catalog.type_name(column) for column in table.columns)


@cache
def _copy(table: Table) -> str:
    return f"COPY {table.name} ({', '.join(column.name for column in table.columns)}) FROM STDIN (FORMAT BINARY)"


def _insist_on_durability(connection: Any) -> None:
    """A commit that returned must be on disk. Raises LedgerError where the server does not see to that."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('fsync'), current_setting('synchronous_commit')")
        fsync, commit = cursor.fetchone()
        if fsync != "on":
            raise LedgerError(
                f"found a PostgreSQL server with fsync={fsync}, expected on: what it confirms may be lost",
                advice="Set fsync = on in postgresql.conf and restart the server.",
            )
        if commit == "off":
            cursor.execute("SET synchronous_commit = on")
    connection.commit()


def _compress_quickly(connection: Any) -> None:
    """Bodies by LZ4 where the server has it: as small as by its own method, which takes a quarter of its time for an entry."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT set_config(name, 'lz4', false) FROM pg_settings "
            "WHERE name = 'default_toast_compression' AND 'lz4' = ANY (enumvals)"
        )
    connection.commit()


def _state(error: BaseException | None) -> str:
    return getattr(error, "sqlstate", None) or ""


def _is_drivers(error: BaseException) -> bool:
    return type(error).__module__.partition(".")[0] == "psycopg"


def _told(error: BaseException | None) -> str:
    """The first line of what the server or the driver says: details quote rows."""
    diag = getattr(error, "diag", None)
    found = getattr(diag, "message_primary", None) or str(error)
    return found.strip().splitlines()[0][:_MESSAGE] if found.strip() else type(error).__name__


def _advice(error: BaseException | None) -> str:
    state = _state(error)
    for sign, advice in _STATES.items():
        if state.startswith(sign):
            return advice
    return "" if state else _NO_CONNECTION


@atexit.register
def _close_readers() -> None:
    for (_, _, process), engine in _readers.items():
        if process == os.getpid():
            engine.dispose()


_NO_CONNECTION = "Check that the server runs and can be reached; writing goes on by itself, and nothing acknowledged is lost."
_STATES = {
    "08": _NO_CONNECTION,
    "28": "Check the user and the password: in the URL, in PGPASSWORD or in ~/.pgpass.",
    "3D": "Make the database first: createdb NAME.",
    "25006": "This server is a replica that takes no writes: name the primary.",
    "3F": "The schema is not there: make it, or name another in search_path.",
    "42501": "The user needs the right to create and change tables in this database.",
    "42P01": "The database holds no ledger: name another with --ledger.",
    "53100": "Free some space on the server; nothing that was acknowledged is lost, and writing goes on by itself.",
    "53300": "The server has no connection left: raise max_connections, or run fewer processes.",
    "53": "The server lacks memory or space; nothing that was acknowledged is lost.",
    "55P03": "Another process has held the ledger for too long.",
    "57014": "The server's statement_timeout is too short for this, or someone cancelled it.",
    "57P": _NO_CONNECTION,
    "58": "Check the server's disk; nothing that was acknowledged is lost.",
    "XX001": "The database is damaged: run `genguard audit verify`, and restore a backup.",
    "XX002": "The database is damaged: run `genguard audit verify`, and restore a backup.",
}
