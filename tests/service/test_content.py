"""Stored content over HTTP: who may see it, and that it is recorded first."""

from __future__ import annotations

import pytest
from starlette.testclient import TestClient

from guard.errors import LedgerError
from service import create_app
from serving.settings import Settings
from tests.service.plain import POLICY

KEYS = {
    "desk@acme": "d" * 24,
    "officer+officer": "o" * 24,
    "other@umbrella": "u" * 24,
    "lead@acme": "l" * 24,
    "root+admin": "r" * 24,
}


def key(name: str) -> dict[str, str]:
    return {"authorization": f"Bearer {next(secret for who, secret in KEYS.items() if who.split('+')[0] == name)}"}


@pytest.fixture
def client(tmp_path):
    """A service with keys of which an officer's, and two that are named, may reveal."""
    (tmp_path / "policy.yaml").write_text(POLICY, "utf-8")
    settings = Settings(
        policies=(str(tmp_path / "policy.yaml"),),
        ledger=f"sqlite:///{tmp_path / 'ledger.db'}",
        generators=("echo",),
        api_keys=",".join(f"{name}:{secret}" for name, secret in KEYS.items()),
        revealers=("lead", "other"),
    )
    with TestClient(create_app(settings)) as opened:
        yield opened


@pytest.fixture
def decided(client):
    """A decision of a tenant."""
    answer = client.post("/v1/check", json={"text": "Hi there"}, headers=key("desk@acme") | {"x-genguard-subject": "p7"})
    return answer.json()["genguard"]["decision"]


def accesses(client) -> list[dict]:
    found = client.get("/v1/decisions", params={"q": "kind:access"}, headers=key("officer")).json()["decisions"]
    return [client.get(f"/v1/decisions/{row['idx']}", headers=key("officer")).json()["entry"] for row in found]


def test_content_is_shown_to_those_who_may_and_recorded(client, decided):
    """With the reason, under the key's name."""
    given = client.get(f"/v1/decisions/{decided}/content", params={"reason": "case 12"}, headers=key("lead@acme"))
    assert given.headers["cache-control"] == "no-store"
    answer = given.json()
    assert answer["content"][0] == {"part": "original", "media_type": "text/plain", "bytes": 8, "text": "Hi there"}
    assert answer["break_glass"] is False
    (entry,) = accesses(client)
    assert (entry["actor"], entry["reason"], entry["about"], entry["subject"]) == ("lead", "case 12", decided, "p7")


@pytest.mark.parametrize(
    ("name", "given", "status"),
    [
        ("desk@acme", {"reason": "curious"}, 403),
        ("officer", {}, 400),
        ("officer", {"reason": " "}, 400),
        ("desk@acme", {"reason": "curious", "break_glass": "true"}, 403),
        ("root", {"reason": "curious"}, 403),
        ("root", {"break_glass": "true"}, 400),
        ("other@umbrella", {"reason": "not mine"}, 404),
    ],
)
def test_who_may_not_sees_nothing(client, decided, name, given, status):
    """And nothing is recorded, for nothing was shown."""
    answer = client.get(f"/v1/decisions/{decided}/content", params=given, headers=key(name))
    assert (answer.status_code, "Hi there" in answer.text) == (status, False)
    assert accesses(client) == []


def test_breaking_the_glass_is_recorded_as_that(client, decided):
    """By whom it was not allowed; an officer's own right stays one."""
    for name in ("root", "officer"):
        given = {"reason": "someone is in danger", "break_glass": "true"}
        answer = client.get(f"/v1/decisions/{decided}/content", params=given, headers=key(name))
        assert answer.json()["break_glass"] is (name == "root")
    assert [entry.get("fields", {}).get("break_glass", False) for entry in accesses(client)] == [False, True]


def test_nothing_is_shown_when_it_cannot_be_recorded(client, decided, monkeypatch):
    """The entry comes first."""

    def full(*_given, **_more):
        raise LedgerError("the disk is full")

    monkeypatch.setattr(client.app.state.wired.ledger, "record_sync", full)
    answer = client.get(f"/v1/decisions/{decided}/content", params={"reason": "case 12"}, headers=key("officer"))
    assert (answer.status_code, "Hi there" in answer.text) == (503, False)
    assert client.get("/v1/decisions/0/content", params={"reason": "x"}, headers=key("officer")).status_code == 404
