"""Reviews and forgetting: what a person released is erased with its subject, and what was dropped waits for nobody."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from ledger_examples import decision

from audit.erasure import erase
from audit.retention import prune
from audit.review_queue import waiting
from audit.review_steps import claim, decide, feedback
from audit.verify import verify
from guard.types import Action

OLD = datetime(2026, 11, 28, tzinfo=UTC) + timedelta(days=730)


def test_reviews_survive_an_erasure_and_what_was_dropped_leaves_the_queue(ledger, url):
    """The steps stay, the content goes; a decision that was dropped at its age is nobody's work any more."""
    held = ledger.append_sync(decision(Action.REVIEW, subject="person-7", time=OLD))
    other = ledger.append_sync(decision(Action.REVIEW, number=2, subject="person-8", time=OLD))
    fine = ledger.append_sync(decision(Action.ALLOW, number=3, subject="person-7", time=OLD))
    feedback(ledger, str(fine.decision), "desk", "missed_harm")
    claim(ledger, str(held.decision), "ann")
    decide(ledger, str(held.decision), "ann", "withhold", "policy_correct")
    erase(ledger, "person-7", actor="eve", reason="asked for")
    assert [one.state.subject.decision for one in waiting(url).cases] == [str(other.decision), str(fine.decision)]
    assert verify(url).exit_code == 3
    assert prune(ledger, 365, actor="eve", now=OLD + timedelta(days=366)).bodies == 3
    assert waiting(url).cases == ()
    assert verify(url).exit_code == 3
