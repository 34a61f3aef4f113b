"""What a call is for and whose consent it rests on: recorded, asked by policies, found again, replayed."""

from __future__ import annotations

from pathlib import Path

import pytest
from starlette.testclient import TestClient

from audit.columns import history
from service import create_app
from serving.settings import Settings

POLICY = """
policy: desk
version: 1
status: live
checks:
  secrets: {use: secrets, deadline_ms: 60000}
rules:
  - id: no-consent
    when: {consent: none, stage: prompt, not: {purpose: "internal-*"}}
    action: block
    category: privacy
    basis: House rules 2
    message: {en: No consent is on record.}
    tests: [{flags: Tell me about her.}]
  - {id: secret, when: {secrets: any}, action: block, category: privacy, basis: House rules 3}
"""
CHAT = {"model": "echo", "messages": [{"role": "user", "content": "Good morning."}]}


@pytest.mark.parametrize(
    ("headers", "finish"),
    [
        ({}, "content_filter"),
        ({"x-genguard-purpose": "marketing"}, "content_filter"),
        ({"x-genguard-purpose": "internal-test"}, "stop"),
        ({"x-genguard-consent": "crm-4711"}, "stop"),
    ],
)
def test_a_policy_refuses_what_nobody_consented_to(tmp_path: Path, headers: dict[str, str], finish: str) -> None:
    """Without a reference nothing reaches the generator; with one, the entry names it and queries find it."""
    (tmp_path / "desk.yaml").write_text(POLICY, "utf-8")
    ledger = f"sqlite:///{tmp_path / 'ledger.db'}"
    settings = Settings(policies=(str(tmp_path / "desk.yaml"),), ledger=ledger, generators=("echo",))
    with TestClient(create_app(settings)) as client:
        answer = client.post("/v1/chat/completions", json=CHAT, headers=headers).json()
        assert answer["choices"][0]["finish_reason"] == finish
        for name in ("purpose", "consent"):
            given = headers.get(f"x-genguard-{name}", "")
            entry = client.get(f"/v1/decisions/{answer['genguard'][0]['decision']}").json()["entry"]
            assert entry["request"].get(name, "") == given
            if given:
                found = client.get("/v1/decisions", params={"q": f"{name}:{given}"}).json()["decisions"]
                assert answer["genguard"][0]["decision"] in {row["decision"] for row in found}
    for many in (1, 1_000_000):  # compiled loops and plain ones
        with history(ledger, many=many) as read:
            (batch,) = read.batches()
            assert set(batch.consent) == {headers.get("x-genguard-consent", "none")}
            assert set(batch.purpose) == {headers.get("x-genguard-purpose", "none")}
