"""Policies over a real ledger's history: written by a guard, read as columns, replayed."""

from __future__ import annotations

import io
import json
import shutil
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import cli
from audit.columns import history
from audit.grammar import parse
from audit.history import documents
from audit.ledger import open_ledger
from audit.query import query, show
from guard import workers
from guard.admission import Limits
from guard.pipeline import Guard
from guard.recorded import EARLY
from guard.registry import Floor, checks
from guard.rules import Policy
from guard.types import Content, Finding, Origin, Request, Scan, Span, Stage
from policies import from_document, loads
from policies.document import canonical
from policies.replay import Replay
from tests.fakes import FakeCheck, png, whole

POLICY = """policy: house
version: 1
status: live
checks:
  tone: {use: tone, deadline_ms: 800}
  names: {use: names, on_failure: review}
  deep: {use: deep, group: 2}
rules:
  - {id: rude, when: {tone.rude: 0.6}, action: block, category: harassment}
  - {id: name, when: {names: any}, action: redact, category: privacy, with: {operator: mask}}
  - {id: deep, when: {deep.dark: 0.5, tenant: acme}, action: review, category: violence}
"""


REDACTS = "action: redact, category: privacy, with: {operator: mask}"
EXCEPTION = {
    "id": "pilot",
    "rules": ["deep"],
    "owner": "legal",
    "reason": "a trial",
    "expires": "2199-01-01T00:00:00+00:00",
    "when": {"check": "names", "found": ["name"]},
}


def compiled(text: str) -> Policy:
    """A policy with an exception."""
    document = json.loads(loads(text).document)
    return from_document(canonical({**document, "exceptions": [EXCEPTION]}))


@dataclass
class Scored(FakeCheck):
    """Finds `label=score` written in a text, `boom` makes it fail, `slow` makes it late, `half` makes it read a part."""

    label: str
    category: str
    report_from: int = 100

    def __post_init__(self) -> None:
        super().__init__()
        self.labels = {self.label: self.category}

    def scan(self, content: Content) -> Scan:
        words = content.text.split()
        if f"boom-{self.label}" in words:
            raise ValueError("no")
        if f"slow-{self.label}" in words:
            time.sleep(1.2)
        found = []
        for word in words:
            name, _, score = word.partition("=")
            if name == self.label and int(score) >= self.report_from:
                start = content.text.index(word)
                found.append(Finding(self.category, self.label, int(score), Span(start, start + len(word))))
        half = Span(0, content.length // 2) if "half" in words else whole(content)
        return Scan(tuple(found), half)


def tone(*, report_from: Floor = 100, model: str = "small") -> Scored:
    return Scored("rude", "harassment", report_from)


def names() -> Scored:
    return Scored("name", "privacy")


def deep() -> Scored:
    return Scored("dark", "violence")


@pytest.fixture(autouse=True, scope="module")
def _checks() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for factory in (tone, names, deep):
            patch.setitem(checks._factories, factory.__name__, factory)
        yield


TEXTS = (
    "hello", "rude=900 x", "rude=500 x", "name=700 here", "name=700 rude=900", "dark=800", "dark=800 name=300", "boom-rude x",
    "boom-name x", "slow-rude x", "half x y z", "rude=650 boom-name", "name=500 half x y", "boom-dark",
    "rude=100 name=100 dark=100",
)  # fmt: skip


@pytest.fixture(scope="module")
def ledgers(tmp_path_factory: pytest.TempPathFactory, _checks: None) -> Path:
    """A folder with ledgers of prompts and replies of two tenants, one that is too long, and an image that no check reads.

    One was made under a policy with an exception, one under a policy without.
    """
    folder = tmp_path_factory.mktemp("ledgers")
    filled(folder / "excepted.db", compiled(POLICY))
    filled(folder / "plain.db", loads(POLICY))
    return folder


def copied(folder: Path, name: str, to: Path) -> str:
    for end in ("", ".key"):
        shutil.copy(folder / f"{name}.db{end}", to / f"genguard.db{end}")
    return f"sqlite:///{to / 'genguard.db'}"


@pytest.fixture
def url(ledgers: Path, tmp_path: Path) -> str:
    return copied(ledgers, "excepted", tmp_path)


def filled(path: Path, policy: Policy) -> str:
    address = f"sqlite:///{path}"
    with open_ledger(address) as ledger:
        guard = Guard(policy, ledger, limits=Limits(text=200))
        for tenant in ("acme", "other"):
            for number, text in enumerate(TEXTS):
                request = Request(f"{tenant}-{number}", tenant, language="en" if number % 2 else "zh")
                stage = Stage.PROMPT if number % 3 == 0 else Stage.OUTPUT
                guard.check_sync(text, request=request, stage=stage, origin=Origin("language"))
        guard.check_sync("x" * 300, request=Request("long"))
        guard.check_sync(png(), request=Request("image"))
        while workers.busy():
            time.sleep(0.01)
    return address


def replayed(url: str, draft: str, filters: str = "", **options: Any) -> Any:
    """A summary of the whole history under a draft, in batches of four; the same whoever reads the bodies."""
    summaries = []
    for many in (0, 10**9):
        replay = Replay(compiled(draft), documents(url), **options)
        with history(url, parse(filters), many=many) as found:
            for batch in found.batches(4):
                replay.add(batch)
        summaries.append(replay.summary())
    assert summaries[0] == summaries[1]
    return summaries[0]


def flips(summary: Any) -> dict[str, int]:
    return {f"{one.before}->{one.after}": one.count for one in summary.flips}


def test_the_live_policy_derives_every_action_again(url: str) -> None:
    """Failures, timeouts, early stops, partial reads, redactions, exceptions, refusals, an image that nobody reads."""
    summary = replayed(url, POLICY)
    assert (summary.total, summary.refused, summary.replayed, summary.unchanged) == (32, 1, 31, 31)
    assert (summary.flips, summary.unreplayable, summary.changed_edits) == ((), 0, 0)
    with history(url) as found:
        batches = list(found.batches())
    assert sum((batch.results.status == EARLY).sum() for batch in batches) > 0
    assert {action for batch in batches for action in batch.action} == {"allow", "redact", "review", "block"}


def test_columns_hold_what_the_decisions_hold(url: str) -> None:
    """One by one, against the ledger's own reading."""
    from tests.policies.recorded import columns

    with history(url) as found:
        [batch] = found.batches()
        decisions = [batch.decision(row) for row in range(len(batch))]
        fired = [batch.fired(row) for row in range(len(batch))]
    again = columns(decisions)
    for name in (
        "time",
        "policy",
        "revision",
        "action",
        "stage",
        "modality",
        "generator",
        "tenant",
        "language",
        "sources",
        "labels",
    ):
        assert list(getattr(batch, name)) == list(getattr(again, name)), name
    assert fired == [again.fired(row) for row in range(len(batch))]
    for table in ("results", "findings"):
        for name in type(getattr(batch, table)).__slots__:
            one, other = getattr(getattr(batch, table), name), getattr(getattr(again, table), name)
            chosen = batch.results.status == 0 if name == "whole" else slice(None)
            assert one[chosen].tolist() == other[chosen].tolist(), name
    assert list(batch.index) == sorted(batch.index, reverse=True)
    assert batch.refused.sum() == 1


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (("tone.rude: 0.6", "tone.rude: 0.5"), {"allow->block": 2}),
        (("tone.rude: 0.6", "tone.rude: 0.95"), {"block->redact": 2, "block->review": 2, "block->allow": 1}),
        ((REDACTS, "action: review, category: privacy"), {"redact->review": 6}),
        (("when: {names: any}", "when: {names.name: 0.6}"), {"redact->allow": 4}),
        (("tenant: acme}", 'tenant: "*"}'), {"allow->review": 1}),
        (("on_failure: review", "on_failure: block"), {"review->block": 2}),
    ],
)  # fmt: skip
def test_flips_are_counted(url: str, change: tuple[str, str], expected: dict[str, int]) -> None:
    """From action to action."""
    assert change[0] in POLICY
    summary = replayed(url, POLICY.replace(*change))
    assert flips(summary) == expected
    assert summary.replayed + summary.refused + summary.unreplayable == summary.total
    for flip in summary.flips:
        assert flip.count == sum(flip.by["generator"].values()) == sum(flip.by["tenant"].values())
        assert 0 < len(flip.examples) <= 5
        assert all(one.before == flip.before and one.after == flip.after for one in flip.examples)


def test_what_stopped_early_is_replayed_only_while_it_blocks(url: str) -> None:
    """A draft that blocks less would have asked the checks of later groups, and nobody knows their answers."""
    summary = replayed(url, POLICY.replace("tone.rude: 0.6", "tone.rude: 0.95"))
    assert summary.reasons == {
        "a check was not started because an earlier group had blocked": 1
    }  # at `other` it could not matter


def test_other_parameters_are_never_guessed(url: str) -> None:
    """Neither are checks that did not run; by another name a check is the same."""
    other = replayed(url, POLICY.replace("use: tone,", "use: tone, model: large,"))
    assert "a check of the draft ran with other parameters" in other.reasons
    assert 0 < other.unreplayable < 31
    new = POLICY.replace("  deep: {", "  more: {use: secrets}\n  deep: {") + ""
    extra = "rules:\n  - {id: more, when: {more: any}, action: block, category: cyber}"
    never = replayed(url, new.replace("rules:", extra, 1))
    assert set(never.reasons) == {"a check of the draft did not run then"}
    renamed = replayed(url, POLICY.replace("tone: {use", "manners: {use").replace("tone.rude", "manners.rude"))
    assert (flips(renamed), renamed.unreplayable) == ({}, 0)


def test_floors(url: str) -> None:
    """What was left out for its low score is known to be missing only where the draft asks for it."""
    spelled = replayed(url, POLICY.replace("use: tone,", "use: tone, report_from: 100, model: small,"))
    assert (spelled.unchanged, spelled.unreplayable) == (31, 0)  # defaults, written down
    lower = POLICY.replace("use: tone,", "use: tone, report_from: 50,")
    assert replayed(url, lower).unreplayable == 0
    asking = replayed(url, lower.replace("tone.rude: 0.6", "tone.rude: 0.05"))
    assert "a check left out scores that the draft asks for" in asking.reasons
    higher = replayed(url, POLICY.replace("use: tone,", "use: tone, report_from: 950,"))
    assert flips(higher).get("block->allow", 0) + higher.unreplayable > 0


def test_deadlines(url: str) -> None:
    """With more time a check that was late might have answered; with less one that answered might have been late."""
    longer = replayed(url, POLICY.replace("deadline_ms: 800", "deadline_ms: 8000"))
    assert longer.reasons == {"a check took longer than the draft allows, or had less time": 2}


def test_results_of_another_version_are_set_apart(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The newest result says which version counts; `as_measured` takes all."""
    monkeypatch.setattr(Scored, "version", "2")
    with open_ledger(url) as ledger:
        Guard(compiled(POLICY), ledger).check_sync("hello again", request=Request("late", "acme"), origin=Origin("language"))
    draft = POLICY.replace("tone.rude: 0.6", "tone.rude: 0.5")
    summary = replayed(url, draft)
    assert "a check had another model, bank or version than lately" in summary.reasons
    assert flips(replayed(url, draft, as_measured=True)) == {"allow->block": 2}
    assert replayed(url, POLICY).unchanged == 32  # its own policy measured all of it


def test_places_that_change_are_counted_apart(url: str) -> None:
    """Redacted before and after, in another way."""
    summary = replayed(url, POLICY.replace("operator: mask", "operator: replace"))
    assert (flips(summary), summary.changed_edits) == ({}, 6)


def test_a_draft_for_others(url: str) -> None:
    """Decisions of tenants that it does not speak for are no part of it."""
    draft = POLICY.replace("status: live", "status: draft\napplies_to: {tenants: [other]}").replace(", tenant: acme", "")
    summary = replayed(url, draft)
    assert summary.outside == 16
    assert summary.replayed + summary.unreplayable == 15


def test_filters_and_limits(url: str) -> None:
    """As in a query of the ledger; the newest come first."""
    assert replayed(url, POLICY, "tenant:acme stage:prompt").total == 5
    assert replayed(url, POLICY, "rule:rude").total == 6
    assert replayed(url, POLICY, "since:2199-01-01").total == 0
    with history(url, limit=3) as found:
        [batch] = found.batches()
    assert batch.index[0] - batch.index[-1] == 2


def test_a_policy_that_the_ledger_lacks(url: str) -> None:
    """Nothing can be derived without it."""
    replay = Replay(compiled(POLICY), {})
    with history(url) as found:
        for batch in found.batches():
            replay.add(batch)
    assert replay.summary().reasons == {"the ledger does not have the policy it was made under": 31}


# --- the command -------------------------------------------------------------------------------------------------------


@pytest.fixture
def genguard(
    ledgers: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Callable[..., SimpleNamespace]]:
    """Run one command in the ledger's folder, beside the policy and a draft of it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(workers, "busy", lambda _grace=0.0: False)  # a late check must not end this process
    copied(ledgers, "plain", tmp_path)
    (tmp_path / "house.yaml").write_text(POLICY, "utf-8")
    (tmp_path / "draft.yaml").write_text(POLICY.replace("tone.rude: 0.6", "tone.rude: 0.5"), "utf-8")
    (tmp_path / "looser.yaml").write_text(POLICY.replace("tone.rude: 0.6", "tone.rude: 0.95"), "utf-8")

    def run(*arguments: str) -> SimpleNamespace:
        monkeypatch.setattr(sys, "argv", ["genguard", "policy", "replay", *arguments])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO()))
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        written = capsys.readouterr()
        told = json.loads(written.out) if "--json" in arguments and stopped.value.code < 64 else None
        return SimpleNamespace(code=stopped.value.code, out=written.out, err=written.err, json=told)

    return run


def test_the_command_tells_flips_with_their_reasons(genguard: Callable[..., SimpleNamespace]) -> None:
    """For a person, and for a script."""
    told = genguard("draft.yaml", "--since", "7d")
    assert told.code == 0
    assert "allow -> block 2\n    rule       +rude 2\n" in told.out
    assert "tone.rude 0.500 is at least 0.500" in told.out
    found = genguard("draft.yaml", "tenant:acme", "--json", "--examples", "0").json
    assert (found["total"], found["flipped"], found["flips"][0]["examples"]) == (15, 1, [])
    assert found["filters"] == ["tenant:acme", "policy:house"]
    assert found["flips"][0]["by"]["rule"] == {"+rude": 1}


def test_ci_can_hold_a_draft_back(genguard: Callable[..., SimpleNamespace]) -> None:
    """1 for more flips than allowed; with --strict also for what cannot be replayed."""
    assert [genguard("draft.yaml", "--max-flips", most).code for most in ("2", "1")] == [0, 1]
    assert [genguard("looser.yaml").code, genguard("looser.yaml", "--strict").code] == [0, 1]
    assert genguard("house.yaml", "--max-flips", "0", "--strict").code == 0


def test_the_contents_themselves_can_be_read_again(genguard: Callable[..., SimpleNamespace], tmp_path: Path) -> None:
    """Then nothing is unknown, as long as the key is here."""
    found = genguard("looser.yaml", "--rescore", "--json").json
    assert (found["unreplayable"], found["refused"], found["replayed"]) == (0, 1, 31)
    (opened,) = query(f"sqlite:///{tmp_path}/genguard.db", "kind:access").rows
    assert show(f"sqlite:///{tmp_path}/genguard.db", opened.idx).event.reason.startswith("replay of policy house version")
    (tmp_path / "genguard.db.key").unlink()
    gone = genguard("looser.yaml", "--rescore", "--json").json
    assert gone["reasons"] == {"its content cannot be read: the master key is not here": 31}


def test_every_decision_derives_again(genguard: Callable[..., SimpleNamespace], tmp_path: Path) -> None:
    """0 when all do; 1 when the record of one says another action than its results give."""
    told = genguard("--check")
    assert (told.code, told.out.startswith("31 of 32 decisions derive again under their own policies, 1 refused")) == (0, True)
    with closing(sqlite3.connect(tmp_path / "genguard.db")) as connection:
        connection.execute("DROP TRIGGER entry_no_update")
        rows = connection.execute("SELECT idx, body FROM entry").fetchall()
        index, body = next((index, body) for index, body in rows if b'"score":900' in body)
        connection.execute("UPDATE entry SET body = ? WHERE idx = ?", (body.replace(b'"score":900', b'"score":200'), index))
        connection.commit()
    forged = genguard("--check", "--json")
    assert (forged.code, len(forged.json["differences"])) == (1, 1)
    assert forged.json["differences"][0]["recorded"].startswith("block (rude")


def test_ctrl_c_tells_what_was_done(genguard: Callable[..., SimpleNamespace], monkeypatch: pytest.MonkeyPatch) -> None:
    """130, and the part that was replayed."""
    add = Replay.add

    def interrupted(self: Replay, batch: Any) -> None:
        add(self, batch)
        raise KeyboardInterrupt

    monkeypatch.setattr(Replay, "add", interrupted)
    told = genguard("draft.yaml", "--json")
    assert (told.code, told.json) == (130, None)
    assert "Interrupted" in genguard("draft.yaml").out


def test_usage(genguard: Callable[..., SimpleNamespace], tmp_path: Path) -> None:
    """64 for what cannot be meant."""
    for arguments in (
        (),
        ("house.yaml", "--check"),
        ("none.yaml",),
        ("house.yaml", "colour:red"),
        ("house.yaml", "--since", "soon"),
    ):
        assert genguard(*arguments).code == 64, arguments
    (tmp_path / "genguard.db").unlink()
    assert genguard("house.yaml").code == 70
