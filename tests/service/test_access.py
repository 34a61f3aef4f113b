"""Who may call: API keys, and where a service without them may listen."""

from __future__ import annotations

from pathlib import Path

import pytest
from starlette.testclient import TestClient

from guard.errors import RegistryError, SettingsError
from service import create_app, serve
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


def test_a_tenants_key_looks_up_that_tenants_decisions_only(tmp_path):
    """In lists, by id and by index, whatever it asks for; an officer's without a tenant sees all."""
    app = create_app(settings(tmp_path, api_keys=f"desk@acme:{KEY},shop@other:{'o' * 16},officer+officer:{'s' * 16}"))
    acme, other, officer = ({"authorization": f"Bearer {key}"} for key in (KEY, "o" * 16, "s" * 16))
    with TestClient(app) as client:
        made = client.post("/v1/check", json={"text": "Hello"}, headers=acme).headers
        decision, index = made["x-genguard-decision"], made["x-genguard-receipt"].partition(":")[0]

        def seen(headers: dict[str, str], q: str = "") -> list[str]:
            found = client.get("/v1/decisions", params={"q": q}, headers=headers).json()["decisions"]
            return [row["decision"] for row in found]

        assert (seen(acme), seen(officer)) == ([decision], [decision])
        assert [seen(other, q) for q in ("", "tenant:acme", "tenant:acme,other", f"id:{decision}", "kind:config")] == [[]] * 5
        for reference in (decision, index, "0", "1"):
            assert client.get(f"/v1/decisions/{reference}", headers=other).status_code == 404
            assert client.get(f"/v1/decisions/{reference}", headers=officer).status_code == 200
        assert client.get(f"/v1/decisions/{decision}", headers=acme).status_code == 200


def test_what_nobody_foresaw_is_told_by_its_type_alone(tmp_path, caplog):
    """500 in OpenAI's shape; neither the answer nor the log repeats the error's message, which may quote content."""
    app = create_app(settings(tmp_path))
    with TestClient(app) as client:

        async def fail(*_: object, **__: object) -> None:
            raise ValueError("cannot digest SECRET")

        app.state.wired.guard.check = fail
        answer = client.post("/v1/check", json={"text": "SECRET"})
        assert (answer.status_code, answer.json()["error"]["code"]) == (500, "internal_error")
        assert "ValueError: at" in caplog.text
        assert "SECRET" not in answer.text + caplog.text


def test_an_oversized_body_is_refused_with_503_while_the_ledger_is_away(tmp_path):
    """It cannot be recorded, and nobody is told that it was."""
    app = create_app(settings(tmp_path, max_body=100))
    with TestClient(app) as client:
        app.state.wired.ledger.close()
        for body in ({"text": "a" * 200}, b"{"):
            sent = {"content": body} if isinstance(body, bytes) else {"json": body}
            answer = client.post("/v1/check", headers={"content-type": "application/json"}, **sent)
            assert (answer.status_code, answer.json()["error"]["code"]) == (503, "ledger_unavailable")


def test_a_mistake_in_the_settings_ends_serve_before_it_listens(tmp_path):
    """As an error of ours, which the terminal shows in one line, and not as the server's traceback."""
    with pytest.raises(RegistryError, match="unknown generator 'nobody'"):
        serve(settings(tmp_path).model_copy(update={"generators": ("nobody",)}))


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
