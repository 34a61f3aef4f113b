"""audit.retention: what is old goes, the log, its proofs and what a hold covers stay."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta

import pytest
from ledger_examples import DOCUMENT, SECRET, decision, picture
from test_erasure import files, rows, secrets_of

from audit import retention
from audit.checkpoint import Checkpoint
from audit.erasure import erase
from audit.events import FEEDBACK, Event
from audit.grammar import QueryError
from audit.holds import lift_hold, set_hold
from audit.log_key import need_log_key
from audit.proof import Proof
from audit.prove import prove
from audit.query import identity, policy_document, query, show
from audit.retention import FLOOR_DAYS, plan, prune
from audit.verify import verify
from guard.errors import InputError
from guard.types import Action

NOW = datetime(2026, 11, 27, tzinfo=UTC)


@pytest.fixture
def old(ledger, path, monkeypatch):
    """A ledger with eight decisions a year old (one an image) and two new ones; the entries before are of that time, too."""
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT count(*) FROM entry").fetchone() == (2,)
    for number in range(10):
        time = NOW + timedelta(days=730 if number < 8 else 1095)
        made = picture(number, time=time) if number == 3 else decision(Action.REDACT, number=number, time=time)
        ledger.append_sync(made)
    return ledger


LATER = NOW + timedelta(days=1096)
"""When the eight are a year old, and the two a day."""


def test_what_is_old_goes_and_every_proof_still_verifies(old, path, url):
    """Bodies, columns, terms, payloads, fingerprints; searched for byte by byte. Only the hash is left."""
    about = query(url, after=1, limit=1).rows[0].decision
    old.record_sync(Event(FEEDBACK, "desk", {"code": "wrong_block"}, about, time=NOW + timedelta(days=731)))
    key = need_log_key(path, identity(url))
    note = str(Checkpoint(key.name, old.size, bytes.fromhex(verify(url).root)).signed(key))
    proofs = [prove(url, idx, note) for idx in range(old.size)]
    bodies = [body for (body,) in rows(path, "SELECT body FROM entry WHERE idx BETWEEN 2 AND 9")]
    sealed = rows(path, "SELECT ciphertext FROM payload WHERE idx < 10")
    planned = plan(old, 365, now=LATER)
    pruned = prune(old, 365, actor="ann", now=LATER)
    assert (planned.below, planned.bodies, planned.payloads) == (10, 8, 15)
    assert (pruned.below, pruned.bodies, pruned.payloads, pruned.fingerprints, pruned.keys) == (10, 8, 15, 1, 0)
    assert (pruned.entries, pruned.held, pruned.trouble) == ((13,), {}, "")
    after = files(path)
    for piece in (*(body[60:200] for body in bodies), *(one[:40] for (one,) in sealed)):
        assert not any(piece in data for data in after.values())
    assert all(proof.verify([key.public]).size == 13 for proof in map(Proof.parse, map(str, proofs)))
    report = verify(url)
    assert (report.ok, report.exit_code, report.checked["pruned"]) == (True, 3, 8)
    assert str(report.gaps[0]) == "8 bodies by entry 13 (retention_prune: older than 365 days)"
    with pytest.raises(QueryError, match="dropped at its age"):
        show(url, 4)
    assert [row.idx for row in query(url).rows] == [11, 10]
    assert show(url, 12).event.about == about
    assert policy_document(url, show(url, 1).body["revision"]) == DOCUMENT
    assert SECRET in show(url, 11, reveal=True).payloads[0].data.decode()
    assert prune(old, 365, actor="ann", now=LATER).entries == (), "nothing is left to drop"


def test_a_hold_keeps_what_it_covers_and_keys_go_with_their_last_payload(old, path, url, monkeypatch):
    """In runs of three entries; lifted later, the rest goes too."""
    monkeypatch.setattr(retention, "RUN", 3)
    hold = set_hold(old, "request:req-4", actor="eve", reason="case 12")
    gone = secrets_of(path, "subject-9")
    pruned = prune(old, 365, actor="ann", reason="yearly", now=LATER)
    assert (pruned.bodies, pruned.held, len(pruned.entries)) == (7, {hold.id: 1}, 4)
    assert [row.idx for row in query(url).rows] == [11, 10, 6]
    assert verify(url).exit_code == 3
    lift_hold(old, hold.id, actor="eve", reason="over")
    assert prune(old, 365, actor="ann", now=LATER).bodies == 1
    last = prune(old, 365, actor="ann", now=LATER + timedelta(days=365))
    assert (last.bodies, last.keys) == (2, 1)
    assert not any(secret in data for data in files(path).values() for secret in gone)
    assert old.append_sync(decision(number=99)).index == old.size - 1
    report = verify(url)
    assert (report.exit_code, sum(gap.bodies for gap in report.gaps)) == (3, 10)


def test_erasures_and_retention_explain_side_by_side(old, url):
    """Whatever came first."""
    erase(old, "subject-9", actor="ann", reason="asked for")
    assert prune(old, 365, actor="ann", now=LATER).payloads == 0
    report = verify(url)
    assert (report.exit_code, [(gap.payloads, gap.bodies) for gap in report.gaps]) == (3, [(4, 0), (0, 8)])


@pytest.mark.parametrize("days", [0, 30, FLOOR_DAYS - 1])
def test_less_than_six_months_is_refused(old, days):
    """Planned or done."""
    for doing in (plan, lambda *given: prune(*given, actor="ann")):
        with pytest.raises(InputError, match="expected 183 or more"):
            doing(old, days)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE entry SET body = NULL WHERE idx = 11",
        "UPDATE entry SET tenant = 'x' WHERE idx = 4",
        "UPDATE entry SET time = '2026' WHERE idx = 4",
        "UPDATE entry SET leaf = randomblob(32) WHERE idx = 4",
        "INSERT INTO term VALUES (4, 'rule', 'x')",
        "INSERT INTO payload SELECT 4, part, key, nonce, wrapped, ciphertext FROM payload WHERE idx = 11",
        "INSERT INTO fingerprint VALUES (4, 'x', 'y', x'00')",
        "UPDATE entry SET body = NULL, kind = 'pruned', time = '' WHERE idx = 1",
        "DELETE FROM payload WHERE idx = 10",
        "DELETE FROM payload WHERE idx = 9",
    ],
)
def test_what_retention_does_not_explain_is_a_finding(old, path, url, statement):
    """A body of later, a column or a row of what was dropped, content of what a hold kept."""
    set_hold(old, "request:req-7", actor="eve", reason="case 12")
    prune(old, 365, actor="ann", now=LATER)
    assert (verify(url).exit_code, show(url, 9).idx) == (3, 9)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        triggers = connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
        for name, _ in triggers:
            connection.execute(f"DROP TRIGGER {name}")
        connection.execute(statement)
        for _, sql in triggers:
            connection.execute(sql)
    assert verify(url).exit_code == 2
