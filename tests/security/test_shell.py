"""What browsers are told, which hosts and origins may ask, and requests that get no further than the door."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr
from starlette.testclient import TestClient

from guard.errors import SettingsError
from service import create_app
from serving.identity.table import access_rows
from serving.settings import Settings
from serving.shell import EVERYWHERE, HSTS, MAX_HEADERS, MAX_VALUES, has_too_many
from tests.service_client import served

PAGE = "https://app.example"


@pytest.fixture(scope="module")
def open_house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """As it is by default, with a key."""
    with served(tmp_path_factory.mktemp("shell"), api_keys=SecretStr("app+admin:" + "k" * 24)) as client:
        yield client


@pytest.fixture(scope="module")
def named(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """With names, with a page that may ask, and behind https."""
    given = {"hosts": ("guard.example", "[::1]"), "cors_origins": (PAGE,), "https": True, "metrics_token": SecretStr("m" * 20)}
    with served(tmp_path_factory.mktemp("named"), **given) as client:
        client.base_url = "http://guard.example"
        yield client


def test_every_answer_bears_the_headers(open_house: TestClient) -> None:
    """Of every route, whoever asks: an answer, an error of a route, 401 of the gate, 404 of none."""
    paths = [row.path.replace(":path}", "}") for row in access_rows(open_house.app.state.access) if row.method == "GET"]
    for path in [*paths, "/nowhere"]:
        for headers in ({}, {"authorization": "Bearer " + "k" * 24}):
            answer = open_house.get(path, headers=headers)
            for name, value in EVERYWHERE.items():
                said = answer.headers[name]
                if name == "content-security-policy":
                    assert "frame-ancestors 'none'" in said
                    assert "default-src 'none'" in said
                    assert "unsafe" not in said
                elif name == "cache-control":
                    assert "no-store" in said, path
                elif name == "referrer-policy" and (path == "/" or path.startswith(("/auth/", "/console"))):
                    assert said in {value, "same-origin"}, path  # with less, browsers leave out the origin of a form
                else:
                    assert said == value, (path, name)
            assert "strict-transport-security" not in answer.headers


def test_https_is_told_only_where_the_settings_say_so(named: TestClient) -> None:
    """A service that is not behind https must not send browsers there."""
    assert named.get("/healthz").headers["strict-transport-security"] == HSTS
    assert named.get("/metrics").status_code == 401
    assert named.get("/metrics").headers["x-content-type-options"] == "nosniff"


def test_no_page_of_another_origin_may_ask_by_default(open_house: TestClient) -> None:
    """Neither before nor with the request."""
    asked = {"origin": PAGE, "access-control-request-method": "POST", "access-control-request-headers": "authorization"}
    for answer in (open_house.options("/v1/check", headers=asked), open_house.get("/healthz", headers={"origin": PAGE})):
        assert not [name for name in answer.headers if name.startswith("access-control")]


def test_a_page_that_is_listed_may_ask_and_another_may_not(named: TestClient) -> None:
    """No cookies are taken with it, and a name that only begins alike is another."""
    asked = {"access-control-request-method": "POST", "access-control-request-headers": "authorization"}
    good = named.options("/v1/check", headers={"origin": PAGE, **asked})
    assert good.status_code == 200
    assert good.headers["access-control-allow-origin"] == PAGE
    assert "access-control-allow-credentials" not in good.headers
    for other in (f"{PAGE}.evil.example", "http://app.example", "null"):
        assert "access-control-allow-origin" not in named.options("/v1/check", headers={"origin": other, **asked}).headers


@pytest.mark.parametrize("host", ["evil.example", "guard.example.evil.example", "evil.example:8000", "", "[", "127.0.0.1"])
def test_another_host_gets_421(named: TestClient, host: str) -> None:
    """A name of somebody else's that leads here; probes of health are answered all the same."""
    assert named.get("/v1/models", headers={"host": host}).status_code == 421
    assert named.get("/healthz", headers={"host": host}).status_code == 200


def test_its_own_hosts_are_answered(named: TestClient) -> None:
    """Capitals, a port and the dot of the root make no difference."""
    for host in ("guard.example", "GUARD.example:8443", "guard.example.", "[::1]:8000"):
        assert named.get("/openapi.json", headers={"host": host}).status_code in {200, 401}, host


@pytest.mark.parametrize("coding", ["gzip", "br", "deflate", "gzip, identity", "x"])
def test_a_compressed_body_is_refused(open_house: TestClient, coding: str) -> None:
    """It is never unpacked, so it cannot grow."""
    headers = {"authorization": "Bearer " + "k" * 24, "content-encoding": coding, "content-type": "application/json"}
    answer = open_house.post("/v1/check", content=b"\x1f\x8b" + b"\0" * 50, headers=headers)
    assert answer.status_code == 415
    assert answer.json()["error"]["code"] == "unsupported_encoding"


def test_heaps_of_headers_are_refused(open_house: TestClient) -> None:
    """However small each is."""
    answer = open_house.get("/healthz", headers={f"x-{number}": "1" for number in range(MAX_HEADERS + 1)})
    assert answer.status_code == 431


@pytest.mark.parametrize(
    "given",
    [
        {"cors_origins": ("*",)},
        {"cors_origins": ("https://*.example",)},
        {"cors_origins": ("https://app.example/",)},
        {"cors_origins": ("app.example",)},
        {"cors_origins": ("https://me:pw@app.example",)},
        {"cors_origins": ("null",)},
        {"hosts": ("*",)},
        {"hosts": ("https://guard.example",)},
    ],
)
def test_settings_that_would_let_anybody_in_are_refused(tmp_path: Path, given: dict[str, tuple[str, ...]]) -> None:
    """Each host and origin is named."""
    with pytest.raises(SettingsError, match="GENGUARD_"):
        create_app(Settings(ledger=f"sqlite:///{tmp_path / 'ledger.db'}", **given))


def test_values_are_counted_where_they_are_values() -> None:
    """Not in texts, however they are escaped; keys and items alike."""
    many = MAX_VALUES + 2
    assert has_too_many(json.dumps([0] * many).encode())
    assert has_too_many(json.dumps({f"k{number}": 1 for number in range(many)}).encode())
    assert has_too_many(json.dumps(["\\"] * many).encode())
    assert not has_too_many(json.dumps({"text": ',:"\\' * many}).encode())
    assert not has_too_many(json.dumps([0] * (MAX_VALUES - 2)).encode())


def test_too_many_values_are_refused_before_they_are_looked_at(open_house: TestClient) -> None:
    """With 413, also where a list may have any length."""
    body = json.dumps({"id": "a", "title": "A", "fingerprints": [0] * 1_000_000})
    headers = {"authorization": "Bearer " + "k" * 24, "content-type": "application/json"}
    assert open_house.post("/v1/banks/mine/works", content=body, headers=headers).status_code == 413
