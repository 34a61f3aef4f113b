"""Nothing that a request says makes the service reach out: neither to an address, nor to a file outside of its own."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
from pydantic import SecretStr
from starlette.testclient import TestClient

from tests.service_client import served

KEY = "k" * 24
ADDRESSES = (
    "http://127.0.0.1:1/a.png",
    "http://169.254.169.254/latest/meta-data/",
    "https://example.org/a.png",
    "file:///etc/passwd",
    "//example.org/a.png",
    "gopher://127.0.0.1:1/",
)
OUT = (
    "../../../../../../etc/passwd",
    "..\\..\\..\\etc\\passwd",
    "/etc/passwd",
    "....//....//etc/passwd",
    "a/../../../../etc/passwd",
)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """With one key that may do everything."""
    folder = tmp_path_factory.mktemp("reach")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GENGUARD_BANKS", str(folder / "banks"))
        with served(folder / "desk", api_keys=SecretStr(f"app+admin+author+officer:{KEY}")) as client:
            client.headers["authorization"] = f"Bearer {KEY}"
            yield client


@pytest.fixture
def reached(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Names that are looked up, and addresses that are connected to."""
    found: list[Any] = []

    def refuse(*given: Any, **_: Any) -> None:
        found.append(given)
        raise OSError("no network here")

    for name in ("getaddrinfo", "gethostbyname", "create_connection"):
        monkeypatch.setattr(socket, name, refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    return found


@pytest.mark.parametrize("address", ADDRESSES)
def test_an_image_is_never_fetched(house: TestClient, reached: list[Any], address: str) -> None:
    """Images come in the request; whatever else stands in their place is refused, and nobody is asked for it."""
    part = {"type": "image_url", "image_url": {"url": address}}
    asked: list[tuple[str, dict[str, Any]]] = [
        ("/v1/moderations", {"model": "m", "input": [part]}),
        ("/v1/check", {"image": address}),
        ("/v1/verify", {"image": address}),
        ("/v1/chat/completions", {"model": "echo", "messages": [{"role": "user", "content": [part]}]}),
    ]
    for path, body in asked:
        assert house.post(path, json=body).status_code in {400, 422}, path
    assert reached == []


@pytest.mark.parametrize("name", OUT)
def test_no_name_in_a_path_leads_out(house: TestClient, name: str) -> None:
    """Of any route that takes one, read or written, in either spelling."""
    routes = [
        (method.upper(), path)
        for path, operations in house.app.openapi()["paths"].items()
        for method in operations
        if "{" in path
    ]
    assert len(routes) > 10
    for method, path in routes:
        for spelled in (quote(name, safe=""), quote(name, safe="").replace(".", "%2e"), name.replace("\\", "%5c")):
            address = "/".join(spelled if part.startswith("{") else part for part in path.split("/"))
            answer = house.request(
                method, f"http://testserver{address}", **({} if method in {"GET", "DELETE"} else {"json": {}})
            )
            assert "root:" not in answer.text, (method, address)
            assert answer.status_code in {307, 400, 404, 405, 409, 422}, (method, address, answer.text[:200])
