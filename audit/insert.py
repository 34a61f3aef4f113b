"""Many rows in one statement.

SQLite copies each page that a statement changes before it does, so that a statement that fails can be undone alone. A statement
a row copies the same pages for every row, where the table has a trigger or more than one index: adding entries took three times
as long. And each statement takes Python's lock anew, for which it waits while other threads compute.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from itertools import chain
from typing import Any

from sqlalchemy import Connection, Table

_VALUES = 8192
"""Values of one statement; SQLite takes 32,766."""


def insert_rows(connection: Connection, table: Table, rows: Sequence[Sequence[Any]]) -> None:
    """Add rows, each with the values of the table's columns in their order. Raises what SQLAlchemy raises."""
    names = tuple(column.name for column in table.columns)
    most = 1 << ((_VALUES // len(names)).bit_length() - 1)
    start = 0
    while left := len(rows) - start:
        count = min(most, 1 << (left.bit_length() - 1))  # powers of two: few statements, each prepared once
        given = tuple(chain.from_iterable(rows[start : start + count]))
        connection.exec_driver_sql(_statement(table.name, names, count), given)
        start += count


@cache
def _statement(table: str, names: tuple[str, ...], count: int) -> str:
    row = f"({','.join('?' * len(names))})"
    quoted = ",".join(f'"{name}"' for name in names)
    return f'INSERT INTO "{table}" ({quoted}) VALUES {",".join([row] * count)}'  # noqa: S608 - names of our own tables
