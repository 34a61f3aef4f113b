"""Lines of the log: what they tell, what they never tell, and that nothing can forge one."""

from __future__ import annotations

import io
import json
import logging
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fakes import png
from hypothesis import given
from hypothesis import strategies as st
from kept_logging import kept_logging
from ports import free_port
from service_client import POLICY, served

from guard.errors import InputError
from serving.watching import logs, requests
from serving.watching.logs import JsonLines, TextLines, configure, escaped
from serving.watching.requests import request_id, route_of

SECRET = "jane.doe@example.com"


@pytest.fixture
def kept() -> Iterator[None]:
    """The process's logging as it was before."""
    with kept_logging():
        yield


def record(name: str, message: str, *args: Any, error: BaseException | None = None) -> logging.LogRecord:
    info = (type(error), error, error.__traceback__) if error is not None else None
    return logging.LogRecord(name, logging.ERROR, "/x/place.py", 7, message, args, info)


def raised(error: Exception) -> Exception:
    try:
        raise error  # noqa: TRY301
    except Exception as caught:  # noqa: BLE001
        return caught


def test_a_line_is_json_with_time_level_and_place() -> None:
    told = json.loads(JsonLines().format(record("serving.gate", "found %d keys", 3)))
    assert told["message"] == "found 3 keys"
    assert told["level"] == "error"
    assert told["logger"] == "serving.gate"
    assert told["time"].endswith("Z")


def test_of_a_library_only_what_stands_in_its_source_is_told() -> None:
    told = json.loads(JsonLines().format(record("httpx", "HTTP Request: %s %s", "POST", f"http://x/?q={SECRET}")))
    assert told["message"] == "HTTP Request: %s %s"
    assert told["at"] == "place:7"
    put_together = json.loads(JsonLines().format(record("somewhere", f"cannot read {SECRET}")))
    assert put_together["message"] == "(not told)"
    assert json.loads(JsonLines().format(record("uvicorn.error", "Started server process [%d]", 5)))["message"].endswith("[5]")
    running = record("uvicorn.error", "Uvicorn running on %s://%s:%d (Press CTRL+C to quit)", "http", "127.0.0.1", 8000)
    assert "http://127.0.0.1:8000" in json.loads(JsonLines().format(running))["message"]
    socket = record("uvicorn.error", '%s - "WebSocket %s" 403', "10.0.0.1:5", f"/x?q={SECRET}")
    assert SECRET not in JsonLines().format(socket)


@pytest.mark.parametrize("form", [JsonLines(), TextLines()])
def test_an_exception_is_told_by_its_type_and_place(form: logging.Formatter) -> None:
    cause = raised(ValueError(f"found {SECRET}"))
    line = form.format(record("guard.chain", "check %s failed", "pii", error=cause))
    assert SECRET not in line
    assert "ValueError" in line
    assert "test_logs.py:" in line
    assert "Traceback" not in line


@given(st.text(max_size=60))
def test_nothing_that_is_logged_begins_a_line(said: str) -> None:
    for form in (JsonLines(), TextLines()):
        line = form.format(record("guard.chain", "found %s", said))
        assert len(line.splitlines()) == 1
        assert line.isprintable()


def test_control_characters_are_escaped_and_text_stays() -> None:
    assert escaped("a\nb\x1b[31m\u2028\u202e") == "a\\nb\\x1b[31m\\u2028\\u202e"
    assert escaped("已被拦截") == "已被拦截"
    assert json.loads(JsonLines().format(record("guard.chain", "a\nb")))["message"] == "a\nb"


@pytest.mark.parametrize(
    "name", [str(uuid.UUID(int=5)), "0123456789abcdef" * 2, "01ARZ3NDEKTSV4RRFFQ69G5FAV", str(uuid.UUID(int=9)).upper()]
)
def test_ids_that_proxies_send_are_taken(name: str) -> None:
    assert request_id(name) == name


@pytest.mark.parametrize("name", ["", "jane", SECRET, "4111111111111111", "a" * 31, "x" * 36, "1\n2", "٣" * 32])
def test_other_ids_are_replaced(name: str) -> None:
    assert request_id(name) != name
    assert uuid.UUID(request_id(name)).version == 7


def test_a_route_is_its_template_whatever_stands_in_it() -> None:
    class Route:
        path_format = "/models/{name}"

    scope: dict[str, Any] = {
        "path": "/v1/models/jane/doe",
        "route": Route(),
        "path_params": {"name": "jane/doe"},
        "endpoint": 1,
    }
    assert route_of(scope) == "/v1/models/{name}"
    assert route_of(scope | {"path_params": {"name": "other"}}) == "/models/{name}"
    assert route_of({"path": "/jane"}) == requests.UNROUTED
    assert route_of({"path": "/openapi.json", "endpoint": 1}) == "/openapi.json"


@pytest.mark.usefixtures("kept")
def test_each_request_is_one_line_with_its_ids(tmp_path: Path) -> None:
    stream, mine, trace = io.StringIO(), str(uuid.uuid4()), "0af7651916cd43dd8448eb211c80319c"
    with served(tmp_path) as client:
        configure("json", "info", stream)
        headers = {"x-request-id": mine, "traceparent": f"00-{trace}-b7ad6b7169203331-01"}
        answer = client.post("/v1/check?q=jane.doe", json={"text": "hello"}, headers=headers)
        other = client.get("/v1/decisions/jane.doe")
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    first, second = (line for line in lines if line["logger"] == "genguard.access")
    assert first["request"] == answer.headers["x-request-id"] == mine
    assert first["trace"] == trace
    assert first["decisions"] == [answer.headers["x-genguard-decision"]]
    assert (first["method"], first["route"], first["status"]) == ("POST", "/v1/check", 200)
    assert first["ms"] > 0
    assert first["recorded"] != mine  # what the ledger has is never the caller's
    assert second["request"] == other.headers["x-request-id"]
    assert second["route"] == "/v1/decisions/{decision}"
    assert "jane" not in stream.getvalue()


@pytest.mark.usefixtures("kept")
def test_libraries_warnings_and_threads_write_nothing_of_their_own(capfd: pytest.CaptureFixture[str]) -> None:
    import warnings

    stream = io.StringIO()
    library = logging.getLogger("some.library")
    library.addHandler(logging.StreamHandler())
    library.propagate = False
    configure("text", "debug", stream)
    library.error("cannot read %s", SECRET)
    logging.getLogger("asyncio").error(f"Task exception was never retrieved: {SECRET}")  # noqa: G004
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn(f"odd: {SECRET}", stacklevel=1)
    thread = threading.Thread(target=lambda: logs.raised(raised(InputError(SECRET))) and int(SECRET))
    thread.start()
    thread.join()
    logging.getLogger("some.library").error("%d", SECRET)  # a line that cannot be put together
    told = stream.getvalue()
    out, err = capfd.readouterr()
    assert SECRET not in told + out + err
    assert "cannot read %s" in told
    assert "a thread ended with an error" in told
    assert "error=ValueError" in told


def test_the_service_as_it_is_started_writes_lines_of_ours_alone(tmp_path: Path) -> None:
    (tmp_path / "desk.yaml").write_text(POLICY, "utf-8")
    port = free_port()
    script = (
        "from service import serve\nfrom serving.settings import Settings\n"
        f"serve(Settings(policies=({str(tmp_path / 'desk.yaml')!r},), ledger={'sqlite:///' + str(tmp_path / 'l.db')!r}, "
        f"port={port}, generators=('echo',), log_format='json', log_level='debug'))\n"
    )
    root = Path(__file__).parents[2]
    with subprocess.Popen(
        [sys.executable, "-c", script], cwd=root, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as running:
        url = f"http://127.0.0.1:{port}"
        until = time.monotonic() + 100
        while time.monotonic() < until and running.poll() is None:
            try:
                httpx.get(f"{url}/healthz", timeout=5).raise_for_status()
                break
            except httpx.TransportError:
                time.sleep(0.1)
        httpx.post(f"{url}/v1/check?mail={SECRET}", json={"text": SECRET}, timeout=60).raise_for_status()
        httpx.post(f"{url}/v1/images/edits", files={"image": (f"{SECRET}.png", png())}, data={"prompt": SECRET}, timeout=60)
        running.terminate()
        _, told = running.communicate(timeout=60)
    lines = [json.loads(line) for line in told.splitlines()]
    assert SECRET not in told
    assert {line["route"] for line in lines if line["logger"] == "genguard.access"} >= {"/v1/check", "/healthz"}
    assert any("listening on http:" in line["message"] for line in lines)
