"""Exports over HTTP."""

from __future__ import annotations

import hashlib
import json
import tempfile

import pytest
from starlette.testclient import TestClient

from audit import genguard_verify
from audit.query import show
from service import create_app
from serving import exports
from serving.settings import Settings
from tests.service.plain import POLICY

ACME, UMBRELLA, OFFICER = ({"authorization": f"Bearer {letter * 24}"} for letter in "kof")


@pytest.fixture
def url(tmp_path):
    """The service's ledger."""
    return f"sqlite:///{tmp_path / 'ledger.db'}"


@pytest.fixture
def client(tmp_path, url, monkeypatch):
    """A service with two tenants and an officer, and two decisions of each tenant."""
    (tmp_path / "policy.yaml").write_text(POLICY, "utf-8")
    (tmp_path / "work").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "work"))
    keys = f"desk@acme+caller+officer:{'k' * 24},other@umbrella:{'o' * 24},officer+officer:{'f' * 24}"
    settings = Settings(policies=(str(tmp_path / "policy.yaml"),), ledger=url, generators=("echo",), api_keys=keys)
    with TestClient(create_app(settings)) as opened:
        for headers in (ACME, UMBRELLA, ACME, UMBRELLA):
            opened.post("/v1/check", json={"text": "Hi"}, headers=headers)
        yield opened


def test_a_tenant_gets_a_bundle_of_its_own_decisions(client, url, tmp_path):
    """Whatever it asks for: no other tenant's, no policy; and nothing stays on the disk."""
    asked = {"q": "tenant:umbrella,acme", "all_kinds": True}
    answer = client.post("/v1/exports", json=asked, headers=ACME)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/zip"
    assert answer.headers["x-genguard-count"] == "2"
    assert answer.headers["x-genguard-sha256"] == hashlib.sha256(answer.content).hexdigest()
    (tmp_path / "a.zip").write_bytes(answer.content)
    key = client.get("/v1/checkpoint/key", headers=ACME).text.strip()
    shown = genguard_verify.verify_bundle(tmp_path / "a.zip", [genguard_verify.read_key(key)])
    assert (shown.entries, dict(shown.kinds), shown.policies, len(shown.missing)) == (2, {"decision": 2}, 0, 1)
    event = show(url, int(answer.headers["x-genguard-export"])).event
    assert (event.tenant, event.fields["query"], event.fields["count"]) == ("acme", "tenant:umbrella,acme", 2)
    assert list((tmp_path / "work").iterdir()) == []


def test_an_officer_gets_all_and_every_format_has_its_type(client):
    """CSV, lines, statements, findings."""
    for form, (media_type, _) in exports.TYPES.items():
        answer = client.post("/v1/exports", json={"format": form}, headers=OFFICER)
        assert (answer.status_code, answer.headers["content-type"]) == (200, media_type), form
    lines = client.post("/v1/exports", json={"format": "jsonl", "all_kinds": True}, headers=OFFICER).content.splitlines()
    kinds = [json.loads(line)["entry"]["kind"] for line in lines]
    assert kinds.count("export") == len(exports.TYPES)
    assert kinds.count("policy_activate") == 1


def test_mistakes_and_strangers_are_refused_and_leave_nothing(client, tmp_path):
    """A filter, a format, a field, no key."""
    for body, status in (({"q": "colour:red"}, 400), ({"format": "xlsx"}, 422), ({"actor": "root"}, 422)):
        assert client.post("/v1/exports", json=body, headers=OFFICER).status_code == status
    assert client.post("/v1/exports", json={}).status_code == 401
    assert list((tmp_path / "work").iterdir()) == []


def test_one_export_at_a_time(client, monkeypatch):
    """The next one is told when to come again."""
    monkeypatch.setattr(exports._turn, "locked", lambda: True)
    answer = client.post("/v1/exports", json={}, headers=OFFICER)
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "10")
