"""Streams as callers of OpenAI's API get them: the official client, bytes on the wire, and everything that can go wrong."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx
import openai
import pytest
from openai import AsyncOpenAI

from generators.openai import openai as remote
from tests.service.running import PRIVATE_KEY, TOKEN, Running, running
from tests.upstreams import Service, Talk, chunk, upstream, well


@pytest.fixture(scope="module")
def distant() -> Iterator[Service]:
    with upstream(well) as service:
        yield service


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory, distant: Service) -> Iterator[Running]:
    def generators() -> dict[str, Any]:
        return {"far": remote(base_url=distant.url, model="m", name="far", read_s=2.0, retries=0)}

    with running(tmp_path_factory.mktemp("streams"), generators) as service:
        yield service


def user(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


def telling(*parts: str, finish: str = "stop", end: bool = True) -> Any:
    """A script that streams these parts as one choice."""

    async def script(talk: Talk) -> None:
        await talk.head()
        for part in parts:
            await talk.event(chunk(content=part))
        if end:
            await talk.event(chunk(finish=finish))
            await talk.event(b"[DONE]")

    return script


def settled(here: Running, decisions: int, query: str = "stage:output generator:far") -> list[dict[str, Any]]:
    """Decisions once there are so many: an ending is recorded after its client has left."""
    until = time.monotonic() + 60
    while len(rows := here.rows(query)) < decisions and time.monotonic() < until:
        time.sleep(0.02)
    assert len(rows) >= decisions
    return rows


def test_the_client_streams_what_it_would_get_at_once(here):
    """Text, why it ended, tokens where they are asked for, and the evidence beside the end."""
    asked = {"model": "far", "messages": user("Good day."), "seed": 3}
    whole = here.client.chat.completions.create(**asked)
    chunks = list(here.client.chat.completions.create(**asked, stream=True, stream_options={"include_usage": True}))
    said = "".join(one.choices[0].delta.content or "" for one in chunks if one.choices)
    assert said == whole.choices[0].message.content
    assert chunks[0].choices[0].delta.role == "assistant"
    assert {one.id for one in chunks} == {chunks[0].id}
    ended = next(one for one in chunks if one.choices and one.choices[0].finish_reason)
    assert ended.choices[0].finish_reason == "stop"
    entry = here.entry(ended.genguard[0]["decision"])
    assert entry["stream"]["ending"] == "complete"
    assert chunks[-1].usage.total_tokens == 20
    assert not chunks[-1].choices


def test_several_choices_interleave_and_each_has_its_end(here):
    """`n`: by the index of each chunk."""
    asked = {"model": "far", "messages": user("Good day."), "seed": 4, "n": 3}
    whole = [one.message.content for one in here.client.chat.completions.create(**asked).choices]
    said, ends = ["", "", ""], [0, 0, 0]
    for one in here.client.chat.completions.create(**asked, stream=True):
        for choice in one.choices:
            said[choice.index] += choice.delta.content or ""
            ends[choice.index] += choice.finish_reason is not None
    assert said == whole
    assert ends == [1, 1, 1]


def test_a_secret_in_pieces_leaves_edited(here, distant):
    """However it is cut; not one of its letters beyond what any other text would show is on the wire."""
    distant.scripts[:] = [telling("Take it: ", *TOKEN, ". Bye."), well]
    with here.http.stream(
        "POST", "/v1/chat/completions", json={"model": "far", "messages": user("x"), "stream": True}
    ) as answer:
        wire = answer.read().decode()
    assert answer.headers["content-type"].startswith("text/event-stream")
    lines = [line.removeprefix("data: ") for line in wire.split("\n\n") if line]
    assert lines[-1] == "[DONE]"
    said = "".join(one["choices"][0]["delta"].get("content", "") for one in map(json.loads, lines[:-1]))
    assert said == "Take it: [GITHUB_TOKEN]. Bye."


def test_a_block_ends_the_stream_and_says_why(here, distant):
    """What came before stays; the rest is not read any more, and nothing of it was sent."""
    distant.scripts[:] = [telling("All is well. Here: ", PRIVATE_KEY[:200], PRIVATE_KEY[200:], " The end."), well]
    chunks = list(here.client.chat.completions.create(model="far", messages=user("x"), stream=True))
    said = "".join(one.choices[0].delta.content or "" for one in chunks)
    assert "All is well. Here: ".startswith(said)
    assert chunks[-1].choices[0].finish_reason == "content_filter"
    assert [one.choices[0].delta.refusal for one in chunks if one.choices[0].delta.refusal] == ["A key was withheld."]
    entry = here.entry(chunks[-1].genguard[0]["decision"])
    assert (entry["stream"]["ending"], entry["verdict"]["action"]) == ("blocked", "block")


def test_a_prompt_that_is_refused_streams_its_refusal(here, distant):
    """The model behind is not asked."""
    before = len(distant.asked)
    chunks = list(here.client.chat.completions.create(model="far", messages=user(PRIVATE_KEY), stream=True))
    assert [one.choices[0].finish_reason for one in chunks] == [None, None, "content_filter"]
    assert len(distant.asked) == before
    with pytest.raises(openai.NotFoundError):
        here.client.chat.completions.create(model="nobody", messages=user("x"), stream=True)
    with pytest.raises(openai.BadRequestError, match="seed"):
        here.client.chat.completions.create(model="far", messages=user("x"), stream=True, n=1, extra_body={"seed": -5})


def test_calls_stream_whole_and_judged(here, distant):
    """Arguments are joined before they are judged; a blocked one takes its choice along."""
    tools = [{"type": "function", "function": {"name": "send"}}]
    for value, finish in ((TOKEN, "tool_calls"), (PRIVATE_KEY, "content_filter")):
        arguments = json.dumps({"text": value})

        async def script(talk: Talk, arguments: str = arguments) -> None:
            await talk.head()
            head = {"index": 0, "id": "t1", "type": "function", "function": {"name": "send", "arguments": ""}}
            await talk.event(chunk(role="assistant", content=None, tool_calls=[head]))
            for letter in arguments:
                await talk.event(chunk(tool_calls=[{"index": 0, "function": {"arguments": letter}}]))
            await talk.event(chunk(finish="tool_calls"))
            await talk.event(b"[DONE]")

        distant.scripts[:] = [script, well]
        chunks = list(here.client.chat.completions.create(model="far", messages=user("x"), tools=tools, stream=True))
        assert chunks[-1].choices[0].finish_reason == finish
        calls = [call for one in chunks for call in one.choices[0].delta.tool_calls or ()]
        assert value not in "".join(one.model_dump_json() for one in chunks)
        assert [json.loads(call.function.arguments) for call in calls] == (
            [{"text": "[GITHUB_TOKEN]"}] if len(value) < 99 else []
        )


@pytest.mark.parametrize("how", ["cut", "error", "malformed", "slow"])
def test_a_service_behind_that_fails_on_the_way(here, distant, how):
    """The client is told, without [DONE]; what left is recorded as failed; nothing of the answer behind is shown."""

    async def script(talk: Talk) -> None:
        await talk.head()
        await talk.event(chunk(content="The first sentence is here. "))
        await talk.event(chunk(content="And the seco"))
        if how == "error":
            await talk.event({"error": {"message": "internal words"}})
        elif how == "malformed":
            await talk.event(b'{"choices": [')
        elif how == "slow":
            await asyncio.sleep(20)

    before = len(here.rows("stage:output generator:far"))
    distant.scripts[:] = [script, well]
    body = {"model": "far", "messages": user("x"), "stream": True}
    with here.http.stream("POST", "/v1/chat/completions", json=body) as answer:
        wire = answer.read().decode()
    assert answer.status_code == 200
    lines = [json.loads(line.removeprefix("data: ")) for line in wire.split("\n\n") if line.startswith("data: {")]
    assert "[DONE]" not in wire
    assert "internal words" not in wire
    assert lines[-1]["error"]["code"] == "generation_failed"
    said = "".join(one["choices"][0]["delta"].get("content", "") for one in lines[:-1] if one.get("choices"))
    entry = here.entry(settled(here, before + 1)[0]["decision"])
    assert entry["stream"]["ending"] == "failed"
    assert entry["stream"]["sent"] == len(said)


def test_a_client_that_leaves_frees_everything(here, distant):
    """The service behind sees its connection closed, and the ledger what had left."""
    left = threading.Event()

    async def script(talk: Talk) -> None:
        await talk.head()
        for number in range(10_000):
            await talk.event(chunk(content=f"Sentence number {number} is here. "))
            await asyncio.sleep(0.01)

    async def watched(talk: Talk) -> None:
        try:
            await script(talk)
        except ConnectionError:
            left.set()
            raise

    before = len(here.rows("stage:output generator:far"))
    distant.scripts[:] = [watched, well]
    body = {"model": "far", "messages": user("x"), "stream": True}
    with httpx.stream("POST", f"{here.url}/v1/chat/completions", json=body, timeout=60) as answer:
        for line in answer.iter_lines():
            if "Sentence number 3" in line:
                break
    assert left.wait(60)
    entry = here.entry(settled(here, before + 1)[0]["decision"])
    assert entry["stream"]["ending"] == "cancelled"
    assert entry["stream"]["sent"] > 0


def test_many_streams_at_once_keep_apart(here):
    """Each reader gets its own text."""

    async def ask(client: AsyncOpenAI, number: int) -> str:
        stream = await client.chat.completions.create(model="echo", messages=user(f"This is number {number}."), stream=True)
        return "".join([one.choices[0].delta.content or "" async for one in stream])

    async def everyone() -> list[str]:
        async with AsyncOpenAI(base_url=f"{here.url}/v1", api_key="unused", max_retries=0) as client:
            return list(await asyncio.gather(*(ask(client, number) for number in range(24))))

    assert asyncio.run(everyone()) == [f"This is number {number}." for number in range(24)]


def test_completions_stream_too(here):
    """Text chunks of the older route."""
    chunks = list(here.client.completions.create(model="echo", prompt="Good morning to you.", stream=True))
    assert "".join(one.choices[0].text for one in chunks) == "Good morning to you."
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert chunks[-1].genguard[0]["action"] == "allow"
    with pytest.raises(openai.UnprocessableEntityError, match="several prompts"):
        here.client.completions.create(model="echo", prompt=["a", "b"], stream=True)
