"""audit.events: what happens around decisions, as entries of one form."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from ledger_examples import decision
from sqlalchemy import text

from audit import canonical
from audit.events import ACCESS, ERASURE, FEEDBACK, KINDS, OVERRIDE, REVIEW, Event, event_body, event_from
from audit.query import query, show
from audit.verify import verify
from guard.errors import LedgerError, RefusedError
from guard.types import Action

ABOUT = "0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b"
EVENT = Event(
    REVIEW,
    "ann",
    {"step": "claim", "queue": "default", "round": 1},
    ABOUT,
    "mine",
    "acme",
    "person-7",
    datetime(2026, 11, 27, 22, tzinfo=UTC),
)


@pytest.mark.parametrize("event", [EVENT, Event(ACCESS, "bob", {"parts": ("original", "released"), "break_glass": True})])
def test_an_event_comes_back_from_its_canonical_bytes(event):
    """All of it; what is empty is left out."""
    body = canonical.loads(canonical.dumps(event_body(event)))
    assert event_from(body) == event
    assert "" not in body.values()


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"kind": "gossip"}, "expected one of review, appeal"),
        ({"actor": " "}, "expected an actor"),
        ({"about": ""}, "expected the id of the decision"),
        ({"about": "the first one"}, "expected the id of the decision"),
        ({"fields": {"steps": "claim"}}, "unknown field 'steps'"),
        ({"fields": {"round": "1"}}, "field 'round' is a str, expected int"),
        ({"fields": {"round": True}}, "field 'round' is a bool, expected int"),
        ({"fields": {"step": "x" * 10_001}}, "longer than 10000"),
        ({"reason": "x" * 10_001}, "at most 10000"),
        ({"kind": OVERRIDE, "fields": {}, "reason": ""}, "expected a reason"),
        ({"kind": ACCESS, "fields": {"parts": ("a", 1)}}, "holds what is no text"),
    ],
)
def test_an_event_that_cannot_be_is_refused(fields, words):
    """When it is made, and when a body says so."""
    with pytest.raises(LedgerError, match=words):
        replace(EVENT, **fields)


@pytest.mark.parametrize("more", [{"note": "x"}, {"schema": 2}, {"fields": {"step": ""}}, {"time": "yesterday"}, {"reason": 7}])
def test_a_body_with_other_parts_is_no_event(more):
    """The verifier says so."""
    with pytest.raises(LedgerError):
        event_from(event_body(EVENT) | more)


def test_what_followed_a_decision_is_found_by_its_id(ledger, url):
    """By kind, by step, by who did it; and the ledger with it is sound."""
    receipt = ledger.append_sync(decision(Action.REVIEW))
    about = str(receipt.decision)
    claimed = ledger.record_sync(replace(EVENT, about=about))
    ledger.record_sync(Event(FEEDBACK, "desk", {"code": "wrong_block"}, about))
    ledger.record_sync(Event(ERASURE, "ann", {"keys": 1}, reason="asked for", tenant="acme", subject="person-7"))
    page = query(url, f"kind:review,feedback parent:{about}")
    assert [(row.kind, row.actor) for row in page.rows] == [("feedback", "desk"), ("review", "ann")]
    assert show(url, claimed).event == replace(EVENT, about=about)
    report = verify(url)
    assert (report.ok, report.checked["events"]) == (True, 3)


def test_a_step_is_refused_by_what_the_log_says_at_that_moment(ledger, url):
    """Of many who claim at once one is first, whatever group they are committed in."""
    about = str(ledger.append_sync(decision(Action.REVIEW)).decision)

    def taken(connection):
        found = connection.execute(text("SELECT actor FROM entry WHERE kind = 'review' AND parent = :about"), {"about": about})
        holder = found.scalar()
        return f"{holder} has it" if holder else ""

    results = []

    def claim(name):
        try:
            results.append(ledger.record_sync(Event(REVIEW, name, {"step": "claim"}, about), unless=taken))
        except RefusedError as error:
            results.append(str(error))

    threads = [threading.Thread(target=claim, args=(f"person {number}",)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len([one for one in results if isinstance(one, int)]) == 1
    assert len({one for one in results if isinstance(one, str)}) == 1
    assert verify(url).ok


def test_an_effect_is_in_the_transaction_of_its_entry(ledger, path, url):
    """Both or neither."""
    ledger.append_sync(decision(Action.ALLOW))

    def destroy(connection):
        connection.execute(text("DELETE FROM subject_key"))

    def fail(connection):
        destroy(connection)
        raise LedgerError("no")

    with pytest.raises(LedgerError, match="no"):
        ledger.record_sync(Event(ERASURE, "ann", {"keys": 1}, reason="asked for"), effect=fail)
    assert verify(url).ok
    size = ledger.size
    ledger.record_sync(Event(ERASURE, "ann", {"keys": 1}, reason="asked for"), effect=destroy)
    assert ledger.size == size + 1
    with pytest.raises(LedgerError):
        Event("nothing", "ann")
    assert all(set(kind.terms) <= set(kind.fields) for kind in KINDS.values())
