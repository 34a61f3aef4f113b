"""Keyed redaction through the service: where the key comes from, and what a conversation is."""

from __future__ import annotations

import base64
import re
import stat
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from guard.errors import SettingsError
from guard.redaction_key import RedactionKey
from guard.sealed import reveal
from service import create_app
from serving.settings import Settings

POLICY = """
policy: desk
version: 1
status: live
checks:
  pii: {use: pii, languages: [en, zh], deadline_ms: 60000}
rules:
  - {id: who, when: {pii: [EMAIL_ADDRESS, PHONE_NUMBER]}, action: redact, with: {operator: pseudonymise}}
  - {id: account, when: {pii: IBAN_CODE}, action: redact, with: {operator: encrypt}}
"""
LINE = "Write to maria@mail.example about DE89 3704 0044 0532 0130 00."


@pytest.fixture(autouse=True)
def _no_key_around(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GENGUARD_REDACTION_KEY", raising=False)


def settings(tmp_path: Path, **given: object) -> Settings:
    file = tmp_path / "desk.yaml"
    file.write_text(POLICY, "utf-8")
    return Settings(policies=(str(file),), ledger=f"sqlite:///{tmp_path / 'ledger.db'}", generators=("echo",), **given)


def chat(client: TestClient, text: str, conversation: str = "") -> str:
    body = {"model": "echo", "messages": [{"role": "user", "content": text}]}
    headers = {"x-genguard-conversation": conversation} if conversation else {}
    answer = client.post("/v1/chat/completions", json=body, headers=headers)
    return answer.json()["choices"][0]["message"]["content"]


def test_a_conversation_keeps_its_stand_ins_over_calls(tmp_path: Path) -> None:
    """Named in a header, recorded in the entry; without one, a call stands alone."""
    with TestClient(create_app(settings(tmp_path))) as client:
        first, again = chat(client, LINE, "chat-1"), chat(client, f"Again: {LINE.lower()}", "chat-1")
        other, alone = chat(client, LINE, "chat-2"), chat(client, LINE)
        mails = [re.findall(r"person-[0-9]{6}@example\.org", one) for one in (first, again, other, alone)]
        assert mails[0] == mails[1]
        assert len({tuple(one) for one in mails}) == 3
        row = client.get("/v1/decisions", params={"q": "stage:output", "limit": 4}).json()["decisions"][-1]
        entry = client.get(f"/v1/decisions/{row['decision']}").json()["entry"]
        assert entry["request"]["conversation"] == "chat-1"
        assert "maria" not in str(entry)
    assert "DE89" not in first
    key = RedactionKey.read(tmp_path / "ledger.db.redaction.key")
    assert "DE89 3704 0044 0532 0130 00" in reveal(first, key).text


def test_the_key_is_made_once_beside_the_ledger(tmp_path: Path) -> None:
    """For its owner alone, and used again."""
    wanted = settings(tmp_path)
    for _ in range(2):
        with TestClient(create_app(wanted)) as client:
            said = chat(client, LINE, "chat-1")
    file = tmp_path / "ledger.db.redaction.key"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert reveal(said, RedactionKey.read(file)).opened == 1


def test_a_key_that_was_lost_is_not_replaced(tmp_path: Path) -> None:
    """A new one would open nothing: the service does not start until the old one is back, or another one is named."""
    with TestClient(create_app(settings(tmp_path))) as client:
        chat(client, LINE)
    file = tmp_path / "ledger.db.redaction.key"
    file.rename(tmp_path / "kept.key")
    with pytest.raises(SettingsError, match="cannot read the redaction key file"), TestClient(create_app(settings(tmp_path))):
        pass
    assert not file.exists()
    with TestClient(create_app(settings(tmp_path, redaction_key_file=tmp_path / "kept.key"))) as client:
        assert "person-" in chat(client, LINE)


def test_a_key_in_the_environment_is_used_and_no_file_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As base64; what is no key is refused without being shown."""
    secret = bytes(range(32))
    monkeypatch.setenv("GENGUARD_REDACTION_KEY", base64.b64encode(secret).decode())
    with TestClient(create_app(settings(tmp_path))) as client:
        assert reveal(chat(client, LINE), RedactionKey(secret)).opened == 1
    assert not (tmp_path / "ledger.db.redaction.key").exists()
    monkeypatch.setenv("GENGUARD_REDACTION_KEY", "no key at all")
    with (
        pytest.raises(SettingsError, match="GENGUARD_REDACTION_KEY does not hold") as caught,
        TestClient(create_app(settings(tmp_path))),
    ):
        pass
    assert "no key at all" not in caught.value.diagnostics()


def test_a_policy_without_keyed_rules_makes_no_key(tmp_path: Path) -> None:
    """It is not asked for where nothing needs it."""
    wanted = settings(tmp_path)
    Path(wanted.policies[0]).write_text(POLICY.replace("pseudonymise", "replace").replace("encrypt", "mask"), "utf-8")
    with TestClient(create_app(wanted)) as client:
        assert "[EMAIL_ADDRESS]" in chat(client, LINE)
    assert not (tmp_path / "ledger.db.redaction.key").exists()
