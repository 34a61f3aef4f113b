"""OpenAI's shapes: chat completions, image generations, list of models. Their client works with only `base_url` changed."""

from __future__ import annotations

import re
import time
from dataclasses import replace
from typing import Annotated, Any, Literal

from fastapi import APIRouter
from fastapi import Request as HttpRequest
from fastapi.responses import JSONResponse
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator

from guard.errors import ParameterError
from guard.ids import uuid7
from guard.marks.aigc import envelope
from guard.protocols import Generator
from guard.types import Modality, Release, Request
from serving.gate import error_response, refusal_response
from serving.schemas import as_base64, evidence, evidence_headers, message_of
from serving.wiring import Wired

router = APIRouter(prefix="/v1", tags=["OpenAI"])

_SIZE = re.compile(r"([0-9]{1,5})x([0-9]{1,5})")


def _unicode(text: str) -> str:
    """Prompts are judged, and recorded, when they are none; names and stop sequences are only refused."""
    if any("\ud800" <= letter <= "\udfff" for letter in text):
        raise ValueError("found an unpaired surrogate, expected Unicode text")
    return text


Text = Annotated[str, AfterValidator(_unicode)]


class TextPart(BaseModel):
    """A piece of a message."""

    type: Literal["text"]
    text: str


class Message(BaseModel):
    """One turn of a conversation. Fields that OpenAI's clients may add are left alone."""

    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[TextPart]

    def text(self) -> str:
        """The turn as one text."""
        return self.content if isinstance(self.content, str) else "".join(part.text for part in self.content)


class ChatRequest(BaseModel):
    """A chat completion. What this service cannot do is refused rather than ignored."""

    model_config = ConfigDict(extra="forbid")

    model: Text
    messages: list[Message] = Field(min_length=1)
    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    seed: int | None = None
    n: int = Field(1, ge=1, le=16)
    stop: Text | list[Text] | None = None
    user: Text = ""
    stream: bool = Field(False, description="Only false: streaming is not offered by this version.")

    @field_validator("stream")
    @classmethod
    def _whole_answers_only(cls, stream: bool) -> bool:
        if stream:
            raise ValueError("streaming is not offered by this version; leave `stream` out")
        return stream

    def parameters(self) -> dict[str, Any]:
        """Sampling parameters under the names our generators know."""
        stop = [self.stop] if isinstance(self.stop, str) else self.stop
        most = self.max_tokens if self.max_completion_tokens is None else self.max_completion_tokens
        given = {
            "temperature": self.temperature,
            "top_p": self.top_p,
            "max_new_tokens": most,
            "seed": self.seed,
            "stop": stop,
            "n": self.n,
        }
        return {name: value for name, value in given.items() if value is not None}

    def prompt(self) -> str:
        """The conversation as one text: a lone user turn as it is, otherwise one `ROLE: text` paragraph a turn."""
        if len(self.messages) == 1 and self.messages[0].role == "user":
            return self.messages[0].text()
        names = {"user": "USER", "assistant": "AGENT", "system": "SYSTEM", "developer": "SYSTEM"}
        return "\n".join(f"{names[one.role]}: {one.text()}" for one in self.messages)


class ImageRequest(BaseModel):
    """An image generation."""

    model_config = ConfigDict(extra="forbid")

    model: Text = "diffusion"
    prompt: str
    n: int = Field(1, ge=1, le=16)
    size: str = Field("auto", description="WIDTHxHEIGHT, or auto for the model's own size.")
    seed: int | None = Field(None, description="Ours: the same seed gives the same image twice.")
    response_format: Literal["b64_json"] = "b64_json"
    user: Text = ""

    def parameters(self) -> dict[str, Any]:
        """Sampling parameters. Raises ParameterError for a size that is none."""
        given: dict[str, Any] = {"n": self.n} | ({"seed": self.seed} if self.seed is not None else {})
        if self.size == "auto":
            return given
        size = _SIZE.fullmatch(self.size)
        if size is None:
            raise ParameterError("found a size that is not WIDTHxHEIGHT, expected for example 256x256 or auto")
        return given | {"width": int(size[1]), "height": int(size[2])}


@router.get("/models")
async def list_models(http: HttpRequest) -> dict[str, Any]:
    """The generators on offer, by the name that `model` takes."""
    wired: Wired = http.app.state.wired
    return {
        "object": "list",
        "data": [
            {"id": one.name, "object": "model", "created": 0, "owned_by": "genguard", "modality": one.modality.value}
            for one in wired.generators.values()
        ],
    }


@router.post("/chat/completions", response_model=None)
async def chat(body: ChatRequest, http: HttpRequest) -> JSONResponse:
    """Generate text. A withheld answer has `finish_reason: content_filter` and the policy's message as its content."""
    generator = _generator(http, body.model, Modality.TEXT)
    if isinstance(generator, JSONResponse):
        return generator
    request = _with_user(http.state.request, body.user)
    releases = await _generate(http, generator, body.prompt(), request, body.parameters())
    if releases[0].refused:
        return refusal_response(releases[0])
    choices = [_choice(index, release, request.language) for index, release in enumerate(releases)]
    answer: dict[str, Any] = {
        "id": f"chatcmpl-{uuid7()}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": generator.name,
        "choices": choices,
        "genguard": [evidence(release) for release in releases],
    }
    for choice, release in zip(choices, releases, strict=True):
        label = envelope(release, http.app.state.wired.guard.operator)
        if label:
            choice["AIGC"] = label
            answer.setdefault("AIGC", label)
    return JSONResponse(answer, headers=evidence_headers(releases[0]))


@router.post("/images/generations", response_model=None)
async def images(body: ImageRequest, http: HttpRequest) -> JSONResponse:
    """Generate images. A withheld image has no `b64_json` and `finish_reason: content_filter`."""
    generator = _generator(http, body.model, Modality.IMAGE)
    if isinstance(generator, JSONResponse):
        return generator
    request = _with_user(http.state.request, body.user)
    releases = await _generate(http, generator, body.prompt, request, body.parameters())
    if releases[0].refused:
        return refusal_response(releases[0])
    answer = {
        "created": int(time.time()),
        "data": [_image(release, request.language) for release in releases],
        "genguard": [evidence(release) for release in releases],
    }
    return JSONResponse(answer, headers=evidence_headers(releases[0]))


async def _generate(
    http: HttpRequest, generator: Generator, prompt: str, request: Request, parameters: dict[str, Any]
) -> list[Release]:
    wired: Wired = http.app.state.wired
    return [one async for _, one in wired.guard.release_many(generator, [prompt], request=request, **parameters)]


def _generator(http: HttpRequest, name: str, modality: Modality) -> Generator | JSONResponse:
    wired: Wired = http.app.state.wired
    offered = {one.name: one for one in wired.generators.values() if one.modality is modality}
    if name in offered:
        return offered[name]
    found = repr(name[:60])
    return error_response(
        404, f"found model {found}, expected one of: {', '.join(offered) or 'none is offered'}", "model_not_found"
    )


def _with_user(request: Request, user: str) -> Request:
    return replace(request, subject=user[:200]) if user and not request.subject else request


def _choice(index: int, release: Release, language: str) -> dict[str, Any]:
    shown = release.content is not None and release.decision.context.stage.value == "output"
    text = release.content.text if shown and release.content is not None else message_of(release, language)
    return {
        "index": index,
        "message": {"role": "assistant", "content": text, "refusal": None if shown else text},
        "logprobs": None,
        "finish_reason": "stop" if shown else "content_filter",
    }


def _image(release: Release, language: str) -> dict[str, Any]:
    if release.content is not None and release.content.modality is Modality.IMAGE:
        return {"b64_json": as_base64(release.content), "finish_reason": "stop"}
    return {"b64_json": None, "finish_reason": "content_filter", "message": message_of(release, language)}
