"""Brings a ledger's tables to the form of now, once, whichever process is first: the writer does it when it opens a ledger.

What the log says stays as it is; `SCHEMA_VERSION`, which entry 0 states, is another number: that of a form that could not be
changed into another.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, insert, select

from audit.models import SCHEMA, metadata
from audit.stores import Store, open_store, store_of
from guard.errors import LedgerError

REVISIONS = ("0001", "0002", "0003", "0004", "0005", "0006", "0007", "0008", "0009", "0010")
"""Those that this version knows, oldest first; `migrations/versions` holds each."""
LATEST = REVISIONS[-1]
_PLACE = Path(__file__).parent / "migrations"


@dataclass(frozen=True, slots=True)
class Schema:
    """Which form a ledger's tables have."""

    current: str
    """Revision; the first for a ledger of before revisions were noted."""
    pending: tuple[str, ...]


def schema_of(connection: Connection) -> Schema:
    """Raises LedgerError for a form that this version does not know: a newer one made it."""
    store = store_of(connection)
    current: str | None = REVISIONS[0]
    if SCHEMA.name in store.tables(connection):
        current = connection.execute(select(SCHEMA.c.version_num)).scalar_one_or_none()
    if current not in REVISIONS:
        raise LedgerError(
            f"{store.name} has tables of revision {current or '(none)'}, expected {LATEST} or older",
            advice="A newer version of genguard made them: use that one.",
        )
    return Schema(current, REVISIONS[REVISIONS.index(current) + 1 :])


def stamp(connection: Connection) -> None:
    """Note that all tables are those of now, in a ledger that begins."""
    connection.execute(insert(SCHEMA), {"version_num": LATEST})


def upgrade(connection: Connection) -> Schema:
    """Bring the tables to the form of now, inside the writer's transaction; return what was. Raises LedgerError."""
    found = schema_of(connection)
    if found.pending or SCHEMA.name not in store_of(connection).tables(connection):
        metadata.create_all(connection, [SCHEMA])
        _run(connection, found.current)
    return found


def statements(connection: Connection) -> str:
    """The SQL that `upgrade` would run; empty for a ledger that is up to date."""
    found = schema_of(connection)
    if not found.pending:
        return ""
    output = StringIO()
    _run(connection, found.current, output)
    return output.getvalue()


def check(url: str) -> tuple[Schema, str]:
    """Which form a ledger's tables have, and the SQL that is due. Changes nothing. Raises LedgerError."""
    store = open_store(url)
    store.need()
    with store.clear_errors("read the ledger"), store.reader().connect() as connection, connection.begin():
        if "entry" not in store.tables(connection):
            raise LedgerError(f"there is no ledger in {store.name}", advice="Name it with --ledger.")
        return schema_of(connection), statements(connection)


def migrate(url: str, *, wait_ms: int = 60_000) -> Schema:
    """Bring a ledger's tables to the form of now; return what was. `wait_ms`: for other writers. Raises LedgerError."""
    store = open_store(url)
    store.need()
    with store.clear_errors("migrate"), store.writer(wait_ms).connect() as connection, connection.begin():
        if "entry" not in store.tables(connection):
            raise LedgerError(f"there is no ledger in {store.name}", advice="Name it with --ledger.")
        return upgrade(connection)


def _run(connection: Connection, current: str, output: StringIO | None = None) -> None:
    from alembic.config import Config
    from alembic.runtime.environment import EnvironmentContext
    from alembic.script import ScriptDirectory

    store = store_of(connection)
    config = Config()
    config.set_main_option("script_location", str(_PLACE).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes |= {"there": store.objects(connection), "triggers": lambda *names: list(_triggers(store, names))}
    scripts = ScriptDirectory.from_config(config)

    def steps(_revision: object, _context: object) -> Any:
        return scripts._upgrade_revs(LATEST, current)  # noqa: SLF001 - what alembic.command.upgrade does

    with EnvironmentContext(config, scripts, fn=steps, destination_rev=LATEST, as_sql=output is not None) as environment:
        more: dict[str, Any] = {"connection": connection}
        if output is not None:
            more = {"dialect_name": connection.dialect.name, "output_buffer": output, "literal_binds": True}
            more["starting_rev"] = current
        environment.configure(version_table=SCHEMA.name, **more)
        environment.run_migrations()


def _triggers(store: Store, tables: tuple[str, ...]) -> Iterator[str]:
    """The statements that make the triggers of these tables."""
    for name, made in store.triggers.items():
        if name.split("_no_")[0] in tables:
            yield from made
