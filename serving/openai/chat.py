"""`/v1/chat/completions`: a conversation is continued, at once or as a stream."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from fastapi import APIRouter
from fastapi import Request as HttpRequest
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, ConfigDict, Field, model_validator

from guard.ids import uuid7
from guard.types import Modality, Release
from serving.gate import error_response, refusal_response
from serving.openai import answers
from serving.openai.asking import Sampling, StreamOptions, Text, generator_of, given, over
from serving.openai.conversation import Message, Name, prompt_of
from serving.openai.stream import Shape, stream
from serving.schemas import evidence_headers
from serving.wiring import Wired

router = APIRouter()


class Offered(BaseModel):
    """A function that the model may ask to be called."""

    name: Name
    description: Text = ""
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class Tool(BaseModel):
    """A tool on offer."""

    model_config = ConfigDict(extra="forbid")

    type: Literal["function"]
    function: Offered


class ChatRequest(Sampling):
    """A chat completion."""

    messages: Annotated[list[Message], Field(min_length=1, max_length=2000)]
    max_completion_tokens: int | None = None
    logprobs: bool = False
    top_logprobs: int | None = Field(None, ge=0, le=20)
    tools: list[Tool] | None = Field(None, max_length=128, description="For generators that take them.")
    tool_choice: Literal["none", "auto", "required"] | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    response_format: dict[str, Any] | None = Field(None, description="For generators that take it.")
    stream: bool = False
    stream_options: StreamOptions | None = None

    @model_validator(mode="after")
    def _consistent(self) -> ChatRequest:
        if self.top_logprobs is not None and not self.logprobs:
            raise ValueError("found `top_logprobs` without `logprobs`, expected both")
        if self.stream_options is not None and not self.stream:
            raise ValueError("found `stream_options` without `stream`, expected both")
        return self

    def most(self) -> int | None:
        """Tokens of one output at most."""
        return self.max_tokens if self.max_completion_tokens is None else self.max_completion_tokens

    def asked(self) -> dict[str, Any]:
        """All that the generator is asked for."""
        return self.parameters() | given(
            max_new_tokens=self.most(),
            logprobs=self.logprobs or None,
            top_logprobs=self.top_logprobs or None,
            tools=[one.model_dump(exclude_none=True) for one in self.tools] if self.tools else None,
            tool_choice=self.tool_choice,
            parallel_tool_calls=self.parallel_tool_calls,
            response_format=self.response_format,
        )


@router.post("/chat/completions", response_model=None)
async def chat(body: ChatRequest, http: HttpRequest) -> Response:
    """Generate text. A withheld answer has `finish_reason: content_filter` and the policy's message as its content."""
    generator = generator_of(http, body.model, Modality.TEXT)
    if isinstance(generator, JSONResponse):
        return generator
    if above := (
        over(http, "messages", len(body.messages), of="max_messages")
        or over(http, "max_tokens", body.most(), of="max_tokens")
        or over(http, "n", body.n, of="max_outputs")
    ):
        return above
    wired: Wired = http.app.state.wired
    request = body.request(http)
    prompt, asked = prompt_of(body.messages, request), body.asked()
    name, created = f"chatcmpl-{uuid7()}", int(time.time())
    head = {"id": name, "created": created, "model": generator.name}
    if body.stream:
        usage = body.stream_options is not None and body.stream_options.include_usage
        shape = ChatShape(head | {"object": "chat.completion.chunk"}, request.language, usage=usage)
        return await stream(wired.guard, generator, prompt, request, asked, shape)
    releases = [pair async for pair in wired.guard.release_many(generator, [prompt], request=request, **asked)]
    if not releases:
        return error_response(502, f"generator {generator.name!r} made nothing", "generation_failed")
    if releases[0][1].refused:
        return refusal_response(releases[0][1])
    choices = answers.by_choice(releases, body.n)
    answer: dict[str, Any] = head | {"object": "chat.completion"}
    answer["choices"] = [_choice(number, parts, request.language) for number, parts in choices.items()]
    answer["genguard"] = answers.evidences(choices)
    if counts := answers.usage(choices, body.n):
        answer["usage"] = counts
    _label(answer, choices, wired)
    return JSONResponse(answer, headers=evidence_headers(next(iter(choices.values()))[0]))


def _choice(number: int, releases: Sequence[Release], language: str) -> dict[str, Any]:
    text, open_ = answers.spoken(releases, language), answers.shown(releases)
    message: dict[str, Any] = {"role": "assistant", "content": text, "refusal": None if open_ else text}
    if open_ and (called := answers.calls(releases)):
        message["tool_calls"] = called
    scores = answers.scores(releases)
    return {
        "index": number,
        "message": message,
        "logprobs": None if scores is None else {"content": scores, "refusal": None},
        "finish_reason": answers.finish(releases),
    }


def _label(answer: dict[str, Any], choices: Mapping[int, Sequence[Release]], wired: Wired) -> None:
    """Put the labels of GB 45438 beside the texts that they are about."""
    for choice, releases in zip(answer["choices"], choices.values(), strict=True):
        if found := answers.label(releases, wired.guard.operator):
            choice["AIGC"] = found
            answer.setdefault("AIGC", found)


class ChatShape(Shape):
    """Chunks of a chat completion."""

    def opening(self, choice: int) -> dict[str, Any]:
        """Who speaks."""
        return self._chunk(choice, {"role": "assistant", "content": ""})

    def text(self, choice: int, text: str) -> dict[str, Any]:
        """Some more of what it says."""
        return self._chunk(choice, {"content": text})

    def call(self, choice: int, number: int, release: Release) -> dict[str, Any]:
        """A tool call, whole."""
        return self._chunk(choice, {"tool_calls": [{"index": number, **answers.call_fields(release)}]})

    def refusal(self, choice: int, message: str) -> dict[str, Any]:
        """What the policy says instead of the rest."""
        return self._chunk(choice, {"refusal": message})

    def closing(self, choice: int, finish: str, scores: list[dict[str, Any]] | None) -> dict[str, Any]:
        """Why it ended."""
        chunk = self._chunk(choice, {})
        chunk["choices"][0]["finish_reason"] = finish
        if scores:
            chunk["choices"][0]["logprobs"] = {"content": scores, "refusal": None}
        return chunk

    def _chunk(self, choice: int, delta: dict[str, Any]) -> dict[str, Any]:
        return self.head | {"choices": [{"index": choice, "delta": delta, "logprobs": None, "finish_reason": None}]}
