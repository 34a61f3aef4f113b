"""Many rows in one statement.

SQLite copies each page that a statement changes before it does, so that a statement that fails can be undone alone. A statement
a row copies the same pages for every row, where the table has a trigger or more than one index: adding entries took three times
as long. And each statement takes Python's lock anew, for which it waits while other threads compute.

Statements have 1, 2, 3, 4, 6, 8, 12, 16 … rows, so that there are few different ones: to understand one that it has not seen
takes SQLite about as long as to run it.

`OR FAIL` says that nothing is to be undone alone: where no trigger can abort the statement, no page is copied. Whoever
catches an error then has to give up the transaction, as the writer does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import chain
from typing import Any

from sqlalchemy import Table

_VALUES = 8192
"""Values of one statement; SQLite takes 32,766."""


def flat(rows: Sequence[Sequence[Any]]) -> list[Any]:
    """The values of all rows, end to end."""
    return list(chain.from_iterable(rows))


def insert_rows(run: Callable[[str, list[Any]], object], table: Table, values: list[Any]) -> None:
    """Add rows: the values of the table's columns in their order, row after row. `run` runs a statement.

    After one that failed, rows before the one at fault are there until the transaction is given up.
    """
    names = tuple(column.name for column in table.columns)
    width, start = len(names), 0
    while left := (len(values) - start) // width:
        count = _usual(min(left, _VALUES // width))
        run(_statement(table.name, names, count), values[start : start + count * width])
        start += count * width


def _usual(count: int) -> int:
    """The largest number that is not larger and has two binary digits, then zeros."""
    zeros = max(0, count.bit_length() - 2)
    return count >> zeros << zeros


@lru_cache(512)
def _statement(table: str, names: tuple[str, ...], count: int) -> str:
    row = f"({','.join('?' * len(names))})"
    quoted = ",".join(f'"{name}"' for name in names)
    return f'INSERT OR FAIL INTO "{table}" ({quoted}) VALUES {",".join([row] * count)}'  # noqa: S608 - names of our own tables
