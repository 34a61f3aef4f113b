"""Whoever is slow: generators and checks past a request's deadline, heads that do not come, readers who take nothing."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
import uvicorn
from fakes import FakeCheck
from ports import free_port
from service_client import served
from websockets.sync.client import connect as connect_socket

from generators.openai import openai as remote
from guard.instrument import Instrument
from serving.connections import patient
from serving.gate import DEADLINE
from serving.settings import Settings
from serving.wiring import Wired
from tests.service.running import Running, running
from tests.upstreams import Service, Talk, chunk, upstream

CHAT = "/v1/chat/completions"
HEAD_S = 0.4


def body(model: str, said: str = "Good day.", **more: Any) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": said}], **more}


def until(found: Callable[[], Any]) -> Any:
    """What is found once it is there."""
    end = time.monotonic() + 60
    while not (got := found()) and time.monotonic() < end:
        time.sleep(0.02)
    assert got
    return got


class Hanging:
    """A service that begins an answer and says no more; asked for much, it does not end."""

    def __init__(self) -> None:
        self.gone = threading.Semaphore(0)

    async def __call__(self, talk: Talk) -> None:
        try:
            await talk.head()
            await talk.event(chunk(content="It rains. It rains a lot. "))
            while "much" in str(talk.body):
                await talk.event(chunk(content="It rains, and it rains, and then it rains. " * 500))
            await talk.gone()
        finally:
            self.gone.release()


@pytest.fixture(scope="module")
def hanging() -> Iterator[tuple[Hanging, Service]]:
    script = Hanging()
    with upstream(script) as service:
        yield script, service


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory, hanging: tuple[Hanging, Service]) -> Iterator[Running]:
    def generators() -> Mapping[str, Any]:
        return {"far": remote(base_url=hanging[1].url, model="m", name="far", read_s=600.0, retries=0)}

    limits = {"head_s": 0.5, "head_bytes": 2048, "send_s": 1.0, "max_text": 10_000_000}
    with running(tmp_path_factory.mktemp("slow"), generators, **limits) as service:
        yield service


def test_an_answer_past_the_deadline_is_504_and_the_service_behind_is_left(here: Running, hanging: Any) -> None:
    """The prompt was judged: it is on record, and nothing else is."""
    answer = here.http.post(CHAT, json=body("far"), headers={DEADLINE: "1500", "x-genguard-subject": "s-1"})
    assert answer.status_code == 504
    assert answer.json()["error"] == {
        "message": "not done within the deadline of this request\nAsk for less, or give it more time.",
        "type": "server_error",
        "code": "deadline_exceeded",
        "param": None,
    }
    assert hanging[0].gone.acquire(timeout=60)
    assert [row["stage"] for row in here.rows("subject:s-1")] == ["prompt"]


def test_a_stream_past_the_deadline_ends_with_an_error_and_is_recorded_as_failed(here: Running, hanging: Any) -> None:
    headers = {DEADLINE: "2500", "x-genguard-subject": "s-2"}
    with here.http.stream("POST", CHAT, json=body("far", stream=True), headers=headers) as answer:
        lines = [json.loads(line[6:]) for line in answer.iter_lines() if line.startswith("data: {")]
    assert lines[-1]["error"]["code"] == "deadline_exceeded"
    assert hanging[0].gone.acquire(timeout=60)
    (row,) = until(lambda: here.rows("subject:s-2 stage:output"))
    assert here.entry(row["decision"])["stream"]["ending"] == "failed"


def test_a_deadline_that_is_none_is_refused(here: Running) -> None:
    for said in ("soon", "0", "-5", "1.5"):
        answer = here.http.post(CHAT, json=body("echo"), headers={DEADLINE: said})
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_input")
    assert here.http.post(CHAT, json=body("echo"), headers={DEADLINE: "60000"}).status_code == 200


class HangingCheck(FakeCheck):
    """Does not answer until it may."""

    def __init__(self, go: threading.Event) -> None:
        super().__init__()
        self.go = go

    def __call__(self, batch: Any) -> Any:
        self.go.wait(60)
        raise RuntimeError


def test_what_was_not_judged_in_time_is_refused_and_on_record(tmp_path: Path) -> None:
    """Whatever the policy says of checks that fail: no caller may go around one by asking for little time."""
    go = threading.Event()

    def around(wired: Wired) -> None:
        (chain,) = (seat.chain for seat in wired.guard._bench.seats.values())
        for name in chain.instruments:
            chain.instruments[name] = Instrument(chain.policy.checks[0], HangingCheck(go))

    try:
        with served(tmp_path, around=around) as client:
            answer = client.post("/v1/check", json={"text": "Hi"}, headers={DEADLINE: "1000"})
            assert answer.status_code == 504
            assert answer.json()["error"]["code"] == "deadline-exceeded"
            decision = answer.headers["x-genguard-decision"]
            entry = client.get(f"/v1/decisions/{decision}").json()["entry"]
            assert [rule["rule"] for rule in entry["verdict"]["fired"]] == ["deadline-exceeded"]
            go.set()
    finally:
        go.set()


def connect(here: Running, buffer: int = 0) -> socket.socket:
    parts = urlsplit(here.url)
    made = socket.socket()
    if buffer:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    made.settimeout(60)
    made.connect((parts.hostname, parts.port))
    return made


def closed(line: socket.socket) -> bytes:
    """What comes until the other side closes."""
    found = b""
    try:
        while part := line.recv(65536):
            found += part
    except ConnectionResetError:
        pass
    return found


@pytest.mark.parametrize("sent", [b"", b"GET /healthz HT", b"GET /healthz HTTP/1.1\r\nhost: x\r\n"])
def test_a_head_that_does_not_come_is_waited_for_so_long(here: Running, sent: bytes) -> None:
    with connect(here) as line:
        line.sendall(sent)
        assert closed(line) == b""


def test_the_same_holds_of_a_second_request_on_a_connection(here: Running) -> None:
    with connect(here) as line:
        line.sendall(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n")
        said = b""
        while b'"ok"' not in said:  # head and body may come apart
            came = line.recv(65536)
            assert came, said
            said += came
        line.sendall(b"GET /healthz HTTP/1.1\r\n")
        assert closed(line) == b""


def test_a_head_that_is_too_large_is_refused(here: Running) -> None:
    with connect(here) as line:
        line.sendall(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nx: " + b"y" * 3000)
        assert closed(line).startswith(b"HTTP/1.1 431 ")
    assert here.http.get("/healthz").status_code == 200


# --- web sockets ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def socket_url() -> Iterator[str]:
    """A server with our connections, whose web socket speaks after three times the time that a head has."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "websocket"
        assert (await receive())["type"] == "websocket.connect"
        await send({"type": "websocket.accept"})
        for _ in range(3):
            await asyncio.sleep(HEAD_S)
            await send({"type": "websocket.send", "text": "still here"})
        said = await receive()
        await send({"type": "websocket.send", "text": said["text"]})
        await send({"type": "websocket.close", "code": 1000})

    port = free_port()
    protocol = patient(Settings(head_s=HEAD_S, head_bytes=2048, connections=2))
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="warning", http=protocol, lifespan="off"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    until(lambda: server.started)
    yield f"127.0.0.1:{port}"
    server.should_exit = True
    thread.join(60)


def test_a_web_socket_is_not_cut_off_for_want_of_another_head(socket_url: str) -> None:
    """It outlives the time that a head has, and more of what is no head than a head may have."""
    with connect_socket(f"ws://{socket_url}/live", open_timeout=60) as line:
        assert [line.recv(60) for _ in range(3)] == ["still here"] * 3
        line.send("z" * 5000)
        assert line.recv(60) == "z" * 5000


def test_a_web_socket_keeps_its_place(socket_url: str) -> None:
    """Whoever waits for a head gives way; a live connection does not."""
    with connect_socket(f"ws://{socket_url}/live", open_timeout=60) as line:
        host, port = socket_url.split(":")
        others = [socket.create_connection((host, int(port)), 60) for _ in range(20)]
        assert line.recv(60) == "still here"
        for other in others:
            other.close()


def test_a_handshake_that_does_not_end_is_cut_off(socket_url: str) -> None:
    """A head of a web socket is a head."""
    host, port = socket_url.split(":")
    with socket.create_connection((host, int(port)), 60) as line:
        line.sendall(b"GET /live HTTP/1.1\r\nhost: x\r\nupgrade: websocket\r\nconnection: Upgrade\r\n")
        assert closed(line) == b""


def test_a_reader_who_takes_nothing_is_cut_off_and_the_stream_recorded(here: Running) -> None:
    """What left is on record as cancelled; nothing of it stays in work."""
    asked = json.dumps(body("far", "Say much.", stream=True)).encode()
    head = f"POST {CHAT} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\nx-genguard-subject: s-3\r\n"
    with connect(here, 4096) as line:
        line.sendall(head.encode() + f"content-length: {len(asked)}\r\n\r\n".encode() + asked)
        rows = until(lambda: [row for row in here.rows("subject:s-3 stage:output") if ending(here, row) == "cancelled"])
    assert rows
    with httpx.Client(base_url=here.url) as other:
        assert other.get("/healthz").status_code == 200


# --- how many connections ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def narrow(tmp_path_factory: pytest.TempPathFactory, hanging: tuple[Hanging, Service]) -> Iterator[Running]:
    """A service with three places and patience."""

    def generators() -> Mapping[str, Any]:
        return {"far": remote(base_url=hanging[1].url, model="m", name="far", read_s=600.0, retries=0)}

    with running(tmp_path_factory.mktemp("narrow"), generators, connections=3, head_s=600.0) as service:
        service.http.close()  # its connection would be one of them
        yield service


def ask(here: Running) -> bytes:
    with connect(here) as line:
        line.sendall(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
        return closed(line)


def test_connections_without_a_head_give_way(narrow: Running) -> None:
    """A hundred of them, silent or a byte at a time, take no place from whoever asks; the oldest go first."""
    lines = [connect(narrow) for _ in range(100)]
    try:
        for line in lines[-3:]:
            line.sendall(b"GET /healthz HTTP/1.1\r\nx: ")
        for _ in range(5):
            for line in lines[-2:]:
                line.sendall(b"y")
            assert b'"ok"' in ask(narrow)
        assert closed(lines[0]) == b""
        assert not any(closed(line) for line in lines[:-3])
    finally:
        for line in lines:
            line.close()


def test_when_all_are_in_work_the_next_is_told_so(narrow: Running, hanging: Any) -> None:
    """503 at once; nothing in work is lost for it, and a place that is free again is taken."""
    asked = json.dumps(body("far", stream=True)).encode()
    head = f"POST {CHAT} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {len(asked)}\r\n\r\n"
    lines = [connect(narrow) for _ in range(3)]
    try:
        for line in lines:
            line.sendall(head.encode() + asked)
            assert line.recv(65536).startswith(b"HTTP/1.1 200 ")
        answer = ask(narrow)
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b"retry-after: 1" in answer
        lines[0].close()
        assert hanging[0].gone.acquire(timeout=60)
        until(lambda: b'"ok"' in ask(narrow))
    finally:
        for line in lines:
            line.close()


def ending(here: Running, row: Mapping[str, Any]) -> str:
    return str((here.entry(row["decision"]).get("stream") or {}).get("ending"))
