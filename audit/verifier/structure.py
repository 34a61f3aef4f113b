"""Whether a database has the tables, indexes and triggers that a ledger's has."""

from __future__ import annotations

import re

from audit.migrate import REVISIONS
from audit.models import FORMER_INDEXES, LATER, LATER_INDEXES, SCHEMA, SCHEMA_VERSION, metadata
from audit.verifier.report import Problems
from audit.verifier.source import Source


def compare_schema(source: Source, expected: dict[str, str], problem: Problems) -> set[str]:
    """Tables, indexes and triggers, by their very definitions. Returns the names of the tables that are there.

    `expected`: what `Store.expected` says.
    """
    found = _plain(source.objects())
    expected = _plain(expected)
    if _of_before(source, problem, stated=f"table {SCHEMA.name}" in found):
        for name in LATER:
            if f"table {name}" not in found:
                _leave_out(name, expected)
        for name in LATER_INDEXES:
            if f"index {name}" not in found:
                expected.pop(f"index {name}", None)
        for name, (later, table, columns) in FORMER_INDEXES.items():
            if f"index {later}" not in found:
                using = " USING btree" if " USING btree" in expected["index ix_payload_key"] else ""
                expected[f"index {name}"] = f"CREATE INDEX {name} ON {table}{using}({','.join(columns)})"
    for name in sorted(found.keys() | expected.keys()):
        if found.get(name) != expected.get(name):
            kind = "changed" if name in found and name in expected else "added" if name in found else "missing"
            problem(None, "schema", f"{name} {kind}", "the tables, indexes and triggers of schema version 1")
    return {name.removeprefix("table ") for name in found if name.startswith("table ")}


def _of_before(source: Source, problem: Problems, *, stated: bool) -> bool:
    """Whether the tables may be those of an older version, as the row that says which revision they are of allows."""
    if not stated:
        return True
    rows = source.rows("SELECT version_num FROM schema_version")
    if len(rows) != 1 or rows[0][0] not in REVISIONS:
        problem(None, "schema", f"table schema_version with {rows[:2]}", f"one row with one of {', '.join(REVISIONS)}")
        return True
    if rows[0][0] == REVISIONS[-1]:
        return False
    found = source.objects()
    later = (*(f"index {name}" for name in LATER_INDEXES), *(f"table {name}" for name in LATER))
    if all(name in found for name in later):
        problem(None, "schema", f"revision {rows[0][0]}", f"{REVISIONS[-1]}, for nothing of it is missing")
    return True


def _leave_out(table: str, expected: dict[str, str]) -> None:
    """What belongs to a table that a ledger of before may lack."""
    owned = {f"table {table}", *[f"index {index.name}" for index in metadata.tables[table].indexes]}
    for name in list(expected):
        if name in owned or name.startswith(f"trigger {table}_no_"):
            del expected[name]


def _plain(objects: dict[str, str]) -> dict[str, str]:
    """Without what may differ between versions of the library that writes it: spaces and quotation marks around names."""
    return {
        name: re.sub(" ?([(),]) ?", r"\1", " ".join(statement.replace('"', "").split())) for name, statement in objects.items()
    }


assert SCHEMA_VERSION == 1, "the verifier knows schema version 1"
