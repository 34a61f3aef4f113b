"""Whether a file has the tables, indexes and triggers that a ledger's has, and is whole: SQLite's own check."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator

from sqlalchemy import create_engine

from audit.database import raw
from audit.models import LATER, LATER_INDEXES, SCHEMA_VERSION, TRIGGERS, metadata
from audit.verifier.report import Problems
from audit.verifier.source import SqliteSource

_MAX_INTEGRITY = 20
_OBJECTS = "SELECT type, name, tbl_name, sql FROM sqlite_master"


def compare_schema(source: SqliteSource, problem: Problems) -> None:
    """Tables, indexes and triggers, by their very statements."""
    found = _objects(source.rows(_OBJECTS))
    expected = _expected_objects([name for name in LATER if f"table {name}" not in found])
    for name in LATER_INDEXES:
        if f"index {name}" not in found:
            expected.pop(f"index {name}", None)
    for name in sorted(found.keys() | expected.keys()):
        if found.get(name) != expected.get(name):
            kind = "changed" if name in found and name in expected else "added" if name in found else "missing"
            problem(None, "schema", f"{name} {kind}", "the tables, indexes and triggers of schema version 1")


def broken(source: SqliteSource) -> Iterator[str]:
    """What SQLite finds wrong: indexes against tables, pages, the list of free ones."""
    for (line,) in source.rows(f"PRAGMA integrity_check({_MAX_INTEGRITY})"):
        if line != "ok":
            yield line


def _objects(rows: Iterable[tuple[str, str, str, str | None]], without: Collection[str] = ()) -> dict[str, str]:
    """Everything but what belongs to some tables."""
    return {f"{kind} {name}": _plain_sql(sql or "") for kind, name, table, sql in rows if table not in without}


def _plain_sql(statement: str) -> str:
    """Without what may differ between versions of the library that writes it: spaces and quotation marks around names."""
    return re.sub(r"\s*([(),])\s*", r"\1", " ".join(statement.replace('"', "").split()))


def _expected_objects(without: Collection[str]) -> dict[str, str]:
    """What a new ledger of this version has, but for tables that one of before may lack."""
    engine = create_engine("sqlite://")
    with engine.begin() as connection:
        metadata.create_all(connection)
        for trigger in TRIGGERS:
            connection.exec_driver_sql(trigger)
        found = _objects(raw(connection).execute(_OBJECTS), without)
    engine.dispose()
    return found


assert SCHEMA_VERSION == 1, "the verifier knows schema version 1"
