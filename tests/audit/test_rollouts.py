"""Steps of policies' rollouts as entries of the ledger: recorded, found again, verified; and the document before the step."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import pytest
from ledger_examples import DOCUMENT, REVISION, decision, verdict

from audit import canonical, merkle
from audit.body import POLICY_ROLLOUT, rollout_body, rollout_from
from audit.ledger import open_ledger
from audit.query import query, show
from audit.rollouts import documents, last_revision, rollouts
from audit.verify import verify
from guard.errors import LedgerError
from guard.types import Action, Rollout, Shadow, Step

TIME = datetime(2026, 11, 27, 9, 30, tzinfo=UTC)
NEXT = DOCUMENT.replace("threat", "threats")
NEXT_REVISION = sha256(NEXT.encode()).hexdigest()
STEP = Rollout("enterprise", 4, REVISION, Step.ACTIVATE, "ann", "The first.", TIME)
FULL = Rollout(
    "enterprise", 5, NEXT_REVISION, Step.APPROVE, "ann", "Looser threats.", TIME, 10, "tenants", "bob", REVISION, "a\n\n— x y\n"
)


@pytest.mark.parametrize("rollout", [STEP, FULL, replace(STEP, step=Step.CANARY, share=1, by="requests")])
def test_a_step_comes_back_from_its_canonical_bytes(rollout):
    """All of it; and what a step does not have is not written."""
    body = canonical.loads(canonical.dumps(rollout_body(rollout)))
    assert rollout_from(body) == rollout
    assert ("share" in body, "signature" in body) == (bool(rollout.share), bool(rollout.signature))


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": "decision"}, {"schema": 2}, {"revision": "0" * 63}, {"revision": 7}, {"previous": "x"}, {"step": "deploy"},
        {"author": ""}, {"author": 1}, {"policy": ""}, {"version": -1}, {"version": True}, {"time": "yesterday"}, {"share": 5},
        {"share": 0}, {"by": "requests"}, {"approver": "bob"}, {"step": "approve"}, {"step": "approve", "approver": " ANN"},
        {"step": "canary", "by": "requests"}, {"step": "canary", "share": 100, "by": "requests"}, {"more": 1},
        {"step": "canary", "share": 10}, {"step": "canary", "share": 10, "by": "moons"}, {"step": "shadow", "share": 10},
        {"step": "canary", "share": True, "by": "requests"}, {"signature": ["x"]},
    ],
)  # fmt: skip
def test_a_step_that_cannot_be_is_refused(wrong):
    """By readers and by the verifier."""
    body = rollout_body(STEP) | wrong
    if wrong == {"share": 0}:
        assert rollout_from(body) == STEP
        return
    with pytest.raises(LedgerError, match="rollout"):
        rollout_from(body)


def test_a_step_is_an_entry_that_is_found_and_verified(ledger, url):
    """By its policy, its step, its actor; decisions stay apart."""
    ledger.append_sync(decision())
    first = ledger.roll_out_sync(STEP)
    asyncio.run(ledger.activate("enterprise", 5, NEXT_REVISION, NEXT))
    second = asyncio.run(ledger.roll_out(FULL))
    assert [(row.idx, row.step, row.policy, row.version, row.actor) for row in query(url, "rollout:enterprise").rows] == [
        (second, "approve", "enterprise", 5, "bob"), (first, "activate", "enterprise", 4, "ann"),
    ]  # fmt: skip
    assert [row.idx for row in query(url, "step:approve actor:bob").rows] == [second]
    assert list(query(url, "rollout:other").rows) == []
    assert [row.step for row in query(url).rows] == [""]
    shown = show(url, second)
    assert (shown.rollout, shown.decision, shown.document) == (FULL, None, NEXT)
    report = verify(url)
    assert report.ok, report.problems
    assert report.checked["rollouts"] == 2


def test_readers_follow_what_is_new(ledger, url):
    """From an index on, across policies, in order; with documents, and with what judged last."""
    assert rollouts(url) == []
    assert last_revision(url, "enterprise") == ""
    ledger.append_sync(decision())
    first = ledger.roll_out_sync(STEP)
    with open_ledger(url) as other:
        second = other.roll_out_sync(replace(STEP, step=Step.RETIRE))
    assert [index for index, _ in rollouts(url)] == [first, second]
    assert rollouts(url, after=first) == [(second, replace(STEP, step=Step.RETIRE))]
    assert rollouts(url, after=second) == []
    assert documents(url, [REVISION, "0" * 64]) == {REVISION: DOCUMENT}
    assert (last_revision(url, "enterprise"), last_revision(url, "other")) == (REVISION, "")


@pytest.mark.parametrize(
    ("rollout", "says"),
    [
        (replace(STEP, revision="0" * 64), "no policy document of revision 000"),
        (replace(STEP, policy="other"), "is 'enterprise' version 4"),
        (replace(STEP, version=5), "is 'enterprise' version 4"),
        (replace(STEP, previous="1" * 64), "not in the ledger"),
        (replace(STEP, share=3), "cannot be: expected a share"),
    ],
)
def test_a_step_with_a_revision_that_is_not_there_is_refused(ledger, rollout, says):
    """Nothing is recorded; the same of another policy's revision, and of impossible values."""
    size = ledger.size
    with pytest.raises(LedgerError, match=says):
        ledger.roll_out_sync(rollout)
    assert ledger.size == size


def test_document_and_step_may_come_in_one_commit(url):
    """The document first."""

    async def both() -> list[object]:
        with open_ledger(url) as opened:
            await opened.activate("enterprise", 4, REVISION, DOCUMENT)
            calls = (opened.activate("enterprise", 5, NEXT_REVISION, NEXT), opened.roll_out(replace(FULL, approver="eve")))
            return await asyncio.gather(*calls)

    assert asyncio.run(both())[1] == 3
    assert verify(url).ok


def tampered(path: Path, index: int, body: bytes) -> None:
    """Another body, with the leaf that fits it."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("DROP TRIGGER entry_no_update")
        connection.execute("UPDATE entry SET body = ?, leaf = ? WHERE idx = ?", (body, merkle.leaf_hash(body), index))
        connection.commit()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"share": 7}, "impossible values"),
        ({"revision": "0" * 64}, "no document of policy revision 000"),
        ({"previous": "0" * 64}, "no document of policy revision 000"),
        ({"policy": "other"}, "revision"),
        ({"version": 9}, "revision"),
    ],
)
def test_a_body_that_was_made_up_is_noticed(ledger, url, path, change, says):
    """Even with a leaf that fits: impossible values, and revisions that are not there or another policy's."""
    index = ledger.roll_out_sync(STEP)
    ledger.close()
    tampered(path, index, canonical.dumps(rollout_body(STEP) | change))
    assert any(problem.idx == index and says in problem.found for problem in verify(url).problems)


@pytest.mark.parametrize(
    ("statement", "what"),
    [
        ("UPDATE entry SET actor = 'bob' WHERE kind = 'policy_rollout'", "column"),
        ("UPDATE term SET value = 'other' WHERE name = 'rollout'", "term"),
        ("DELETE FROM term WHERE name = 'rollout'", "term"),
        ("DELETE FROM term WHERE name = 'step'", "term"),
    ],
)
def test_a_changed_projection_is_noticed(ledger, url, path, statement, what):
    """A step that services no longer find is a step that the verifier misses."""
    index = ledger.roll_out_sync(STEP)
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


def test_shadows_are_found_by_what_they_would_have_done(ledger, url):
    """And their documents have to be in the ledger too."""
    made = decision()
    ledger.activate_sync("enterprise", 5, NEXT_REVISION, NEXT)
    blocked = replace(verdict(Action.BLOCK), revision=NEXT_REVISION, version=5)
    ledger.append_sync(replace(made, shadows=(Shadow(blocked, made.results),)))
    ledger.append_sync(decision(number=1))
    (row,) = query(url, "shadow:block").rows
    assert (row.action, row.shadows) == ("redact", ("block",))
    assert len(query(url, "-shadow:block").rows) == 1
    assert show(url, row.idx).shadow_documents == {NEXT_REVISION: NEXT}
    assert verify(url).ok
    ledger.append_sync(replace(decision(number=2), shadows=(Shadow(replace(blocked, revision="0" * 64), made.results),)))
    assert [problem.what for problem in verify(url).problems] == ["policy"]


def test_a_kill_between_document_and_step_leaves_a_sound_ledger(url):
    """The document alone puts nothing in force; the step is taken again and needs no second document."""
    script = (
        "import sys, time; from audit.ledger import open_ledger; from ledger_examples import DOCUMENT, REVISION\n"
        "ledger = open_ledger(sys.argv[1]); ledger.activate_sync('enterprise', 4, REVISION, DOCUMENT)\n"
        "print('there', flush=True); time.sleep(60)"
    )
    here = Path(__file__).parent
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(here.parents[1]), str(here)])}
    process = subprocess.Popen([sys.executable, "-c", script, url], stdout=subprocess.PIPE, env=environment)
    assert process.stdout is not None
    assert process.stdout.readline() == b"there\n"
    time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert rollouts(url) == []
    with open_ledger(url) as opened:
        size = opened.size
        opened.activate_sync("enterprise", 4, REVISION, DOCUMENT)
        assert opened.roll_out_sync(STEP) == size
    report = verify(url)
    assert report.ok, report.problems
    assert report.checked["policies"] == 1


def test_the_kind_has_its_name():
    """Other programs read it."""
    assert POLICY_ROLLOUT == "policy_rollout"
