"""Changes of banks as entries of the ledger: recorded once, found again, verified; and the outbox that holds them back."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from ledger_examples import decision

from audit import canonical, merkle
from audit.body import BANK_CHANGE, bank_change_body, bank_change_from, decision_body, decision_from
from audit.ledger import open_ledger
from audit.query import query, show
from audit.verify import verify
from guard.errors import LedgerError
from guard.matching.bank import Bank
from guard.matching.outbox import record, unrecorded
from guard.types import Action, BankChange, CheckResult, Finding, Match, Region, Span, Status
from tests.matching.works import hashed, many

CHANGE = BankChange(
    "mine", "protected", "0" * 64, "1" * 64, 3, 1, ("a", "b", "c", "d"), "ann", "works.csv", datetime(2026, 11, 1, tzinfo=UTC)
)
TIME = datetime(2026, 11, 2, tzinfo=UTC)


def test_a_change_comes_back_from_its_canonical_bytes():
    """All of it."""
    assert bank_change_from(canonical.loads(canonical.dumps(bank_change_body(CHANGE, TIME)))) == CHANGE


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": "decision"}, {"schema": 2}, {"from": "0" * 63}, {"to": 7}, {"added": -1}, {"added": True}, {"retired": "1"},
        {"works": [1]}, {"works": None}, {"bank": 1}, {"changed": "yesterday"},
    ],
)  # fmt: skip
def test_a_change_that_cannot_be_is_refused(wrong):
    """By readers and by the verifier."""
    with pytest.raises(LedgerError, match="bank's change"):
        bank_change_from(bank_change_body(CHANGE, TIME) | wrong)


def test_a_change_is_an_entry_that_is_found_and_verified(ledger, url):
    """By its bank, by its actor; decisions stay apart."""
    ledger.append_sync(decision())
    ledger.register_sync(CHANGE)
    asyncio.run(ledger.register(replace(CHANGE, bank="other", after="2" * 64)))
    page = query(url, "bank:mine")
    assert [(row.kind, row.actor, row.banks) for row in page.rows] == [("bank_change", "ann", ("mine",))]
    assert {("mine",), ("other",)} == {row.banks for row in query(url, "kind:bank_change").rows}
    assert [row.banks for row in query(url).rows] == [()]
    assert list(query(url, "kind:decision bank:mine").rows) == []
    shown = show(url, page.rows[0].idx)
    assert shown.bank_change == CHANGE
    assert shown.decision is None
    report = verify(url)
    assert report.ok, report.problems
    assert report.checked["bank_changes"] == 2


def test_a_change_is_recorded_once(ledger, url):
    """By the digest that it led to: whoever was interrupted between bank and ledger records it again."""
    size = ledger.size
    ledger.register_sync(CHANGE)
    ledger.register_sync(CHANGE)
    with open_ledger(url) as other:
        other.register_sync(replace(CHANGE, actor="bob"))
    assert size + 1 == ledger.size


@pytest.mark.parametrize(
    ("statement", "what"),
    [
        ("UPDATE entry SET actor = 'bob' WHERE kind = 'bank_change'", "column"),
        ("UPDATE term SET value = 'other' WHERE name = 'bank'", "term"),
        ("DELETE FROM term WHERE name = 'bank_digest'", "term"),
    ],
)
def test_a_changed_projection_is_noticed(ledger, url, path, statement, what):
    """Columns and terms follow from the body."""
    ledger.register_sync(CHANGE)
    index = ledger.size - 1
    ledger.close()
    with closing(sqlite3.connect(path)) as connection:
        triggers = connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
        for name, _ in triggers:
            connection.execute(f"DROP TRIGGER {name}")
        connection.execute(statement)
        for _, sql in triggers:
            connection.execute(sql)
        connection.commit()
    assert (index, what) in {(problem.idx, problem.what) for problem in verify(url).problems}


def test_a_body_that_was_made_up_is_noticed(ledger, url, path):
    """Even with a leaf that fits: the values cannot be."""
    ledger.register_sync(CHANGE)
    index = ledger.size - 1
    ledger.close()
    body = canonical.dumps(bank_change_body(CHANGE, TIME) | {"added": -5})
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("DROP TRIGGER entry_no_update")
        connection.execute("UPDATE entry SET body = ?, leaf = ? WHERE idx = ?", (body, merkle.leaf_hash(body), index))
        connection.commit()
    assert any(problem.idx == index and "impossible values" in problem.found for problem in verify(url).problems)


# --- the outbox --------------------------------------------------------------------------------------------------------


@pytest.fixture
def bank(tmp_path: Path) -> Bank:
    return Bank.open(tmp_path / "banks" / "mine", kind="protected")


def test_commands_are_recorded_one_by_one(bank, ledger, url):
    """Batches of one command are one entry, whatever their number; digests join them."""
    for start in range(0, 30, 10):
        bank.add(many(10, start), actor="ann", source="list.csv")
    bank.retire(["w3", "w4"], actor="bob")
    assert record(bank, ledger.register_sync) == 2
    assert record(bank, ledger.register_sync) == 0
    later, first = (show(url, row.idx).bank_change for row in query(url, "bank:mine").rows)
    assert (first.actor, first.source, first.added, first.retired) == ("ann", "list.csv", 30, 0)
    assert tuple(f"w{number}" for number in range(20)) == first.works
    assert (later.actor, later.source, later.added, later.retired, later.works) == ("bob", "retire", 0, 2, ("w3", "w4"))
    assert first.after == later.before
    assert bank.digest == later.after
    assert verify(url).ok


def test_a_crash_between_bank_and_ledger_loses_nothing(bank, ledger, url):
    """Neither before the ledger has it, nor before the bank knows that."""

    class CrashError(Exception):
        pass

    def crash(_change: BankChange) -> None:
        raise CrashError

    bank.add([hashed("a")], actor="ann")
    with pytest.raises(CrashError):
        record(bank, crash)
    ((_, change),) = unrecorded(bank)
    ledger.register_sync(change)  # and here the process died
    bank.add([hashed("b", 1)], actor="bob")
    assert record(Bank.open(bank.folder), ledger.register_sync) == 2
    assert [show(url, row.idx).bank_change.works for row in query(url, "bank:mine").rows] == [("b",), ("a",)]
    assert list(unrecorded(bank)) == []


# --- decisions that name works ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "match",
    [
        Match("mine", "a", "A", "pdq", 12, 31),
        Match("mine", "a", "A", "pdq", 12, 31, "3e-09", "mirrored, turned by 90 degrees", Region(1, 2, 30, 40)),
        Match("mine", "a", "A", "passages", 0, 0, source=Span(5, 205)),
        Match("mine", "a", "A", "pdq", 12, 31, chance="1e-12"),
    ],
)
def test_what_is_known_of_a_match_comes_back(match):
    """And what is not known is left out, so that bodies look as they did before it could be."""
    finding = Finding("intellectual_property", "matched", 950, Region(0, 0, 9, 9), match, "pdq distance 12")
    result = CheckResult("works", "image_match", "2", "ab" * 32, Status.OK, (finding,), Region(0, 0, 9, 9))
    made = replace(decision(Action.BLOCK), content=None, released=None, results=(result,))
    body = canonical.loads(canonical.dumps(decision_body(made, {})))
    assert made == decision_from(body)
    written = body["results"][0]["findings"][0]["match"]
    optional = {"chance": match.chance, "transform": match.transform, "source": match.source}
    assert {name for name, value in optional.items() if value} == set(written) - {
        "bank", "work", "title", "method", "distance", "limit",
    }  # fmt: skip


def test_the_kind_has_its_name():
    """Other programs read it."""
    assert BANK_CHANGE == "bank_change"
