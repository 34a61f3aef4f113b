"""`genguard policy activate | promote | stop | rollback | retire | approve | status | keygen | sign`."""

from __future__ import annotations

import json
import os
import stat
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import cli
from audit.body import POLICY_ROLLOUT
from audit.ledger import open_ledger
from audit.query import query, show
from audit.verify import verify
from guard.note import PublicKey
from guard.registry import checks
from guard.types import Action, Request
from policies import gates, load
from serving.wiring import open_guard
from tests.fakes import WordCheck

sys.path.insert(0, str(Path(__file__).parents[1] / "audit"))

from ledger_examples import decision

POLICY = """
policy: house
version: 1
status: live
checks:
  words: {use: words, words: [bad]}
rules:
  - {id: bad, when: {words: [word]}, action: block, category: privacy}
"""
LEDGER = "sqlite:///genguard.db"


def words(*, words: tuple[str, ...] = ()) -> WordCheck:
    return WordCheck(*words)


class Terminal:
    """Runs the command line in this process."""

    def __init__(self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        self._capsys, self._monkeypatch = capsys, monkeypatch
        self.err = ""

    def __call__(self, *arguments: str, code: int = 0) -> Any:
        """What a command says, as JSON where it is; after a look at its exit code."""
        self._monkeypatch.setattr("sys.argv", ["genguard", *arguments])
        self._capsys.readouterr()
        found = cli._run()
        said = self._capsys.readouterr()
        self.err = said.err
        assert found == code, (found, said.out, said.err)
        return json.loads(said.out) if "--json" in arguments and said.out else said.out


@pytest.fixture
def genguard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Terminal:
    """A folder with three versions of a policy, and gates that are open."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(checks._factories, "words", words)
    for name in list(os.environ):
        if name.startswith("GENGUARD_"):
            monkeypatch.delenv(name)
    monkeypatch.setattr(gates, "lint_errors", lambda *_: [])
    monkeypatch.setattr(gates, "red_tests", lambda *_: [])
    for number in (1, 2, 3):
        text = POLICY.replace("version: 1", f"version: {number}").replace("[bad]", f"[bad{number}]")
        (tmp_path / f"v{number}.yaml").write_text(text, "utf-8")
    return Terminal(capsys, monkeypatch)


def why(text: str = "because") -> tuple[str, str]:
    return "--reason", text


def revision(number: int) -> str:
    return load(f"v{number}.yaml").revision


def in_force(genguard: Terminal) -> int:
    found = genguard("policy", "status", "house", "--json")["in_force"]
    return found["version"] if found else 0


# --- one after the other ---------------------------------------------------------------------------------------------


def test_a_policy_is_activated_replaced_and_rolled_back(genguard):
    """Each step is one entry with author, reason and digest."""
    made = genguard("policy", "activate", "v1.yaml", *why("The first."), "--author", "ann", "--json")
    assert made["recorded"]
    assert made["entry"]["step"] == "activate"
    genguard("policy", "activate", "v2.yaml", *why("Looser."), "--author", "bob")
    assert in_force(genguard) == 2
    genguard("policy", "rollback", "house", *why("Too loose."), "--author", "eve")
    assert in_force(genguard) == 1
    found = [(row.step, row.actor, row.revision) for row in query(LEDGER, "rollout:house").rows]
    assert found == [("rollback", "eve", revision(1)), ("activate", "bob", revision(2)), ("activate", "ann", revision(1))]
    shown = show(LEDGER, query(LEDGER, "step:rollback").rows[0].idx).rollout
    assert (shown.reason, shown.previous, shown.version) == ("Too loose.", revision(2), 1)
    assert verify(LEDGER).ok
    genguard("policy", "rollback", "house", code=64)
    assert "nothing to go back to" in genguard.err


def test_what_is_in_force_already_is_not_recorded_again(genguard):
    """And that is said."""
    genguard("policy", "activate", "v1.yaml", *why())
    again = genguard("policy", "activate", "v1.yaml", *why(), "--json")
    assert (again["recorded"], again["why"]) == (False, "it is in force already")
    assert len(query(LEDGER, kind=POLICY_ROLLOUT).rows) == 1
    assert "nothing recorded" in genguard("policy", "activate", "v1.yaml", *why())


def test_what_judged_from_a_file_can_be_gone_back_to(genguard):
    """The first activation knows it from the decisions."""
    guard, ledger = open_guard(["v1.yaml"], LEDGER)
    guard.check_sync("hello", request=Request("r"))
    ledger.close()
    genguard("policy", "activate", "v2.yaml", *why())
    genguard("policy", "rollback", "house")
    assert in_force(genguard) == 1


def test_a_canary_is_widened_promoted_or_taken_back(genguard):
    """`rollback` ends it; `promote` lets it judge everything."""
    genguard("policy", "activate", "v1.yaml", *why())
    genguard("policy", "activate", "v2.yaml", *why(), "--canary", "10%", "--by", "tenants")
    found = genguard("policy", "status", "house", "--json")
    assert (found["in_force"]["version"], found["canary"]) == (
        1, {"version": 2, "revision": revision(2), "share": 10, "by": "tenants"},
    )  # fmt: skip
    genguard("policy", "activate", "v2.yaml", *why(), "--canary", "50")
    assert genguard("policy", "status", "house", "--json")["canary"]["share"] == 50
    genguard("policy", "rollback", "house")
    assert genguard("policy", "status", "house", "--json")["canary"] is None
    genguard("policy", "promote", "house", code=64)
    genguard("policy", "activate", "v2.yaml", *why(), "--canary", "1%")
    genguard("policy", "promote", "house")
    assert in_force(genguard) == 2
    for wrong in ("0", "100%", "x", "-5", "1.5"):
        genguard("policy", "activate", "v3.yaml", *why(), "--canary", wrong, code=64)


def test_shadows_need_no_live_status_and_no_gates(genguard, monkeypatch):
    """They decide nothing; a draft may be one, and only there."""
    monkeypatch.setattr(gates, "red_tests", lambda *_: ["red"])
    draft = Path("draft.yaml")
    draft.write_text(POLICY.replace("live", "draft"), "utf-8")
    genguard("policy", "activate", "draft.yaml", *why(), code=64)
    assert "found status 'draft', expected live" in genguard.err
    genguard("policy", "activate", "draft.yaml", *why(), "--shadow")
    assert [one["version"] for one in genguard("policy", "status", "house", "--json")["shadows"]] == [1]
    genguard("policy", "activate", "draft.yaml", *why(), "--shadow", "--canary", "5%", code=64)
    draft.write_text(POLICY.replace("live", "deprecated"), "utf-8")
    genguard("policy", "activate", "draft.yaml", *why(), "--shadow", code=64)
    genguard("policy", "activate", "v1.yaml", *why(), "--shadow")
    genguard("policy", "stop", "house", code=64)
    genguard("policy", "stop", "house", revision(1)[:12])
    genguard("policy", "stop", "house")
    genguard("policy", "stop", "house", code=64)


def test_a_step_that_somebody_else_overtook_is_told(genguard, monkeypatch):
    """It is recorded, had no effect, and the caller learns that."""
    genguard("policy", "activate", "v1.yaml", *why())
    monkeypatch.setattr("serving.stepping.advance", lambda state, _: state)
    genguard("policy", "activate", "v1.yaml", *why(), code=70)
    assert "changed nothing" in genguard.err
    assert "no effect" in genguard("policy", "status", "house")


def test_an_older_revision_is_named_by_its_beginning(genguard):
    """One that was in force; others are refused with those there are."""
    for number in (1, 2, 3):
        genguard("policy", "activate", f"v{number}.yaml", *why())
    genguard("policy", "rollback", "house", "--to", "zz", code=64)
    assert revision(1)[:16] in genguard.err
    genguard("policy", "rollback", "house", "--to", revision(1)[:10].upper())
    assert in_force(genguard) == 1
    genguard("policy", "retire", "house")
    assert in_force(genguard) == 0
    assert "retired" in genguard("policy", "status")
    genguard("policy", "retire", "house", code=64)


# --- gates -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("gate", "named"), [("lint_errors", "lint errors"), ("red_tests", "tests that are not green")])
def test_red_tests_and_lint_errors_keep_a_policy_out(genguard, monkeypatch, gate, named):
    """Exit code 1, each named, and nothing recorded: not even a ledger."""
    monkeypatch.setattr(gates, gate, lambda *_: ["v1.yaml:7:5: something is wrong"])
    found = genguard("policy", "activate", "v1.yaml", *why(), "--json", code=1)
    assert found == {"recorded": False, named: ["v1.yaml:7:5: something is wrong"]}
    genguard("policy", "activate", "v1.yaml", *why(), code=1)
    assert "v1.yaml:7:5: something is wrong" in genguard.err
    genguard("policy", "activate", "v1.yaml", *why(), "--canary", "5%", code=1)
    assert not Path("genguard.db").exists()


def test_a_reason_is_needed(genguard):
    """Whoever looks it up later wants to know."""
    genguard("policy", "activate", "v1.yaml", code=64)
    assert "--reason" in genguard.err


# --- approval --------------------------------------------------------------------------------------------------------


def test_with_approvals_somebody_else_has_to_agree(genguard, monkeypatch):
    """Not the author under another spelling; activation, canary and promotion alike, but no rollback."""
    genguard("policy", "activate", "v1.yaml", *why(), "--author", "ann")
    monkeypatch.setenv("GENGUARD_POLICY_APPROVALS", "1")
    monkeypatch.setenv("GENGUARD_ACTOR", "ann")
    made = genguard("policy", "activate", "v2.yaml", *why("Looser."), "--json")
    assert (made["entry"]["step"], made["state"]["in_force"]["version"]) == ("propose", 1)
    (waiting,) = made["state"]["waiting"]
    assert (waiting["author"], waiting["reason"]) == ("ann", "Looser.")
    assert "waiting" in genguard("policy", "status")
    for name in ("ann", " Ann "):
        genguard("policy", "approve", "house", revision(2)[:8], "--author", name, code=64)
        assert "somebody else" in genguard.err
    genguard("policy", "approve", "house", revision(3), "--author", "bob", code=64)
    genguard("policy", "approve", "house", revision(2)[:8], "--author", "bob")
    assert in_force(genguard) == 2
    genguard("policy", "activate", "v3.yaml", *why(), "--canary", "5%")
    found = genguard("policy", "approve", "house", revision(3)[:8], "--author", "bob", "--json")
    assert found["state"]["canary"]["share"] == 5
    genguard("policy", "promote", "house")
    assert in_force(genguard) == 2
    genguard("policy", "approve", "house", revision(3)[:8], "--author", "bob")
    assert in_force(genguard) == 3
    genguard("policy", "rollback", "house")
    assert in_force(genguard) == 2
    genguard("policy", "approve", "house", revision(3)[:8], "--author", "bob", code=64)
    assert verify(LEDGER).ok


# --- signatures ------------------------------------------------------------------------------------------------------


def test_keys_are_made_used_and_asked_for(genguard, monkeypatch):
    """An unsigned or wrongly signed policy is refused once keys are trusted; the signature is in the ledger."""
    made = genguard("policy", "keygen", "--name", "example.com/ann", "--json")
    assert (made["key"], made["public"]) == ("example.com-ann.key", "example.com-ann.pub")
    assert stat.S_IMODE(Path(made["key"]).stat().st_mode) == 0o600
    assert str(PublicKey.parse(Path(made["public"]).read_text("utf-8"))) == made["line"]
    genguard("policy", "keygen", "--name", "example.com/ann", code=64)
    genguard("policy", "keygen", "--name", "a b", code=64)
    genguard("policy", "keygen", "--name", "eve")
    monkeypatch.setenv("GENGUARD_POLICY_KEYS", made["public"])
    genguard("policy", "activate", "v1.yaml", *why(), code=64)
    assert "not signed by a trusted key" in genguard.err
    assert "genguard policy sign" in genguard.err
    genguard("policy", "sign", "v1.yaml", "--key", "eve.key")
    genguard("policy", "activate", "v1.yaml", *why(), code=64)
    signed = genguard("policy", "sign", "v1.yaml", "--key", made["key"], "--json")
    assert signed["signed_by"] == ["eve", "example.com/ann"]
    genguard("policy", "activate", "v1.yaml", *why())
    step = genguard("policy", "status", "house", "--json")["history"][0]
    assert step["signature"] == Path("v1.yaml.sig").read_text("utf-8")
    assert "example.com/ann (not checked here)" in genguard("audit", "show", str(step["index"]))
    Path("v1.yaml").write_text(Path("v1.yaml").read_text("utf-8").replace("block", "review"), "utf-8")
    genguard("policy", "activate", "v1.yaml", *why(), code=64)
    assert "for another policy, version or revision" in genguard.err
    genguard("policy", "sign", "v1.yaml", "--key", "v1.yaml", code=64)


def test_a_rollback_is_not_held_up_by_a_missing_signature(genguard, monkeypatch):
    """It is said, for services may refuse the revision."""
    genguard("policy", "activate", "v1.yaml", *why())
    genguard("policy", "keygen", "--name", "ann")
    monkeypatch.setenv("GENGUARD_POLICY_KEYS", "ann.pub")
    genguard("policy", "sign", "v2.yaml", "--key", "ann.key")
    genguard("policy", "activate", "v2.yaml", *why())
    genguard("policy", "rollback", "house")
    assert "services may refuse it" in genguard.err
    assert in_force(genguard) == 1


def test_a_signature_of_another_revision_is_refused_without_keys_too(genguard):
    """It would help nobody later."""
    genguard("policy", "keygen", "--name", "ann")
    genguard("policy", "sign", "v1.yaml", "--key", "ann.key")
    Path("v1.yaml.sig").rename("v2.yaml.sig")
    genguard("policy", "activate", "v2.yaml", *why(), code=64)


# --- looking ---------------------------------------------------------------------------------------------------------


def test_status_tells_policies_that_nobody_rolled_out(genguard):
    """Nothing there, or another name."""
    genguard("policy", "status", code=70)
    open_ledger(LEDGER).close()
    assert "no rollouts" in genguard("policy", "status")
    genguard("policy", "status", "house", code=64)
    genguard("policy", "rollback", "house", code=64)


def test_history_is_shown_to_people(genguard):
    """With who and why; control characters do not steer the terminal."""
    genguard("policy", "activate", "v1.yaml", *why("evil \x1b[31m red"), "--author", "ann")
    shown = genguard("policy", "status", "house")
    assert "ann" in shown
    assert "\x1b" not in shown
    listed = genguard("audit", "query", "rollout:house")
    assert ("activate" in listed, "house version 1" in listed, "ann" in listed) == (True, True, True)
    assert "evil" in genguard("audit", "show", "2")


def test_a_decision_tells_whether_a_canary_made_it(genguard: Terminal) -> None:
    """By the steps before it: the same revision judges for itself once it is promoted."""
    genguard("policy", "activate", "v1.yaml", *why())
    genguard("policy", "activate", "v2.yaml", "--canary", "50%", *why())
    found = {}
    with open_ledger(LEDGER) as ledger:
        for number, one in ((1, "v1.yaml"), (2, "v2.yaml")):
            made = decision(Action.ALLOW, number=number)
            verdict = replace(made.verdict, policy="house", version=number, revision=load(one).revision)
            found[number] = str(ledger.append_sync(replace(made, verdict=verdict)).decision)
    genguard("policy", "promote", "house", *why())
    with open_ledger(LEDGER) as ledger:
        made = decision(Action.ALLOW, number=3)
        verdict = replace(made.verdict, policy="house", version=2, revision=load("v2.yaml").revision)
        found[3] = str(ledger.append_sync(replace(made, verdict=verdict)).decision)
    shown = {number: genguard("audit", "show", one, "--json") for number, one in found.items()}
    assert [shown[number]["canary"] for number in (1, 2, 3)] == [None, {"share": 50, "by": "requests"}, None]
    assert "judged by   a canary, 50 % of requests" in genguard("audit", "show", found[2])
