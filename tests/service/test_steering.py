"""serving.steering: steps of a rollout over HTTP, by people whose names are proven."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from starlette.testclient import TestClient

from audit.history import revisions
from audit.verify import verify
from guard.note import SigningKey
from guard.registry import checks
from policies import loads
from policies.signing import sign
from service import create_app
from serving import rollout
from tests.fakes import FakeCheck, ImageCheck, WordCheck
from tests.service.plain import bearer, plain

PEOPLE = {"ann": "author", "bob": "approver", "root": "admin", "eve": "officer"}
KEYS = {name: f"{name}-".ljust(24, "k") for name in PEOPLE}
POLICY = """
policy: house
version: 1
status: live
checks:
  words: {use: words, words: [bad]}
  dark: {use: dark}
rules:
  - {id: dark, when: {dark: [dark]}, action: block, category: violence}
  # what nobody wants to read
  - id: bad
    title: Bad words wait for a person
    when: {words: [word]}
    action: review
    category: privacy
    basis: House rules 1
    message: {en: This was withheld.}
    tests:
      - flags: a bad word
      - passes: a good word
"""
STRICTER = POLICY.replace("version: 1", "version: 2").replace("action: review", "action: block")
RED = STRICTER.replace("passes: a good word", "passes: another bad word")


def words(*, words: tuple[str, ...] = ()) -> FakeCheck:
    return WordCheck(*words)


@dataclass
class House:
    """A service that judges with version 1, and who works there."""

    client: TestClient
    ledger: str

    def post(self, who: str, path: str, status: int = 200, **sent: Any) -> Any:
        answer = self.client.post(f"/v1/policies/{path}", json=sent, headers=self.key(who))
        assert answer.status_code == status, answer.text
        return answer.json()

    def show(self) -> Any:
        return self.client.get("/v1/policies/house", headers=self.key("bob")).json()

    def key(self, who: str) -> dict[str, str]:
        return bearer(KEYS[who])

    def until(self, version: int) -> None:
        """Wait until a version judges."""
        end = time.monotonic() + 60
        while self.show()["in_force"]["version"] != version:
            assert time.monotonic() < end, self.show()
            time.sleep(0.02)


@pytest.fixture
def settled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[House]:
    monkeypatch.setitem(checks._factories, "words", words)
    monkeypatch.setitem(checks._factories, "dark", ImageCheck)
    monkeypatch.setattr(rollout, "POLL_S", 0.05)
    for name in ("GENGUARD_MASTER_KEY", "GENGUARD_POLICY_KEYS"):
        monkeypatch.delenv(name, raising=False)
    keys = SecretStr(",".join(f"{name}+{role}:{KEYS[name]}" for name, role in PEOPLE.items()))
    settings = plain(tmp_path, POLICY, api_keys=keys, **getattr(request, "param", {}))
    with TestClient(create_app(settings)) as client:
        yield House(client, settings.ledger)


def test_a_draft_judges_and_is_taken_back(settled: House) -> None:
    """With its text, comments and tests in the ledger; the ledger verifies."""
    answer = settled.post("ann", "activate", source=STRICTER, reason="Worse words")
    assert answer["recorded"]
    assert answer["entry"]["author"] == "ann"
    assert answer["entry"]["step"] == "activate"
    settled.until(2)
    again = settled.post("ann", "activate", source=STRICTER, reason="Again")
    assert not again["recorded"]
    assert "in force already" in again["why"]
    assert [one.source for one in revisions(settled.ledger, "house")] == [STRICTER, ""]
    back = settled.post("ann", "house/rollback", 400, reason="Too strict", to="ffff")
    assert "0 revisions" in back["error"]["message"]


def test_the_first_version_comes_back(settled: House) -> None:
    """What judged from a file before is in force again, from the ledger, though it decided nothing yet."""
    settled.post("ann", "activate", source=STRICTER, reason="Worse words")
    settled.until(2)
    assert settled.post("ann", "house/rollback", reason="Too strict")["entry"]["step"] == "rollback"
    settled.until(1)
    assert verify(settled.ledger).ok


def test_red_tests_lints_and_mistakes_keep_a_draft_out(settled: House) -> None:
    """Each says what is wrong; nothing is recorded."""
    red = settled.post("ann", "activate", 409, source=RED, reason="x")
    assert red["error"]["code"] == "not_ready"
    assert "another bad word" in red["not_ready"]["tests that are not green"][0]
    rule = "- {id: dark, when: {dark: [dark]}, action: block, category: violence"
    picture = STRICTER.replace(rule, f"{rule}, tests: [{{flags: {{image: /etc/hostname}}}}]")
    assert "not read here" in str(settled.post("ann", "activate", 409, source=picture, reason="x"))
    assert settled.post("ann", "activate", 422, source="policy: [", reason="x")["error"]["code"] == "invalid_policy"
    assert (
        "status"
        in settled.post("ann", "activate", 400, source=STRICTER.replace("live", "draft"), reason="x")["error"]["message"]
    )
    settled.post("ann", "activate", 400, source=STRICTER, pack="dev", reason="x")
    settled.post("ann", "activate", 422, source=STRICTER, reason="")
    assert len(revisions(settled.ledger, "house")) == 1


def test_a_canary_is_widened_promoted_and_a_shadow_stopped(settled: House) -> None:
    """Its share can be changed while it runs."""
    settled.post("ann", "house/share", 400, share=20, reason="x")
    settled.post("ann", "activate", source=STRICTER, reason="Try it", share=10)
    assert settled.post("ann", "house/share", share=40, by="tenants", reason="More")["state"]["canary"]["share"] == 40
    assert settled.post("ann", "house/promote", reason="Fine")["state"]["in_force"]["version"] == 2
    settled.until(2)
    third = STRICTER.replace("version: 2", "version: 3").replace("status: live", "status: draft")
    shadow = settled.post("ann", "activate", source=third, reason="Look", shadow=True)["state"]["shadows"]
    assert [one["version"] for one in shadow] == [3]
    assert settled.post("ann", "house/stop", reason="Seen", revision=shadow[0]["revision"][:12])["state"]["shadows"] == []
    assert settled.post("ann", "house/retire", reason="Away")["state"]["retired"]


@pytest.mark.parametrize("settled", [{"policy_approvals": True}], indirect=True)
def test_somebody_else_approves(settled: House) -> None:
    """Never who proposed it, whatever their role; authors approve nothing, approvers activate nothing."""
    asked = settled.post("root", "activate", source=STRICTER, reason="Worse words")
    assert asked["entry"]["step"] == "propose"
    revision = asked["entry"]["revision"]
    assert "somebody else" in settled.post("root", "house/approve", 400, revision=revision[:12])["error"]["message"]
    settled.post("ann", "house/approve", 403, revision=revision[:12])
    settled.post("bob", "activate", 403, source=STRICTER, reason="x")
    settled.post("eve", "house/stop", 403, reason="x")
    done = settled.post("bob", "house/approve", revision=revision[:12])["entry"]
    assert (done["author"], done["approver"], done["reason"]) == ("root", "bob", "Worse words")
    settled.until(2)
    settled.post("bob", "house/rollback", 403, reason="x")


def test_an_author_may_ask_for_a_second_person_and_an_approver_refuses(settled: House) -> None:
    """Without the setting, too. Who only approves ends proposals and nothing else."""
    settled.post("ann", "activate", source=STRICTER, reason="Worse words", propose=True)
    assert settled.post("bob", "house/stop", reason="No")["state"]["waiting"] == []
    settled.post("ann", "activate", source=STRICTER, reason="Try it", share=10)
    assert "no proposal" in settled.post("bob", "house/stop", 400, reason="No")["error"]["message"]


def test_where_signatures_are_needed_a_draft_brings_one(tmp_path: Path, settled: House) -> None:
    """Without one it is not recorded."""
    key = SigningKey.make("ann")
    (tmp_path / "ann.pub").write_text(str(key.public), "utf-8")
    settled.client.app.state.settings = settled.client.app.state.settings.model_copy(
        update={"policy_keys": (str(tmp_path / "ann.pub"),)}
    )
    refused = settled.post("ann", "activate", 409, source=STRICTER, reason="x")
    assert refused["error"]["code"] == "not_signed"
    assert [one.version for one in revisions(settled.ledger, "house")] == [1]
    signed = settled.post("ann", "activate", source=STRICTER, reason="x", signature=sign(loads(STRICTER), key))
    assert "genguard policy" in signed["entry"]["signature"]
