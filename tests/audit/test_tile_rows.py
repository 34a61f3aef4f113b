"""Stored inner hashes: they are those of the tree, proofs read few rows, and no change of one goes unnoticed."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import create_engine, insert, select

from audit import merkle
from audit.database import reader_engine
from audit.events import HOLD, Event
from audit.ledger import open_ledger
from audit.models import metadata
from audit.notary import Notary
from audit.prove import Leaves, prove
from audit.tile_rows import add_tiles
from audit.tiles import WIDTH, Tree, roots_of_full_tiles
from audit.verify import verify
from guard.errors import LedgerError
from guard.note import SigningKey

COUNT = 700


async def _fill(opened, count):
    events = [
        Event(HOLD, "ann", {"step": "set", "hold": f"case-{number}", "query": "x"}, reason="r") for number in range(count)
    ]
    await asyncio.gather(*(opened.record(event) for event in events))


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A closed ledger of some hundred entries."""
    path = tmp_path_factory.mktemp("tiles") / "ledger.db"
    with open_ledger(f"sqlite:///{path}") as opened:
        asyncio.run(_fill(opened, COUNT))
    return path


@pytest.fixture
def path(whole, tmp_path):
    """A copy of it."""
    for file in whole.parent.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    return tmp_path / whole.name


def change(path, *statements):
    """Run statements past the triggers, which are put back."""
    with closing(sqlite3.connect(path)) as connection, connection:
        triggers = connection.execute("SELECT name, tbl_name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
        for name, _, _ in triggers:
            connection.execute(f"DROP TRIGGER {name}")
        for statement in statements:
            connection.execute(statement)
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        for _, table, sql in triggers:
            if table in tables:
                connection.execute(sql)


def rows(path):
    """What is stored."""
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute("SELECT level, idx, hash FROM tile ORDER BY level, idx").fetchall()


def leaves_of(path):
    """All leaf hashes."""
    with closing(sqlite3.connect(path)) as connection:
        return [leaf for (leaf,) in connection.execute("SELECT leaf FROM entry ORDER BY idx")]


def problems(path):
    """What the verifier says of the tiles."""
    report = verify(f"sqlite:///{path}")
    assert report.ok or report.exit_code == 2
    return [one.what for one in report.problems]


def test_each_full_tile_is_stored_by_the_commit_that_fills_it(path):
    """However entries fall into groups; the verifier makes each again."""
    leaves = leaves_of(path)
    whole = roots_of_full_tiles(0, leaves[: len(leaves) // WIDTH * WIDTH])
    assert rows(path) == [(1, index, root) for index, root in enumerate(whole)]
    report = verify(f"sqlite:///{path}")
    assert (report.ok, report.checked["tiles"]) == (True, len(whole))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 900), min_size=1, max_size=6))
def test_any_grouping_gives_the_same_rows(groups):
    """Also groups that fill several tiles, as filling in an older ledger does."""
    leaves = [merkle.leaf_hash(str(number).encode()) for number in range(sum(groups))]
    engine = create_engine("sqlite://")
    with engine.begin() as connection:
        metadata.tables["tile"].create(connection)
        peaks, size = [], 0
        for count in groups:
            part = leaves[size : size + count]
            grown = add_tiles(connection, peaks, size, part)
            peaks, size = merkle.extend(peaks, size, part)
            assert grown == (peaks, size)
        found = connection.execute(select(metadata.tables["tile"].c.hash)).scalars().all()
    engine.dispose()
    assert found == roots_of_full_tiles(0, leaves[: len(leaves) // WIDTH * WIDTH])


def test_levels_above_the_first_are_filled_too():
    """At the 65,536th leaf, from the stored rows of the level below."""
    tile, last = metadata.tables["tile"], WIDTH * WIDTH - 1
    below = [merkle.leaf_hash(str(number).encode()) for number in range(WIDTH)]
    engine = create_engine("sqlite://")
    with engine.begin() as connection:
        tile.create(connection)
        rows = [{"level": 1, "idx": index, "hash": one} for index, one in enumerate(below[:-1])]
        connection.execute(insert(tile), rows)
        leaves = [merkle.leaf_hash(str(number).encode()) for number in range(WIDTH)]
        peaks, size = merkle.extend((), 0, leaves[:-1])
        assert last - size == last - WIDTH + 1
        # A frontier's last peaks are those over the unfinished tile, whatever lies before them.
        add_tiles(connection, [bytes(32)] * 8 + peaks, last, [leaves[-1]])
        found = connection.execute(select(tile.c.hash).where(tile.c.level == 2)).scalars().all()
        assert found == [merkle.tree_root([*below[:-1], merkle.tree_root(leaves)])]
        with pytest.raises(LedgerError, match="255 hashes of tile 1 of level 1 are missing"):
            add_tiles(connection, peaks, 2 * last + 1, [leaves[-1]])
    engine.dispose()


def test_proofs_are_those_over_all_leaves_and_read_few_rows(path):
    """For inclusion and for consistency: the entry's own tile, one hash for each other tile, and the unfinished end."""
    leaves = leaves_of(path)
    with reader_engine(path).connect() as connection:
        tree = Tree(Leaves(connection))
        for index in (0, 1, WIDTH - 1, WIDTH, COUNT):
            assert tree.inclusion(index, len(leaves)) == merkle.inclusion_proof(leaves, index)
        for old in (1, 255, 256, 511, 512, 513, len(leaves)):
            assert tree.consistency(old, len(leaves)) == merkle.consistency_proof(leaves, old)


def test_ledgers_of_before_do_without_and_are_filled_when_opened_for_writing(path):
    """Proofs are made either way; nothing else changes."""
    url, kept = f"sqlite:///{path}", rows(path)
    change(path, "DROP TABLE tile", "DROP TABLE schema_version")
    before = verify(url)
    assert (before.ok, "tiles" in before.checked) == (True, False)
    key = SigningKey.make("test")
    note = Notary(reader_engine(path), path, key).sign()
    old = prove(url, 300, note)
    open_ledger(url).close()
    assert rows(path) == kept
    assert str(prove(url, 300, note)) == str(old)
    assert (verify(url).ok, verify(url).root) == (True, before.root)


def test_an_older_ledger_with_a_hole_is_not_built_upon(path):
    """Filling in would give hashes of another tree."""
    change(path, "DROP TABLE tile", "DROP TABLE schema_version", "DELETE FROM entry WHERE idx = 20")
    with pytest.raises(LedgerError, match="entries 0 to 511 are not all there"):
        open_ledger(f"sqlite:///{path}")


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE tile SET hash = zeroblob(32) WHERE idx = 1",
        "UPDATE tile SET hash = hex(zeroblob(16)) WHERE idx = 0",
        "DELETE FROM tile WHERE idx = 1",
        "UPDATE tile SET idx = 7 WHERE idx = 1",
        "UPDATE tile SET level = 2 WHERE idx = 0",
        "INSERT INTO tile VALUES (1, 2, zeroblob(32))",
        "INSERT INTO tile VALUES (0, 0, zeroblob(32))",
        "INSERT INTO tile VALUES (3, 0, zeroblob(32))",
    ],
)
def test_a_changed_missing_or_added_hash_is_noticed(path, statement):
    """By name, with the entries that it is over."""
    change(path, statement)
    assert set(problems(path)) == {"tile"}


def test_every_flipped_byte_of_every_hash_is_noticed(path):
    """One at a time."""
    for level, idx, hash_ in rows(path):
        for place in range(len(hash_)):
            flipped = bytearray(hash_)
            flipped[place] ^= 1 << (place % 8)
            change(path, f"UPDATE tile SET hash = x'{flipped.hex()}' WHERE level = {level} AND idx = {idx}")
            if place % 8 == 0:
                assert problems(path) == ["tile"]
        change(path, f"UPDATE tile SET hash = x'{hash_.hex()}' WHERE level = {level} AND idx = {idx}")
    assert problems(path) == []


def test_no_proof_is_right_because_a_stored_hash_says_so(path):
    """With a false one, the root is not the signed one, and no proof is made."""
    url = f"sqlite:///{path}"
    note = Notary(reader_engine(path), path, SigningKey.make("test")).sign()
    change(path, "UPDATE tile SET hash = zeroblob(32) WHERE idx = 1")
    with pytest.raises(LedgerError, match="another root than the checkpoint"):
        prove(url, 5, note)
    change(path, "DELETE FROM tile WHERE idx = 1")
    with pytest.raises(LedgerError, match="are not all there"):
        prove(url, 5, note)


def test_rows_cannot_be_changed_by_mistake(path):
    """Triggers refuse."""
    with closing(sqlite3.connect(path)) as connection:
        for statement in ("UPDATE tile SET idx = idx", "DELETE FROM tile"):
            with pytest.raises(sqlite3.IntegrityError, match="tile rows cannot be changed"):
                connection.execute(statement)
