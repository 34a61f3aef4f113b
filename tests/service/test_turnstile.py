"""How many requests come in: by caller and in all, a minute and at once; and how much one request may ask for."""

from __future__ import annotations

import asyncio
import secrets
import threading
from collections.abc import AsyncIterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fakes import ListGenerator, text
from service_client import served
from starlette.testclient import TestClient

from guard.errors import SettingsError
from guard.types import Content, Origin, Stage
from serving.identity.principals import Principal
from serving.identity.roles import Role
from serving.settings import Settings
from serving.turnstile import Allowance, Allowances, Full, Turnstile, _span

ANN, BOB = Principal("ann", frozenset({Role.CALLER})), Principal("bob", frozenset({Role.CALLER, Role.REVIEWER}))


def keys(*names: str) -> tuple[dict[str, dict[str, str]], str]:
    """Headers of each name, and the setting."""
    made = {name: secrets.token_hex(16) for name in names}
    return {name: {"authorization": f"Bearer {key}"} for name, key in made.items()}, ",".join(
        f"{name}:{key}" for name, key in made.items()
    )


def say(client: TestClient, headers: Mapping[str, str], said: str = "Good morning.", **more: Any) -> Any:
    body = {"model": "echo", "messages": [{"role": "user", "content": said}], **more}
    return client.post("/v1/chat/completions", json=body, headers=headers)


def test_a_key_over_its_rate_gets_429_and_others_do_not(tmp_path: Path) -> None:
    """In OpenAI's shape with its headers; the key's own rate comes before the usual one; health is told at any rate."""
    mine, given = keys("ann", "bob")
    with served(tmp_path, api_keys=given, rate_per_minute=2, rate_overrides=("bob=5",)) as client:
        answers = [say(client, mine["ann"]) for _ in range(3)]
        assert [one.status_code for one in answers] == [200, 200, 429]
        assert answers[0].headers["x-ratelimit-limit-requests"] == "2"
        assert [one.headers["x-ratelimit-remaining-requests"] for one in answers] == ["1", "0", "0"]
        assert 1 <= int(answers[2].headers["retry-after"]) <= 30
        assert answers[2].json()["error"]["code"] == "rate_limit_exceeded"
        assert "x-ratelimit-limit-tokens" not in answers[2].headers
        assert [say(client, mine["bob"]).status_code for _ in range(5)] == [200] * 5
        assert [client.get("/healthz", headers=mine["ann"]).status_code for _ in range(4)] == [200] * 4
        assert client.get("/metrics", headers=mine["ann"]).status_code != 429
        assert client.get("/v1/decisions", headers=mine["ann"]).status_code == 429
        told = client.get("/v1/decisions", headers=mine["bob"])
        assert told.status_code == 429
        assert told.json()["error"]["type"] == "invalid_request_error"


def test_what_was_judged_is_charged_and_owed(tmp_path: Path) -> None:
    """A long text comes in, since nobody knew; what follows waits until it is paid for."""
    mine, given = keys("ann")
    with served(tmp_path, api_keys=given, tokens_per_minute=100) as client:
        first = say(client, mine["ann"], "All is well here. " * 100)
        assert first.status_code == 200
        assert first.headers["x-ratelimit-limit-tokens"] == "100"
        second = say(client, mine["ann"])
        assert second.status_code == 429
        assert int(second.headers["retry-after"]) > 60
        assert second.headers["x-ratelimit-remaining-tokens"] == "0"


def test_allowances_are_of_the_key_then_of_the_role_then_the_usual() -> None:
    allowances = Allowances(Settings(rate_per_minute=10, rate_overrides=("ann=3/4", "+reviewer=-/70", "+caller=20/60")))
    assert allowances.of(ANN) == Allowance(3, 4)
    assert allowances.of(BOB) == Allowance(None, 70)
    assert allowances.of(Principal("cat", frozenset({Role.CALLER}))) == Allowance(20, 60)
    assert allowances.of(Principal("dan", frozenset({Role.ADMIN}))) == Allowance(10, None)


@pytest.mark.parametrize("entry", ["ann", "ann=", "=3", "ann=x", "ann=0", "ann=-1", "+king=3", "ann=1/2/3"])
def test_overrides_that_cannot_be_read_are_refused(entry: str) -> None:
    with pytest.raises(SettingsError, match="GENGUARD_RATE_OVERRIDES"):
        Turnstile(Settings(rate_overrides=(entry,)))


def test_requests_in_work_are_counted_in_all_and_by_caller() -> None:
    """Who left makes room; a strangers' crowd is one caller."""
    gate = Turnstile(Settings(concurrency=3, concurrency_per_key=2))
    assert [gate.enter(ANN), gate.enter(ANN)] == [("/ann", {})] * 2
    full = gate.enter(ANN)
    assert isinstance(full, Full)
    assert (full.status, full.retry_s) == (429, 1)
    assert not isinstance(gate.enter(None), Full)
    full = gate.enter(BOB)
    assert isinstance(full, Full)
    assert full.status == 503
    gate.leave("/ann", ANN, 0)
    assert not isinstance(gate.enter(BOB), Full)
    for who, caller in (("/ann", ANN), ("/bob", BOB), ("", None)):
        gate.leave(who, caller, 9)
    assert gate.inside == 0
    assert not gate._inside


def test_times_are_written_as_openai_does() -> None:
    assert [_span(one) for one in (0, 0.12, 7.5, 59.96, 90, 360)] == ["0ms", "120ms", "7.5s", "1m0s", "1m30s", "6m0s"]


class Slow(ListGenerator):
    """Makes nothing until it may."""

    name = "slow"

    def __init__(self) -> None:
        super().__init__()
        self.begun, self.go = threading.Semaphore(0), threading.Event()

    async def __call__(self, prompts: Sequence[Content], parameters: Mapping[str, Any]) -> AsyncIterator[tuple[int, Content]]:
        self.begun.release()
        await asyncio.to_thread(self.go.wait, 60)
        for index, prompt in enumerate(prompts):
            made = text("Done.", request=prompt.request, generator="slow")
            yield index, replace(made, stage=Stage.OUTPUT, origin=Origin("slow"))


def test_a_full_service_answers_503_and_tells_its_health(tmp_path: Path) -> None:
    """One key fills its share, another the rest; when they are done there is room again."""
    mine, given = keys("ann", "bob")
    slow = Slow()
    with (
        served(tmp_path, api_keys=given, generators={"slow": slow}, concurrency=2, concurrency_per_key=1) as client,
        ThreadPoolExecutor(2) as pool,
    ):
        waiting = [pool.submit(say, client, mine["ann"], model="slow")]
        assert slow.begun.acquire(timeout=60)
        mine_again = say(client, mine["ann"])
        waiting.append(pool.submit(say, client, mine["bob"], model="slow"))
        assert slow.begun.acquire(timeout=60)
        full = client.get("/v1/models", headers=mine["bob"])
        health = [client.get(path).status_code for path in ("/healthz", "/readyz")]
        slow.go.set()
        assert [one.result(60).status_code for one in waiting] == [200, 200]
        assert (mine_again.status_code, mine_again.headers["retry-after"]) == (429, "1")
        assert (full.status_code, full.json()["error"]["code"], full.headers["retry-after"]) == (503, "overloaded", "1")
        assert health == [200, 200]
        assert client.get("/v1/models", headers=mine["bob"]).status_code == 200


def test_one_request_may_ask_for_so_much(tmp_path: Path) -> None:
    """Tokens, messages, inputs and outputs, each by its setting; told with the field."""
    with served(tmp_path, max_tokens=10, max_messages=2, max_inputs=2, max_outputs=3) as client:

        def told(path: str, **body: Any) -> tuple[int, str, str]:
            answer = client.post(f"/v1/{path}", json=body)
            error = answer.json().get("error") or {"param": "", "code": ""}
            return answer.status_code, error["param"], error["code"]

        def refused(param: str) -> tuple[int, str, str]:
            return 400, param, "above_limit"

        turns = [{"role": "user", "content": "Hi"}]
        assert told("chat/completions", model="echo", messages=turns * 3) == refused("messages")
        assert told("chat/completions", model="echo", messages=turns, max_completion_tokens=11) == refused("max_tokens")
        assert told("chat/completions", model="echo", messages=turns, n=4) == refused("n")
        assert told("completions", model="echo", prompt=["a", "b", "c"]) == refused("prompt")
        assert told("completions", model="echo", prompt=["a", "b"], n=2) == refused("n")
        assert told("completions", model="echo", prompt="a", max_tokens=11) == refused("max_tokens")
        assert told("moderations", input=["a", "b", "c"]) == refused("input")
        assert told("moderations", input=["a", "b"])[0] == 200
        assert told("chat/completions", model="echo", messages=turns * 2)[0] == 200
