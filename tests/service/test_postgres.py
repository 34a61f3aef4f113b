"""The service and the terminal on a ledger in PostgreSQL, from the first output to its erasure."""

from __future__ import annotations

import io
import json
import sys

import pytest
from postgres import fresh_schema
from starlette.testclient import TestClient

import cli
from audit.migrate import LATEST
from audit.stores import open_store
from guard.errors import LedgerError
from service import create_app
from serving.settings import Settings

POLICY = """policy: desk
version: 3
status: live
checks:
  pii: {use: pii, deadline_ms: 20000}
rules:
  - {id: card, when: {pii: [CREDIT_CARD]}, action: redact, category: privacy, with: {operator: mask, keep_last: 4}}
"""
BODY = {"model": "echo", "user": "person-1", "messages": [{"role": "user", "content": "Pay with 4111 1111 1111 1111"}]}


@pytest.fixture
def url(postgres, tmp_path, monkeypatch):
    """An empty place in a database, and a folder for what lies beside a ledger in a file."""
    (tmp_path / "keys").mkdir()
    monkeypatch.setenv("GENGUARD_KEY_FOLDER", str(tmp_path / "keys"))
    monkeypatch.delenv("GENGUARD_MASTER_KEY", raising=False)
    (tmp_path / "desk.yaml").write_text(POLICY, "utf-8")
    monkeypatch.chdir(tmp_path)
    return fresh_schema(postgres)


@pytest.fixture
def genguard(monkeypatch, capsys):
    """Run one command; its exit code and output."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["genguard", *arguments])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"")))
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        written = capsys.readouterr()
        return stopped.value.code, written.out + written.err

    return run


def test_everything_works_on_a_server(url, genguard, tmp_path, monkeypatch):
    """What the service records, the terminal finds, verifies, proves, exports and erases; no password is ever shown."""
    app = create_app(Settings(policies=(str(tmp_path / "desk.yaml"),), ledger=url, generators=("echo",)))
    with TestClient(app) as client:
        answer = client.post("/v1/chat/completions", json=BODY)
        assert answer.status_code == 200, answer.text
        assert client.get("/readyz").status_code == 200
        ident = client.get("/v1/decisions", params={"q": "action:redact"}).json()["decisions"][0]["decision"]
        assert client.get(f"/v1/decisions/{ident}").json()["entry"]["verdict"]["action"] == "redact"
        last = client.get(f"/v1/decisions/{answer.headers['x-genguard-decision']}").json()
        assert last["entry"]["verdict"]["action"] == "allow"
    monkeypatch.setenv("GENGUARD_LEDGER", url)
    code, out = genguard("audit", "query", "action:redact", "--ledger", url, "--json")
    assert (code, ident in out) == (0, True)
    assert genguard("audit", "query", "action:redact")[0] == 0
    assert genguard("audit", "show", ident, "--ledger", url)[0] == 0
    code, out = genguard("audit", "verify", "--ledger", url)
    assert code == 0, out
    assert genguard("audit", "migrate", "--check", "--ledger", url) == (0, f"revision {LATEST}; due: nothing\n")
    code, out = genguard("audit", "export", str(tmp_path / "evidence.zip"), "--ledger", url, "--json")
    assert code == 0, out
    code, out = genguard(
        "audit", "erase", "--subject", "person-1", "--reason", "asked", "--author", "ann", "--ledger", url, "--json"
    )
    assert code == 0, out
    assert json.loads(out)["payloads"] >= 1
    code, out = genguard("audit", "verify", "--ledger", url)
    assert code == 3, out


def test_what_is_missing_is_told(url, genguard, monkeypatch, tmp_path):
    """No key, no folder for keys, no ledger, no server: a sentence each, without the password."""
    monkeypatch.delenv("GENGUARD_KEY_FOLDER")
    code, out = genguard("check", str(tmp_path / "desk.yaml"), "--policy", str(tmp_path / "desk.yaml"), "--ledger", url)
    assert (code, "GENGUARD_KEY_FOLDER" in out) == (70, True), out
    code, out = genguard("audit", "query", "--ledger", url)
    assert (code, "there is no ledger in postgresql://" in out) == (70, True), out
    away = "postgresql://ann:opensesame@127.0.0.1:1/ledger"
    code, out = genguard("audit", "query", "--ledger", away)
    assert (code, "opensesame" in out, "postgresql://ann@127.0.0.1:1/ledger" in out) == (70, False, True), out
    with pytest.raises(LedgerError, match="without a database"):
        open_store("postgresql://localhost")
