"""Signed checkpoints and proofs over HTTP."""

from __future__ import annotations

import time

import pytest
from starlette.testclient import TestClient

from audit.anchor import FileAnchor
from audit.checkpoint import Checkpoint
from audit.database import reader_engine
from audit.key_chain import follow
from audit.ledger import open_ledger
from audit.log_rotation import LogKeys
from audit.proof import Proof
from audit.prove import prove
from audit.query import identity
from guard.note import PublicKey
from service import create_app
from serving.settings import Settings

KEY = "k" * 24
POLICY = """
policy: desk
version: 1
status: live
checks:
  hidden: {use: invisible_characters}
rules:
  - {id: hidden, when: {hidden: any}, action: block, category: input}
"""


@pytest.fixture
def settings(tmp_path):
    """A service that needs no model, with an anchor."""
    (tmp_path / "policy.yaml").write_text(POLICY, "utf-8")
    return Settings(
        policies=(str(tmp_path / "policy.yaml"),),
        ledger=f"sqlite:///{tmp_path / 'ledger.db'}",
        generators=("echo",),
        anchors=(str(tmp_path / "anchor.txt"),),
        api_keys=f"desk@acme:{KEY},other@umbrella:{'o' * 24}",
    )


def test_each_decision_is_proven_by_a_file_and_the_key(settings, tmp_path):
    """For those who may see it; whoever has the public key needs nothing else."""
    mine, other = ({"authorization": f"Bearer {key}"} for key in (KEY, "o" * 24))
    with TestClient(create_app(settings)) as client:
        ids = [client.post("/v1/check", json={"text": "Hi"}, headers=mine).json()["genguard"]["decision"] for _ in range(3)]
        key = PublicKey.parse(client.get("/v1/checkpoint/key", headers=mine).text)
        for one in ids:
            answer = client.get(f"/v1/decisions/{one}/proof", headers=mine)
            assert answer.headers["content-disposition"] == f'attachment; filename="{one}.tlog-proof"'
            proof = Proof.parse(answer.text)
            assert one in proof.body.decode()
            proof.verify([key])
        assert client.get(f"/v1/decisions/{ids[0]}/proof", headers=other).status_code == 404
        assert client.get("/v1/decisions/none/proof", headers=mine).status_code == 404
        head = Checkpoint.verified(client.get("/v1/checkpoint", headers=mine).text, [key])
        assert head.size == 5
        deadline = time.monotonic() + 10
        anchor = FileAnchor(tmp_path / "anchor.txt")
        while not anchor.notes() and time.monotonic() < deadline:
            time.sleep(0.05)
    assert Checkpoint.verified(anchor.notes()[-1], [key]).size == 5, "what was decided last is signed when the service stops"


def test_a_service_whose_ledger_was_rolled_back_is_not_ready(settings, tmp_path):
    """It goes on deciding, and says that nothing is signed."""
    mine = {"authorization": f"Bearer {KEY}"}
    with TestClient(create_app(settings)) as client:
        for _ in range(3):
            client.post("/v1/check", json={"text": "Hi"}, headers=mine)
    for file in tmp_path.glob("ledger.db*"):
        if file.suffix != ".key":
            file.unlink()
    with TestClient(create_app(settings)) as client:
        deadline = time.monotonic() + 10
        while "checkpoints" not in client.get("/readyz").json()["troubles"] and time.monotonic() < deadline:
            time.sleep(0.05)
        assert client.get("/readyz").status_code in {200, 503}


def test_the_terminal_and_the_service_give_the_same_proof(settings, tmp_path):
    """Under the same checkpoint, byte for byte."""
    from terminal.proofs import log_keys, signed

    mine = {"authorization": f"Bearer {KEY}"}
    with TestClient(create_app(settings)) as client:
        one = client.post("/v1/check", json={"text": "Hi"}, headers=mine).json()["genguard"]["decision"]
        over_http = client.get(f"/v1/decisions/{one}/proof", headers=mine).text
        note, _ = signed(settings.ledger, [str(tmp_path / "another.txt")], None)
        assert str(prove(settings.ledger, one, note)) == over_http
        assert client.get("/v1/checkpoint/chain", headers=mine).text == log_keys(settings.ledger, None).chain() == ""


def test_a_service_follows_when_its_log_key_is_changed(settings, tmp_path):
    """By another process, while it runs: later proofs are signed by the new key."""
    mine = {"authorization": f"Bearer {KEY}"}
    with TestClient(create_app(settings)) as client:
        first = PublicKey.parse(client.get("/v1/checkpoint/key", headers=mine).text)
        Checkpoint.verified(client.get("/v1/checkpoint", headers=mine).text, [first])
        anchors = [FileAnchor(tmp_path / "anchor.txt")]
        path = tmp_path / "ledger.db"
        keys = LogKeys.of(reader_engine(path), path, identity(settings.ledger), None, anchors)
        with open_ledger(settings.ledger) as opened:
            change = keys.rotate(opened, actor="ann")
        one = client.post("/v1/check", json={"text": "Hi"}, headers=mine).json()["genguard"]["decision"]
        proof = Proof.parse(client.get(f"/v1/decisions/{one}/proof", headers=mine).text)
        chain = client.get("/v1/checkpoint/chain", headers=mine).text
        assert proof.verify(follow([first], chain)).size > change.index + 1
        assert client.get("/v1/checkpoint/key", headers=mine).text.strip() == change.after
        assert "checkpoints" not in client.get("/readyz").json()["troubles"]
