"""Statements of reasons for the EU's database, and findings for a SIEM."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from ledger_examples import HIDDEN, SECRET, decision, verdict

from audit.body import decision_body
from audit.events import OVERRIDE, REVIEW, Event
from audit.export.dsa import Unsaid, faults, statement
from audit.export.run import Order, export
from guard.taxonomy import CATEGORIES
from guard.types import Action, FiredRule


def ruled(action, basis_kind="house", category="privacy", title="Card numbers are masked", **more):
    """A decision by one rule with a basis of this kind."""
    made = decision(action, **more)
    fired = FiredRule("card-number", title, action, category, "House rules 2", "pii found CREDIT_CARD", basis_kind)
    return replace(made, verdict=replace(verdict(action), fired=(fired,), policy="enterprise"))


PART = {"part": "original", "bytes": 9, "commit": "ab" * 32, "sealed": "cd" * 32}


def body_of(one):
    """Its body, as the ledger has it."""
    return json.loads(json.dumps(decision_body(one, {"original": PART, "released": PART})))


def run(ledger, url, out, form, query=""):
    """One export with its lines."""
    done = export(Order(url, form, query, "kim"), out, ledger.record_sync)
    return done, [json.loads(line) for line in out.read_bytes().splitlines()]


def test_a_blocked_output_is_stated_as_the_database_wants_it():
    """Every required field, and nothing that it would refuse."""
    found = statement(body_of(ruled(Action.BLOCK)))
    assert faults(found) == []
    assert found["decision_ground"] == "DECISION_GROUND_INCOMPATIBLE_CONTENT"
    assert found["incompatible_content_ground"] == "House rules 2"
    assert found["content_type"] == ["CONTENT_TYPE_TEXT", "CONTENT_TYPE_SYNTHETIC_MEDIA"]
    assert found["category"] == "STATEMENT_CATEGORY_DATA_PROTECTION_AND_PRIVACY_VIOLATIONS"
    assert found["decision_visibility"] == ["DECISION_VISIBILITY_CONTENT_DISABLED"]
    assert (found["automated_detection"], found["automated_decision"]) == ("Yes", "AUTOMATED_DECISION_FULLY")
    assert (found["content_date"], found["source_type"], found["content_language"]) == ("2026-11-22", "SOURCE_VOLUNTARY", "EN")
    assert "pii found CREDIT_CARD with a score of 0.990" in found["decision_facts"]


def test_what_rests_on_law_is_illegal_content_and_names_it():
    """Contract and house rules are the other ground."""
    found = statement(body_of(ruled(Action.BLOCK, "law")))
    assert faults(found) == []
    assert found["decision_ground"] == "DECISION_GROUND_ILLEGAL_CONTENT"
    assert found["illegal_content_legal_ground"] == "House rules 2"
    assert "incompatible_content_ground" not in found
    assert statement(body_of(ruled(Action.BLOCK, "contract")))["decision_ground"].endswith("INCOMPATIBLE_CONTENT")


def test_redacted_and_labelled_outputs_say_what_was_done():
    """Another restriction each."""
    redacted = statement(body_of(ruled(Action.REDACT)))
    assert faults(redacted) == []
    assert redacted["decision_visibility"] == ["DECISION_VISIBILITY_OTHER"]
    assert redacted["decision_visibility_other"].startswith("Parts of the content")
    labelled = statement(body_of(ruled(Action.LABEL)))
    assert faults(labelled) == []
    assert labelled["decision_visibility"] == ["DECISION_VISIBILITY_CONTENT_LABELLED"]


@pytest.mark.parametrize(
    ("one", "said", "why"),
    [
        (ruled(Action.ALLOW), "", "not restricted"),
        (ruled(Action.BLOCK), "release", "released by a person"),
        (ruled(Action.REVIEW), "", "not yet decided"),
        (ruled(Action.BLOCK, ""), "", "does not say whether it rests on law"),
        (ruled(Action.BLOCK, category="operation"), "", "no counterpart"),
        (ruled(Action.BLOCK, category="of-our-own"), "", "no counterpart"),
        (replace(ruled(Action.BLOCK), verdict=replace(verdict(Action.BLOCK), fired=())), "", "no rule fired"),
    ],
)
def test_what_the_ledger_does_not_say_is_not_made_up(one, said, why):
    """It is left out, with the reason."""
    with pytest.raises(Unsaid, match=why):
        statement(body_of(one), said)


def test_every_category_that_has_a_counterpart_makes_a_good_statement():
    """The taxonomy's names are the database's."""
    for category in CATEGORIES.values():
        if category.dsa:
            found = statement(body_of(ruled(Action.BLOCK, category=category.name)))
            assert faults(found) == [], category.name
    crime = statement(body_of(ruled(Action.BLOCK, category="crime")))
    assert crime["category_addition"] == ["STATEMENT_CATEGORY_UNSAFE_AND_PROHIBITED_PRODUCTS"]


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"puid": "a b"}, "puid is none"),
        ({"puid": "x" * 501}, "puid is none"),
        ({"decision_facts": ""}, "decision_facts is missing"),
        ({"decision_facts": "x" * 5001}, "decision_facts is too long"),
        ({"incompatible_content_ground": "x" * 501}, "incompatible_content_ground is too long"),
        ({"incompatible_content_explanation": ""}, "incompatible_content_explanation is missing"),
        ({"category": "STATEMENT_CATEGORY_SCOPE_OF_PLATFORM_SERVICE"}, "category is none"),
        ({"content_type": ["TEXT"]}, "content_type is none"),
        ({"content_date": "2026-11-31"}, "content_date is none"),
        ({"content_date": "22.11.2026"}, "content_date is none"),
        ({"decision_visibility": []}, "no restriction"),
        ({"decision_visibility_other": "x"}, "decision_visibility_other is none"),
        ({"automated_detection": "yes"}, "automated_detection is none"),
        ({"content_language": "eng"}, "content_language is none"),
        ({"illegal_content_legal_ground": "a law"}, "illegal_content_legal_ground is unknown"),
        ({"tenant": "acme"}, "tenant is unknown"),
    ],
)
def test_the_rules_refuse_what_the_database_would(change, fault):
    """One mistake at a time."""
    found = statement(body_of(ruled(Action.BLOCK))) | change
    assert any(fault in one for one in faults(found))


def test_a_text_that_is_too_long_is_left_out_and_counted(ledger, url, tmp_path):
    """Not cut: a legal ground is what it is."""
    made = ruled(Action.BLOCK)
    fired = replace(made.verdict.fired[0], basis="x" * 501)
    ledger.append_sync(replace(made, verdict=replace(made.verdict, fired=(fired,))))
    done, lines = run(ledger, url, tmp_path / "a.jsonl", "dsa")
    assert lines == []
    assert done.written.left_out == {"it would be refused: incompatible_content_ground is too long": 1}


def test_statements_come_in_batches_and_follow_what_persons_said(ledger, url, tmp_path):
    """A released one is not stated, a held one once it was withheld; nobody is named."""
    made = [ruled(Action.BLOCK, number=number, subject=f"zoe-{number}", tenant="acme-corp") for number in range(103)]
    held = [ruled(Action.REVIEW, number=number) for number in (200, 201)]
    for one in (*made, *held):
        ledger.append_sync(one)
    undone = ledger.record_sync(Event(OVERRIDE, "kim", {"outcome": "release"}, str(made[0].id), "wrong"))
    ledger.record_sync(Event(OVERRIDE, "kim", {"undoes": undone}, str(made[0].id), "right after all"))
    ledger.record_sync(Event(OVERRIDE, "kim", {"outcome": "release"}, str(made[1].id), "wrong"))
    ledger.record_sync(Event(REVIEW, "kim", {"step": "decide", "outcome": "withhold", "code": "x"}, str(held[0].id)))
    done, lines = run(ledger, url, tmp_path / "a.jsonl", "dsa")
    assert [len(line["statements"]) for line in lines] == [100, 3]
    assert done.written.count == 103
    assert done.written.left_out == {"released by a person": 1, "held, and not yet decided by a person": 1}
    found = {one["puid"]: one for line in lines for one in line["statements"]}
    assert found[str(held[0].id)]["automated_decision"] == "AUTOMATED_DECISION_PARTIALLY"
    assert found[str(made[0].id)]["automated_decision"] == "AUTOMATED_DECISION_FULLY"
    whole = (tmp_path / "a.jsonl").read_text("utf-8")
    assert not [word for word in ("zoe", "acme-corp", "key-1", "kim", "Quibbleworth", "4111 1111") if word in whole]


def test_findings_keep_what_was_found_apart_from_what_was_done(ledger, url, tmp_path):
    """One line a decision in which a rule fired; the others are counted."""
    for number, action in enumerate(Action):
        ledger.append_sync(decision(action, number=number))
    done, lines = run(ledger, url, tmp_path / "a.jsonl", "ocsf")
    assert done.written.left_out == {"no rule fired": 1}
    assert [one["disposition"] for one in lines] == ["Tagged", "Partially Corrected", "Quarantined", "Blocked"]
    last = lines[-1]
    assert (last["class_uid"], last["type_uid"], last["metadata"]["version"]) == (2004, 200401, "1.8.0")
    assert last["type_uid"] == last["class_uid"] * 100 + last["activity_id"]
    assert (last["severity"], last["action"], last["finding_info"]["types"]) == ("High", "Denied", ["privacy"])
    assert last["time"] == last["finding_info"]["created_time"] == 1795339815000
    whole = (tmp_path / "a.jsonl").read_text("utf-8")
    assert SECRET not in whole
    assert HIDDEN not in whole
