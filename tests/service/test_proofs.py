"""Signed checkpoints and proofs over HTTP."""

from __future__ import annotations

import base64
import sys
import time
from pathlib import Path

import pytest
from pydantic import SecretStr
from starlette.testclient import TestClient

from audit.anchor import FileAnchor
from audit.checkpoint import Checkpoint
from audit.cosign import WitnessKey
from audit.database import reader_engine
from audit.key_chain import follow
from audit.ledger import open_ledger
from audit.log_rotation import LogKeys
from audit.proof import Proof
from audit.prove import prove
from audit.query import identity
from guard.note import PublicKey, SigningKey
from service import create_app
from serving.settings import Settings

sys.path.insert(0, str(Path(__file__).parents[1] / "audit"))

from servers import hook

from tests.service.plain import POLICY

KEY = "k" * 24


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
        deadline = time.monotonic() + 60
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
        deadline = time.monotonic() + 60
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


def test_every_answer_names_a_receipt_that_can_be_proven(settings):
    """Generated texts, checked ones, inputs that cannot be read, refusals: each with the place of its proof."""
    mine = {"authorization": f"Bearer {KEY}"}
    chat = {"model": "echo", "messages": [{"role": "user", "content": "Hi"}]}
    with TestClient(create_app(settings)) as client:
        key = PublicKey.parse(client.get("/v1/checkpoint/key", headers=mine).text)
        for answer in (
            client.post("/v1/chat/completions", json=chat, headers=mine),
            client.post("/v1/check", json={"text": "Hi"}, headers=mine),
            client.post("/v1/check", json={"text": "a\u200bb\u2063c"}, headers=mine),
            client.post("/v1/chat/completions", content=b"\xff", headers={**mine, "content-type": "application/json"}),
        ):
            told = answer.json().get("genguard") or answer.json()["error"]["genguard"]
            for one in told if isinstance(told, list) else [told]:
                proof = Proof.parse(client.get(one["receipt"]["proof"], headers=mine).text)
                assert proof.verify([key]).size >= one["receipt"]["tree_size"]
                assert proof.index == one["receipt"]["index"]
            assert answer.headers["x-genguard-receipt"].partition(":")[2]


def test_checkpoints_are_posted_to_a_hook_and_what_waits_is_told(settings, tmp_path):
    """All along; what was decided last has arrived, or waits on disk, when the service stops; `/readyz` stays 200."""
    mine = {"authorization": f"Bearer {KEY}"}
    secret = "whsec_" + base64.b64encode(bytes(32)).decode()
    with hook() as (url, got):
        made = settings.model_copy(update={"anchors": (url,), "webhook_secret": SecretStr(secret)})
        with TestClient(create_app(made)) as client:
            client.post("/v1/check", json={"text": "Hi"}, headers=mine)
            key = PublicKey.parse(client.get("/v1/checkpoint/key", headers=mine).text)
            until = time.monotonic() + 60
            while not got and time.monotonic() < until:
                time.sleep(0.02)
            assert got  # while it runs
        assert Checkpoint.verified(got[-1][1].decode(), [key]).size == 3
    with TestClient(create_app(made)) as client:
        client.post("/v1/check", json={"text": "Hi"}, headers=mine)
        client.get("/v1/checkpoint", headers=mine)
        client.app.state.office.sent[0]._next = 0.0
        client.app.state.office.sent[0].deliver()
        answer = client.get("/readyz")
        assert answer.status_code == 200
        assert "checkpoints wait for http://127.0.0.1" in answer.json()["checkpoints"][0]
    assert int(client.app.state.office.sent[0].waiting()[-1].name.partition("-")[0]) == 4


def test_a_checkpoint_that_too_few_witnesses_cosigned_is_not_handed_out_and_decisions_go_on(settings):
    """With `require`: no proofs, and a service that decides and is ready."""
    mine = {"authorization": f"Bearer {KEY}"}
    target = f"http://127.0.0.1:9+{WitnessKey.of(SigningKey.make('w1'))}"
    made = settings.model_copy(update={"witnesses": (target,), "witness_policy": "require", "anchors": ()})
    with TestClient(create_app(made)) as client:
        assert client.post("/v1/check", json={"text": "Hi"}, headers=mine).status_code == 200
        refused = client.get("/v1/checkpoint", headers=mine)
        assert refused.status_code == 503
        assert "0 of 1 witnesses cosigned" in refused.text
        ready = client.get("/readyz")
        assert ready.status_code == 200
        assert "0 of 1 witnesses cosigned" in ready.json()["checkpoints"][0]
