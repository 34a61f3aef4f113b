"""Traces: which spans there are, what they hold, whose trace they go on with, and that no content is in them."""

from __future__ import annotations

import gzip
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import upstreams
from fakes import ListGenerator
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from service_client import served
from starlette.testclient import TestClient

from generators.openai import openai
from guard.errors import SettingsError
from serving.settings import Settings
from serving.watching import lookout
from serving.watching.tracing import trace_of

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = f"00-{TRACE}-b7ad6b7169203331-01"
WORDS = "nobody may read these words"


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> InMemorySpanExporter:
    """What is exported once the service has ended."""
    kept = InMemorySpanExporter()
    monkeypatch.setattr(lookout, "exporter", lambda *_: kept)
    return kept


def traced(folder: Path, **given: Any) -> Any:
    return served(folder, otlp_endpoint="http://127.0.0.1:9/v1/traces", **given)


def chat(client: TestClient, said: str, model: str = "echo", **more: Any) -> Any:
    body = {"model": model, "messages": [{"role": "user", "content": said}], **more}
    return client.post("/v1/chat/completions", json=body, headers={"traceparent": PARENT})


def tree(found: tuple[ReadableSpan, ...]) -> list[tuple[str, str]]:
    """Names of spans with their parents', by when they began."""
    names = {one.context.span_id: one.name for one in found if one.context}
    ordered = sorted(found, key=lambda one: one.start_time or 0)
    return [(names.get(one.parent.span_id, "") if one.parent else "", one.name) for one in ordered]


def named(found: tuple[ReadableSpan, ...], name: str) -> ReadableSpan:
    return next(one for one in found if one.name == name)


def test_a_request_is_a_tree_of_its_steps(tmp_path: Path, spans: InMemorySpanExporter) -> None:
    with traced(tmp_path) as client:
        answer = chat(client, WORDS).raise_for_status()
    found, root = spans.get_finished_spans(), "POST /v1/chat/completions"
    assert tree(found) == [
        ("", root),
        (root, "checks prompt"),
        ("checks prompt", "check secrets"),
        (root, "marks"),
        (root, "append"),
        (root, "generate_content echo"),
        (root, "checks output"),
        ("checks output", "check secrets"),
        (root, "marks"),
        (root, "append"),
    ]
    assert {one.context.trace_id for one in found if one.context} == {int(TRACE, 16)}
    facts = dict(named(found, root).attributes or {})
    assert facts == {
        "http.request.method": "POST",
        "http.route": "/v1/chat/completions",
        "http.response.status_code": 200,
    }
    making = dict(named(found, "generate_content echo").attributes or {})
    assert making["gen_ai.operation.name"] == "generate_content"
    assert making["gen_ai.request.model"] == "echo"
    assert making["gen_ai.usage.input_tokens"] == making["gen_ai.usage.output_tokens"] == 5
    assert making["gen_ai.response.finish_reasons"] == ("stop",)
    appended = [dict(one.attributes or {}) for one in found if one.name == "append"]
    assert appended[0]["db.system.name"] == "sqlite"
    assert answer.headers["x-genguard-decision"] in {one["genguard.decision"] for one in appended}
    check = dict(named(found, "check secrets").attributes or {})
    assert check["genguard.policy"] == "desk"
    assert check["genguard.check.status"] == "ok"


def test_nothing_that_was_said_is_in_a_span(tmp_path: Path, spans: InMemorySpanExporter) -> None:
    broken = ListGenerator(RuntimeError(f"cannot continue {WORDS}"))
    with traced(tmp_path, generators={"list": broken}) as client:
        chat(client, WORDS)
        chat(client, WORDS, stream=True)
        assert chat(client, WORDS, "list").status_code == 502
        client.get("/v1/decisions/" + WORDS.replace(" ", "-"), headers={"tracestate": "a=nobody", "baggage": "b=nobody"})
    found = spans.get_finished_spans()
    told = " ".join(one.to_json() for one in found)
    assert len(found) > 20
    assert "nobody" not in told
    assert not [one for one in found if one.events or one.status.description]
    failed = [one for one in found if one.name == "generate_content list"]
    assert [dict(one.attributes or {})["error.type"] for one in failed] == ["RuntimeError"]
    assert [one.status.is_ok for one in failed] == [False]
    assert any(one.name == "stream" for one in found)


def test_a_service_that_is_asked_gets_the_trace(
    tmp_path: Path, spans: InMemorySpanExporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRACED_KEY", upstreams.KEY)

    async def script(talk: upstreams.Talk) -> None:
        message = {"role": "assistant", "content": "Good morning."}
        await talk.answer({"choices": [{"index": 0, "finish_reason": "stop", "message": message}]})

    with upstreams.upstream(script) as service:
        elsewhere = openai(base_url=service.url, model="m", api_key_env="TRACED_KEY", name="elsewhere")
        with traced(tmp_path, generators={"elsewhere": elsewhere}) as client:
            chat(client, WORDS, "elsewhere").raise_for_status()
        asked = {name.lower(): value for name, value in service.asked[0].headers.items()}
    span = named(spans.get_finished_spans(), "generate_content elsewhere")
    assert span.context is not None
    assert asked["traceparent"] == f"00-{TRACE}-{span.context.span_id:016x}-01"
    assert "tracestate" not in asked
    assert "baggage" not in asked


def test_a_trace_begins_here_where_nobody_began_one(tmp_path: Path, spans: InMemorySpanExporter) -> None:
    with traced(tmp_path) as client:
        client.get("/healthz", headers={"traceparent": f"00-{'0' * 32}-b7ad6b7169203331-01"})
        client.get("/healthz")
    roots = spans.get_finished_spans()
    assert [one.parent for one in roots] == [None, None]
    assert len({one.context.trace_id for one in roots if one.context}) == 2


def test_a_ratio_of_none_keeps_what_callers_trace(tmp_path: Path, spans: InMemorySpanExporter) -> None:
    with traced(tmp_path, trace_ratio=0.0) as client:
        client.get("/healthz")
        client.get("/healthz", headers={"traceparent": PARENT})
        client.get("/healthz", headers={"traceparent": PARENT[:-1] + "0"})
    assert [one.context.trace_id for one in spans.get_finished_spans() if one.context] == [int(TRACE, 16)]


@pytest.mark.parametrize(
    ("given", "trace"),
    [
        (PARENT, TRACE),
        ("", ""),
        (PARENT.upper(), ""),
        (f"ff-{TRACE}-b7ad6b7169203331-01", ""),
        (f"00-{'0' * 32}-b7ad6b7169203331-01", ""),
        (f"00-{TRACE}-{'0' * 16}-01", ""),
        (f"{PARENT}-jane", ""),
    ],
)
def test_a_parent_is_taken_when_it_is_one(given: str, trace: str) -> None:
    assert trace_of(given) == trace


@contextmanager
def collector() -> Iterator[tuple[str, list[tuple[dict[str, str], bytes]]]]:
    """A collector's HTTP side: its address, and what it was sent."""
    sent: list[tuple[dict[str, str], bytes]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            sent.append((headers, gzip.decompress(body) if headers.get("content-encoding") == "gzip" else body))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1/traces", sent
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_a_collector_gets_them_as_otlp(tmp_path: Path) -> None:
    key = secrets.token_urlsafe(16)
    with collector() as (url, sent):
        with served(tmp_path, otlp_endpoint=url, otlp_headers=f"x-key={key}") as client:
            chat(client, WORDS).raise_for_status()
        assert sent
    found = []
    for headers, body in sent:
        assert headers["content-type"] == "application/x-protobuf"
        assert headers["x-key"] == key
        assert WORDS.encode() not in body
        parsed = ExportTraceServiceRequest.FromString(body)
        found += [span for one in parsed.resource_spans for scope in one.scope_spans for span in scope.spans]
        assert 'key: "service.name"' in str(parsed.resource_spans[0].resource)
    assert {span.trace_id.hex() for span in found} == {TRACE}
    assert {"POST /v1/chat/completions", "check secrets", "append", "generate_content echo"} <= {span.name for span in found}


def test_a_collector_that_is_away_stops_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with served(tmp_path, otlp_endpoint="http://127.0.0.1:9/v1/traces") as client:
        assert chat(client, WORDS).status_code == 200
    assert WORDS not in caplog.text


def test_settings_that_cannot_be_meant_are_refused() -> None:
    for wrong in ("ftp://collector", "http://collector/v1?key=1", "http://user@collector/"):
        with pytest.raises(SettingsError, match="--otlp-endpoint"):
            Settings.read(otlp_endpoint=wrong)
    with pytest.raises(SettingsError, match="name=value"):
        lookout.Lookout.of(Settings(otlp_endpoint="http://127.0.0.1:9/v1/traces", otlp_headers="justaname"))
