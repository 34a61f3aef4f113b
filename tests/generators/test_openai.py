"""`openai` against a real server on this machine: what it sends, what it makes of answers, and of every bad one."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Sequence
from typing import Any

import pytest

from generators import upstream as upstream_module
from guard.errors import GenerationError, InputError, ParameterError, RegistryError
from guard.protocols import Piece
from guard.registry import generators
from guard.types import CALLER, Content, Making, Modality, Request, Span, Stage, ToolCall, Turn
from tests.upstreams import KEY, SECRET, Service, Talk, chunk, idle, message, upstream, well


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upstream_module, "FIRST_PAUSE_S", 0.01)


def prompt(text: str = SECRET, **given: Any) -> Content:
    return Content(Modality.TEXT, text, "text/plain", Stage.PROMPT, CALLER, Request("r"), **given)


def made(service: Service, **given: Any) -> Any:
    generator = generators.make("openai", {"base_url": service.url, "model": "m", "read_s": 20.0, **given})
    generator.load()
    return generator


def call(generator: Any, prompts: Sequence[Content] | None = None, **parameters: Any) -> list[Content]:
    async def gather() -> list[Content]:
        return [content async for _, content in generator(prompts or [prompt()], parameters)]

    return asyncio.run(gather())


def stream(generator: Any, prompts: Sequence[Content] | None = None, **parameters: Any) -> list[Piece]:
    async def gather() -> list[Piece]:
        pieces = [piece async for _, piece in generator.stream(prompts or [prompt()], parameters)]
        await idle()
        return pieces

    return asyncio.run(gather())


def fails(generator: Any, *, streaming: bool, match: str, **parameters: Any) -> GenerationError:
    with pytest.raises(GenerationError, match=match) as caught:
        (stream if streaming else call)(generator, **parameters)
    told = caught.value.diagnostics()
    assert SECRET not in told
    assert KEY not in told
    return caught.value


both = pytest.mark.parametrize("streaming", [False, True])


def test_what_is_sent_is_what_was_asked_for() -> None:
    """Our names become the service's; what was left out is left to the service."""
    with upstream() as service:
        call(made(service), seed=7, max_new_tokens=5, temperature=0.5, stop=["x"], logprobs=True, top_logprobs=2)
        stream(made(service, limit_as="max_completion_tokens", usage=False), max_new_tokens=5)
    first, second = (asked.body for asked in service.asked)
    assert first == {
        "model": "m", "messages": [{"role": "user", "content": SECRET}], "seed": 7, "max_tokens": 5, "temperature": 0.5,
        "stop": ["x"], "logprobs": True, "top_logprobs": 2,
    }  # fmt: skip
    assert second == {
        "model": "m", "messages": [{"role": "user", "content": SECRET}], "max_completion_tokens": 5, "stream": True,
    }  # fmt: skip
    assert service.asked[0].target == "/v1/chat/completions"


def test_a_conversation_is_sent_as_its_turns() -> None:
    """Parts of the one text that was judged; the calls of one turn are one message, and answers name theirs."""
    parts = ["Be brief.", "Weather?", '{"city": "Paris"}', '{"city": "Rome"}', "12 C", "9 C"]
    text, turns, calls = "", [], [ToolCall("a", "weather"), ToolCall("b", "weather")]
    roles = ["system", "user", "assistant", "assistant", "tool", "tool"]
    for role, part, asked in zip(roles, parts, [None, None, *calls, *calls], strict=True):
        text += f"{role}: "
        turns.append(Turn(role, Span(len(text), len(text) + len(part)), asked))
        text += part + "\n"
    with upstream() as service:
        call(made(service), [prompt(text, turns=tuple(turns))])
    said = service.asked[0].body["messages"]
    assert [one["role"] for one in said] == ["system", "user", "assistant", "tool", "tool"]
    assert [one["content"] for one in said] == ["Be brief.", "Weather?", None, "12 C", "9 C"]
    assert [one["function"]["arguments"] for one in said[2]["tool_calls"]] == parts[2:4]
    assert [said[2]["tool_calls"][0]["id"], said[3]["tool_call_id"], said[4]["tool_call_id"]] == ["a", "a", "b"]


def test_the_key_goes_where_the_service_wants_it(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """A bearer token, or Azure's header with its version; it is in no log and no error."""
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("TEST_KEY", KEY)
    with upstream() as service:
        call(made(service, api_key_env="TEST_KEY"))
        call(made(service, api_key_env="TEST_KEY", auth="api-key", api_version="2024-10-21"))
    plain, azure = service.asked
    assert plain.headers["authorization"] == f"Bearer {KEY}"
    assert "authorization" not in azure.headers
    assert (azure.headers["api-key"], azure.target) == (KEY, "/v1/chat/completions?api-version=2024-10-21")
    assert KEY not in caplog.text


def test_a_missing_key_is_told_when_it_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not at the first prompt, and never quoted when it was put in the wrong place."""
    monkeypatch.delenv("TEST_KEY", raising=False)
    generator = generators.make("openai", {"model": "m", "api_key_env": "TEST_KEY"})
    with pytest.raises(GenerationError, match="TEST_KEY: found an empty or unset variable"):
        generator.load()
    with pytest.raises(RegistryError) as caught:
        generators.make("openai", {"model": "m", "api_key_env": KEY})
    assert KEY not in caught.value.diagnostics()


@pytest.mark.parametrize(
    "given",
    [{"base_url": "ftp://x"}, {"base_url": "https://user:pw@x/v1"}, {"auth": "basic"}, {"api_version": "a b"}, {"retries": 11},
     {"read_s": 0.0}, {"limit_as": "most"}, {"model": ""}],
)  # fmt: skip
def test_settings_that_cannot_be_meant_are_refused(given: dict[str, Any]) -> None:
    """When the generator is made."""
    with pytest.raises(RegistryError, match=next(iter(given))):
        generators.make("openai", {"model": "m", **given})


@pytest.mark.parametrize(
    "given",
    [{"tools": "x"}, {"tools": ["x"]}, {"tools": [{"a": float("nan")}]}, {"tool_choice": 1}, {"stop": [""]},
     {"top_logprobs": 2}, {"temperature": 3}, {"max_tokens": 3}],
)  # fmt: skip
def test_a_wrong_parameter_is_refused_before_anything_is_sent(given: dict[str, Any]) -> None:
    """By its name."""
    with upstream() as service, pytest.raises(ParameterError, match=next(iter(given))):
        call(made(service), **given)
    assert service.asked == []


def test_an_image_as_a_prompt_is_refused() -> None:
    """Only text is sent."""
    picture = Content(Modality.IMAGE, b"x", "image/png", Stage.PROMPT, CALLER, Request("r"))
    with upstream() as service, pytest.raises(InputError, match="found image, expected text"):
        call(made(service), [picture])


def test_counts_and_choices_are_told() -> None:
    """Of several outputs only the sum is known: none gets it. With a seed each output is asked for alone, and has its own."""
    with upstream() as service:
        (one,) = call(made(service))
        several = call(made(service), n=3)
        seeded = call(made(service), n=2, seed=5)
        alone = call(made(service, one_by_one=True), n=2)
        (streamed,) = [piece.content for piece in stream(made(service)) if piece.content]
    assert one.making == Making(0, "stop", 11, 9)
    assert streamed.making == one.making
    assert sorted((each.making.choice, each.making.output_tokens) for each in several if each.making) == [
        (0, None),
        (1, None),
        (2, None),
    ]
    assert sorted(dict(each.origin.parameters)["seed"] for each in seeded) == ["5", "6"]
    assert len(alone) == 2
    assert [asked.body.get("n") for asked in service.asked] == [None, 3, None, None, None, None, None]


def test_scores_are_read() -> None:
    """Each token with its likelihood, and the likeliest in its place."""
    content = [
        {"token": "Hi", "logprob": -0.5, "top_logprobs": [{"token": "Hi", "logprob": -0.5}, {"token": "Ho", "logprob": -2}]}
    ]

    async def answer(talk: Talk) -> None:
        if talk.body.get("stream"):
            await talk.head()
            await talk.event({"choices": [{"index": 0, "delta": {"content": "Hi"}, "logprobs": {"content": content}}]})
            await talk.event(chunk(finish="length"))
            return
        await talk.answer({"choices": [message(content="Hi", finish="length") | {"logprobs": {"content": content}}]})

    with upstream(answer) as service:
        (whole,) = call(made(service), logprobs=True)
        *_, last = stream(made(service), logprobs=True)
    assert last.content
    for found in (whole, last.content):
        assert found.making
        assert found.making.finish == "length"
        assert [(one.token, one.logprob, one.top) for one in found.making.scores] == [
            ("Hi", -0.5, (("Hi", -0.5), ("Ho", -2.0)))
        ]


CALLS = [("call_1", "weather", '{"city": "P\u00e1ris"}'), ("call_2", "time", "{}")]


async def calling(talk: Talk) -> None:
    """Two tool calls, streamed in fragments that interleave."""
    if not talk.body.get("stream"):
        calls = [{"id": one, "type": "function", "function": {"name": name, "arguments": given}} for one, name, given in CALLS]
        await talk.answer({"choices": [message(content="Let me see.", tool_calls=calls, finish="tool_calls")]})
        return
    await talk.head()
    await talk.event(chunk(role="assistant", content="Let me "))
    for index, (one, name, _) in enumerate(CALLS):
        await talk.event(chunk(tool_calls=[{"index": index, "id": one, "function": {"name": name, "arguments": ""}}]))
    for at in range(20):
        for index, (_, _, given) in enumerate(CALLS):
            if part := given[at : at + 1]:
                await talk.event(chunk(tool_calls=[{"index": index, "function": {"arguments": part}}]))
    await talk.event(chunk(content="see."))
    await talk.event(chunk(finish="tool_calls"))
    await talk.event(b"[DONE]")


@both
def test_tool_calls_come_as_contents_of_their_own(streaming: bool) -> None:
    """Whole, with id and name beside their arguments, before the text of their choice."""
    tools = [{"type": "function", "function": {"name": "weather", "parameters": {}}}]
    with upstream(calling) as service:
        if streaming:
            pieces = stream(made(service), tools=tools, tool_choice="auto")
            assert "".join(piece.text for piece in pieces) == "Let me see."
            found = [piece.content for piece in pieces if piece.content]
        else:
            found = call(made(service), tools=tools, tool_choice="auto")
        assert service.asked[0].body["tools"] == tools
    *calls, text = found
    assert [(one.making.call.id, one.making.call.name, one.text) for one in calls if one.making and one.making.call] == CALLS
    assert {one.media_type for one in calls} == {"application/json"}
    assert (text.text, text.making and text.making.finish) == ("Let me see.", "tool_calls")
    assert dict(text.origin.parameters)["tools"].startswith("sha256:")


@both
def test_a_call_alone_has_no_text_beside_it(streaming: bool) -> None:
    """And a name that is none is refused: it would be said unjudged."""
    name = ["weather"]

    async def answer(talk: Talk) -> None:
        given = [{"index": 0, "id": "", "function": {"name": name[0], "arguments": "{}"}}]
        if talk.body.get("stream"):
            await talk.head()
            await talk.event(chunk(tool_calls=given, finish="tool_calls"))
            return
        await talk.answer({"choices": [message(content=None, tool_calls=given, finish="tool_calls")]})

    with upstream(answer) as service:
        found = [piece.content for piece in stream(made(service))] if streaming else call(made(service))
        assert len(found) == 1
        assert found[0]
        assert found[0].making
        assert found[0].making.call
        assert found[0].making.call.id.startswith("call_")
        name[0] = f"weather {SECRET}"
        fails(made(service), streaming=streaming, match="without a usable name")


async def _refuse(talk: Talk) -> None:
    await talk.answer(
        {"error": {"message": f"{SECRET} {KEY}", "type": "invalid_request_error", "code": "context_too_long"}}, 400
    )


async def _page(talk: Talk) -> None:
    await talk.answer(f"<html>{SECRET}</html>".encode(), 502, "text/html")


async def _late(talk: Talk) -> None:
    await talk.answer({"error": {"code": SECRET}}, 503, retry_after="0")


async def _cut(talk: Talk) -> None:
    await talk.raw(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\ncontent-type: text/event-stream\r\n\r\ndata: {")


async def _drop(talk: Talk) -> None:
    """Close without a word."""


@both
@pytest.mark.parametrize(
    ("script", "match", "tries"),
    [
        (_refuse, r"answered 400 \(context_too_long\) \(1 try\)", 1),
        (_page, r"answered 502 \(3 tries\)", 3),
        (_late, r"answered 503 \(3 tries\)", 3),
        (_drop, r"gave no answer \(\w+\) \(3 tries\)", 3),
        (_cut, "broke off", 1),
    ],
)
def test_a_service_that_fails_is_told_apart(streaming: bool, script: Any, match: str, tries: int) -> None:
    """By status, word and tries; asked again only where that may help, and nothing was received."""
    with upstream(script) as service:
        fails(made(service), streaming=streaming, match=match)
        assert len(service.asked) == tries


def test_a_service_that_recovers_is_not_noticed() -> None:
    """The wait it asks for is kept, unless it is beyond all patience."""

    async def wait(talk: Talk) -> None:
        await talk.answer({}, 429, retry_after="3600")

    with upstream(_late, _drop, well) as service:
        assert len(call(made(service))) == 1
    with upstream(wait) as service:
        error = fails(made(service), streaming=False, match=r"answered 429 \(1 try\)")
        assert "limit is reached" in error.advice


def test_a_service_that_is_not_there() -> None:
    """Is named with its address."""
    with upstream() as service:
        pass
    fails(
        made(service, retries=1), streaming=True, match=r"http://127.0.0.1:\d+/v1 gave no answer \(ConnectError\) \(2 tries\)"
    )


def events(*sent: Any, raw: bytes = b"") -> Any:
    async def script(talk: Talk) -> None:
        await talk.head()
        for one in sent:
            await talk.event(one)
        await talk.raw(raw)

    return script


async def _json_instead(talk: Talk) -> None:
    await talk.answer({"choices": []})


@pytest.mark.parametrize(
    ("script", "match"),
    [
        (events(chunk(content="a"), b"{not json " + SECRET.encode()), "no JSON"),
        (events(chunk(content="a")), "broke off: 0 of 1 choices"),
        (events(chunk(content="a"), b"[DONE]"), "broke off: 0 of 1 choices"),
        (events(chunk(content="a"), raw=b"data: {"), "no JSON|middle of an event"),
        (
            events(chunk(content="a"), {"error": {"message": SECRET, "code": "overloaded"}}),
            r"middle of its answer \(overloaded\)",
        ),
        (events(chunk(content=7)), "found int for content"),
        (events(chunk(3, content="a")), "not asked for"),
        (events(chunk(content="a", finish="stop"), chunk(content="b")), "had ended"),
        (events([1, 2]), "another shape"),
        (events({"choices": [None]}), "another shape"),
        (events(chunk(content="\ud800")), "another shape"),
        (events({"choices": [{"index": 0, "delta": {}, "logprobs": {"content": [{"token": "a"}]}}]}), "another shape"),
        (events(chunk(tool_calls=[{"index": 1 << 40}])), "tool call of another number"),
        (_json_instead, "found application/json, expected text/event-stream"),
    ],
)
def test_a_stream_that_is_none_ends_in_a_clear_error(script: Any, match: str) -> None:
    """Whatever is sent, and without a second try: the first characters may have left."""
    with upstream(script) as service:
        fails(made(service), streaming=True, match=match)
        assert len(service.asked) == 1


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
@pytest.mark.parametrize("width", [1, 2, 5, 1000])
def test_a_stream_is_read_however_it_is_cut(end: bytes, width: int) -> None:
    """Lines ended in any way, comments, fields of no interest, events of several lines, characters cut in their middle."""
    first = b"data:" + json.dumps(chunk(content="g\u00fct "), ensure_ascii=False).encode()
    second = [b'data: {"choices":', b'data: [{"index": 0, "delta": {"content": "so"}, "finish_reason": "stop"}]}']
    lines = [
        b": keep-alive",
        b"",
        b"event: message",
        b"id: 4",
        first,
        b"",
        *second,
        b"",
        b"data: [DONE]",
        b"",
        b"data: x",
        b"",
        b"",
    ]
    data = end.join(lines)

    async def script(talk: Talk) -> None:
        await talk.head()
        for at in range(0, len(data), width):
            await talk.raw(data[at : at + width])

    with upstream(script) as service:
        assert "".join(piece.text for piece in stream(made(service))) == "g\u00fct so"


def test_a_service_that_says_nothing_is_given_up() -> None:
    """After `read_s` without a byte, or `total_s` in all, and its connection is closed."""

    async def hang(talk: Talk) -> None:
        await talk.head()
        await talk.event(chunk(content="a"))
        await talk.gone()

    async def drip(talk: Talk) -> None:
        await talk.head()
        while not talk.asked.left.is_set():
            await talk.event(chunk(content="a"))
            await asyncio.sleep(0.01)

    with upstream(hang) as service:
        fails(made(service, read_s=0.3), streaming=True, match="said nothing for 0.3 s")
        assert service.asked[0].left.wait(30)
    with upstream(drip) as service:
        fails(made(service, total_s=0.5), streaming=True, match="not done within 0.5 s")


@both
def test_a_client_that_leaves_ends_the_request(streaming: bool) -> None:
    """Closed or cancelled: the connection is closed, and no task is left behind."""

    async def endless(talk: Talk) -> None:
        await talk.head()
        await talk.event(chunk(content="a"))
        await talk.gone()

    async def leave(generator: Any) -> None:
        if streaming:
            pieces = generator.stream([prompt()], {})
            assert (await anext(pieces))[1].text == "a"
            await pieces.aclose()
        else:
            contents = generator([prompt()], {})
            task = asyncio.ensure_future(anext(contents))
            while not service.asked:  # noqa: ASYNC110 - it is filled by another thread
                await asyncio.sleep(0.01)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await contents.aclose()
        await idle()

    with upstream(endless) as service:
        asyncio.run(leave(made(service)))
        assert service.asked[0].left.wait(30)


def test_an_error_in_one_prompt_ends_the_others() -> None:
    """A call gives all it was asked for, or says why not; nothing runs on behind its back."""

    async def hang(talk: Talk) -> None:
        if SECRET in str(talk.body):
            await talk.answer({}, 401)
            return
        await talk.gone()

    with upstream(hang) as service:
        with pytest.raises(GenerationError, match="answered 401"):
            call(made(service), [prompt("a"), prompt("b"), prompt(SECRET)])
        assert all(asked.left.wait(30) for asked in service.asked if asked.body["messages"][0]["content"] != SECRET)


def test_a_whole_answer_of_another_shape_is_refused() -> None:
    """Too few choices, no JSON, or something else altogether."""
    answers: list[Any] = [
        {"choices": []}, {"choices": [message(1, content="x")]}, b"hello", {"choices": [message(content=["x"])]}, 7,
        {"choices": [{"index": 0, "message": {"content": "x"}}]},
    ]  # fmt: skip
    for sent in answers:

        async def script(talk: Talk, sent: Any = sent) -> None:
            await talk.answer(sent)

        with upstream(script) as service:
            fails(made(service), streaming=False, match="found|broke off")


def test_what_the_service_cut_or_refused_is_told() -> None:
    """A filter of its own, and a refusal, which is text like any other."""
    sent = {"choices": [message(content="x", finish="content_filter")]}

    async def script(talk: Talk) -> None:
        await talk.answer(sent)

    with upstream(script) as service:
        (filtered,) = call(made(service))
        sent["choices"] = [message(content=None, refusal="I cannot.")]
        (refused,) = call(made(service))
    assert filtered.making
    assert (filtered.making.finish, refused.text) == ("content_filter", "I cannot.")
