"""Browsers: logging in by an issuer or a key, what a session is good for, and what other sites try with it."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import jwt
import pytest
from pydantic import SecretStr
from starlette.testclient import TestClient
from starlette.websockets import WebSocket, WebSocketDisconnect

from audit import api_keys
from audit.api_keys import make_key, revoke_key
from audit.query import query, show
from audit.verify import verify
from guard.errors import SettingsError
from service import create_app
from serving.identity import refusals
from serving.identity.login import local_path
from serving.identity.page import CHINESE
from serving.identity.sessions import CSRF, csrf_of
from serving.settings import Settings
from tests.service.issuer import CLIENT, Issuer, rsa_key
from tests.service.plain import HOME, KEY, browser, plain

EVIL = "https://evil.example"


@pytest.fixture
def settings(tmp_path, monkeypatch):
    """A service that needs no model, with a key in its settings."""
    monkeypatch.setattr(api_keys, "COST", 2)
    monkeypatch.delenv("GENGUARD_MASTER_KEY", raising=False)
    return plain(tmp_path, api_keys=SecretStr(f"kim+admin:{KEY}"))


def with_issuer(settings: Settings, issuer: Issuer, **more: Any) -> Settings:
    given = {"oidc_issuer": issuer.url, "oidc_client_id": CLIENT, "public_url": HOME, **more}
    return settings.model_copy(update=given)


def sign_in(client: TestClient, key: str = KEY, **more: Any) -> Any:
    return client.post("/auth/login", data={"key": key, **more}, headers={"origin": HOME})


def session(client: TestClient) -> Any:
    return client.get("/auth/session")


# --- by a key --------------------------------------------------------------------------------------------------------


def test_a_browser_logs_in_with_a_key_and_out(settings):
    """The cookie is for no script; what the ledger keeps opens nothing; the ledger stays sound."""
    with browser(create_app(settings)) as client:
        assert session(client).status_code == 401
        page = client.get("/auth/login", params={"next": '/console"><script>'})
        assert (page.status_code, "<script>" in page.text) == (200, False)
        assert "default-src 'none'" in page.headers["content-security-policy"]
        answer = sign_in(client, next="/console?x=1")
        assert (answer.status_code, answer.headers["location"]) == (303, "/console?x=1")
        cookie = answer.headers["set-cookie"].lower()
        assert [word in cookie for word in ("httponly", "samesite=lax", "secure")] == [True, True, False]
        token = client.cookies["genguard"]
        found = session(client).json()
        assert (found["name"], found["roles"], found["csrf"]) == ("kim", ["admin"], csrf_of(token))
        assert token not in (client.app.state.wired.ledger.path).read_bytes().decode("latin-1")
        assert client.get("/v1/policies").status_code == 200
        out = client.post("/auth/logout", headers={"origin": HOME, CSRF: found["csrf"]})
        assert out.status_code == 303
        assert session(client).status_code == 401
        client.cookies.set("genguard", token)
        assert session(client).status_code == 401, "a cookie that was kept is worth nothing"
    assert verify(settings.ledger).ok


def logins(client: TestClient) -> list[tuple[str, dict[str, Any]]]:
    """Actor and fields of what the ledger has of logins, oldest first."""
    url = client.app.state.wired.ledger_url
    bodies = [show(url, str(row.idx)).body for row in query(url, "kind:login", limit=100).rows]
    return [(one["actor"], one["fields"]) for one in reversed(bodies)]


def test_logins_and_logouts_are_on_record(settings):
    """With a key; what was shown in vain is counted, and not kept."""
    with browser(create_app(settings)) as client:
        sign_in(client, "wrong" * 5)
        sign_in(client)
        client.post("/auth/logout", headers={"origin": HOME, CSRF: session(client).json()["csrf"]})
        assert logins(client) == [
            ("anonymous", {"step": "refused", "by": "key", "count": 1}),
            ("kim", {"step": "began", "by": "key", "roles": ["admin"]}),
            ("kim", {"step": "ended", "by": "key"}),
        ]


def test_many_refusals_are_few_entries(settings, monkeypatch):
    """The rest is counted, and told at the latest when the service stops."""
    monkeypatch.setattr(refusals, "A_MINUTE", 2)
    with browser(create_app(settings)) as client:
        for _ in range(5):
            sign_in(client, "wrong" * 5)
        assert sum(fields["count"] for _, fields in logins(client)) == 2
    assert sum(fields["count"] for _, fields in logins(client)) == 5


def test_beyond_loopback_cookies_are_for_https_and_this_host_alone(settings):
    """By their prefix and by `Secure`."""
    app = create_app(settings.model_copy(update={"host": "0.0.0.0"}))
    with TestClient(app, base_url="https://guard.example", follow_redirects=False) as client:
        answer = client.post("/auth/login", data={"key": KEY}, headers={"origin": "https://guard.example"})
        cookie = answer.headers["set-cookie"]
        assert cookie.startswith("__Host-genguard=")
        assert [word in cookie for word in ("Secure", "Path=/", "Domain")] == [True, True, False]
        assert session(client).status_code == 200
        client.cookies.clear()
        plain = client.post("/auth/login", data={"key": KEY}, headers={"origin": "http://guard.example"})
        assert plain.status_code == 403


def test_a_wrong_key_begins_nothing(settings):
    """And is not repeated."""
    with browser(create_app(settings)) as client:
        for key in ("wrong" * 5, "", " ", "gg_" + "0" * 12 + "_" + "a" * 43):
            answer = sign_in(client, key)
            assert answer.status_code in {401, 422}
            assert "set-cookie" not in answer.headers
            assert not key.strip() or key not in answer.text


def test_a_session_ends_with_its_key(settings, monkeypatch):
    """Of the ledger within two seconds, of the settings when they change."""
    with browser(create_app(settings)) as client:
        made = make_key(client.app.state.wired.ledger, "ann", ["officer"], actor="root", tenant="acme")
        sign_in(client, made.token)
        assert session(client).json()["tenant"] == "acme"
        revoke_key(client.app.state.wired.ledger, "ann", actor="root")
        client.app.state.callers.stored._clock = lambda: float("inf")
        assert session(client).status_code == 401
        client.cookies.clear()
        sign_in(client)
        kept = client.cookies["genguard"]
        assert session(client).status_code == 200
    changed = settings.model_copy(update={"api_keys": SecretStr(f"kim+admin:{'n' * 24}")})
    with browser(create_app(changed)) as client:
        client.cookies.set("genguard", kept)
        assert session(client).status_code == 401


def test_a_session_ends_when_it_is_not_used_and_in_any_case(settings):
    """By a clock of ours."""
    with browser(create_app(settings)) as client:
        sessions, begin = client.app.state.callers.sessions, datetime.now(UTC)
        passed = [timedelta(0)]
        sessions._now = lambda: begin + passed[0]
        sign_in(client)
        for minutes in range(0, 12 * 60, 20):
            passed[0] = timedelta(minutes=minutes)
            assert session(client).status_code == 200, minutes
        passed[0] = timedelta(hours=12)
        assert session(client).status_code == 401
        passed[0] = timedelta(0)
        client.cookies.clear()
        sign_in(client)
        passed[0] = timedelta(minutes=31)
        assert session(client).status_code == 401


def test_cookies_that_are_none_are_nothing(settings):
    """Whatever a browser sends."""
    with browser(create_app(settings)) as client:
        for cookie in ("", "x", "a" * 43, "é", "a" * 5000, '"; genguard=x'):
            answer = client.get("/auth/session", headers={"cookie": f"genguard={cookie}".encode()})
            assert answer.status_code == 401, cookie


# --- other sites -----------------------------------------------------------------------------------------------------


def test_other_sites_cannot_change_anything_with_a_session(settings):
    """Without our Origin, without the token, with another session's, with both but by a safe method: that changes nothing."""
    with browser(create_app(settings)) as client:
        sign_in(client)
        csrf = session(client).json()["csrf"]
        other = csrf_of("b" * 43)
        body = {"text": "Hi"}

        def status(**headers: str) -> int:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            return client.post("/v1/check", json=body, headers=named).status_code

        assert status(origin=HOME, x_genguard_csrf=csrf) == 200
        size = client.app.state.wired.ledger.size
        for headers in (
            {},
            {"origin": HOME},
            {"x_genguard_csrf": csrf},
            {"origin": EVIL, "x_genguard_csrf": csrf},
            {"origin": "null", "x_genguard_csrf": csrf},
            {"origin": f"{HOME}.evil.example", "x_genguard_csrf": csrf},
            {"origin": "https://127.0.0.1:8000", "x_genguard_csrf": csrf},
            {"origin": "http://127.0.0.1:9000", "x_genguard_csrf": csrf},
            {"origin": HOME, "x_genguard_csrf": other},
            {"origin": HOME, "x_genguard_csrf": ""},
        ):
            assert status(**headers) == 403, headers
        assert client.post("/auth/logout", headers={"origin": EVIL}).status_code == 403
        assert session(client).status_code == 200
        assert client.app.state.wired.ledger.size == size
        bearer = {"authorization": f"Bearer {KEY}", "origin": EVIL}
        assert client.post("/v1/check", json=body, headers=bearer).status_code == 200, "a key in a header is no browser's"


def test_other_sites_cannot_log_anybody_in(settings):
    """As somebody else, so that what is done is done under their name."""
    with browser(create_app(settings)) as client:
        for headers in ({}, {"origin": EVIL}, {"origin": "null"}, {"origin": ""}):
            answer = client.post("/auth/login", data={"key": KEY, "next": "/console/banks"}, headers=headers)
            assert (answer.status_code, answer.headers.get("set-cookie")) == (403, None), headers
            assert "Nobody was signed in" in answer.text
            assert 'value="/console/banks"' in answer.text
        client.cookies.set("genguard-language", "zh")
        answer = client.post("/auth/login", data={"key": KEY}, headers={"accept-language": "en"})
        assert "登录未进行" in answer.text


def test_a_fresh_session_replaces_the_one_before(settings):
    """A cookie that somebody planted is not taken over."""
    with browser(create_app(settings)) as client:
        client.cookies.set("genguard", "p" * 43)
        answer = sign_in(client)
        assert "p" * 43 not in answer.headers["set-cookie"]


@pytest.mark.parametrize(
    "path",
    ["//evil.example", "/\\evil.example", "https://evil.example", "evil", "", "/a\nb", "/\t/evil", "/x\\y", "/" + "a" * 600],
)
def test_nobody_is_sent_elsewhere_after_a_login(path):
    """Only to a path of ours."""
    assert local_path(path) == "/"
    assert local_path("/console?q=a%2Fb#c") == "/console?q=a%2Fb#c"


def test_web_sockets_are_for_those_who_may_from_our_pages(settings):
    """Neither for strangers nor for pages of other sites with a session."""
    app = create_app(settings)

    async def talk(socket: WebSocket) -> None:
        await socket.accept()
        await socket.send_text(socket.state.principal.name)
        await socket.close()

    app.add_api_websocket_route("/live", talk)
    from serving.identity.needs import ANY_KEY, Access

    access = Access.of(app, {"/live": ANY_KEY, "/openapi.json": ANY_KEY})
    app.state.access.routes = access.routes
    with browser(app) as client:

        def told(path: str = "/live", **headers: str) -> str:
            try:
                with client.websocket_connect(f"ws://127.0.0.1:8000{path}", headers=headers) as socket:
                    return str(socket.receive_text())
            except WebSocketDisconnect:
                return "closed"

        assert told() == "closed"
        assert told(authorization=f"Bearer {KEY}") == "kim"
        sign_in(client)
        assert (told(origin=HOME), told(origin=EVIL), told(), told("/elsewhere", origin=HOME)) == (
            "kim",
            "closed",
            "closed",
            "closed",
        )


# --- by an issuer ----------------------------------------------------------------------------------------------------


def begun(client: TestClient, **params: str) -> tuple[str, dict[str, str]]:
    """Where the browser is sent, and what is asked there."""
    answer = client.get("/auth/login", params=params)
    assert answer.status_code == 303
    location = answer.headers["location"]
    return location, {name: values[0] for name, values in parse_qs(urlsplit(location).query).items()}


def test_somebody_logs_in_at_the_issuer(settings, issuer):
    """With state, nonce and a challenge; afterwards as whom the token says, and where they wanted to go."""
    with browser(create_app(with_issuer(settings, issuer))) as client:
        location, asked = begun(client, next="/console")
        assert (asked["response_type"], asked["code_challenge_method"], asked["client_id"]) == ("code", "S256", CLIENT)
        assert asked["redirect_uri"] == f"{HOME}/auth/callback"
        back = client.get(issuer.log_in(location))
        assert (back.status_code, back.headers["location"]) == (303, "/console")
        found = session(client).json()
        assert (found["name"], found["roles"], bool(found["csrf"])) == ("ann", ["officer"], True)
        assert "genguard-login" not in client.cookies
        assert client.get("/auth/callback", params={"code": "x", "state": "y"}).status_code == 401
        assert logins(client) == [
            ("ann", {"step": "began", "by": "issuer", "roles": ["officer"]}),
            ("anonymous", {"step": "refused", "by": "issuer", "count": 1}),
        ]


def test_an_answer_counts_once_and_for_its_browser_alone(settings, issuer):
    """Replayed, in another browser, with another state, without one, cut short."""
    app = create_app(with_issuer(settings, issuer))
    with browser(app) as client:
        location, asked = begun(client)
        carried = client.cookies["genguard-login"]
        path = issuer.log_in(location)
        victim = browser(app)
        assert victim.get(path).status_code == 401, "somebody else's login"
        for wrong in (path.replace(asked["state"], "x"), path.replace(f"state={asked['state']}", ""), "/auth/callback"):
            client.cookies.set("genguard-login", carried)
            assert client.get(wrong).status_code == 401
        client.cookies.set("genguard-login", carried)
        assert client.get(path).status_code == 303
        client.cookies.clear()
        client.cookies.set("genguard-login", carried)
        assert client.get(path).status_code == 401
        assert client.get(issuer.log_in(location)).status_code == 401, "the attempt is spent"
        assert session(client).status_code == 401


def test_a_cookie_of_an_attempt_cannot_be_made_or_kept(settings, issuer, monkeypatch):
    """It is sealed by the ledger's key, and for ten minutes."""
    with browser(create_app(with_issuer(settings, issuer))) as client:
        location, _ = begun(client)
        data, _, seal = client.cookies["genguard-login"].rpartition(".")
        fields = json.loads(base64.urlsafe_b64decode(data)) | {"next": "//evil.example"}
        made = base64.urlsafe_b64encode(json.dumps(fields).encode()).decode()
        path = issuer.log_in(location)
        for value in (f"{made}.{seal}", f"{data}.", data, "x.y", "."):
            client.cookies.clear()
            client.cookies.set("genguard-login", value)
            assert client.get(path).status_code == 401, value
        client.cookies.clear()
        client.cookies.set("genguard-login", f"{data}.{seal}")
        monkeypatch.setattr("serving.identity.login.time.time", lambda: fields["until"] + 1)
        assert client.get(path).status_code == 401


def signed(issuer: Issuer, **changed: Any) -> Any:
    return lambda claims: issuer.token(**{**claims, **changed})


WRONG: tuple[dict[str, Any], ...] = (
    {"aud": "another"},
    {"aud": "genguard-api"},
    {"aud": [CLIENT, "another"]},
    {"aud": [CLIENT, "another"], "azp": "another"},
    {"iss": EVIL},
    {"nonce": "another"},
    {"nonce": None},
    {"nonce": 7},
    {"exp": 1},
    {"roles": ["king"]},
    {"sub": None},
    {"kid": "second", "key": "another"},
)


def test_an_id_token_that_is_not_right_logs_nobody_in(settings, issuer):
    """Whoever issued it."""
    with browser(create_app(with_issuer(settings, issuer))) as client:
        for wrong in WRONG:
            issuer.id_token = signed(issuer, **({**wrong, "key": rsa_key(2)} if "key" in wrong else wrong))
            location, _ = begun(client)
            assert client.get(issuer.log_in(location)).status_code == 401, wrong
            assert session(client).status_code == 401
        issuer.id_token = None
        location, _ = begun(client)
        assert client.get(issuer.log_in(location)).status_code == 303


def test_an_unsigned_id_token_logs_nobody_in(settings, issuer):
    """Nor one with the public key as the secret."""
    with browser(create_app(with_issuer(settings, issuer))) as client:
        for algorithm, key in (("none", None), ("HS256", "s" * 64)):
            issuer.id_token = lambda claims, algorithm=algorithm, key=key: jwt.encode(
                {"iss": issuer.url, "sub": "eve", "roles": ["admin"], "iat": 1, "exp": 9_999_999_999, **claims},
                key,
                algorithm=algorithm,
                headers={"kid": "first"},
            )
            location, _ = begun(client)
            assert client.get(issuer.log_in(location)).status_code == 401


def test_a_code_is_worth_nothing_without_its_verifier(settings, issuer):
    """A code that somebody caught, put into one's own attempt."""
    with browser(create_app(with_issuer(settings, issuer))) as client:
        stolen, _ = begun(client)
        code = parse_qs(urlsplit(issuer.log_in(stolen)).query)["code"][0]
        _, asked = begun(client)
        assert client.get("/auth/callback", params={"code": code, "state": asked["state"]}).status_code == 401
        _, asked = begun(client)
        mixed = {"code": code, "state": asked["state"], "iss": EVIL}
        assert client.get("/auth/callback", params=mixed).status_code == 401, "another issuer's answer"


def test_an_issuer_that_is_away_is_a_failure_and_a_key_still_opens(settings, issuer):
    """503; the page for a key says so to nobody else."""
    issuer.down = True
    with browser(create_app(with_issuer(settings, issuer))) as client:
        away = client.get("/auth/login", headers={"accept-language": "zh-CN"})
        assert (away.status_code, CHINESE["away"] in away.text) == (503, True)
        assert client.get("/auth/login", params={"by": "key"}).status_code == 200
        assert sign_in(client).status_code == 303


def test_half_of_a_login_is_refused_at_the_start(settings, issuer):
    """An id without an issuer or an address; an address that is none."""
    for more in ({"public_url": ""}, {"oidc_issuer": ""}, {"public_url": "http://guard.example"}):
        with pytest.raises(SettingsError):
            create_app(with_issuer(settings, issuer, **more))
    with browser(create_app(settings)) as client:
        assert client.get("/auth/callback?code=x&state=y").status_code == 404
