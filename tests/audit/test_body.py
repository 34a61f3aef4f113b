"""A decision as a body, and back."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from hashlib import sha256

import pytest
from ledger_examples import HIDDEN, SECRET, decision, text

from audit import canonical
from audit.body import decision_body, decision_from, origin_from, time_from, time_string
from audit.projected import terms
from guard.errors import LedgerError
from guard.types import Action

COMMITMENT = {"part": "original", "bytes": 3, "commit": "00" * 32, "sealed": "11" * 32}
PAYLOADS = {"original": COMMITMENT, "released": {**COMMITMENT, "part": "released"}}


@pytest.mark.parametrize("action", list(Action))
def test_a_decision_comes_back_from_its_canonical_bytes(action):
    """All of it but the contents, which the body does not hold."""
    made = decision(action)
    back = canonical.loads(canonical.dumps(decision_body(made, PAYLOADS)))
    assert decision_from(back) == replace(made, content=None, released=None)
    assert origin_from(back) == made.content.origin


def test_a_decision_without_content_or_parent_comes_back():
    """An input that could not be read at all is recorded too."""
    made = replace(decision(Action.BLOCK), content=None, released=None, parent=None, results=(), marks=())
    body = canonical.loads(canonical.dumps(decision_body(made, {})))
    assert decision_from(body) == made
    assert origin_from(body) is None
    assert {"content", "released", "origin", "parent"}.isdisjoint(body)


def test_a_conversation_is_recorded_where_the_caller_names_one():
    """What is absent is left out, so entries of callers who name none look as before."""
    made = decision()
    assert "conversation" not in decision_body(made, PAYLOADS)["request"]
    named = replace(made, request=replace(made.request, conversation="chat-7"))
    body = canonical.loads(canonical.dumps(decision_body(named, PAYLOADS)))
    assert body["request"]["conversation"] == "chat-7"
    assert decision_from(body).request == named.request


def test_purpose_and_consent_are_recorded_as_they_were_asked_and_as_they_were_judged():
    """Replays ask the context, officers the request."""
    made = decision()
    plain = decision_body(made, PAYLOADS)
    assert {"purpose", "consent"}.isdisjoint({*plain["request"], *plain["context"]})
    asked = replace(made.request, purpose="support", consent="crm-4711")
    named = replace(made, request=asked, context=replace(made.context, purpose="support", consent="crm-4711"))
    body = canonical.loads(canonical.dumps(decision_body(named, PAYLOADS)))
    again = decision_from(body)
    assert (again.request, again.context) == (named.request, named.context)
    assert {("purpose", "support"), ("consent", "crm-4711")} <= terms(body)


def test_a_body_holds_no_content_and_no_bare_hash_of_it():
    """A guess at the content cannot be tested against the log."""
    made = decision()
    data = canonical.dumps(decision_body(made, PAYLOADS)).decode()
    for part in (made.content.text, made.released.text, SECRET, HIDDEN, "4111 1111"):
        assert part not in data
        assert sha256(part.encode()).hexdigest() not in data


def test_times_are_utc_with_microseconds():
    """One form for one moment."""
    moment = datetime(2026, 11, 22, 10, 30, tzinfo=timezone(timedelta(hours=1)))
    assert time_string(moment) == "2026-11-22T09:30:00.000000Z"
    assert time_from(time_string(moment)) == moment
    assert time_from("2026-11-22T09:30:00.000001Z").tzinfo == UTC
    with pytest.raises(LedgerError, match="without a zone"):
        time_string(datetime(2026, 11, 22))  # noqa: DTZ001 - the mistake that is meant


@pytest.mark.parametrize("change", [{"kind": "config"}, {"schema": 2}, {"id": "x"}, {"results": 3}, {"verdict": {}}])
def test_a_body_that_is_no_decision_is_refused(change):
    """With an error of ours, whatever is wrong in it."""
    body = decision_body(decision(), PAYLOADS)
    with pytest.raises(LedgerError):
        decision_from({**body, **change})


def test_an_image_region_comes_back_as_a_region():
    """Two numbers are a span, four a region."""
    made = decision()
    found = decision_from(decision_body(made, PAYLOADS)).results[1].findings[0]
    assert found == made.results[1].findings[0]
    assert text(SECRET, made.request).text not in repr(found)


def test_a_time_is_written_alike_however_many_microseconds_it_has():
    class Told(datetime):
        """What a test that stops the clock makes."""

    for kind in (datetime, Told):
        for microsecond in (0, 1, 10, 500_000, 999_999):
            for year in (1, 1969, 2026, 9999):
                moment = kind(year, 2, 3, 4, 5, 6, microsecond, tzinfo=UTC)
                assert time_string(moment) == f"{year:04}-02-03T04:05:06.{microsecond:06}Z"
