"""Input that is not what it says: a 4xx with a clear message, a record, and the service goes on."""

from __future__ import annotations

import base64
import socket
import struct
import zlib

import pytest


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds no pixels."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    return b"\x89PNG\r\n\x1a\n" + chunk + struct.pack(">I", 0) + b"IEND" + struct.pack(">I", zlib.crc32(b"IEND"))


def image(data: bytes, media_type: str = "") -> dict:
    return {"image": base64.b64encode(data).decode(), "media_type": media_type}


BAD = {
    "wrong bytes": (image(b"this is no image at all"), 400, "no readable image"),
    "a header of 50,000 x 50,000": (image(png_header(50_000, 50_000)), 413, "pixels"),
    "a PNG that breaks off": (image(png_header(64, 64)[:40]), 400, "image"),
    "another type than it says": (image(png_header(64, 64), "image/jpeg"), 400, "image/png"),
    "no base64": ({"image": "%%%"}, 400, "base64"),
    "an unpaired surrogate": (b'{"text": "cut \\ud83d off"}', 400, "surrogate"),
    "too many characters": ({"text": "a" * 50_001}, 413, "50000"),
    "10 MB of text": ({"text": "a" * 10_000_000}, 413, "bytes"),
    "invalid UTF-8": (b'{"text": "\xff\xfe"}', 400, "UTF-8"),
    "no JSON": (b"{", 400, "JSON"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_refused_recorded_and_survived(server, name):
    """The answer names the fault and its decision; the decision is in the ledger; the next request is served."""
    body, status, told = BAD[name]
    sent = {"content": body} if isinstance(body, bytes) else {"json": body}
    answer = server.http.post("/v1/check", headers={"content-type": "application/json"}, **sent)
    assert answer.status_code == status
    assert told in answer.json()["error"]["message"]
    entry = server.http.get(f"/v1/decisions/{answer.headers['x-genguard-decision']}").json()["entry"]
    assert entry["verdict"]["action"] == "block"
    assert server.http.post("/v1/check", json={"text": "Good morning."}).status_code == 200


def test_a_damaged_image_is_blocked_by_the_check_that_cannot_read_it(server):
    """A readable header with missing pixels is a failed check, and the policy blocks."""
    answer = server.http.post("/v1/check", json=image(png_header(64, 64)))
    assert answer.json()["action"] == "block"
    assert answer.json()["results"][0]["status"] == "failed"


def test_a_prompt_that_is_too_long_is_refused_before_generation(server):
    """The same limits hold for prompts."""
    long = {"model": "echo", "messages": [{"role": "user", "content": "a" * 50_001}]}
    answer = server.http.post("/v1/chat/completions", json=long)
    assert answer.status_code == 413
    assert answer.headers["x-genguard-decision"]


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({}, "exactly one"),
        ({"text": "a", "image": "b"}, "exactly one"),
        ({"text": 5}, "text"),
        ({"text": "a", "colour": "red"}, "colour"),
    ],
)
def test_json_of_another_shape_gets_422(server, body, told):
    """The message names the field, and never the value."""
    answer = server.http.post("/v1/check", json=body)
    assert answer.status_code == 422
    assert told in answer.json()["error"]["message"]


@pytest.mark.parametrize("field", ["model", "user", "stop"])
def test_an_unpaired_surrogate_in_a_parameter_is_named(server, field):
    """It could be neither recorded nor given to a model."""
    body = b'{"model": "language", "messages": [{"role": "user", "content": "Hi"}], "%s": "\\ud800"}' % field.encode()
    answer = server.http.post("/v1/chat/completions", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 422
    assert field in answer.json()["error"]["message"]
    assert "surrogate" in answer.json()["error"]["message"]


def test_a_body_without_its_content_type_is_told_what_is_missing(server):
    """What `curl -d` sends when nobody says more."""
    answer = server.http.post("/v1/check", content=b'{"text": "Hi"}', headers={"content-type": "text/plain"})
    assert answer.status_code == 422
    assert "content-type: application/json" in answer.json()["error"]["message"]


@pytest.mark.parametrize("before", [2**63, 10**30])
def test_an_index_beyond_any_ledger_is_refused(server, before):
    """SQLite has 64 bits."""
    answer = server.http.get("/v1/decisions", params={"before": before})
    assert answer.status_code == 400
    assert "before" in answer.json()["error"]["message"]


def test_a_body_that_breaks_off_is_no_input(server):
    """The client left: nothing is judged, and the service goes on."""
    entries = server.http.get("/v1/decisions").json()["size"]
    with socket.create_connection(("127.0.0.1", server.http.base_url.port)) as broken:
        broken.sendall(b"POST /v1/check HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{")
    assert server.http.get("/v1/decisions").json()["size"] == entries


def test_a_body_that_does_not_come_ends_with_408(server, monkeypatch):
    """A slow client does not hold its connection for ever."""
    monkeypatch.setattr("serving.gate.BODY_S", 0.2)
    with socket.create_connection(("127.0.0.1", server.http.base_url.port), timeout=20) as slow:
        slow.sendall(b"POST /v1/check HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{")
        assert slow.recv(4096).startswith(b"HTTP/1.1 408")


@pytest.mark.parametrize(
    ("parameters", "told"),
    [
        ({"temperature": 9.0}, "temperature"),
        ({"n": 0}, "n"),
        ({"size": "big"}, "size"),
        ({"max_completion_tokens": 0}, "max_new_tokens"),
    ],
)
def test_a_parameter_out_of_range_is_named(server, parameters, told):
    """Ranges are the generator's; unknown fields are refused rather than ignored."""
    body = {"model": "language", "messages": [{"role": "user", "content": "Hi"}], **parameters}
    answer = server.http.post("/v1/chat/completions", json=body)
    assert answer.status_code in {400, 422}
    assert told in answer.json()["error"]["message"]
