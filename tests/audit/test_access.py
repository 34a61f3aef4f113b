"""audit.access: who sees content is recorded first."""

from __future__ import annotations

import pytest
from ledger_examples import decision

from audit.access import record_access, record_reveal
from audit.query import query, show
from audit.verify import verify
from guard.errors import InputError


def test_a_reveal_is_an_entry_about_its_decision(ledger, url):
    """With who, why, which parts; a search with how many."""
    shown = show(url, ledger.append_sync(decision(subject="person-7")).index)
    index = record_reveal(ledger, shown, "ann", "case 12", break_glass=True)
    event = show(url, index).event
    assert (event.actor, event.reason, event.about) == ("ann", "case 12", str(shown.decision.id))
    assert (event.tenant, event.subject) == ("acme", "person-7")
    assert dict(event.fields) == {"parts": ("original", "released"), "break_glass": True}
    record_access(ledger, "ann", "audit of march", query="action:block", count=12)
    assert [row.actor for row in query(url, "kind:access").rows] == ["ann", "ann"]
    with pytest.raises(InputError, match="no reason to reveal"):
        record_reveal(ledger, shown, "ann", "  ")
    assert verify(url).exit_code == 0
