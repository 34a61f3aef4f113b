"""The verifier on PostgreSQL: whatever a superuser changes, it notices, and names the entry."""

from __future__ import annotations

import random
import subprocess
from collections import Counter
from contextlib import closing
from dataclasses import replace
from uuid import uuid4

import pytest
from ledger_examples import DOCUMENT, REVISION, decision, picture
from postgres import binaries, drop, fresh, fresh_schema
from sqlalchemy import create_engine
from sqlalchemy.engine import make_url
from test_verify import TABLES, changed

from audit import verify as verify_module
from audit.anchor import FileAnchor
from audit.erasure import erase
from audit.ledger import open_ledger
from audit.models import metadata
from audit.notary import Notary
from audit.stores import open_store
from audit.verifier.postgres import PostgresSource
from audit.verifier.source import SourceError, open_source
from audit.verify import verify
from guard.errors import LedgerError
from guard.note import SigningKey
from guard.types import Action

psycopg = pytest.importorskip("psycopg")
ENTRIES = 14
KEY = "pKJ1Zr7RjIwbYqjw3mVvEwTgB5f3oXfO0P4cH2tq8mM="


@pytest.fixture(scope="module")
def original(postgres, tmp_path_factory):
    """A ledger like the one of the tests on a file, of which an erased subject is missing, with an anchor; its URL."""
    folder = tmp_path_factory.mktemp("postgres")
    url = fresh_schema(postgres)
    key = SigningKey.make("genguard/test")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GENGUARD_MASTER_KEY", KEY)
        with open_ledger(url) as opened:
            opened.activate_sync("enterprise", 4, REVISION, DOCUMENT)
            for number in range(ENTRIES - 3):
                made = picture if number == 5 else decision
                action = {} if number == 5 else {"action": list(Action)[number % 5]}
                opened.append_sync(made(number=number, subject="gone" if number == 2 else f"subject-{number % 2}", **action))
            erase(opened, "gone", actor="ann", reason="asked for")
            Notary(opened.reader, folder / "ledger", key, [FileAnchor(folder / "anchor")]).sign()
    return url, folder / "anchor", key


@pytest.fixture(autouse=True)
def _key(monkeypatch):
    monkeypatch.setenv("GENGUARD_MASTER_KEY", KEY)


@pytest.fixture
def url(original):
    """The ledger, which the test leaves as it was."""
    yield original[0]
    assert verify(original[0], jobs=1).exit_code == 3, "the test has left something changed"


def driver(url):
    """A connection of a superuser for whom no trigger fires."""
    engine = create_engine(make_url(url).set(drivername="postgresql+psycopg"))
    connection = engine.raw_connection().driver_connection
    connection.autocommit = True
    connection.execute("SET session_replication_role = replica")
    return connection


def found_by(url, **options):
    """What verifying finds: the exit code, and pairs of entry and kind."""
    report = verify(url, jobs=1, **options)
    return report.exit_code, {(problem.idx, problem.what) for problem in report.problems}


def test_an_untouched_ledger_verifies(original, url):
    """Against its anchor, too; it says what is explained and what it could not check."""
    report = verify(url, anchors=[FileAnchor(original[1])], log_keys=[original[2].public], jobs=1)
    assert (report.exit_code, report.size, report.problems) == (3, ENTRIES, ())
    assert report.checked["payloads"] == report.checked["payloads_opened"] > 5
    assert (report.checked["fingerprints_opened"], report.checked["checkpoints"]) == (1, 1)
    assert [gap.kind for gap in report.gaps] == ["erasure"]
    assert any("amcheck" in one for one in report.unchecked)


@pytest.mark.parametrize("each", [1, pytest.param(10**6, marks=pytest.mark.slow)])
def test_a_change_in_any_cell_of_any_table_is_noticed(url, each):
    """Every column of every table, one cell at a time; for a cell of an entry, that entry is named. `each`: cells a column."""
    chance = random.Random(1)
    seen: Counter[tuple[str, str]] = Counter()
    with closing(driver(url)) as connection:
        for table in TABLES:
            keys = [column.name for column in metadata.tables[table].primary_key.columns]
            columns = [column.name for column in metadata.tables[table].columns]
            rows = connection.execute(f"SELECT {', '.join(columns)} FROM {table}").fetchall()
            cells = [(dict(zip(columns, row, strict=True)), column) for row in rows for column in columns]
            chance.shuffle(cells)
            for row, column in cells:
                seen[table, column] += 1
                if seen[table, column] > each:
                    continue
                new = changed(row[column], chance)
                new = int(new, 36) if column == "version" and isinstance(new, str) else new
                where = " AND ".join(f"{key} = %({key})s" for key in keys)
                change = f"UPDATE {table} SET {column} = %(new)s WHERE {where}"
                try:
                    connection.execute(change, {**row, "new": new})
                except (psycopg.errors.IntegrityError, psycopg.errors.DataError):
                    continue  # a key already refuses it, or it is no text
                code, problems = found_by(url)
                assert code == 2, (table, row, column)
                if table in {"entry", "term", "payload"}:
                    assert row["idx"] in {idx for idx, _ in problems}, (table, row, column, problems)
                connection.execute(change, {**row, column: new, "new": row[column]})
    assert {table for table, _ in seen} == {*TABLES}


def test_any_row_that_is_deleted_is_noticed(url):
    """Of entries, terms, payloads and keys, and the two of one row; fingerprints may go at any time."""
    with closing(driver(url)) as connection:
        for table in TABLES:
            if table == "fingerprint":
                continue
            keys = ", ".join(column.name for column in metadata.tables[table].primary_key.columns)
            for row in connection.execute(f"SELECT {keys} FROM {table}").fetchall()[::4]:
                gone = connection.execute(
                    f"DELETE FROM {table} WHERE ({keys}) = ({', '.join(['%s'] * len(row))}) RETURNING *", row
                ).fetchone()
                assert found_by(url)[0] == 2, (table, row)
                connection.execute(f"INSERT INTO {table} VALUES ({', '.join(['%s'] * len(gone))})", gone)


@pytest.fixture
def copy(postgres, original):
    """The URL of another schema with the same ledger."""
    found = fresh_schema(postgres)
    store = open_store(found)
    engine = store.writer(1000)
    with engine.connect() as connection, connection.begin():
        metadata.create_all(connection)
        for made in store.triggers.values():
            for statement in made:
                connection.exec_driver_sql(statement)
        for table in TABLES:
            connection.exec_driver_sql(f"INSERT INTO {table} SELECT * FROM {schema(original[0])}.{table}")
    engine.dispose()
    return found


def schema(url):
    """The schema that a URL names."""
    return make_url(url).query["options"].partition("search_path=")[2]


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ("DROP TRIGGER entry_no_update ON entry", "trigger entry_no_update missing"),
        ("ALTER TABLE entry DISABLE TRIGGER entry_no_update", "trigger entry_no_update changed"),
        ("ALTER TABLE entry ALTER actor TYPE varchar(2000)", "table entry changed"),
        ("ALTER TABLE entry DROP CONSTRAINT ck_entry_leaf", "table entry changed"),
        ("ALTER TABLE term ADD COLUMN extra text", "table term changed"),
        ("ALTER TABLE entry RENAME body TO other", "table entry changed"),
        ("CREATE TABLE other (id int)", "table other added"),
        ("CREATE VIEW other AS SELECT 1", "table other added"),
        ("DROP INDEX ix_entry_action", "index ix_entry_action missing"),
        ("CREATE FUNCTION evil() RETURNS int LANGUAGE sql AS 'SELECT 1'", "function evil added"),
        (
            "CREATE OR REPLACE FUNCTION genguard_refuse() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",
            "function genguard_refuse changed",
        ),
        ("CREATE RULE quiet AS ON DELETE TO entry DO INSTEAD NOTHING", "rule quiet added"),
        ("ALTER TABLE entry ENABLE ROW LEVEL SECURITY", "table entry changed"),
        ("DROP TABLE payload", "table payload missing"),
        ("DROP TABLE entry", "table entry missing"),
    ],
)
def test_what_is_not_as_it_should_be_built_is_named(copy, change, what):
    """Tables, columns, constraints, indexes, triggers, functions and rules."""
    assert verify(copy, jobs=1).exit_code == 3
    with closing(driver(copy)) as connection:
        connection.execute(change)
    report = verify(copy, jobs=1)
    assert report.exit_code == 2
    assert any(problem.what == "schema" and problem.found == what for problem in report.problems), report.problems


@pytest.mark.parametrize(
    ("changes", "code", "found"),
    [
        (
            ("DELETE FROM entry WHERE idx = 5", "DELETE FROM term WHERE idx = 5", "DELETE FROM payload WHERE idx = 5"),
            2,
            (5, "gap"),
        ),
        (
            ("DELETE FROM entry WHERE idx >= 9", "DELETE FROM term WHERE idx >= 9", "DELETE FROM payload WHERE idx >= 9"),
            5,
            (9, "gap"),
        ),
        (
            (
                "UPDATE entry SET idx = 1000 WHERE idx = 5",
                "UPDATE entry SET idx = 5 WHERE idx = 6",
                "UPDATE entry SET idx = 6 WHERE idx = 1000",
            ),
            2,
            (None, "head"),
        ),
        (("UPDATE head SET size = size - 1",), 5, (ENTRIES - 1, "extra")),
        (("UPDATE head SET frontier = decode(repeat('00', length(frontier)), 'hex')",), 2, (None, "head")),
        (("DELETE FROM head",), 2, (None, "head")),
        (("DELETE FROM subject_key WHERE subject = 'subject-1'",), 2, (3, "key")),
        (("INSERT INTO term VALUES (8, 'rule', 'invented')",), 2, (8, "term")),
        (("UPDATE entry SET body = NULL WHERE idx = 2",), 2, (2, "body")),
        (("UPDATE entry SET body = body || ' '::bytea WHERE idx = 2",), 2, (2, "leaf")),
        (("UPDATE payload SET ciphertext = ciphertext || 'x'::bytea WHERE idx = 3",), 2, (3, "payload")),
        (
            # An older state, brought back as a whole: only the anchor can tell.
            (
                *(f"DELETE FROM {table} WHERE idx >= 13" for table in ("entry", "term", "payload", "fingerprint")),
                "UPDATE head SET size = 13, frontier = (SELECT substr(frontier, 1, 96) FROM head)",
            ),
            5,
            (None, "rollback"),
        ),
    ],
)
def test_each_kind_of_tampering_has_its_name(original, copy, changes, code, found):
    """What was done is found where it was done, with the anchor at hand."""
    with closing(driver(copy)) as connection:
        for change in changes:
            connection.execute(change)
    got = found_by(copy, anchors=[FileAnchor(original[1])], log_keys=[original[2].public])
    assert got[0] == code, got
    assert found in got[1]


def test_a_dump_that_was_restored_elsewhere_verifies(postgres, original, tmp_path):
    """In another database of that server, by the tools that administrators use."""
    folder, dump, url = binaries(), tmp_path / "dump", fresh(postgres)
    plain = make_url(original[0]).difference_update_query(["options"]).render_as_string(hide_password=False)
    subprocess.run([folder / "pg_dump", "-Fc", "-n", schema(original[0]), "-f", dump, plain], check=True)
    subprocess.run([folder / "pg_restore", "--no-owner", "-d", url, dump], check=True)
    there = make_url(url).update_query_dict({"options": f"-csearch_path={schema(original[0])}"})
    report = verify(
        there.render_as_string(hide_password=False), anchors=[FileAnchor(original[1])], log_keys=[original[2].public]
    )
    assert (report.exit_code, report.size, report.problems) == (3, ENTRIES, ())
    drop(postgres, url)


def test_three_processes_report_what_one_does(monkeypatch, copy):
    """All of them see the snapshot of the first."""
    monkeypatch.setattr(verify_module, "MANY", 0)
    monkeypatch.setattr(verify_module, "STRETCH", 4)
    with closing(driver(copy)) as connection:
        connection.execute("UPDATE entry SET tenant = 'x' WHERE idx IN (3, 9)")
    alone, together = verify(copy, jobs=1), verify(copy, jobs=3)
    assert (alone.processes, together.processes) == (1, 3)
    assert replace(alone, seconds=0) == replace(together, seconds=0, processes=1)
    assert [problem.idx for problem in alone.problems] == [3, 9]


def test_what_is_written_meanwhile_is_not_seen(monkeypatch, copy):
    """By any of the processes."""
    monkeypatch.setattr(verify_module, "MANY", 0)
    monkeypatch.setattr(verify_module, "STRETCH", 4)
    base = decision()
    with open_ledger(copy) as opened:
        report = verify(copy, jobs=2, progress=lambda *_: opened.append_sync(replace(base, id=uuid4())))
        assert (report.exit_code, report.size) == (3, ENTRIES)
        written = opened.size
        assert written >= ENTRIES + 4
    assert verify(copy, jobs=1).size == written


def test_indexes_are_compared_where_the_server_can(postgres, original):
    """With the extension `amcheck`."""
    with closing(driver(postgres)) as connection:
        connection.execute("CREATE EXTENSION amcheck")
    try:
        report = verify(original[0], jobs=1)
        assert (report.exit_code, [one for one in report.unchecked if "amcheck" in one]) == (3, [])
    finally:
        with closing(driver(postgres)) as connection:
            connection.execute("DROP EXTENSION amcheck")


def test_what_cannot_be_read_is_a_finding_and_the_rest_is_read(original):
    """An error of one statement leaves the transaction usable, and never quotes a row."""
    with open_source(open_store(original[0])) as source:
        assert isinstance(source, PostgresSource)
        with pytest.raises(SourceError, match="invalid input syntax"):
            source.rows("SELECT decision::bigint FROM entry WHERE idx = ?", (3,))
        with pytest.raises(SourceError, match="division by zero"):
            list(source.each("SELECT 1 / (idx - 3) FROM entry ORDER BY idx"))
        assert source.rows("SELECT max(idx) FROM entry") == [(ENTRIES - 1,)]


def test_damaged_pages_are_findings(original):
    """A server that reports a page it cannot read: entries are then read one by one."""
    damage = psycopg.errors.DataCorrupted if hasattr(psycopg.errors, "DataCorrupted") else psycopg.errors.InternalError
    real = PostgresSource.all

    def all_but(self, statement, parameters=()):
        if (
            "FROM entry" in statement
            and "body" in statement
            and "JOIN" not in statement
            and parameters[0] <= 4 <= parameters[-1]
        ):
            with self._errors():
                raise damage("invalid page in block 3 of relation base/5/16384")
        return real(self, statement, parameters)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PostgresSource, "all", all_but)
        report = verify(original[0], jobs=1)
    assert report.exit_code == 2
    assert (4, "body") in {(problem.idx, problem.what) for problem in report.problems}
    assert {problem.idx for problem in report.problems} == {4, None}


def test_where_there_is_no_ledger_nothing_was_verified(postgres):
    """An error, and no verdict."""
    with pytest.raises(LedgerError, match="there is no ledger"):
        verify(fresh_schema(postgres))
    with pytest.raises(LedgerError):
        verify("postgresql://nobody@/nothing?host=/nowhere")
