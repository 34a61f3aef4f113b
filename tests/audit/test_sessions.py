"""audit.sessions: who logged in is kept under a hash, until it is over."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from sqlalchemy import func, select

from audit.ledger import open_ledger
from audit.models import SESSIONS
from audit.query import reading
from audit.sessions import Session, begin_session, end_session, find_session, over, see_session
from audit.verify import verify

NOW = datetime.now(UTC).replace(microsecond=0)
ONE = Session("ann", "acme", ("author", "officer"), "key:0123456789ab", NOW, NOW, NOW + timedelta(hours=12))


def count(url):
    with reading(url) as connection:
        return connection.execute(select(func.count()).select_from(SESSIONS)).scalar_one()


def test_a_session_is_kept_used_and_forgotten(url):
    """Found by what the browser has alone; the ledger stays sound."""
    open_ledger(url).close()
    token = begin_session(url, ONE)
    assert find_session(url, token) == ONE
    assert find_session(url, token[:-1]) is None
    with reading(url) as connection:
        assert token not in str(connection.execute(select(SESSIONS)).all())
    later = NOW + timedelta(minutes=5)
    see_session(url, token, later)
    see_session(url, token, NOW)
    assert find_session(url, token).seen == later
    end_session(url, token)
    end_session(url, token)
    assert find_session(url, token) is None
    assert verify(url).ok


def test_sessions_that_are_over_go_when_another_begins(url):
    """Nobody else clears up."""
    open_ledger(url).close()
    begin_session(url, replace(ONE, ends=NOW - timedelta(hours=1)))
    assert count(url) == 1
    begin_session(url, ONE)
    assert count(url) == 1


def test_a_session_is_over_at_its_end_or_when_it_is_not_used():
    """Whichever comes first."""
    idle = timedelta(minutes=30)
    assert not over(ONE, NOW + timedelta(minutes=29), idle)
    assert over(ONE, NOW + timedelta(minutes=30), idle)
    assert over(replace(ONE, seen=NOW + timedelta(hours=12)), NOW + timedelta(hours=12), idle)
