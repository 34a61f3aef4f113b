"""`genguard audit erase | certificate`, and that revealing needs a reason and is recorded before."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from audit.ledger import open_ledger
from audit.query import query, show
from guard.types import Action
from tests.audit.ledger_examples import DOCUMENT, REVISION, decision

URL = "sqlite:///genguard.db"


@pytest.fixture
def ledger(genguard):
    """A ledger with three decisions of two subjects, closed."""
    with open_ledger(URL) as opened:
        opened.activate_sync("enterprise", 4, REVISION, DOCUMENT)
        for number in range(3):
            made = decision(Action.ALLOW, number=number, data=f"private words {number}", subject=f"person-{number % 2}")
            opened.append_sync(replace(made, parent=None))


def test_content_is_shown_only_with_a_reason_and_after_it_was_recorded(genguard, ledger, monkeypatch):
    """Without one: nothing shown, nothing recorded."""
    refused = genguard("audit", "show", "2", "--reveal")
    assert (refused.code, "private words" in refused.out + refused.err) == (64, False)
    assert "--reason" in refused.err
    assert query(URL, "kind:access").rows == ()
    seen = genguard("audit", "show", "2", "--reveal", "--reason", "case 12", "--author", "ann", "--json")
    assert json.loads(seen.out)["payloads"][0]["text"] == "private words 0"
    (row,) = query(URL, "kind:access").rows
    assert (row.actor, row.idx, show(URL, row.idx).event.reason) == ("ann", 5, "case 12")

    def full(*_given, **_more):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("audit.ledger.SqlLedger.record_sync", full)
    failed = genguard("audit", "show", "2", "--reveal", "--reason", "case 12")
    assert (failed.code, "private words" in failed.out) == (70, False)


def test_an_officer_erases_a_subject_and_gets_a_certificate(genguard, ledger, tmp_path):
    """Which others check; the ledger is sound, with a gap that is explained."""
    said = ("--subject", "person-0", "--reason", "asked for", "--basis", "GDPR Art. 17", "--certificate", "paper.txt")
    erased = genguard("audit", "erase", *said, "--author", "ann", "--json")
    fields = json.loads(erased.out)
    assert (erased.code, fields["payloads"], fields["keys"], fields["overwritten"]) == (0, 2, 1, True)
    assert b"private words 0" not in (tmp_path / "genguard.db").read_bytes()
    verified = genguard("audit", "verify")
    assert verified.code == 3
    assert "missing and explained: 2 payloads by entry 5 (erasure: asked for)" in verified.out
    assert json.loads(genguard("audit", "verify", "--json").out)["gaps"][0]["payloads"] == 2
    checked = genguard("audit", "certificate", "paper.txt", "--ledger", URL)
    assert (checked.code, "the ledger says the same" in checked.out) == (0, True)
    assert "subject: person-0" in checked.out
    assert json.loads(genguard("audit", "certificate", "paper.txt", "--json").out)["ok"] is True
    again = genguard("audit", "erase", "--subject", "person-0", "--reason", "to be sure")
    assert (again.code, again.out.startswith("had been erased before, entry 5")) == (0, True)
    paper = tmp_path / "paper.txt"
    paper.write_text(paper.read_text("utf-8").replace("payloads 2", "payloads 7"), "utf-8")
    assert genguard("audit", "certificate", "paper.txt").code == 4
    assert genguard("audit", "erase", "--subject", "nobody", "--reason", "asked for").code == 64
    assert genguard("audit", "erase", "--subject", "person-1").code == 64


def test_a_hold_is_set_listed_and_lifted(genguard, ledger):
    """An erasure that it covers ends with 1 and names it."""
    hold = json.loads(genguard("audit", "hold", "set", "--query", "subject:person-0", "--reason", "case 12", "--json").out)[
        "hold"
    ]
    refused = genguard("audit", "erase", "--subject", "person-0", "--reason", "asked for")
    assert (refused.code, f"hold {hold} covers 2 decisions" in refused.err) == (1, True)
    assert "subject:person-0  case 12" in genguard("audit", "hold", "list").out
    assert [one["id"] for one in json.loads(genguard("audit", "hold", "list", "--json").out)["holds"]] == [hold]
    assert genguard("audit", "hold", "lift", "nothing", "--reason", "over").code == 64
    assert genguard("audit", "hold", "set", "--query", "").code == 64
    assert genguard("audit", "hold", "lift", hold, "--reason", "over").code == 0
    assert genguard("audit", "hold", "list").out == ""
    assert genguard("audit", "erase", "--subject", "person-0", "--reason", "asked for").code == 0
    assert genguard("audit", "verify").code == 3


def test_retention_has_a_floor_and_a_dry_run(genguard, ledger, monkeypatch):
    """An age has to be given; the setting counts too."""
    none = genguard("audit", "prune")
    assert (none.code, "GENGUARD_RETENTION_DAYS" in none.err) == (64, True)
    refused = genguard("audit", "prune", "--older-than", "182")
    assert (refused.code, "expected 183 or more" in refused.err) == (64, True)
    monkeypatch.setenv("GENGUARD_RETENTION_DAYS", "182")
    assert genguard("audit", "prune").code == 64
    monkeypatch.setenv("GENGUARD_RETENTION_DAYS", "183")
    assert genguard("audit", "prune", "--dry-run").out.startswith("would drop below entry 0: 0 decisions")
    done = json.loads(genguard("audit", "prune", "--json").out)
    assert (done["days"], done["bodies"], done["entries"]) == (183, 0, [])
    assert genguard("audit", "verify").code == 0


def test_the_master_key_is_changed(genguard, ledger):
    """Content stays readable with the new one."""
    done = json.loads(genguard("audit", "rotate-key", "--reason", "yearly", "--json").out)
    assert (done["keys"], done["trouble"]) == (2, "")
    assert done["key_file"].endswith("genguard.db.key")
    assert genguard("audit", "rotate-key").code == 0
    seen = genguard("audit", "show", "2", "--reveal", "--reason", "case 12")
    assert "private words 0" in seen.out
    assert genguard("audit", "verify").code == 0
