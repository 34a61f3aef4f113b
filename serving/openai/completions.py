"""`/v1/completions`: texts are continued."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter
from fastapi import Request as HttpRequest
from fastapi.responses import JSONResponse, Response
from pydantic import Field, model_validator

from guard.errors import GenerationError
from guard.ids import uuid7
from guard.types import Content, Modality, Origin, Release, Request, Stage
from serving.gate import error_response, refusal_response
from serving.openai import answers
from serving.openai.asking import Sampling, StreamOptions, generator_of, given, over
from serving.openai.stream import Shape, stream
from serving.schemas import evidence_headers
from serving.wiring import Wired

router = APIRouter()
MOST_PROMPTS = 64


class CompletionRequest(Sampling):
    """A completion of one text or several. Prompts of token ids, `echo`, `suffix` and `best_of` are refused."""

    prompt: str | Annotated[list[str], Field(min_length=1, max_length=MOST_PROMPTS)]
    logprobs: int | None = Field(None, ge=0, le=5)
    stream: bool = False
    stream_options: StreamOptions | None = None

    @model_validator(mode="after")
    def _consistent(self) -> CompletionRequest:
        if self.stream and not isinstance(self.prompt, str) and len(self.prompt) > 1:
            raise ValueError("found `stream` with several prompts, expected one")
        if self.stream_options is not None and not self.stream:
            raise ValueError("found `stream_options` without `stream`, expected both")
        return self

    def prompts(self, request: Request) -> list[Content]:
        """As contents."""
        texts = [self.prompt] if isinstance(self.prompt, str) else self.prompt
        return [Content(Modality.TEXT, one, "text/plain", Stage.PROMPT, Origin("caller"), request) for one in texts]

    def asked(self) -> dict[str, Any]:
        """All that the generator is asked for."""
        wanted = self.logprobs is not None
        return self.parameters() | given(logprobs=wanted or None, top_logprobs=self.logprobs or None)


@router.post("/completions", response_model=None)
async def completions(body: CompletionRequest, http: HttpRequest) -> Response:
    """Continue texts. A withheld one has `finish_reason: content_filter` and the policy's message as its text."""
    generator = generator_of(http, body.model, Modality.TEXT)
    if isinstance(generator, JSONResponse):
        return generator
    wired: Wired = http.app.state.wired
    request = body.request(http)
    prompts, asked = body.prompts(request), body.asked()
    if above := (
        over(http, "prompt", len(prompts), of="max_inputs")
        or over(http, "max_tokens", body.max_tokens, of="max_tokens")
        or over(http, "n", len(prompts) * body.n, of="max_outputs")
    ):
        return above
    head = {
        "id": f"cmpl-{uuid7()}",
        "object": "text_completion",
        "created": int(time.time()),
        "model": generator.name,
    }
    if body.stream:
        usage = body.stream_options is not None and body.stream_options.include_usage
        return await stream(wired.guard, generator, prompts[0], request, asked, _Shape(head, request.language, usage=usage))
    releases = [pair async for pair in wired.guard.release_many(generator, prompts, request=request, **asked)]
    if not releases:
        return error_response(502, f"generator {generator.name!r} made nothing", "generation_failed")
    if refused := next((one for _, one in releases if one.refused), None):
        return refusal_response(refused)
    choices = answers.by_choice(releases, body.n)
    answer: dict[str, Any] = {
        **head,
        "choices": [_choice(number, parts, request.language) for number, parts in choices.items()],
        "genguard": answers.evidences(choices),
    }
    if counts := answers.usage(choices, body.n):
        answer["usage"] = counts
    for choice, parts in zip(answer["choices"], choices.values(), strict=True):
        if found := answers.label(parts, wired.guard.operator):
            choice["AIGC"] = found
            answer.setdefault("AIGC", found)
    return JSONResponse(answer, headers=evidence_headers(next(iter(choices.values()))[0]))


def _choice(number: int, releases: Sequence[Release], language: str) -> dict[str, Any]:
    return {
        "index": number,
        "text": answers.spoken(releases, language) or "",
        "logprobs": _logprobs(answers.scores(releases)),
        "finish_reason": answers.finish(releases),
    }


def _logprobs(scores: list[dict[str, Any]] | None) -> dict[str, Any] | None:
    """Tokens in the shape of this route: by columns."""
    if scores is None:
        return None
    starts, at = [], 0
    for one in scores:
        starts.append(at)
        at += len(one["token"])
    return {
        "tokens": [one["token"] for one in scores],
        "token_logprobs": [one["logprob"] for one in scores],
        "top_logprobs": [{top["token"]: top["logprob"] for top in one["top_logprobs"]} for one in scores],
        "text_offset": starts,
    }


class _Shape(Shape):
    """Chunks of a completion."""

    def opening(self, choice: int) -> None:
        """Nothing."""

    def text(self, choice: int, text: str) -> dict[str, Any]:
        """Some more of the text."""
        return self._chunk(choice, text)

    def call(self, choice: int, number: int, release: Release) -> dict[str, Any]:
        """Nobody offered tools."""
        raise GenerationError(f"choice {choice}: found tool call {number} (decision {release.decision.id}), expected text")

    def refusal(self, choice: int, message: str) -> None:
        """There is no place for it: `finish_reason` says so, and `genguard` why."""

    def closing(self, choice: int, finish: str, scores: list[dict[str, Any]] | None) -> dict[str, Any]:
        """Why it ended."""
        chunk = self._chunk(choice, "")
        chunk["choices"][0] |= {"finish_reason": finish, "logprobs": _logprobs(scores)}
        return chunk

    def _chunk(self, choice: int, text: str) -> dict[str, Any]:
        return self.head | {"choices": [{"index": choice, "text": text, "logprobs": None, "finish_reason": None}]}
