"""Reviews at the terminal, from what waits to the test of a policy."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from guard.registry import checks
from policies.load import open_policy
from tests.fakes import ImageCheck, png

POLICY = """policy: desk
version: 1
status: live
checks:
  hidden: {use: invisible_characters}
rules:
  # what nobody sees
  - id: hidden
    when: {hidden: any}
    action: review
    category: input
"""
TEXT = "Ask for zero\u2063width."


@pytest.fixture
def desk(genguard, tmp_path, monkeypatch):
    """The terminal with a policy that holds hidden characters; `ann` sits there."""
    for name in ("GENGUARD_LEDGER", "GENGUARD_SECOND_REVIEW", "GENGUARD_MASTER_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GENGUARD_ACTOR", "ann")
    (tmp_path / "held.yaml").write_text(POLICY, "utf-8")
    return genguard


def held(desk) -> str:
    """The id of an output that waits."""
    checked = desk("check", "-", "--policy", "held.yaml", "--json", given=TEXT.encode())
    assert checked.code == 20
    return json.loads(checked.out)["genguard"]["decision"]


def test_a_review_at_the_terminal_from_the_queue_to_the_output(desk):
    """Each step with its exit code; `audit show` tells what followed."""
    one = held(desk)
    listed = json.loads(desk("audit", "reviews", "--json").out)
    assert ([row["decision"] for row in listed["reviews"]], listed["waiting"]) == ([one], 1)
    assert one in desk("audit", "reviews", "--queue", "category:input").out
    assert desk("audit", "review", "fetch", one).code == 20
    unclaimed = desk("audit", "review", "decide", one, "--outcome", "release", "--code", "false_positive")
    assert (unclaimed.code, "ann has not claimed it" in unclaimed.err) == (1, True)
    assert desk("audit", "review", "claim", one, "--minutes", "5").code == 0
    other = desk("audit", "review", "claim", one, "--actor", "bob")
    assert (other.code, "ann has it until" in other.err) == (1, True)
    assert desk("audit", "review", "release", one).code == 0
    desk("audit", "review", "claim", one)
    decided = desk("audit", "review", "decide", one, "--outcome", "release", "--code", "false_positive", "--json")
    assert json.loads(decided.out)["review"]["outcome"] == "release"
    fetched = desk("audit", "review", "fetch", one, "--out", "out.txt", "--json")
    assert (fetched.code, json.loads(fetched.out)["text"]) == (0, TEXT)
    assert Path("out.txt").read_text("utf-8") == TEXT
    assert desk("audit", "review", "appeal", one, "--reason", "it does harm", "--actor", "cas").code == 0
    assert desk("audit", "review", "undo", one, "--reason", "it does not", "--actor", "cas").code == 0
    assert desk("audit", "review", "overrule", one, "--outcome", "withhold", "--reason", "order", "--actor", "dan").code == 0
    assert desk("audit", "review", "fetch", one).code == 30
    shown = desk("audit", "show", one)
    assert "code false_positive, outcome release" in shown.out
    assert "outcome withhold" in shown.out
    followed = json.loads(desk("audit", "show", one, "--json").out)["followed"]
    assert [step["kind"] for step in followed] == [*["review"] * 4, "decision", "appeal", "override", "override"]
    assert desk("audit", "verify").code == 0
    replayed = json.loads(desk("policy", "replay", "held.yaml", "--json").out)
    assert replayed["total"] == 1, "a policy decided on it once"
    derived = json.loads(desk("policy", "replay", "--check", "--json").out)
    assert (derived["total"], derived["same"]) == (2, 2)


def test_a_false_positive_becomes_a_test_in_one_step(desk):
    """Beside the rule that decided; the reveal is an entry, and the policy decides as before."""
    one = held(desk)
    revision = open_policy("held.yaml").policy.revision
    made = json.loads(desk("audit", "review", "to-test", one, "--policy", "held.yaml", "--json").out)
    assert (made["rule"], made["expects"]) == ("hidden", "passes")
    after = open_policy("held.yaml")
    assert [(test.expects, test.text, test.at.line) for test in after.tests] == [("passes", TEXT, made["line"])]
    assert after.policy.revision == revision
    assert "# what nobody sees" in Path("held.yaml").read_text("utf-8")
    access = json.loads(desk("audit", "show", str(made["entry"]), "--json").out)["entry"]
    assert (access["kind"], access["actor"], access["about"]) == ("access", "ann", one)
    assert desk("audit", "review", "to-test", one, "--policy", "held.yaml", "--flags").code == 0
    tested = desk("policy", "test", "held.yaml", "--json")
    assert tested.code == 1, "the rule still fires where the new example says that it must not"
    missing = desk("audit", "review", "to-test", one, "--policy", "held.yaml", "--rule", "threat")
    assert (missing.code, "no rule 'threat'" in missing.err) == (64, True)


def test_a_picture_becomes_a_test_too(desk, tmp_path, monkeypatch):
    """As a file beside the policy."""
    monkeypatch.setitem(checks._factories, "dark", ImageCheck)
    dark = POLICY.replace("hidden: {use: invisible_characters}", "hidden: {use: dark}").replace("policy: desk", "policy: dark")
    (tmp_path / "dark.yaml").write_text(dark, "utf-8")
    one = json.loads(desk("check", "-", "--policy", "dark.yaml", "--json", given=png(32, 32, (0, 0, 0))).out)
    decision = one["genguard"]["decision"]
    made = desk("audit", "review", "to-test", decision, "--policy", "dark.yaml", "--flags", "--rule", "hidden", "--json")
    assert json.loads(made.out)["expects"] == "flags"
    tests = open_policy("dark.yaml").tests
    assert [test.expects for test in tests] == ["flags"]
    assert (tmp_path / "examples" / f"{decision}.png").read_bytes() == png(32, 32, (0, 0, 0))
    assert desk("policy", "test", "dark.yaml").code == 0


def test_samples_and_agreement(desk):
    """A sample waits in its queue; two persons agree."""
    clean = json.loads(desk("check", "-", "--policy", "held.yaml", "--json", given=b"Fine.").out)["genguard"]["decision"]
    held(desk)
    sampled = json.loads(desk("audit", "sample", "--rate", "100%", "--since", "1d", "--json").out)
    assert sampled["sampled"] == [clean]
    assert desk("audit", "sample", "--rate", "0.5", "--since", "2026-01-01").code == 0
    assert desk("audit", "sample", "--rate", "nothing").code == 64
    assert "no decision" in desk("audit", "agreement").out
    for who in ("ann", "bob"):
        desk("audit", "review", "claim", clean, "--actor", who)
        desk("audit", "review", "decide", clean, "--outcome", "release", "--code", "policy_correct", "--actor", who)
    told = json.loads(desk("audit", "agreement", "--queue", "quality", "--json").out)
    assert (told["pairs"], told["observed"], told["kappa"]) == (1, 1.0, None)
    assert "kappa not defined" in desk("audit", "agreement").out


def test_feedback_from_the_terminal_waits_like_that_of_callers(desk):
    """By its kind; what is no kind is refused."""
    checked = desk("check", "-", "--policy", "held.yaml", "--json", given=b"Good morning.")
    one = json.loads(checked.out)["genguard"]["decision"]
    said = desk("audit", "feedback", one, "--kind", "missed_harm", "--comment", "it is rude", "--json")
    assert said.code == 0
    listed = json.loads(desk("audit", "reviews", "--queue", "feedback", "--json").out)
    assert [row["decision"] for row in listed["reviews"]] == [one]
    assert '"kind": "feedback"' in desk("audit", "query", "code:missed_harm", "--json").out
    assert desk("audit", "feedback", one, "--kind", "rude").code == 64
