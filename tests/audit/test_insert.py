"""Many rows in one statement."""

from __future__ import annotations

from functools import partial

import pytest
from sqlalchemy import Column, Integer, LargeBinary, MetaData, Table, Text, create_engine, insert, select
from sqlalchemy.exc import IntegrityError

from audit.insert import flat, insert_rows
from audit.scrub import scrub
from audit.stores.sqlite import SqliteStore, raw

FILE, MEMORY = 1, 2
"""As SQLite says where temporary tables are."""

TABLE = Table(
    "thing",
    MetaData(),
    Column("idx", Integer, primary_key=True, autoincrement=False),
    Column("value", Text),
    Column("data", LargeBinary),
)


def run(connection, statement, values):
    return connection.exec_driver_sql(statement, tuple(values))


@pytest.fixture
def connection():
    """A database in memory."""
    engine = create_engine("sqlite://")
    with engine.connect() as opened:
        TABLE.create(opened)
        yield opened
    engine.dispose()


@pytest.mark.parametrize("count", [0, 1, 2, 3, 255, 256, 2047, 2048, 2049, 5000])
def test_all_rows_arrive_as_they_are(connection, count):
    """Whatever their number: whole statements, then smaller ones."""
    rows = [(number, None if number % 3 else f"value ' {number}", bytes([number % 256])) for number in range(count)]
    insert_rows(partial(run, connection), TABLE, flat(rows))
    assert [tuple(row) for row in connection.execute(select(TABLE).order_by(TABLE.c.idx))] == rows


def test_statements_are_few_and_few_are_different():
    """Groups of every size there is: each takes a handful of statements, all of them seen before long."""
    seen = set()
    for count in range(1, 601):
        ran = []
        insert_rows(lambda statement, values, ran=ran: ran.append((statement, len(values))), TABLE, [0] * (3 * count))
        assert sum(values for _, values in ran) == 3 * count
        assert len(ran) <= 5
        seen.update(statement for statement, _ in ran)
    assert len(seen) <= 2 * 10


def test_a_row_that_is_there_is_refused(connection):
    """With the error that one row alone gives, for the ledger to say which entry it was."""
    connection.execute(insert(TABLE), {"idx": 5, "value": "x", "data": b""})
    with pytest.raises(IntegrityError):
        insert_rows(partial(run, connection), TABLE, flat([(number, "y", b"") for number in range(10)]))


def test_a_writer_keeps_in_memory_what_a_commit_changes_and_vacuum_does_not(tmp_path, monkeypatch):
    """Pages of a large commit are written once; a copy of the whole database is no matter for memory."""
    seen = {}
    monkeypatch.setattr("audit.scrub._scrub", lambda connection, *_: seen.update(settings(connection)) or "")
    store = SqliteStore(tmp_path / "ledger.db")
    with store.writer(100).connect() as connection:
        assert settings(raw(connection)) == {"cache_size": -32_000, "temp_store": MEMORY}
    scrub(store, None)
    assert seen == {"cache_size": -32_000, "temp_store": FILE}


def settings(connection) -> dict[str, int]:
    """Of a connection."""
    return {name: connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("cache_size", "temp_store")}
