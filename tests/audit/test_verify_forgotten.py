"""The verifier on a ledger of which much was forgotten: whatever else is changed, it notices as before."""

from __future__ import annotations

import random
import sqlite3
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from ledger_examples import DOCUMENT, REVISION, decision, picture
from test_verify import changed, check, flips, restore, tamper

from audit.erasure import erase
from audit.holds import set_hold
from audit.keys import default_key_file
from audit.ledger import open_ledger
from audit.retention import prune
from audit.rotation import rotate_key
from guard.types import Action

NOW = datetime(2026, 11, 27, tzinfo=UTC)


@pytest.fixture(scope="module")
def forgotten(tmp_path_factory):
    """Five old decisions of which a hold keeps one, two of an erased subject, two of others; a rotated key."""
    path = tmp_path_factory.mktemp("forgotten") / "ledger.db"
    with open_ledger(f"sqlite:///{path}") as opened:
        opened.activate_sync("enterprise", 4, REVISION, DOCUMENT)
        for number in range(9):
            time = NOW + timedelta(days=730 if number < 5 else 1095)
            made = picture if number in {3, 8} else decision
            subject = "person-7" if number in {5, 6} else "another"
            action = {} if number in {3, 8} else {"action": Action.REDACT}
            opened.append_sync(made(number=number, subject=subject, time=time, **action))
        set_hold(opened, "request:req-2", actor="eve", reason="case 12")
        erase(opened, "person-7", actor="ann", reason="asked for")
        prune(opened, 365, actor="ann", now=NOW + timedelta(days=1096))
        rotate_key(opened, actor="ann")
    return path


@pytest.mark.parametrize("each", [4, pytest.param(10**6, marks=pytest.mark.slow)])
def test_a_change_in_any_cell_is_noticed(forgotten, tmp_path, each):
    """Every column of every table, also of entries that were emptied. `each`: cells a column."""
    copy = tmp_path / "ledger.db"
    pristine = forgotten.read_bytes()
    restore(copy, pristine)
    default_key_file(copy).write_bytes(default_key_file(forgotten).read_bytes())
    report = check(copy)
    assert (report.exit_code, report.checked["pruned"], len(report.gaps)) == (3, 4, 2)
    chance = random.Random(4)
    cells = list(flips(copy))
    chance.shuffle(cells)
    seen: Counter[tuple[str, str]] = Counter()
    for table, where, column, value in cells:
        seen[table, column] += 1
        if seen[table, column] > each:
            continue
        condition = " AND ".join(f"{key} = :{key}" for key in where)
        statement = f"UPDATE {table} SET {column} = :new WHERE {condition}"
        try:
            tamper(copy, statement, parameters={**where, "new": changed(value, chance)})
        except sqlite3.IntegrityError:
            continue  # a unique key already refuses it
        assert check(copy).exit_code == 2, (table, where, column)
        restore(copy, pristine)


def test_any_row_that_is_deleted_is_noticed(forgotten, tmp_path):
    """Of entries, terms, payloads and keys; fingerprints may go at any time."""
    copy = tmp_path / "ledger.db"
    pristine = forgotten.read_bytes()
    restore(copy, pristine)
    default_key_file(copy).write_bytes(default_key_file(forgotten).read_bytes())
    wheres = {(table, *where.items()): (table, where) for table, where, _, _ in flips(copy)}
    for table, where in wheres.values():
        if table == "fingerprint":
            continue
        condition = " AND ".join(f"{key} = :{key}" for key in where)
        tamper(copy, f"DELETE FROM {table} WHERE {condition}", parameters=where)
        assert check(copy).exit_code == 2, (table, where)
        restore(copy, pristine)
