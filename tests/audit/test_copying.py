"""audit.stores.copying: rows arrive in PostgreSQL as they are."""

from __future__ import annotations

import struct
from contextlib import closing

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit.stores.copying import copied

KINDS = ("bigint", "integer", "text", "bytea")
TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), max_size=40)
ROW = st.tuples(
    st.integers(0, 2**62),
    st.none() | st.integers(-(2**31), 2**31 - 1),
    st.none() | st.sampled_from(["", "acme"]) | TEXTS,
    st.none() | st.binary(max_size=40),
)


@pytest.fixture
def thing(postgres):
    """A connection to a database, with a table of one column of each kind."""
    import psycopg

    with closing(psycopg.connect(postgres, autocommit=True)) as connection:
        connection.execute("CREATE TEMPORARY TABLE thing (idx bigint, number integer, value text, data bytea)")
        yield connection


def sent(connection, rows, start=0):
    """What is in the table once rows were copied."""
    connection.execute("TRUNCATE thing")
    with connection.cursor() as cursor, cursor.copy("COPY thing FROM STDIN (FORMAT BINARY)") as copy:
        for message in copied(KINDS, rows).messages(start):
            copy.write(message)
    return connection.execute("SELECT * FROM thing").fetchall()


def test_rows_arrive_as_they_are(thing):
    """Nulls, empty texts, texts of several bytes, values that repeat and values that do not; also beyond one message."""

    @settings(max_examples=60, deadline=None)
    @given(st.lists(ROW, min_size=1, max_size=150), st.integers(0, 2**61))
    def holds(rows, start):
        assert sent(thing, rows, start) == [(start + row[0], *row[1:]) for row in rows]

    holds()


@pytest.mark.parametrize("size", [4095, 4096, 70_000, 300_000])
def test_long_values_arrive(thing, size):
    """Also those whose size is written in no table, and messages longer than the driver takes at once."""
    rows = [(number, None, "é" * size, bytes([number]) * size) for number in range(3)]
    assert sent(thing, rows) == rows


def test_a_first_value_that_is_no_number_stays():
    """Where entries begin does not matter to rows that are of none."""
    messages = copied(("text", "bytea"), [("key-1", b"1"), ("key-2", b"22")]).messages(7)
    assert b"".join(messages).endswith(b"\0\x02\0\0\0\x05key-2\0\0\0\x0222\xff\xff")


@pytest.mark.parametrize(
    ("row", "error"),
    [((0, 2**31, "", b""), struct.error), ((0, 0, "\ud800", b""), UnicodeEncodeError)],
)
def test_what_a_column_cannot_hold_is_refused(row, error):
    """Before the lock is taken."""
    with pytest.raises(error):
        copied(KINDS, [row])
