"""`genguard policy explain`: why a file or a recorded decision gets its verdict."""

from __future__ import annotations

import json

MAIL_AND_CARD = b"Card 4111 1111 1111 1111, write to maria@example.com."


def test_a_text_is_explained_as_a_tree_and_nothing_is_recorded(genguard, tmp_path):
    """Which checks ran, what each condition read, which rule won."""
    told = genguard("policy", "explain", "-", "--policy", "desk.yaml", given=MAIL_AND_CARD)
    assert told.code == 0
    assert "mail - block fires and wins" in told.out
    assert "card - redact fires" in told.out
    assert "pii found EMAIL_ADDRESS: yes (EMAIL_ADDRESS)" in told.out
    assert not list(tmp_path.glob("*.db"))


def test_rules_that_say_nothing_are_left_out_unless_asked_for(genguard):
    """With how many there are."""
    short = genguard("policy", "explain", "-", "--policy", "desk.yaml", given=b"Good morning.")
    assert "2 other rules found nothing; --all shows them" in short.out
    long = genguard("policy", "explain", "-", "--policy", "desk.yaml", "--all", given=b"Good morning.")
    assert "card - redact does not fire" in long.out
    assert "pii found CREDIT_CARD: no (nothing)" in long.out
    one = genguard("policy", "explain", "-", "--policy", "desk.yaml", "--rule", "card", given=b"Good morning.")
    assert "card - redact does not fire" in one.out
    assert "mail" not in one.out


def test_what_is_edited_is_shown(genguard):
    """As it would leave."""
    told = genguard("policy", "explain", "-", "--policy", "desk.yaml", given=b"Card 4111 1111 1111 1111, please.")
    assert "Card **** **** **** 1111, please." in told.out


def test_json_has_scores_conditions_and_the_verdict(genguard):
    """Everything that the tree shows."""
    told = json.loads(genguard("policy", "explain", "-", "--policy", "desk.yaml", "--json", given=MAIL_AND_CARD).out)
    assert (told["action"], told["won"]) == ("block", ["mail"])
    assert [check["check"] for check in told["checks"]] == ["pii"]
    card = next(rule for rule in told["rules"] if rule["rule"] == "card")
    assert card["when"] == {"condition": "pii found CREDIT_CARD", "value": True, "measured": "CREDIT_CARD"}
    assert told["edits"][0]["where"] == {"start": 5, "end": 24}


def test_a_recorded_decision_is_explained_under_its_own_policy_or_another(genguard, tmp_path):
    """From what the ledger holds, without content, checks or models."""
    made = genguard("check", "-", "--policy", "desk.yaml", "--json", given=MAIL_AND_CARD)
    decision = json.loads(made.out)["genguard"]["decision"]
    own = json.loads(genguard("policy", "explain", "--decision", decision, "--json").out)
    assert (own["action"], own["won"]) == ("block", ["mail"])
    (tmp_path / "mild.yaml").write_text((tmp_path / "desk.yaml").read_text("utf-8").replace("action: block", "action: review"))
    other = json.loads(genguard("policy", "explain", "--decision", decision, "--policy", "mild.yaml", "--json").out)
    assert (other["action"], other["won"]) == ("review", ["mail"])


def test_mistakes_are_told(genguard):
    """Neither or both of file and decision, a rule that is not there, a file that is not there."""
    assert genguard("policy", "explain").code == 64
    assert genguard("policy", "explain", "-", "--decision", "1", given=b"x").code == 64
    unknown = genguard("policy", "explain", "-", "--policy", "desk.yaml", "--rule", "cards", given=b"x")
    assert unknown.code == 64
    assert "found no rule 'cards'" in unknown.err
    assert "expected one of: card, mail" in unknown.err
    assert genguard("policy", "explain", "nowhere.txt", "--policy", "desk.yaml").code == 64
