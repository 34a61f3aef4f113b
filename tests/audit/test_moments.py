"""Stored times: they are those of the entries, searches leave out what they say, and no change of one goes unnoticed."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from ledger_examples import DOCUMENT, REVISION, decision
from sqlalchemy import text

from audit import moments
from audit.events import HOLD, Event
from audit.export.selection import Selection
from audit.grammar import parse
from audit.ledger import open_ledger
from audit.models import FORBIDDEN
from audit.moments import windows
from audit.query import query, reading
from audit.retention import prune
from audit.stores import open_store
from audit.verifier import moments as checked
from audit.verify import verify
from guard.errors import LedgerError

START = datetime(2026, 11, 20, tzinfo=UTC)
SPAN = 256
"""Entries of a row in these tests: the verifier's chunk."""
COUNT = 4 * SPAN + 100


def moment(number: int) -> datetime:
    """Nearly in order, as of several processes; one clock was a year behind."""
    return START + timedelta(minutes=12 * number, seconds=-997 * (number % 5), days=-365 * (number == SPAN + 7))


async def _fill(opened, count):
    events = [
        Event(HOLD, "ann", {"step": "set", "hold": f"case-{number}", "query": "x"}, reason="r", time=moment(number))
        for number in range(count)
    ]
    await asyncio.gather(*(opened.record(event) for event in events))


def spanned(patch: pytest.MonkeyPatch, entries: int) -> None:
    """Let a span be of so many entries, for the writer, for queries and for the verifier."""
    for module in (moments, checked):
        patch.setattr(module, "SPAN", entries)


@pytest.fixture(autouse=True)
def _smaller(monkeypatch):
    spanned(monkeypatch, SPAN)


@pytest.fixture(scope="module")
def large(shared_url):
    """A ledger of two full spans and some entries more; tests leave it as it was."""
    with pytest.MonkeyPatch.context() as patch, open_ledger(shared_url) as opened:
        spanned(patch, SPAN)
        asyncio.run(_fill(opened, COUNT))
    return shared_url


def run(url, *statements):
    """Run statements past the triggers, which are there again afterwards."""
    store = open_store(url)
    names = [f"{table}_no_{verb.lower()}" for table, verb in FORBIDDEN]
    with store.writer(5000).connect() as connection, connection.begin():
        store.drop_triggers(connection, names)
        for statement in statements:
            connection.execute(text(statement))
        store.make_triggers(connection, names)


def rows(url):
    """What is stored."""
    with reading(url) as connection:
        return [tuple(row) for row in connection.execute(text("SELECT idx, earliest, latest FROM moment ORDER BY idx"))]


def naive(url, span=SPAN):
    """What should be."""
    with reading(url) as connection:
        times = list(connection.execute(text("SELECT time FROM entry ORDER BY idx")).scalars())
    parts = [times[start : start + span] for start in range(0, len(times) // span * span, span)]
    return [(number, min(part), max(part)) for number, part in enumerate(parts)]


def test_the_commit_that_fills_a_span_stores_its_times(large):
    """However entries fall into groups; the verifier makes each again."""
    assert rows(large) == naive(large)
    assert len(rows(large)) == 4
    report = verify(large)
    assert (report.ok, report.checked["moments"]) == (True, 4)


def test_several_processes_of_the_verifier_agree(large, monkeypatch):
    """They hand the times of their stretches over."""
    monkeypatch.setattr("audit.verify.MANY", 1)
    report = verify(large, jobs=2)
    assert (report.ok, report.checked["moments"], report.processes) == (True, 4, 2)


@pytest.mark.parametrize(
    ("broken", "mended"),
    [
        ("UPDATE moment SET earliest = '2020' WHERE idx = 0", None),
        ("UPDATE moment SET latest = '' WHERE idx = 1", None),
        ("DELETE FROM moment WHERE idx = 1", None),
        ("UPDATE moment SET idx = 7 WHERE idx = 1", "DELETE FROM moment WHERE idx = 7"),
        ("INSERT INTO moment VALUES (4, '2026', '2026')", "DELETE FROM moment WHERE idx = 4"),
    ],
)
def test_a_changed_missing_or_added_row_is_noticed(large, broken, mended):
    """By name, with the entries that it is of."""
    before = rows(large)
    run(large, broken)
    report = verify(large)
    values = ", ".join(f"({idx}, '{earliest}', '{latest}')" for idx, earliest, latest in before)
    run(large, *([mended] if mended else []), "DELETE FROM moment", f"INSERT INTO moment VALUES {values}")
    assert report.exit_code == 2
    assert {problem.what for problem in report.problems} == {"moment"}
    assert any("span" in problem.found or "entries" in problem.found for problem in report.problems)
    assert (rows(large), verify(large).ok) == (before, True)


@pytest.mark.parametrize("name", ["earliest", "latest"])
def test_every_flipped_character_is_noticed(large, name):
    """Of both times of a row."""
    whole = rows(large)[1][1 if name == "earliest" else 2]
    missed = []
    for place, letter in enumerate(whole):
        other = "8" if letter != "8" else "9"
        run(large, f"UPDATE moment SET {name} = '{whole[:place]}{other}{whole[place + 1 :]}' WHERE idx = 1")
        if place % 13 == 6 and {problem.what for problem in verify(large).problems} != {"moment"}:
            missed.append(place)
    run(large, f"UPDATE moment SET {name} = '{whole}' WHERE idx = 1")
    assert (missed, verify(large).ok) == ([], True)


def test_rows_cannot_be_changed_by_mistake(large):
    """Triggers refuse."""
    store = open_store(large)
    for statement in ("UPDATE moment SET idx = idx", "DELETE FROM moment"):
        with (
            pytest.raises(LedgerError, match="moment rows cannot be changed"),
            store.clear_errors("write"),
            store.writer(5000).connect() as connection,
            connection.begin(),
        ):
            connection.execute(text(statement))


def test_ledgers_of_before_do_without_and_are_filled_when_opened_for_writing(url, monkeypatch):
    """With spans of their true size; the same is found either way."""
    spanned(monkeypatch, 4096)
    with open_ledger(url) as opened:
        asyncio.run(_fill(opened, 4150))
    kept, asked = rows(url), "kind:hold until:2026-11-21"
    found = [row.idx for row in query(url, asked, limit=500).rows]
    assert (len(kept), len(found)) == (1, 245)
    with open_store(url).writer(5000).connect() as connection, connection.begin():
        connection.execute(text("DROP TABLE moment"))
        connection.execute(text("UPDATE schema_version SET version_num = '0005'"))
    assert [row.idx for row in query(url, asked, limit=500).rows] == found
    before = verify(url)
    assert (before.ok, "moments" in before.checked) == (True, False)
    open_ledger(url).close()
    assert rows(url) == kept == naive(url, 4096)
    after = verify(url)
    assert (after.ok, after.checked["moments"]) == (True, 1)


QUERIES = (
    "until:2026-11-21", "since:2026-11-22", "created:2026-11-21", "created:2026-11-20..2026-11-20,2026-11-25..2026-11-26",
    "created:2025-11-23", "created:2025", "created:..2026-11-19,2026-11-25", "since:2026-11-25T10:00 until:2026-11-25T11:00",
    "since:2030", "until:2020", "-created:2026-11-21", "created:2026-11-22 idx:300..", "created:2026-11-22 idx:..300",
)  # fmt: skip


@pytest.mark.parametrize("asked", QUERIES)
def test_times_find_what_a_look_at_every_entry_finds(large, asked):
    """From both ends, whether a span is left out or not; exports, too."""
    with reading(large) as connection:
        times = dict(map(tuple, connection.execute(text("SELECT idx, time FROM entry WHERE kind = 'hold'"))))
        exported = [idx for idx, _, _ in Selection(f"{asked} kind:hold").leaves(connection)]
    expected = [idx for idx, time in times.items() if _holds(asked, idx, time)]
    assert sorted(exported) == sorted(expected)
    newest = query(large, f"{asked} kind:hold", limit=30)
    assert [row.idx for row in newest.rows] == sorted(expected, reverse=True)[:30]
    oldest = query(large, f"{asked} kind:hold", limit=30, after=-1)
    assert [row.idx for row in oldest.rows] == sorted(sorted(expected)[:30], reverse=True)
    assert not newest.partial


def _holds(asked, idx, time) -> bool:
    for one in parse(asked):
        ends = [value.partition("..") for value in one.values]
        if one.key == "since":
            fits = time >= one.values[0]
        elif one.key == "until":
            fits = time < one.values[0]
        elif one.key == "created":
            fits = any(low <= time and (not high or time < high) for low, _, high in ends) != one.excluded
        else:
            fits = any(int(low or 0) <= idx <= int(high or idx) for low, _, high in ends)
        if not fits:
            return False
    return True


def left_out(url, asked):
    """Full spans that are not read. That of entry 0, whose time is that of the test, is never told of."""
    with reading(url) as connection:
        found = windows(connection, parse(asked), COUNT + 1)
    assert found is not None
    assert found[-1][1] == COUNT + 1
    return [span for span in range(1, 4) if not any(low < (span + 1) * SPAN and span * SPAN < high for low, high in found)]


def test_what_cannot_be_of_the_time_is_not_read(large):
    """A clock that was wrong costs its own span, not all between."""
    with reading(large) as connection:
        assert windows(connection, parse("action:block"), COUNT + 1) is None
        assert windows(connection, parse("-created:2026"), COUNT + 1) is None
    assert left_out(large, "since:2026-11-27") == [1, 2]
    assert left_out(large, "until:2026-11-20T10:00") == [2, 3]
    assert left_out(large, "created:2026-11-25") == [1, 3]
    assert left_out(large, "created:2026-11-20,2026-11-25") == [3]
    assert left_out(large, "created:2026-11-25 until:2026-11-20") == [1, 2, 3]


@pytest.mark.parametrize("span", [2, 7])
def test_retention_keeps_them_true(url, monkeypatch, span):
    """Entries that it emptied have no time."""
    spanned(monkeypatch, span)
    with open_ledger(url) as opened:
        opened.activate_sync("enterprise", 4, REVISION, DOCUMENT)
        for number in range(40):
            opened.append_sync(replace(decision(number=number), time=START + timedelta(days=number)))
        before = rows(url)
        assert before[-1][0] == 42 // span - 1
        done = prune(opened, 183, actor="ann", now=START + timedelta(days=183 + 20))
        assert done.bodies > 15
        assert rows(url)[: len(before)] == naive(url, span)[: len(before)] != before
        found = [row.idx for row in query(url, "until:2026-12-20").rows]
        assert found == list(range(32, done.bodies + 1, -1))


def test_a_hole_that_damage_left_is_searched(url, monkeypatch):
    """Where there is no row, nothing is left out."""
    spanned(monkeypatch, 5)
    with open_ledger(url) as opened:
        opened.activate_sync("enterprise", 4, REVISION, DOCUMENT)
        for number in range(38):
            opened.append_sync(replace(decision(number=number), time=START + timedelta(days=number)))
    run(url, "DELETE FROM moment WHERE idx = 3")
    with reading(url) as connection:
        assert windows(connection, parse("created:2026-11-22"), 40) == [(0, 5), (15, 20)]
    assert [row.idx for row in query(url, "created:2026-11-22").rows] == [4]
    assert [row.idx for row in query(url, "created:2026-12-06").rows] == [18]
