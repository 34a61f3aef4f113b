"""What callers of OpenAI's API find when their base URL points here: the official client against a real service."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from openai import AsyncOpenAI

from audit.erasure import erase
from generators.openai import openai as remote
from guard.types import Content, Modality, Origin, Stage
from tests.fakes import png
from tests.service.running import PRIVATE_KEY, TOKEN, Running, running
from tests.upstreams import Service, Talk, message, upstream, well

PNG = png()


class Painter:
    """Gives the same picture for every prompt."""

    name, modality = "painter", Modality.IMAGE

    def load(self) -> None:
        pass

    async def __call__(
        self, prompts: Sequence[Content], parameters: Mapping[str, Any], /
    ) -> AsyncIterator[tuple[int, Content]]:
        for index, prompt in enumerate(prompts):
            for _ in range(parameters.get("n", 1)):
                yield index, Content(Modality.IMAGE, PNG, "image/png", Stage.OUTPUT, Origin("painter"), prompt.request)


@pytest.fixture(scope="module")
def distant() -> Iterator[Service]:
    """A model behind another service."""
    with upstream(well) as service:
        yield service


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory, distant: Service) -> Iterator[Running]:
    """The service in front of it."""

    def generators() -> dict[str, Any]:
        return {"far": remote(base_url=distant.url, model="m", name="far", read_s=30.0), "painter": Painter()}

    with running(tmp_path_factory.mktemp("gateway"), generators) as service:
        yield service


def user(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


def part(text: str) -> dict[str, str]:
    return {"type": "text", "text": text}


def saying(**said: Any) -> Any:
    """A script that answers with one choice."""

    async def script(talk: Talk) -> None:
        await talk.answer({"choices": [message(**said)], "usage": {"prompt_tokens": 3, "completion_tokens": 4}})

    return script


# --- chat ------------------------------------------------------------------------------------------------------------


def test_a_conversation_reaches_the_model_turn_by_turn(here, distant):
    """Only what was judged is sent on; every turn stands in the one text that was."""
    turns = [
        {"role": "developer", "content": "Be brief."},
        {
            "role": "user",
            "content": [{"type": "text", "text": f"My token is {TOKEN}"}, {"type": "text", "text": ", is it safe?"}],
        },
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"at": "it"}'}}],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "It is not."},
    ]
    answer = here.client.chat.completions.create(model="far", messages=turns, seed=1)
    sent = distant.asked[-1].body["messages"]
    assert [one["role"] for one in sent] == ["system", "user", "assistant", "tool"]
    assert sent[1]["content"] == "My token is [GITHUB_TOKEN], is it safe?"
    assert sent[2]["tool_calls"][0]["function"] == {"name": "look", "arguments": '{"at": "it"}'}
    assert sent[3]["tool_call_id"] == "c1"
    assert TOKEN not in json.dumps(distant.asked[-1].body)
    assert answer.choices[0].finish_reason == "stop"
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens) == (11, 9, 20)


@pytest.mark.parametrize("role", ["system", "user", "assistant", "tool"])
def test_a_turn_of_every_role_is_judged(here, distant, role):
    """What is blocked in any of them never reaches the model."""
    before = len(distant.asked)
    turns = [*user("Hello."), {"role": role, "content": PRIVATE_KEY}]
    if role == "tool":
        call = {"id": "c9", "type": "function", "function": {"name": "look", "arguments": "{}"}}
        turns = [*user("Hello."), {"role": "assistant", "tool_calls": [call]}, turns[-1] | {"tool_call_id": "c9"}]
    answer = here.client.chat.completions.create(model="far", messages=turns)
    assert answer.choices[0].finish_reason == "content_filter"
    assert answer.choices[0].message.content == answer.choices[0].message.refusal == "A key was withheld."
    assert len(distant.asked) == before


def test_several_choices_come_with_their_own_decisions(here):
    """`n`, and evidence that says which choice it is of."""
    raw = here.client.chat.completions.with_raw_response.create(model="far", messages=user("Good day."), n=3, seed=4)
    answer = raw.parse()
    assert [choice.index for choice in answer.choices] == [0, 1, 2]
    assert [one["choice"] for one in answer.genguard] == [0, 1, 2]
    assert len({one["decision"] for one in answer.genguard}) == 3
    assert raw.headers["x-genguard-decision"] == answer.genguard[0]["decision"]


def test_arguments_of_tool_calls_are_judged_as_outputs(here, distant):
    """A call whose arguments a rule edits leaves edited; one that is blocked takes its choice along."""
    tools = [{"type": "function", "function": {"name": "send", "parameters": {"type": "object"}}}]
    for value, finish in ((TOKEN, "tool_calls"), (PRIVATE_KEY, "content_filter")):
        arguments = json.dumps({"text": value})
        call = {"id": "t1", "type": "function", "function": {"name": "send", "arguments": arguments}}
        distant.scripts[:] = [saying(content="Sending.", tool_calls=[call], finish="tool_calls"), well]
        answer = here.client.chat.completions.create(model="far", messages=user("Send it."), tools=tools)
        choice = answer.choices[0]
        assert distant.asked[-1].body["tools"][0]["function"]["name"] == "send"
        assert choice.finish_reason == finish
        assert value not in answer.model_dump_json()
        if finish == "tool_calls":
            assert json.loads(choice.message.tool_calls[0].function.arguments) == {"text": "[GITHUB_TOKEN]"}
        else:
            assert choice.message.tool_calls is None
            assert choice.message.content == "A key was withheld."


def test_scores_of_tokens_leave_only_beside_the_text_that_they_spell(here, distant):
    """An edited text would be readable from its tokens."""
    for text, kept in (("Fine.", True), (f"It is {TOKEN}.", False)):
        scores = [{"token": text, "logprob": -0.5, "top_logprobs": [{"token": text, "logprob": -0.5}]}]

        async def script(talk: Talk, text: str = text, scores: Any = scores) -> None:
            await talk.answer({"choices": [message(content=text) | {"logprobs": {"content": scores}}]})

        distant.scripts[:] = [script, well]
        answer = here.client.chat.completions.create(model="far", messages=user("Well?"), logprobs=True, top_logprobs=1)
        assert bool(answer.choices[0].logprobs) is kept
        assert TOKEN not in answer.model_dump_json()


def test_what_a_call_is_for_may_stand_in_its_metadata(here):
    """Headers come first."""
    given = {"subject": "s-1", "purpose": "support", "consent": "crm-1", "conversation": "c-1", "trace": "left alone"}
    answer = here.client.chat.completions.create(
        model="echo", messages=user("Hello."), metadata=given, extra_headers={"x-genguard-purpose": "training"}
    )
    request = here.entry(answer.genguard[0]["decision"])["request"]
    assert {name: request[name] for name in ("subject", "purpose", "consent", "conversation")} == {
        "subject": "s-1", "purpose": "training", "consent": "crm-1", "conversation": "c-1",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "user"}]}, "without `content`"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "tool_call_id"),
        ({"messages": [{"role": "user", "content": "x", "tool_call_id": "c"}]}, "tool_call_id"),
        ({"top_logprobs": 2}, "without `logprobs`"),
        ({"stream_options": {"include_usage": True}}, "without `stream`"),
        ({"n": 17}, "n:"),
        ({"audio": {}}, "audio"),
        ({"tools": [{"type": "function", "function": {"name": "a b"}}]}, "name"),
    ],
)
def test_what_cannot_be_done_is_refused_by_name(here, wrong, told):
    """In OpenAI's shape, so that their client raises its own errors."""
    with pytest.raises(openai.UnprocessableEntityError, match=told) as caught:
        here.client.chat.completions.create(model="echo", messages=user("x"), extra_body=wrong)
    assert caught.value.code == "invalid_request"


def test_an_unknown_model_and_a_parameter_that_it_does_not_take(here):
    """404 names those on offer, 400 the parameter."""
    with pytest.raises(openai.NotFoundError, match="expected one of: echo, far") as caught:
        here.client.chat.completions.create(model="gpt-9", messages=user("x"))
    assert (caught.value.code, caught.value.param) == ("model_not_found", "model")
    with pytest.raises(openai.BadRequestError, match="tools"):
        here.client.chat.completions.create(
            model="echo", messages=user("x"), tools=[{"type": "function", "function": {"name": "f"}}]
        )


def test_a_service_behind_that_fails_is_a_clean_502(here, distant):
    """Nothing of its answer, of the prompt or of a key is told."""

    async def broken(talk: Talk) -> None:
        await talk.answer(b"<html>internal: the prompt</html>", status=400, kind="text/html")

    distant.scripts[:] = [broken, well]
    with pytest.raises(openai.InternalServerError) as caught:
        here.client.chat.completions.create(model="far", messages=user("secret words"))
    assert caught.value.status_code == 502
    assert "secret words" not in str(caught.value)
    assert "<html>" not in str(caught.value)


def test_the_asynchronous_client_asks_for_many_at_once(here):
    """Each gets its own answer: the echo says back what was asked, with a name nobody else has."""

    async def ask() -> list[str]:
        async with AsyncOpenAI(base_url=f"{here.url}/v1", api_key="unused", max_retries=0) as client:
            asked = [client.chat.completions.create(model="echo", messages=user(f"number {at}")) for at in range(40)]
            return [one.choices[0].message.content for one in await asyncio.gather(*asked)]

    assert asyncio.run(ask()) == [f"number {at}" for at in range(40)]


# --- other routes ----------------------------------------------------------------------------------------------------


def test_completions_of_several_prompts(here):
    """Choices are numbered prompt by prompt; a withheld one says so at its place."""
    answer = here.client.completions.create(model="echo", prompt=["One.", PRIVATE_KEY, "Three."])
    assert [choice.text for choice in answer.choices] == ["One.", "A key was withheld.", "Three."]
    assert [choice.finish_reason for choice in answer.choices] == ["stop", "content_filter", "stop"]
    assert answer.object == "text_completion"
    with pytest.raises(openai.UnprocessableEntityError, match="suffix"):
        here.client.completions.create(model="echo", prompt="x", suffix="y")


def test_models_are_listed_and_found(here):
    """By the names that `model` takes."""
    assert {"echo", "far", "painter"} == {one.id for one in here.client.models.list()}
    assert here.client.models.retrieve("far").id == "far"
    with pytest.raises(openai.NotFoundError):
        here.client.models.retrieve("nobody")


def test_moderations_of_texts_and_of_what_belongs_together(here):
    """One result a text; one result for a text with its image; each input is a decision."""
    answer = here.client.moderations.create(input=["Good morning.", PRIVATE_KEY])
    assert [one.flagged for one in answer.results] == [False, True]
    assert set(answer.results[0].category_scores.model_dump(by_alias=True)) >= {"hate", "violence/graphic"}
    assert answer.model == "genguard/desk"
    assert [one["action"] for one in answer.genguard] == ["allow", "block"]
    parts = [
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{base64.b64encode(PNG).decode()}"}},
    ]
    both = here.client.moderations.create(model="omni-moderation-latest", input=parts)
    assert len(both.results) == 1
    assert len(both.genguard) == 2
    assert "A key" not in answer.model_dump_json()
    with pytest.raises(openai.UnprocessableEntityError):
        here.client.moderations.create(input=[{"type": "image_url", "image_url": {"url": "http://169.254.169.254/x.png"}}])


def test_an_image_can_be_fetched_for_a_while_by_whoever_has_its_address(here):
    """Without a key; changed in any way, it opens nothing; the bytes are those that were released."""
    answer = here.client.images.generate(model="painter", prompt="A dot", n=2, response_format="url")
    files = [httpx.get(one.url) for one in answer.data]
    assert [one.status_code for one in files] == [200, 200]
    direct = here.client.images.generate(model="painter", prompt="A dot", response_format="b64_json")
    assert files[0].headers["content-type"] == "image/png"
    assert base64.b64decode(direct.data[0].b64_json) == files[0].content
    url = httpx.URL(answer.data[0].url)
    tag, expires = url.params["tag"], int(url.params["expires"])
    assert time.time() < expires < time.time() + 4000
    for changed in ({"tag": tag[:-1] + ("0" if tag[-1] != "0" else "1")}, {"expires": str(expires + 1)}):
        assert httpx.get(url.copy_merge_params(changed)).status_code == 403
    other = httpx.URL(answer.data[1].url)
    assert httpx.get(url.copy_with(path=other.path)).status_code == 403


def test_an_image_is_made_from_a_picture_that_was_judged(here):
    """A protected work as the picture to begin with is blocked before anything is made; what is no image is refused."""
    answer = here.client.images.edit(model="painter", image=("a.png", PNG, "image/png"), prompt="Brighter", n=2)
    assert [base64.b64decode(one.b64_json) for one in answer.data] == [PNG, PNG]
    prompts = here.rows("stage:prompt modality:image generator:painter")
    assert len(prompts) == 1
    work = next((Path(__file__).parents[2] / "training" / "diffusion" / "works").glob("*.png")).read_bytes()
    blocked = here.client.images.edit(model="painter", image=("w.png", work, "image/png"), prompt="Brighter")
    assert blocked.data[0].b64_json is None
    assert blocked.genguard[0]["action"] == "block"
    with pytest.raises(openai.BadRequestError):
        here.client.images.edit(model="painter", image=("t.png", b"no image", "image/png"), prompt="Brighter")
    with pytest.raises(openai.UnprocessableEntityError, match="mask"):
        here.client.images.edit(model="painter", image=("a.png", PNG), mask=("m.png", PNG), prompt="Brighter")


def test_an_address_expires_and_follows_erasure(here, monkeypatch):
    """What is gone from the ledger is gone here."""
    answer = here.client.images.generate(model="painter", prompt="A dot", response_format="url", user="person-9")
    url = answer.data[0].url
    assert httpx.get(url).status_code == 200
    erase(here.wired.ledger, "person-9", actor="kim", reason="asked to")
    assert httpx.get(url).status_code == 410
    url = here.client.images.generate(model="painter", prompt="A dot", response_format="url").data[0].url
    with monkeypatch.context() as later:
        later.setattr("serving.openai.downloads.time", replace_time(time.time() + 4000))
        assert httpx.get(url).status_code == 410


class replace_time:
    """A clock that says one time."""

    def __init__(self, now: float) -> None:
        self.now = now

    def time(self) -> float:
        return self.now
