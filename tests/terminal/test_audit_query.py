"""`genguard audit query | search | show | policy`: counts, saved queries, a decision's page of facts, recorded policies."""

from __future__ import annotations

import json
from hashlib import sha256
from uuid import UUID

import pytest

from audit.events import Event
from audit.ledger import open_ledger

LEDGER = "sqlite:///genguard.db"


@pytest.fixture
def decided(genguard):
    """A ledger with two decisions under the policy `desk`: (redacted, blocked)."""
    ids = []
    for text in (b"Card 4111 1111 1111 1111, please.", b"Write to maria@example.com."):
        made = genguard("check", "-", "--policy", "desk.yaml", "--json", given=text)
        ids.append(json.loads(made.out)["genguard"]["decision"])
    return ids


def test_a_query_is_counted_by_facet_over_time_and_by_value(genguard, decided):
    """For people and as JSON."""
    page = json.loads(genguard("audit", "query", "created:>=1d", "--facets", "--json").out)
    assert [row["decision"] for row in page["decisions"]] == decided[::-1]
    assert page["facets"]["complete"] is True
    assert page["facets"]["values"]["rule"] == [{"value": "card", "count": 1}, {"value": "mail", "count": 1}]
    told = genguard("audit", "query", "--facets").out
    assert "rule        card 1, mail 1" in told
    assert "2 entries counted" in told
    series = json.loads(genguard("audit", "query", "--series", "day", "--json").out)
    assert [point["counts"] for point in series["points"]] == [{"block": 1, "redact": 1}]
    assert genguard("audit", "query", "--series", "hour").out.split()[:4] == ["time", "redact", "block", "all"]
    top = json.loads(genguard("audit", "query", "action:block", "--top", "rule", "--json").out)
    assert top["values"] == {"rule": [{"value": "mail", "count": 1}]}
    for wrong in (["--series", "year"], ["--top", "colour"], ["--series", "day", "--top", "rule"]):
        assert genguard("audit", "query", *wrong).code == 64


def test_words_find_reasons_and_ranges_entries(genguard, decided):
    """What has no key is looked for in what was given as a reason."""
    for words in (["EMAIL_ADDRESS"], ["email_address", "created:1d.."], ["-CREDIT_CARD"]):
        found = json.loads(genguard("audit", "query", "--json", "--", *words).out)["decisions"]
        assert [row["decision"] for row in found] == decided[1:]


def test_searches_are_kept_beside_the_ledger(genguard, decided, tmp_path):
    """Saved, listed, run with more filters, deleted; a query that cannot be is not kept."""
    assert genguard("audit", "search", "save", "blocked", "action:block", "since:7d").code == 0
    assert genguard("audit", "search", "save", "cards", "rule:card", "--not", "action:block").code == 0
    assert (tmp_path / "genguard.db.searches.json").exists()
    listed = json.loads(genguard("audit", "search", "list", "--json").out)["searches"]
    assert listed == [
        {"name": "blocked", "query": "action:block since:7d"},
        {"name": "cards", "query": "rule:card -action:block"},
    ]
    found = json.loads(genguard("audit", "search", "run", "blocked", "--json").out)["decisions"]
    assert [row["decision"] for row in found] == decided[1:]
    assert json.loads(genguard("audit", "search", "run", "blocked", "rule:card", "--json").out)["decisions"] == []
    assert json.loads(genguard("audit", "search", "run", "cards", "--top", "action", "--json").out)["total"] == 1
    assert genguard("audit", "search", "delete", "cards").code == 0
    assert genguard("audit", "search", "list").out == "blocked: action:block since:7d\n"
    for wrong in (["run", "cards"], ["delete", "cards"], ["save", "a b", "action:block"], ["save", "x", "colour:red"]):
        assert genguard("audit", "search", *wrong).code == 64
    (tmp_path / "genguard.db.searches.json").write_text("[]")
    assert genguard("audit", "search", "list").code == 70


def test_a_decision_is_a_page_of_facts(genguard, decided):
    """Rules with their conditions, who saw it, what followed."""
    with open_ledger(LEDGER) as opened:
        opened.record_sync(Event("access", "ann", {"parts": ("original",)}, about=decided[1], reason="Complaint 12"))
        opened.record_sync(Event("feedback", "key-1", {"code": "wrong_block"}, about=decided[1]))
    told = genguard("audit", "show", decided[1]).out
    assert "mail - block fires and wins" in told
    assert "pii found EMAIL_ADDRESS: yes" in told
    assert "Who saw it" in told
    assert "Complaint 12" in told
    assert "wrong_block" in told
    shown = json.loads(genguard("audit", "show", decided[1], "--json").out)
    assert [(rule["rule"], rule["fired"]) for rule in shown["rules"]] == [("card", False), ("mail", True)]
    assert [(one["actor"], one["fields"]) for one in shown["seen"]] == [("ann", {"parts": ["original"]})]
    assert [(one["kind"], one["fields"]) for one in shown["followed"]] == [("feedback", {"code": "wrong_block"})]
    assert UUID(shown["entry"]["id"])
    assert "rules" not in json.loads(genguard("audit", "show", "0", "--json").out)


def test_a_recorded_policy_comes_back_byte_for_byte(genguard, decided, tmp_path):
    """Its digest is the revision."""
    revision = json.loads(genguard("audit", "show", decided[0], "--json").out)["entry"]["verdict"]["revision"]
    assert genguard("audit", "policy", revision[:12], "--out", "was.json").code == 0
    assert sha256((tmp_path / "was.json").read_bytes()).hexdigest() == revision
    assert genguard("audit", "policy", "ffff").code == 64


def test_a_streamed_decision_says_how_it_left(genguard, tmp_path):
    """Mode, ending, and how much was judged and sent."""
    from audit.ledger import open_ledger
    from generators.echo import echo
    from guard import Guard
    from policies import load

    with open_ledger(f"sqlite:///{tmp_path / 'genguard.db'}") as ledger:
        list(Guard(load(str(tmp_path / "desk.yaml")), ledger).stream_sync(echo(), "Good morning."))
    shown = genguard("audit", "show", genguard("audit", "query", "stage:output", "--json").out.split('"decision": "')[1][:36])
    assert "complete: 13 characters judged" in shown.out
