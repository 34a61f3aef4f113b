"""What of a ledger is in a PostgreSQL database, and what should be: tables, indexes, triggers and the function behind them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Any

from sqlalchemy import CheckConstraint, Column, Connection, Index, Table
from sqlalchemy.dialects import postgresql

from audit.models import FORBIDDEN, metadata

_REFUSE = "genguard_refuse"
_SOURCE = (
    "BEGIN RAISE EXCEPTION USING ERRCODE = 'restrict_violation', "
    "MESSAGE = TG_TABLE_NAME || ' rows cannot be changed: ' || lower(TG_OP) || ' refused'; END"
)
_FUNCTION = f"CREATE OR REPLACE FUNCTION {_REFUSE}() RETURNS trigger LANGUAGE plpgsql AS $${_SOURCE}$$"
_DELETED = tuple(table for table, verb in FORBIDDEN if verb == "DELETE")


def _trigger(table: str, verb: str) -> tuple[str, str]:
    """Name and definition, as the server would write it."""
    name, each = f"{table}_no_{verb.lower()}", "STATEMENT" if verb == "TRUNCATE" else "ROW"
    return name, f"CREATE TRIGGER {name} BEFORE {verb} ON {table} FOR EACH {each} EXECUTE FUNCTION {_REFUSE}()"


_DEFINITIONS = dict(_trigger(*one) for one in (*FORBIDDEN, *((table, "TRUNCATE") for table in _DELETED)))
TRIGGERS = {name: (_FUNCTION, statement) for name, statement in _DEFINITIONS.items()}
"""The statements that make each trigger."""

_TABLES = """
SELECT r.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, c.collname, r.relrowsecurity, r.relkind
FROM pg_class r JOIN pg_attribute a ON a.attrelid = r.oid AND a.attnum > 0 AND NOT a.attisdropped
LEFT JOIN pg_collation c ON c.oid = a.attcollation
WHERE r.relnamespace = current_schema()::regnamespace AND r.relkind IN ('r', 'p', 'v', 'm', 'f')
ORDER BY r.relname, a.attnum
"""
_CONSTRAINTS = """
SELECT r.relname, pg_get_constraintdef(c.oid) FROM pg_constraint c JOIN pg_class r ON r.oid = c.conrelid
WHERE r.relnamespace = current_schema()::regnamespace AND c.contype IN ('p', 'c', 'u', 'f', 'x')
"""
_INDEXES = """
SELECT i.relname, pg_get_indexdef(x.indexrelid), x.indisvalid, current_schema()
FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid
WHERE i.relnamespace = current_schema()::regnamespace AND NOT x.indisprimary ORDER BY 1
"""
_TRIGGERS = """
SELECT t.tgname, pg_get_triggerdef(t.oid, true), t.tgenabled FROM pg_trigger t JOIN pg_class r ON r.oid = t.tgrelid
WHERE r.relnamespace = current_schema()::regnamespace AND NOT t.tgisinternal ORDER BY 1
"""
_FUNCTIONS = "SELECT proname, prosrc FROM pg_proc WHERE pronamespace = current_schema()::regnamespace ORDER BY 1"
_RULES = "SELECT rulename, definition FROM pg_rules WHERE schemaname = current_schema() ORDER BY 1"
_LITERAL = re.compile(r"('[^']*')")


def objects(connection: Connection) -> dict[str, str]:
    """What is in the current schema, each with its definition in the server's own words."""
    columns: dict[str, list[str]] = {}
    for table, column, kind, needed, collation, secured, relation in connection.exec_driver_sql(_TABLES):
        parts = columns.setdefault(table, [f"kind {relation}"] if relation != "r" else [])
        parts += ["row security"] if secured and "row security" not in parts else []
        parts.append(_column(column, kind, needed, collation))
    for table, definition in sorted(map(tuple, connection.exec_driver_sql(_CONSTRAINTS))):
        columns[table].append(definition)
    found = {f"table {table}": ", ".join(parts) for table, parts in columns.items()}
    for name, definition, valid, schema in connection.exec_driver_sql(_INDEXES):
        found[f"index {name}"] = definition.replace(f" ON {schema}.", " ON ").replace('"', "") + ("" if valid else " INVALID")
    for name, definition, enabled in connection.exec_driver_sql(_TRIGGERS):
        found[f"trigger {name}"] = definition + ("" if enabled in {"O", b"O"} else " DISABLED")
    found |= {f"function {name}": source for name, source in connection.exec_driver_sql(_FUNCTIONS)}
    found |= {f"rule {name}": definition for name, definition in connection.exec_driver_sql(_RULES)}
    return found


@cache
def _expected() -> tuple[tuple[str, str], ...]:
    return tuple(_all_expected())


def expected() -> dict[str, str]:
    """What `objects` gives of a new ledger."""
    return dict(_expected())


def _all_expected() -> Iterator[tuple[str, str]]:
    for table in metadata.tables.values():
        parts = [_column(one.name, type_name(one), not one.nullable, _collation(one)) for one in table.columns]
        yield f"table {table.name}", ", ".join([*parts, *sorted(_constraints(table))])
        for index in table.indexes:
            yield f"index {index.name}", _index(index, table)
    for name, statement in _DEFINITIONS.items():
        yield f"trigger {name}", statement
    yield f"function {_REFUSE}", _SOURCE


def _column(name: str, kind: str, needed: bool, collation: str | None) -> str:
    return f"{name} {kind}{f' COLLATE {collation}' if collation else ''}{' NOT NULL' if needed else ''}"


def _constraints(table: Table) -> Iterator[str]:
    yield f"PRIMARY KEY ({', '.join(one.name for one in table.primary_key)})"
    for one in table.constraints:
        if isinstance(one, CheckConstraint):
            yield f"CHECK (({one.sqltext}))"


def _index(index: Index, table: Table) -> str:
    unique = "UNIQUE " if index.unique else ""
    columns = ", ".join([one.name if isinstance(one, Column) else f"({one})" for one in index.expressions])
    where = index.dialect_options["postgresql"]["where"]
    typed = "" if where is None else _LITERAL.sub(r"\1::text", str(where))
    held = f" WHERE ({typed})" if typed else ""
    return f"CREATE {unique}INDEX {index.name} ON {table.name} USING btree ({columns}){held}"


def type_name(column: Column[Any]) -> str:
    """The type of a column, as the server calls it: `text`, `bytea`, `bigint`, `integer`."""
    return _compiled(column).partition(" COLLATE ")[0].lower()


def _collation(column: Column[Any]) -> str:
    """That of the column; empty for what is no text."""
    return _compiled(column).partition(" COLLATE ")[2].strip('"')


def _compiled(column: Column[Any]) -> str:
    return str(column.type.compile(postgresql.dialect()))  # type: ignore[no-untyped-call]
