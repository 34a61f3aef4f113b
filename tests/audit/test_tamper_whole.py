"""What an intruder does to a ledger as a whole: pages, rows of elsewhere, a tail cut off, heads, checkpoints and backups."""

from __future__ import annotations

import random
import sqlite3
from contextlib import closing

import pytest
from every_kind import LOG_KEY, SIZE, make
from tampering import TABLES, Scene

from audit import merkle
from audit.canonical import dumps, loads
from audit.checkpoint import Checkpoint
from audit.ledger import open_ledger
from audit.log_key import need_log_key
from audit.models import ENTRY_COLUMNS
from guard.note import SigningKey

ROWS = ("term", "payload", "fingerprint")
AWAY = 10**6
"""An index that no entry has."""


@pytest.fixture
def in_file(every_kind, tmp_path) -> Scene:
    """A copy in a file."""
    return Scene.of(every_kind, tmp_path)


def told(report) -> set[tuple[str, int | None]]:
    return {(problem.what, problem.idx) for problem in report.problems}


def log_key(scene) -> SigningKey:
    """As a thief of it would use it."""
    with open_ledger(scene.made.url) as opened:
        return need_log_key(scene.made.folder, opened.identity, scene.made.folder / LOG_KEY)


def rows_of(path) -> dict:
    """All that a ledger says, and whether SQLite holds the file for sound."""
    with closing(sqlite3.connect(path)) as connection:
        connection.text_factory = bytes
        found = {table: connection.execute(f"SELECT * FROM {table} ORDER BY 1").fetchall() for table in TABLES}
        schema = connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY 1, 2").fetchall()
        return {**found, "schema": schema, "check": connection.execute("PRAGMA integrity_check").fetchall()}


@pytest.mark.timeout(3000)
@pytest.mark.parametrize("count", [60, pytest.param(30_000, marks=pytest.mark.slow)])
def test_a_byte_of_the_file_is_noticed_or_says_nothing(in_file, count):
    """The header, the head of each page, bytes anywhere: noticed, unless all rows, the schema and SQLite's check are as before.

    Nothing of the ledger lies in what is left then: free space in pages, freed pages, counters and versions in the header.
    """
    whole, chance = rows_of(in_file.path), random.Random(21)
    size = int.from_bytes(in_file.pristine[16:18], "big")
    heads = [page + place for page in range(0, len(in_file.pristine), size) for place in range(12)]
    places = [*range(100), *heads, *(chance.randrange(len(in_file.pristine)) for _ in range(count))]
    quiet = 0
    for place in chance.sample(places, min(count, len(places))):
        data = bytearray(in_file.pristine)
        data[place] ^= chance.randrange(1, 256)
        in_file.restore(data)
        if in_file.check().exit_code == 2:
            continue
        quiet += 1
        assert rows_of(in_file.path) == whole, place
    assert quiet < count


@pytest.mark.timeout(3000)
@pytest.mark.parametrize("each", [3, pytest.param(SIZE - 1, marks=pytest.mark.slow)])
def test_neighbours_that_change_places_are_named(scene, each):
    """With their bodies alone, and with all that belongs to them: then each is sound, and the tree tells which they were."""
    chance = random.Random(22)
    for idx in chance.sample(range(SIZE - 1), scene.few(each)):
        exchanged(scene, idx, idx + 1)


@pytest.mark.timeout(3000)
@pytest.mark.parametrize("each", [1, pytest.param(500, marks=pytest.mark.slow)])
def test_distant_entries_that_change_places_are_named(scene, each):
    """In one block of the tree, and in two."""
    chance = random.Random(23)
    for one, other in [(0, SIZE - 1), (127, 128), *(sorted(chance.sample(range(SIZE), 2)) for _ in range(scene.few(each)))]:
        exchanged(scene, one, other)


def exchanged(scene, one, other) -> None:
    """Exchange two entries, alone and with their rows; the first of the two is the first that is named."""
    scene.restore()
    with scene.opened() as connection:
        exchange(connection, "entry", one, other)
    for tables in ((), ROWS):
        with scene.opened() as connection:
            for table in tables:
                exchange(connection, table, one, other)
        report = scene.check()
        assert report.exit_code == 2
        assert told(report) >= {("head", None), ("order", one), ("order", other)}, (one, other)
        assert not tables or 0 in {one, other} or report.problems[0].idx == one, (one, other, report.problems)


def exchange(connection, table, one, other) -> None:
    for before, after in ((one, AWAY), (other, one), (AWAY, other)):
        connection.execute(f"UPDATE {table} SET idx = ? WHERE idx = ?", (after, before))


@pytest.mark.parametrize("size", [1, 5, SIZE // 2, SIZE - 2])
def test_a_tail_that_was_cut_off_with_care_shows_against_an_anchor_alone(scene, size):
    """The head fits and no row is left over, as on the day when there were no more: exit code 5, and the last signed size."""
    with scene.opened() as connection:
        for table in ("entry", *ROWS):
            connection.execute(f"DELETE FROM {table} WHERE idx >= ?", (size,))
        connection.execute("DELETE FROM subject_key WHERE id NOT IN (SELECT key FROM payload)")
    scene.adjust_head()
    report = scene.check(anchored=True)
    assert report.exit_code == 5
    assert ("rollback", None) in told(report)
    alone = scene.check()
    assert "would not show" in " ".join(alone.unchecked)


def test_a_tail_after_the_last_checkpoint_is_beyond_every_anchor(scene):
    """One entry is not signed yet. It is noticed by nobody: so checkpoints are signed every second."""
    with scene.opened() as connection:
        for table in ("entry", *ROWS):
            connection.execute(f"DELETE FROM {table} WHERE idx >= ?", (SIZE - 1,))
        connection.execute("DELETE FROM subject_key WHERE id NOT IN (SELECT key FROM payload)")
    scene.adjust_head()
    assert scene.check(anchored=True).exit_code == 3


def test_a_ledger_rewritten_as_a_whole_shows_against_an_anchor_alone(scene):
    """Body, leaf, column and head agree with one another."""
    with scene.opened() as connection:
        found = connection.execute("SELECT idx, body FROM entry WHERE kind = 'access' ORDER BY idx LIMIT 1").fetchone()
        body = loads(found[1])
        body["actor"] = "nobody"
        connection.execute(
            "UPDATE entry SET body = ?, leaf = ?, actor = 'nobody' WHERE idx = ?",
            (dumps(body), merkle.leaf_hash(dumps(body)), found[0]),
        )
    scene.adjust_head()
    assert scene.check().exit_code == 3
    report = scene.check(anchored=True)
    assert (report.exit_code, told(report)) == (2, {("root", None)})


def test_a_backup_that_was_restored_shows_against_an_anchor_alone(scene):
    """Exit code 5; without the anchor it is a sound ledger of before."""
    scene.restore_half()
    options = {"key_file": scene.made.half_key}
    assert scene.check(**options).exit_code == 0
    report = scene.check(anchored=True, **options)
    assert (report.exit_code, told(report)) == (5, {("rollback", None)})


@pytest.mark.parametrize("how", ["another key", "another root", "another size", "another log", "a byte", "taken away"])
def test_a_checkpoint_that_was_replaced_is_noticed(scene, how):
    """A wrong signature: 4; what the thief of the log's key signs: 2. Only one of several that is gone is not missed."""
    key = log_key(scene)
    first, second = scene.anchor.notes()
    head = Checkpoint.verified(first, [key.public])
    stranger = SigningKey.make(key.name)
    false = {
        "another key": head.signed(stranger),
        "another root": Checkpoint(head.origin, head.size, bytes(32)).signed(key),
        "another size": Checkpoint(head.origin, head.size - 1, head.root).signed(key),
        "another log": Checkpoint("genguard/other", head.size, head.root).signed(SigningKey.make("genguard/other")),
        "a byte": first.replace(f"\n{head.size}\n", f"\n{head.size + 1}\n"),
        "taken away": "",
    }[how]
    scene.anchor.path.write_text(f"{false}\n{second}\n" if false else f"{second}\n")
    code = {"another root": 2, "another size": 2, "taken away": 3}.get(how, 4)
    assert scene.check(anchored=True).exit_code == code


def test_rows_of_another_ledger_do_not_pass(in_file, tmp_path):
    """Entries, payloads and keys of a ledger under the same names."""
    other = tmp_path / "other"
    other.mkdir()
    foreign = make(other)
    for table in ("entry", "payload", "subject_key", "ledger", "head", "fingerprint"):
        in_file.restore()
        with in_file.opened() as connection:
            connection.execute("COMMIT")
            connection.execute("ATTACH ? AS other", (str(foreign.path),))
            connection.execute("BEGIN")
            if table in {"entry", "payload", "fingerprint"}:
                (idx,) = connection.execute(f"SELECT max(idx) FROM {table} WHERE idx < 190").fetchone()
                connection.execute(f"DELETE FROM {table} WHERE idx = ?", (idx,))
                connection.execute(f"INSERT INTO {table} SELECT * FROM other.{table} WHERE idx = ?", (idx,))
            else:
                connection.execute(f"DELETE FROM {table}")
                connection.execute(f"INSERT INTO {table} SELECT * FROM other.{table}")
        report = in_file.check()
        assert report.exit_code == 2, table
        if table in {"entry", "payload", "fingerprint"}:
            assert idx in {problem.idx for problem in report.problems}, table


def test_a_payload_that_was_moved_between_decisions_of_one_subject_is_named(scene):
    """Both, though the key opens each."""
    with scene.opened() as connection:
        find = "SELECT idx, key FROM payload WHERE part = 'original' AND idx > 120 ORDER BY idx"
        by_key: dict[str, list[int]] = {}
        for idx, key in connection.execute(find):
            by_key.setdefault(key, []).append(idx)
        one, other = next(found for found in by_key.values() if len(found) > 1)[:2]
        for before, after in ((one, AWAY), (other, one), (AWAY, other)):
            connection.execute("UPDATE payload SET idx = ? WHERE idx = ? AND part = 'original'", (after, before))
    assert {("payload", one), ("payload", other)} <= told(scene.check())


def empty(connection, idx) -> None:
    """As retention does it, and without a word."""
    nothing = ", ".join(f"{name} = NULL" for name in ENTRY_COLUMNS if name not in {"idx", "leaf", "kind", "time"})
    connection.execute(f"UPDATE entry SET kind = 'pruned', time = '', {nothing} WHERE idx = ?", (idx,))
    for table in ROWS:
        connection.execute(f"DELETE FROM {table} WHERE idx = ?", (idx,))
    connection.execute("DELETE FROM subject_key WHERE id NOT IN (SELECT key FROM payload)")


@pytest.mark.parametrize("kind", ["decision", "review", "erasure", "retention_prune", "key_rotation", "hold"])
def test_an_entry_that_poses_as_dropped_by_retention_is_named(scene, kind):
    """Nothing explains it, or more is missing than was said."""
    with scene.opened() as connection:
        (idx,) = connection.execute("SELECT max(idx) FROM entry WHERE kind = ?", (kind,)).fetchone()
        empty(connection, idx)
    report = scene.check()
    assert report.exit_code == 2
    assert idx in {problem.idx for problem in report.problems}


@pytest.mark.parametrize("kind", ["decision", "policy_activate"])
def test_an_older_entry_that_poses_as_dropped_is_one_too_many(scene, kind):
    """Below where retention reached, each missing body is counted against what was said; which one it is, nothing tells."""
    with scene.opened() as connection:
        (idx,) = connection.execute("SELECT min(idx) FROM entry WHERE kind = ?", (kind,)).fetchone()
        empty(connection, idx)
    report = scene.check()
    assert report.exit_code == 2
    assert ("body", None) in told(report)
