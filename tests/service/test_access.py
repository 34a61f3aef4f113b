"""Who may call: API keys, and where a service without them may listen."""

from __future__ import annotations

from pathlib import Path

import pytest
from starlette.testclient import TestClient

from guard.errors import SettingsError
from service import create_app
from serving.settings import Settings

KEY = "k" * 24
POLICY = """
policy: pictures
version: 1
status: live
checks:
  works: {use: image_match}
rules:
  - {id: work, when: {works: matched}, action: block, category: intellectual_property}
"""


def settings(tmp_path: Path, **given: object) -> Settings:
    file = tmp_path / "policy.yaml"
    file.write_text(POLICY, "utf-8")
    return Settings(policies=(str(file),), ledger=f"sqlite:///{tmp_path / 'ledger.db'}", generators=("echo",), **given)


def test_a_service_beyond_loopback_needs_keys(tmp_path):
    """Without any it refuses to start, and says how to make them."""
    with pytest.raises(SettingsError, match="no API keys") as error:
        create_app(settings(tmp_path, host="0.0.0.0"))
    assert "GENGUARD_API_KEYS" in error.value.diagnostics()


@pytest.mark.parametrize("entry", ["short:key", "nameless", f":{KEY}"])
def test_keys_that_are_none_are_refused_without_being_shown(tmp_path, entry):
    """The message counts entries; it never quotes one."""
    with pytest.raises(SettingsError, match="API key 1 cannot be used") as error:
        create_app(settings(tmp_path, api_keys=entry))
    assert entry not in error.value.diagnostics()


def test_only_holders_of_a_key_get_in_and_are_recorded_by_name(tmp_path):
    """401 without a key or with a wrong one; with it the caller's name and tenant stand in the entry."""
    app = create_app(settings(tmp_path, host="0.0.0.0", api_keys=f"desk@acme:{KEY},other:{'o' * 16}"))
    body = {"model": "echo", "messages": [{"role": "user", "content": "Hello"}]}
    with TestClient(app) as client:
        assert client.get("/healthz").status_code == 200
        assert client.get("/v1/models").status_code == 401
        assert client.get("/v1/models", headers={"authorization": "Bearer wrong"}).status_code == 401
        assert client.get("/v1/models", headers={"authorization": f"Basic {KEY}"}).status_code == 401
        mine = {"authorization": f"Bearer {KEY}"}
        answer = client.post("/v1/chat/completions", json=body, headers=mine)
        assert answer.status_code == 200
        entry = client.get(f"/v1/decisions/{answer.headers['x-genguard-decision']}", headers=mine).json()["entry"]
        assert (entry["request"]["actor"], entry["request"]["tenant"]) == ("desk", "acme")


def test_text_is_blocked_where_no_check_reads_it(tmp_path):
    """A policy for pictures lets no text out."""
    with TestClient(create_app(settings(tmp_path))) as client:
        body = {"model": "echo", "messages": [{"role": "user", "content": "Hello"}]}
        choice = client.post("/v1/chat/completions", json=body).json()["choices"][0]
        assert choice["finish_reason"] == "content_filter"


def test_nothing_is_released_while_the_ledger_is_away(tmp_path):
    """A closed ledger gives 503, in OpenAI's error shape."""
    app = create_app(settings(tmp_path))
    with TestClient(app) as client:
        app.state.wired.ledger.close()
        answer = client.post("/v1/check", json={"text": "Hello"})
        assert answer.status_code == 503
        assert answer.json()["error"]["code"] == "ledger_unavailable"
        assert client.get("/readyz").status_code == 503
