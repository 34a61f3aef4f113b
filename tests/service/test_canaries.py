"""Personal data and secrets, planted wherever a caller, a model or a disk can put words, show in nothing an operator reads.

Logs in both formats at the debug level, what is written past them, metrics, spans, and bodies of errors.
"""

from __future__ import annotations

import io
import json
import logging
import re
import secrets
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import upstreams
from fakes import CrashingCheck, FakeCheck, ListGenerator, damaged_png, png
from kept_logging import kept_logging
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from service_client import served
from sqlalchemy.exc import OperationalError
from starlette.testclient import TestClient

from generators.openai import openai
from guard.errors import GenerationError
from guard.registry import checks
from serving.watching import lookout
from serving.watching.logs import JsonLines, TextLines, configure
from serving.wiring import Wired

MARK = "zqxj"
"""Begins each canary: no word, no hexadecimal, no base64 of ours has it."""
POLICY = """
policy: desk
version: 1
status: live
checks:
  secrets: {use: secrets, deadline_ms: 60000}
  crashing: {use: canary_crashing, on_failure: allow, deadline_ms: 60000}
  unloadable: {use: canary_unloadable, on_failure: allow, deadline_ms: 60000}
rules:
  - id: token
    when: {secrets: GITHUB_TOKEN}
    action: redact
    category: privacy
    basis: House rules 2
    with: {operator: replace}
"""


def canary(where: str) -> str:
    """An address, and something that a secret scanner would find, which name where they were planted."""
    return f"{MARK}-{where}-{secrets.token_hex(4)}@example.com"


class Unloadable(FakeCheck):
    """Fails to load as a library does, with a word too many."""

    def load(self) -> None:
        raise OSError(f"cannot read /models/{canary('load')}")


@pytest.fixture(autouse=True)
def _checks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(checks._factories, "canary_crashing", _crashing)
    monkeypatch.setitem(checks._factories, "canary_unloadable", _unloadable)


def _crashing() -> CrashingCheck:
    return CrashingCheck(f"{MARK}-crash", lambda said: RuntimeError(f"tokenizer failed on {said}"))


def _unloadable() -> Unloadable:
    return Unloadable()


@dataclass
class Told:
    """All that somebody other than the caller could read, and what callers were told of errors."""

    logs: tuple[io.StringIO, io.StringIO]
    spans: InMemorySpanExporter
    errors: list[tuple[str, int, str]] = field(default_factory=list)
    metrics: list[str] = field(default_factory=list)

    def leaks(self) -> list[str]:
        """Where canaries are."""
        found = [f"log: {line[:300]}" for kept in self.logs for line in kept.getvalue().splitlines() if has(line)]
        found += [
            f"span: {one.name} {dict(one.attributes or {})}" for one in self.spans.get_finished_spans() if has(one.to_json())
        ]
        found += [f"metric: {line}" for text in self.metrics for line in text.splitlines() if has(line)]
        return found + [f"error of {what} ({status}): {body[:300]}" for what, status, body in self.errors if has(body)]


def has(text: str) -> bool:
    return MARK in text.lower()


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Iterator[Told]:
    with kept_logging():
        kept = Told((io.StringIO(), io.StringIO()), InMemorySpanExporter())
        monkeypatch.setattr(lookout, "exporter", lambda *_: kept.spans)
        configure("json", "debug", kept.logs[0])
        other = logging.StreamHandler(kept.logs[1])
        other.setFormatter(TextLines())
        logging.getLogger().addHandler(other)
        assert isinstance(logging.getLogger().handlers[0].formatter, JsonLines)
        yield kept


@pytest.fixture
def past(capfd: pytest.CaptureFixture[str]) -> Iterator[None]:
    """Nothing is written past the log, either."""
    yield
    out, err = capfd.readouterr()
    assert not has(out + err)


class Caller:
    """Sends what it is told to with a canary in each header, and keeps what errors say."""

    def __init__(self, client: TestClient, told: Told) -> None:
        self.client, self.told = client, told

    def __call__(self, method: str, path: str, **given: Any) -> int:
        names = ("x-request-id", "traceparent", "tracestate", "baggage", "user-agent", "referer", "cookie", "x-forwarded-for")
        ours = ("subject", "language", "conversation", "purpose", "consent")
        headers = {name: canary(name) for name in (*names, *(f"x-genguard-{one}" for one in ours))}
        headers |= given.pop("headers", {})
        answer = self.client.request(method, path, headers=headers, **given)
        if answer.status_code >= 400:
            self.told.errors.append((f"{method} {path}", answer.status_code, answer.text))
        elif answer.headers["content-type"].startswith("text/event-stream"):
            events = [line for line in answer.text.splitlines() if '"error"' in line]
            self.told.errors += [(f"{method} {path}", 200, line) for line in events]
        self.told.errors.append((f"headers of {method} {path}", answer.status_code, str(dict(answer.headers))))
        return answer.status_code


def opened(folder: Path, **given: Any) -> Any:
    given = {"otlp_endpoint": "http://127.0.0.1:9/v1/traces", "policy": POLICY, **given}
    return served(folder, **given)


def chat(model: str, said: str, **more: Any) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": said}], **more}


@pytest.mark.usefixtures("past")
def test_words_in_good_and_bad_requests(tmp_path: Path, told: Told) -> None:
    token = "ghp_" + MARK + secrets.token_hex(16)
    with opened(tmp_path) as client:
        call = Caller(client, told)
        for said in (canary("prompt"), canary("crash"), f"keep {token}"):
            assert call("POST", "/v1/chat/completions", json=chat("echo", said, user=canary("user"))) == 200
            assert call("POST", "/v1/chat/completions", json=chat("echo", said, stream=True)) == 200
            assert call("POST", "/v1/completions", json={"model": "echo", "prompt": said}) == 200
            assert call("POST", "/v1/completions", json={"model": "echo", "prompt": said, "stream": True}) == 200
            assert call("POST", "/v1/moderations", json={"input": [said, canary("input")]}) == 200
            assert call("POST", f"/v1/check?q={quote(said)}", json={"text": said}) == 200
        call("GET", f"/v1/decisions?q=subject:{quote(canary('query'))}")
        for query in (f'"{canary("open")}', f"{canary('field')}:x", f"time>{canary('time')}", f"({canary('paren')}"):
            call("GET", "/v1/decisions", params={"q": query})
        told.metrics.append(client.get("/metrics").text)
    assert told.logs[0].getvalue()
    assert not told.leaks(), "\n".join(told.leaks())


@pytest.mark.usefixtures("past")
def test_words_in_bodies_that_are_wrong(tmp_path: Path, told: Told) -> None:
    def wrong() -> Iterator[Mapping[str, Any]]:
        yield {"content": f'{{"model": "{canary("broken")}", '.encode()}
        yield {"content": canary("plain").encode(), "headers": {"content-type": "application/json"}}
        yield {"content": b"\xff" + canary("bytes").encode(), "headers": {"content-type": "application/json"}}
        yield {"json": {canary("name"): canary("value")}}
        yield {"json": {"model": canary("model"), "prompt": canary("prompt"), "messages": canary("messages")}}
        yield {"json": chat(canary("model"), canary("prompt"))}
        yield {"json": chat("echo", canary("prompt"), metadata={canary("key"): 5, "a": {canary("inner"): 1}})}
        yield {"json": chat("echo", canary("prompt"), temperature=canary("number"), n=canary("n"), stop=[canary("stop"), 5])}
        yield {"json": chat("echo", canary("prompt"), temperature=canary("number"), tools=[{"type": canary("type")}])}
        yield {"json": {"model": "echo", "messages": [{"role": canary("role"), "content": canary("said")}]}}
        yield {"json": {"model": "echo", "messages": [{"role": "user", "content": [{"type": canary("part")}]}]}}
        yield {
            "json": {"model": "echo", "prompt": canary("prompt"), "seed": -5, "size": canary("size"), "input": [{"type": "x"}]}
        }
        yield {"json": {"input": [{"type": "image_url", "image_url": {"url": f"https://{canary('url')}/a.png"}}]}}
        yield {"json": {"input": [{"type": "image_url", "image_url": {"url": f"data:image/png;base64,{canary('data')}"}}]}}
        yield {"json": {"image": canary("base64"), "text": canary("text"), "stage": canary("stage"), "language": canary("tag")}}
        yield {"content": json.dumps(chat("echo", canary("surrogate") + "\ud800", stop=canary("stop") + "\ud800")).encode()}
        yield {"files": {"image": (f"{canary('file')}.png", damaged_png(), canary("kind"))}, "data": {"prompt": canary("form")}}
        yield {
            "files": {"image": (f"{canary('file')}.png", png(), "image/png")},
            "data": {"prompt": canary("form"), "model": "echo"},
        }
        yield {"files": {canary("field"): (f"{canary('file')}.png", png())}, "data": {canary("name"): canary("form")}}
        yield {"content": canary("multi").encode(), "headers": {"content-type": f"multipart/form-data; boundary={canary('b')}"}}
        yield {"content": canary("type").encode(), "headers": {"content-type": f"text/{canary('type')}"}}

    with opened(tmp_path) as client:
        call = Caller(client, told)
        paths = ("chat/completions", "completions", "moderations", "images/generations", "images/edits", "check", "verify")
        for path in paths:
            for given in wrong():
                call("POST", f"/v1/{path}?trace={quote(canary('query'))}", **given)
        told.metrics.append(client.get("/metrics").text)
    assert sum(status >= 400 for what, status, _ in told.errors if not what.startswith("headers")) > 80
    assert not told.leaks(), "\n".join(told.leaks())


@pytest.mark.usefixtures("past")
def test_words_in_addresses_of_every_route(tmp_path: Path, told: Told) -> None:
    with opened(tmp_path) as client:
        call = Caller(client, told)
        described = client.get("/openapi.json").json()["paths"]
        for path, methods in described.items():
            for method, about in methods.items():
                address = re.sub(r"\{[^}]*\}", lambda _: quote(canary("path"), safe=""), path)
                names = [one["name"] for one in about.get("parameters", []) if one["in"] == "query"]
                query = {name: canary("query") for name in (*names, "mail", MARK + "name")}
                body = {"json": {"reason": canary("reason"), "outcome": canary("outcome"), "code": canary("code")}}
                call(method.upper(), address, params=query, **({} if method == "get" else body))
                call(method.upper(), address, **({} if method == "get" else {"json": {canary("name"): [canary("value")]}}))
                call(method.upper(), address + "/" + canary("more"))
        assert call("GET", f"/{canary('nowhere')}") == 404
        assert call("BREW", f"/{canary('nowhere')}") == 404
        told.metrics.append(client.get("/metrics").text)
    assert len(described) > 30
    assert not told.leaks(), "\n".join(told.leaks())


@pytest.mark.usefixtures("past")
def test_words_in_failures_of_generators(tmp_path: Path, told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CANARY_KEY", canary("key"))

    async def refused(talk: upstreams.Talk) -> None:
        said = {"error": {"message": f"cannot take {canary('upstream')}", "code": canary("code"), "type": canary("type")}}
        await talk.answer(said, 400, x_request=canary("header"))

    async def page(talk: upstreams.Talk) -> None:
        await talk.answer(f"<html>{canary('page')}".encode(), 200, f"text/{canary('kind')}")

    async def broken(talk: upstreams.Talk) -> None:
        await talk.head(200)
        await talk.event(upstreams.chunk(content=canary("piece")))
        await talk.event({"error": {"message": canary("middle"), "code": canary("code")}})

    async def odd(talk: upstreams.Talk) -> None:
        said = {"role": "assistant", "content": canary("said")}
        await talk.answer({"choices": [{"index": 0, "finish_reason": canary("finish"), "message": said}]})

    raising = {
        "plain": ListGenerator(ValueError(f"cannot continue {canary('output')}")),
        "ours": ListGenerator(GenerationError("the model gave up")),
        "late": ListGenerator(canary("first"), KeyError(canary("second"))),
    }
    asked = partial(openai, model="m", api_key_env="CANARY_KEY", retries=0, total_s=30.0)
    with ExitStack() as stack:
        ups = [stack.enter_context(upstreams.upstream(script)) for script in (refused, page, broken, odd)]
        services = {f"up{at}": asked(base_url=up.url, name=f"up{at}") for at, up in enumerate(ups)}
        away = {"away": asked(base_url="http://127.0.0.1:9/v1", name="away")}
        for name, generator in raising.items():
            generator.name = name
        with opened(tmp_path, generators={**raising, **services, **away}) as client:
            call = Caller(client, told)
            for name in (*raising, *services, *away):
                for stream in (False, True):
                    call("POST", "/v1/chat/completions", json=chat(name, canary("prompt"), stream=stream))
                call("POST", "/v1/completions", json={"model": name, "prompt": canary("prompt")})
            told.metrics.append(client.get("/metrics").text)
    assert any(status == 502 for _, status, _ in told.errors)
    assert not told.leaks(), "\n".join(told.leaks())


@pytest.mark.usefixtures("past")
def test_words_in_failures_of_the_ledger(tmp_path: Path, told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OperationalError(f"INSERT {canary('sql')}", {"subject": canary("parameter")}, OSError(canary("driver")))

    def odd(*_: Any) -> None:
        raise ValueError(f"cannot store {canary('stored')}")

    with opened(tmp_path) as client:
        call = Caller(client, told)
        assert call("POST", "/v1/check", json={"text": canary("text")}) == 200
        for broken in (full, odd):
            with monkeypatch.context() as patch:
                patch.setattr("audit.ledger.insert_batch", broken)
                statuses = {
                    call("POST", "/v1/check", json={"text": canary("text")}),
                    call("POST", "/v1/chat/completions", json=chat("echo", canary("prompt"))),
                    call("POST", "/v1/chat/completions", json=chat("echo", canary("prompt"), stream=True)),
                    call("POST", "/v1/moderations", json={"input": canary("input")}),
                    call("GET", "/readyz"),
                }
                assert statuses == {503}
                told.metrics.append(client.get("/metrics").text)
    assert not told.leaks(), "\n".join(told.leaks())


@pytest.mark.usefixtures("past")
def test_words_in_errors_that_nobody_foresaw(tmp_path: Path, told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    def around(wired: Wired) -> None:
        async def fails(contents: Any, **_: Any) -> Any:
            raise RuntimeError(f"no way to judge {contents}")

        monkeypatch.setattr(wired.guard, "check_many", fails)

    with opened(tmp_path, around=around) as client:
        call = Caller(client, told)
        assert call("POST", "/v1/check", json={"text": canary("text")}) == 500
        assert call("POST", "/v1/moderations", json={"input": canary("text")}) == 500
    assert any(json.loads(line)["level"] == "error" for line in told.logs[0].getvalue().splitlines())
    assert not told.leaks(), "\n".join(told.leaks())


def test_the_test_sees_what_leaks(told: Told) -> None:
    logging.getLogger("guard.chain").warning("found %s", canary("leak"))
    assert len(told.leaks()) == 2
