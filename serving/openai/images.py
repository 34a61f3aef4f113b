"""`/v1/images/generations` and `/v1/images/edits`: images, in the answer or at a short-lived address."""

from __future__ import annotations

import re
import time
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Form, UploadFile
from fastapi import Request as HttpRequest
from fastapi.responses import JSONResponse
from pydantic import Field, field_validator

from guard.errors import InputError, ParameterError
from guard.protocols import Generator
from guard.sound import is_wav
from guard.types import Modality, Origin, Release, Request, Stage
from serving.gate import error_response, refusal_response
from serving.openai import downloads
from serving.openai.answers import FILTERED, is_output
from serving.openai.asking import MOST, Asking, Text, generator_of, over
from serving.schemas import as_base64, evidence, evidence_headers, message_of
from serving.wiring import Wired

router = APIRouter()

_TYPES = frozenset({"image/png", "image/jpeg", "image/webp"})
_SIZE = re.compile(r"([0-9]{1,5})x([0-9]{1,5})")


class ImageRequest(Asking):
    """An image generation."""

    model: Text = "diffusion"
    prompt: str
    n: int = Field(1, ge=1, le=MOST)
    size: str = Field("auto", description="WIDTHxHEIGHT, or auto for the model's own size.")
    seed: int | None = Field(None, description="Ours: the same seed gives the same image twice.")
    response_format: Literal["b64_json", "url"] = "b64_json"

    def parameters(self) -> dict[str, Any]:
        """Sampling parameters. Raises ParameterError for a size that is none."""
        given: dict[str, Any] = {"n": self.n} | ({"seed": self.seed} if self.seed is not None else {})
        if self.size == "auto":
            return given
        size = _SIZE.fullmatch(self.size)
        if size is None:
            raise ParameterError("found a size that is not WIDTHxHEIGHT, expected for example 256x256 or auto")
        return given | {"width": int(size[1]), "height": int(size[2])}


class EditRequest(ImageRequest):
    """An image that another one is made from, as a form."""

    image: UploadFile
    strength: float | None = Field(None, ge=0, le=1, description="Ours: how far it may go from the picture it begins with.")
    mask: UploadFile | None = Field(None, description="Only nothing: masks are not offered by this version.")

    @field_validator("mask")
    @classmethod
    def _no_mask(cls, mask: UploadFile | None) -> UploadFile | None:
        if mask is not None:
            raise ValueError("masks are not offered by this version; leave `mask` out")
        return mask


@router.post("/images/generations", response_model=None)
async def images(body: ImageRequest, http: HttpRequest) -> JSONResponse:
    """Generate images. A withheld image has neither `b64_json` nor `url`, and `finish_reason: content_filter`."""
    generator = generator_of(http, body.model, Modality.IMAGE)
    if isinstance(generator, JSONResponse):
        return generator
    if above := over(http, "n", body.n, of="max_outputs"):
        return above
    return await _made(body, http, generator, body.request(http), body.parameters())


@router.post("/images/edits", response_model=None)
async def edits(body: Annotated[EditRequest, Form(media_type="multipart/form-data")], http: HttpRequest) -> JSONResponse:
    """Make images from a picture, where the generator can. The picture is judged as a prompt is, before anything is made."""
    generator = generator_of(http, body.model, Modality.IMAGE)
    if isinstance(generator, JSONResponse):
        return generator
    if above := over(http, "n", body.n, of="max_outputs"):
        return above
    wired: Wired = http.app.state.wired
    request = body.request(http)
    data = await body.image.read()
    if is_wav(data):
        error = InputError("found a WAV file, expected an image: PNG, JPEG or WebP")
        return refusal_response(await wired.guard.refuse(error, request, modality=Modality.AUDIO, generator=generator.name))
    given = await wired.guard.check(
        data,
        request=request,
        stage=Stage.PROMPT,
        origin=Origin(generator.name),
        media_type=body.image.content_type if body.image.content_type in _TYPES else "",
    )
    if given.refused:
        return refusal_response(given)
    if given.content is None:
        return _answer(http, [given], request, as_url=False)
    asked = body.parameters() | {"image": given} | ({} if body.strength is None else {"strength": body.strength})
    return await _made(body, http, generator, request, asked)


async def _made(
    body: ImageRequest, http: HttpRequest, generator: Generator, request: Request, asked: dict[str, Any]
) -> JSONResponse:
    wired: Wired = http.app.state.wired
    releases = [one async for _, one in wired.guard.release_many(generator, [body.prompt], request=request, **asked)]
    if not releases:
        return error_response(502, f"generator {generator.name!r} made nothing", "generation_failed")
    if releases[0].refused:
        return refusal_response(releases[0])
    return _answer(http, releases, request, as_url=body.response_format == "url")


def _answer(http: HttpRequest, releases: list[Release], request: Request, *, as_url: bool) -> JSONResponse:
    answer = {
        "created": int(time.time()),
        "data": [_image(http, one, request.language, as_url=as_url) for one in releases],
        "genguard": [evidence(one) for one in releases],
    }
    return JSONResponse(answer, headers=evidence_headers(releases[0]))


def _image(http: HttpRequest, release: Release, language: str, *, as_url: bool) -> dict[str, Any]:
    form = "url" if as_url else "b64_json"
    content = release.content
    if content is None or content.modality is not Modality.IMAGE or not is_output(release):
        return {form: None, "finish_reason": FILTERED, "message": message_of(release, language)}
    data = downloads.address(http, http.app.state.wired, release.decision.id) if as_url else as_base64(content)
    return {form: data, "finish_reason": "stop"}
