"""audit.sessions: who logged in is kept under a hash, until it is over."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import func, select

from audit.ledger import open_ledger
from audit.models import SESSIONS
from audit.query import query, reading, show
from audit.sessions import Session, begin_session, end_session, find_session, over, record_refusals, see_session
from audit.verify import verify
from guard.errors import LedgerError, RefusedError

NOW = datetime.now(UTC).replace(microsecond=0)
ONE = Session("ann", "acme", ("author", "officer"), "key:0123456789ab", NOW, NOW, NOW + timedelta(hours=12))


def count(url):
    with reading(url) as connection:
        return connection.execute(select(func.count()).select_from(SESSIONS)).scalar_one()


def test_a_session_is_kept_used_and_forgotten(url):
    """Found by what the browser has alone; the ledger stays sound."""
    with open_ledger(url) as ledger:
        token = begin_session(ledger, ONE)
    assert find_session(url, token) == ONE
    assert find_session(url, token[:-1]) is None
    with reading(url) as connection:
        assert token not in str(connection.execute(select(SESSIONS)).all())
    later = NOW + timedelta(minutes=5)
    see_session(url, token, later)
    see_session(url, token, NOW)
    assert find_session(url, token).seen == later
    with open_ledger(url) as ledger:
        end_session(ledger, token, ONE)
        with pytest.raises(RefusedError, match="has ended"):
            end_session(ledger, token, ONE)
    assert find_session(url, token) is None
    assert verify(url).ok


def test_sessions_that_are_over_go_when_another_begins(url):
    """Nobody else clears up."""
    with open_ledger(url) as ledger:
        begin_session(ledger, replace(ONE, ends=NOW - timedelta(hours=1)))
        assert count(url) == 1
        begin_session(ledger, ONE)
        assert count(url) == 1


def test_logins_are_entries(url):
    """Who, by what, with which roles, for which tenant: nothing of a token, and of who was refused nothing at all."""
    with open_ledger(url) as ledger:
        token = begin_session(ledger, ONE)
        end_session(ledger, token, ONE)
        begin_session(ledger, replace(ONE, tenant="", proof="oidc"))
        begin_session(ledger, replace(ONE, proof=f"settings:{'ab' * 32}"))
        record_refusals(ledger, "issuer", 2)
    rows = query(url, "kind:login").rows[::-1]
    found = [show(url, str(row.idx)).body for row in rows]
    assert [(one["actor"], one.get("tenant", ""), one["fields"]) for one in found] == [
        ("ann", "acme", {"step": "began", "by": "key", "key": "0123456789ab", "roles": ["author", "officer"]}),
        ("ann", "acme", {"step": "ended", "by": "key", "key": "0123456789ab"}),
        ("ann", "", {"step": "began", "by": "issuer", "roles": ["author", "officer"]}),
        ("ann", "acme", {"step": "began", "by": "key", "roles": ["author", "officer"]}),
        ("anonymous", "", {"step": "refused", "by": "issuer", "count": 2}),
    ]
    assert token not in str(found)
    assert "abab" not in str(found)
    assert [row.idx for row in query(url, "kind:login step:began key:0123456789ab").rows] == [rows[0].idx]
    assert verify(url).ok


def test_a_login_that_cannot_be_recorded_is_none(url):
    """Nor is one kept."""
    ledger = open_ledger(url)
    ledger.close()
    with pytest.raises(LedgerError):
        begin_session(ledger, ONE)
    assert count(url) == 0


def test_a_session_is_over_at_its_end_or_when_it_is_not_used():
    """Whichever comes first."""
    idle = timedelta(minutes=30)
    assert not over(ONE, NOW + timedelta(minutes=29), idle)
    assert over(ONE, NOW + timedelta(minutes=30), idle)
    assert over(replace(ONE, seen=NOW + timedelta(hours=12)), NOW + timedelta(hours=12), idle)
