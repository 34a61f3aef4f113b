"""The verifier: whatever is changed, it notices, and names the entry."""

from __future__ import annotations

import random
import shutil
import sqlite3
from collections import Counter
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest
from ledger_examples import DOCUMENT, REVISION, decision, picture

from audit import merkle
from audit.canonical import dumps, loads
from audit.keys import default_key_file
from audit.ledger import open_ledger
from audit.models import metadata
from audit.verify import verify
from guard.errors import LedgerError
from guard.types import Action

ENTRIES = 12
TABLES = sorted(set(metadata.tables) - {"api_key", "bank_batch", "moment", "session", "tile"})
"""All but those that 12 entries do not fill (see `test_tile_rows`, `test_moments`, `test_verify_keys`, `test_shared_banks`),
and sessions."""


@pytest.fixture(scope="module")
def original(tmp_path_factory) -> Path:
    """A closed ledger: entry 0, the policy, ten decisions of all actions and two subjects, one of them on an image."""
    path = tmp_path_factory.mktemp("original") / "ledger.db"
    with open_ledger(f"sqlite:///{path}") as opened:
        opened.activate_sync("enterprise", 4, REVISION, DOCUMENT)
        for number in range(ENTRIES - 2):
            made = picture if number == 5 else decision
            action = {} if number == 5 else {"action": list(Action)[number % 5]}
            opened.append_sync(made(number=number, subject=f"subject-{number % 2}", **action))
    return path


@pytest.fixture
def copy(original, tmp_path) -> Path:
    """A copy of it, with its key."""
    path = tmp_path / "ledger.db"
    shutil.copy(original, path)
    shutil.copy(default_key_file(original), default_key_file(path))
    return path


def check(path: Path, **options):
    """Verify a file."""
    return verify(f"sqlite:///{path}", **options)


def tamper(path: Path, *statements: str, parameters: tuple | dict = ()) -> None:
    """Run statements with the triggers out of the way; afterwards they are back."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        _tamper(connection, statements, parameters)


def restore(path: Path, data: bytes) -> None:
    """The file as it was."""
    path.write_bytes(data)
    for leftover in ("-wal", "-shm"):
        path.with_name(path.name + leftover).unlink(missing_ok=True)


def _tamper(connection, statements, parameters) -> None:
    connection.execute("PRAGMA synchronous=OFF")
    connection.execute("PRAGMA ignore_check_constraints=ON")
    triggers = connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
    connection.execute("BEGIN")
    for name, _ in triggers:
        connection.execute(f"DROP TRIGGER {name}")
    for statement in statements:
        connection.execute(statement, parameters)
    for _, sql in triggers:
        connection.execute(sql)
    connection.execute("COMMIT")


def test_an_untouched_ledger_verifies(original):
    """It says what it checked and what it could not."""
    seen = []
    report = check(original, progress=lambda done, size: seen.append((done, size)))
    assert (report.ok, report.exit_code, report.problems, report.size) == (True, 0, (), ENTRIES)
    assert report.checked["entries"] == ENTRIES
    assert report.checked["payloads"] == report.checked["payloads_opened"] == 12
    assert (report.checked["subject_keys"], report.checked["policies"]) == (2, 1)
    assert report.checked["fingerprints"] == report.checked["fingerprints_opened"] == 1
    assert seen == [(ENTRIES, ENTRIES)]
    assert [one[:20] for one in report.unchecked] == ["no anchor was given:", "fingerprints were no"]


def test_without_the_master_key_it_says_what_it_could_not_open(copy):
    """Payload rows are still compared with their digests."""
    default_key_file(copy).unlink()
    report = check(copy)
    assert report.ok
    assert "payloads_opened" not in report.checked
    assert "no master key" in report.unchecked[0]
    tamper(copy, "UPDATE payload SET ciphertext = zeroblob(length(ciphertext)) WHERE idx = 5")
    assert check(copy).problems[0].idx == 5


def test_another_ledgers_key_is_not_mistaken_for_tampering(copy, tmp_path):
    """It opens nothing, and the report says why."""
    open_ledger(f"sqlite:///{tmp_path / 'other.db'}").close()
    report = check(copy, key_file=tmp_path / "other.db.key")
    assert report.ok
    assert "not this ledger's" in report.unchecked[0]


def flips(path: Path):
    """Every cell of every table, as (table, rowid condition, column, value)."""
    connection = sqlite3.connect(path)
    for table in TABLES:
        keys = [column.name for column in metadata.tables[table].primary_key.columns]
        columns = [column.name for column in metadata.tables[table].columns]
        for row in connection.execute(f"SELECT {', '.join(columns)} FROM {table}").fetchall():
            cells = dict(zip(columns, row, strict=True))
            for column, value in cells.items():
                yield table, {key: cells[key] for key in keys}, column, value
    connection.close()


def changed(value, chance: random.Random):
    """The same value with one byte flipped, or another number, or something where nothing was."""
    if value is None:
        return "x"
    if isinstance(value, int):
        return value ^ (1 << chance.randrange(8))
    data = bytearray(value.encode() if isinstance(value, str) else value)
    if not data:
        return "x" if isinstance(value, str) else b"x"
    data[chance.randrange(len(data))] ^= 1 << chance.randrange(7)
    return data.decode("latin-1") if isinstance(value, str) else bytes(data)


@pytest.mark.parametrize("each", [3, pytest.param(10**6, marks=pytest.mark.slow)])
def test_a_change_in_any_cell_of_any_table_is_noticed(copy, each):
    """Every column of every table, one cell at a time; for a cell of an entry, that entry is named. `each`: cells a column."""
    chance = random.Random(1)
    cells = list(flips(copy))
    assert {(table, column) for table, _, column, _ in cells} == {
        (table, column.name) for table in TABLES for column in metadata.tables[table].columns
    }
    chance.shuffle(cells)
    seen: Counter[tuple[str, str]] = Counter()
    pristine = copy.read_bytes()
    for table, where, column, value in cells:
        seen[table, column] += 1
        if seen[table, column] > each:
            continue
        condition = " AND ".join(f"{key} = :{key}" for key in where)
        try:
            tamper(
                copy,
                f"UPDATE {table} SET {column} = :new WHERE {condition}",
                parameters={**where, "new": changed(value, chance)},
            )
        except sqlite3.IntegrityError:
            continue  # a unique key already refuses it
        report = check(copy)
        assert report.exit_code == 2, (table, where, column)
        if table in {"entry", "term", "payload"} or (table == "fingerprint" and column != "idx"):  # that may be missing
            assert where["idx"] in {problem.idx for problem in report.problems}, (table, where, column, report.problems)
        restore(copy, pristine)


def test_a_flipped_byte_in_the_file_names_the_entry(original, copy):
    """300 single bits inside the bodies as they lie in the file."""
    with sqlite3.connect(original) as connection:
        bodies = dict(connection.execute("SELECT idx, body FROM entry"))
    pristine = original.read_bytes()
    chance = random.Random(2)
    regions = []
    for idx, body in bodies.items():
        start = pristine.find(body)
        regions += [(idx, start, len(body))] if start >= 0 else []
    assert len(regions) == ENTRIES
    for _ in range(300):
        idx, start, length = chance.choice(regions)
        data = bytearray(pristine)
        data[start + chance.randrange(length)] ^= 1 << chance.randrange(8)
        restore(copy, data)
        report = check(copy)
        assert report.exit_code == 2
        assert {problem.idx for problem in report.problems} == {idx}
        assert f"entry {idx}" in str(report.problems[0])


def test_a_damaged_page_never_goes_unnoticed_or_crashes(original, copy):
    """A hundred pages overwritten in part: tampered, or harmless because nothing of ours lay there."""
    pristine = original.read_bytes()
    chance = random.Random(3)
    with sqlite3.connect(original) as connection:
        rows = {table: sorted(connection.execute(f"SELECT * FROM {table}"), key=repr) for table in TABLES}
    for _ in range(100):
        data = bytearray(pristine)
        start = chance.randrange(len(data) - 64)
        data[start : start + 64] = chance.randbytes(64)
        restore(copy, data)
        if check(copy).exit_code == 2:
            continue
        with sqlite3.connect(copy) as connection:
            assert {table: sorted(connection.execute(f"SELECT * FROM {table}"), key=repr) for table in TABLES} == rows


@pytest.mark.parametrize("place", [0, 18, 4096 * 2, 8192])
def test_a_file_that_is_no_database_any_more_counts_as_tampered(copy, place):
    """A broken header or first page is said clearly."""
    data = bytearray(copy.read_bytes())
    data[place : place + 100] = b"\xff" * 100
    copy.write_bytes(data)
    report = check(copy)
    assert report.exit_code == 2
    assert any(problem.what in {"file", "schema"} or problem.idx is not None for problem in report.problems)


@pytest.mark.parametrize("size", [0, 100, 8192, 8192 * 5 + 17])
def test_a_file_cut_short_counts_as_tampered(copy, size):
    """Also down to nothing."""
    copy.write_bytes(copy.read_bytes()[:size])
    assert check(copy).exit_code == 2


def test_deleted_entries_are_named(copy):
    """One in the middle, with its terms and payloads."""
    tamper(copy, "DELETE FROM entry WHERE idx = 4", "DELETE FROM term WHERE idx = 4", "DELETE FROM payload WHERE idx = 4")
    problems = check(copy).problems
    assert (problems[0].idx, problems[0].what) == (4, "gap")


def test_a_tail_that_was_cut_off_is_noticed_by_the_head(copy):
    """The last three entries gone, the head left as it was."""
    tamper(copy, "DELETE FROM entry WHERE idx >= 9", "DELETE FROM term WHERE idx >= 9", "DELETE FROM payload WHERE idx >= 9")
    problems = check(copy).problems
    assert [problem.idx for problem in problems if problem.what == "gap"] == [9, 10, 11]
    assert any(problem.what == "head" for problem in problems)


def test_an_emptied_log_is_one_gap_and_quick(copy):
    """A head that promises very many entries does not make the verifier count them."""
    tamper(copy, "DELETE FROM entry", "UPDATE head SET size = 4611686018427387904")
    problems = check(copy).problems
    assert any(problem.what == "gap" and problem.idx == 0 for problem in problems)


def test_a_false_head_with_a_false_entry_does_not_keep_the_verifier_busy(copy):
    """An entry at a huge index, and a head that agrees."""
    tamper(copy, "UPDATE entry SET idx = 1152921504606846976 WHERE idx = 11", "UPDATE head SET size = 1152921504606846977")
    problems = check(copy).problems
    assert any(problem.what == "gap" and problem.idx == 11 for problem in problems)


def test_a_body_that_is_nested_too_deeply_is_a_problem_and_no_crash(copy):
    """JSON made to exhaust the reader's stack."""
    tamper(copy, "UPDATE entry SET body = ? WHERE idx = 5", parameters=(b'{"a":' + b"[" * 1000 + b"]" * 1000 + b"}",))
    assert {problem.idx for problem in check(copy).problems} == {5}


def test_swapped_entries_are_both_named(copy):
    """All columns swapped, bodies and leaves included: every row is sound in itself, the tree is not."""
    tamper(
        copy,
        "UPDATE entry SET idx = 1000 WHERE idx = 5",
        "UPDATE entry SET idx = 5 WHERE idx = 6",
        "UPDATE entry SET idx = 6 WHERE idx = 1000",
        "UPDATE term SET idx = 1000 WHERE idx = 5",
        "UPDATE term SET idx = 5 WHERE idx = 6",
        "UPDATE term SET idx = 6 WHERE idx = 1000",
        "UPDATE payload SET idx = 1000 WHERE idx = 5",
        "UPDATE payload SET idx = 5 WHERE idx = 6",
        "UPDATE payload SET idx = 6 WHERE idx = 1000",
    )
    report = check(copy)
    assert report.exit_code == 2
    assert any(problem.what == "head" and "root" in problem.found for problem in report.problems)


def test_a_body_rewritten_with_its_leaf_and_columns_breaks_the_tree(copy):
    """An insider who does it well, but not the tree: the root no longer fits the head."""
    with sqlite3.connect(copy) as connection:
        body = loads(connection.execute("SELECT body FROM entry WHERE idx = 7").fetchone()[0])
    body["request"]["actor"] = "someone else"
    data = dumps(body)
    tamper(
        copy,
        "UPDATE entry SET body = ?, leaf = ?, actor = 'someone else' WHERE idx = 7",
        parameters=(data, merkle.leaf_hash(data)),
    )
    problems = check(copy).problems
    assert [problem.what for problem in problems] == ["head"]


def test_a_body_in_another_form_is_noticed(copy):
    """The same JSON with a space has another hash; with its leaf rewritten too, it is still not canonical."""
    with sqlite3.connect(copy) as connection:
        data = connection.execute("SELECT body FROM entry WHERE idx = 3").fetchone()[0].replace(b'","', b'", "', 1)
    tamper(copy, "UPDATE entry SET body = ?, leaf = ? WHERE idx = 3", parameters=(data, merkle.leaf_hash(data)))
    problems = check(copy).problems
    assert (problems[0].idx, problems[0].what) == (3, "body")
    assert "canonical" in problems[0].found


@pytest.mark.parametrize(
    ("statement", "what", "idx"),
    [
        ("DELETE FROM payload WHERE idx = 6", "payload", 6),
        ("INSERT INTO payload SELECT 1, part, key, nonce, wrapped, ciphertext FROM payload WHERE idx = 3", "payload", 1),
        ("INSERT INTO payload SELECT 99, part, key, nonce, wrapped, ciphertext FROM payload WHERE idx = 3", "extra", 99),
        ("INSERT INTO fingerprint SELECT 3, decision, key, sealed FROM fingerprint", "fingerprint", 3),
        ("INSERT INTO fingerprint SELECT 1, decision, key, sealed FROM fingerprint", "fingerprint", 1),
        ("INSERT INTO fingerprint SELECT 99, decision, key, sealed FROM fingerprint", "extra", 99),
        ("UPDATE fingerprint SET sealed = zeroblob(length(sealed))", "fingerprint", 7),
        ("UPDATE fingerprint SET key = (SELECT id FROM subject_key WHERE subject = 'subject-0')", "fingerprint", 7),
        ("DELETE FROM subject_key WHERE subject = 'subject-1'", "fingerprint", 7),
        ("DROP INDEX ix_fingerprint_key", "schema", None),
        ("INSERT INTO term VALUES (8, 'rule', 'invented')", "term", 8),
        ("INSERT INTO term VALUES (77, 'rule', 'invented')", "extra", 77),
        ("DELETE FROM term WHERE idx = 3", "term", 3),
        ("INSERT INTO subject_key VALUES ('ff', 'acme', 'x', x'00')", "key", None),
        ("UPDATE subject_key SET wrapped = zeroblob(60)", "key", None),
        ("DELETE FROM subject_key WHERE subject = 'subject-1'", "key", 3),
        ("UPDATE head SET frontier = zeroblob(length(frontier))", "head", None),
        ("UPDATE head SET size = size - 1", "extra", 11),
        ("DELETE FROM head", "head", None),
        ("DELETE FROM ledger", "schema", None),
        ("UPDATE ledger SET ledger = 'another'", "column", 0),
        ("UPDATE entry SET body = NULL WHERE idx = 2", "body", 2),
        ("DROP INDEX ix_entry_action", "schema", None),
        ("DROP TABLE subject_key", "schema", None),
        ("CREATE TRIGGER quiet AFTER INSERT ON entry BEGIN DELETE FROM term; END", "schema", None),
    ],
)
def test_each_kind_of_tampering_has_its_name(copy, statement, what, idx):
    """What was done is found where it was done."""
    tamper(copy, statement)
    report = check(copy)
    assert report.exit_code == 2
    assert (what, idx) in {(problem.what, problem.idx) for problem in report.problems}, report.problems


def test_a_dropped_trigger_is_noticed(copy):
    """The ledger is whole, but no longer guarded."""
    with sqlite3.connect(copy) as connection:
        connection.execute("DROP TRIGGER entry_no_update")
    assert [str(problem) for problem in check(copy).problems] == [
        "ledger: schema: found trigger entry_no_update missing, expected the tables, indexes and triggers of schema version 1"
    ]


def test_payloads_of_one_subject_cannot_be_exchanged(copy):
    """Each seal names its decision and its part."""
    tamper(
        copy,
        "CREATE TEMP TABLE other AS SELECT * FROM payload WHERE idx = 5 AND part = 'original'",
        "DELETE FROM payload WHERE idx = 3 AND part = 'original'",
        "INSERT INTO payload SELECT 3, part, key, nonce, wrapped, ciphertext FROM other",
        "DROP TABLE other",
    )
    assert check(copy).problems[0].idx == 3


def test_a_ledger_in_use_verifies_while_it_is_written(url):
    """The verifier sees one state of it; the writer does not wait."""
    with open_ledger(url) as opened:
        opened.activate_sync("enterprise", 4, REVISION, DOCUMENT)
        base = decision()
        sizes = []
        for number in range(30):
            opened.append_sync(replace(base, id=uuid4()))
            if number % 10 == 0:
                sizes.append(verify(url, progress=lambda *_: opened.append_sync(replace(base, id=uuid4()))))
        assert all(report.ok for report in sizes)
        assert [report.size for report in sizes] == [3, 14, 25]


def test_no_file_is_an_error_and_not_a_verdict(tmp_path):
    """Nothing was verified."""
    with pytest.raises(LedgerError, match="there is no ledger"):
        check(tmp_path / "none.db")
