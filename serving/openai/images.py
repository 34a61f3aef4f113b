"""`/v1/images/generations`: images, in the answer or at a short-lived address."""

from __future__ import annotations

import re
import time
from typing import Any, Literal

from fastapi import APIRouter
from fastapi import Request as HttpRequest
from fastapi.responses import JSONResponse
from pydantic import Field

from guard.errors import ParameterError
from guard.types import Modality, Release
from serving.gate import error_response, refusal_response
from serving.openai import downloads
from serving.openai.answers import FILTERED, is_output
from serving.openai.asking import MOST, Asking, Text, generator_of
from serving.schemas import as_base64, evidence, evidence_headers, message_of
from serving.wiring import Wired

router = APIRouter()
router.include_router(downloads.router)

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


@router.post("/images/generations", response_model=None)
async def images(body: ImageRequest, http: HttpRequest) -> JSONResponse:
    """Generate images. A withheld image has neither `b64_json` nor `url`, and `finish_reason: content_filter`."""
    generator = generator_of(http, body.model, Modality.IMAGE)
    if isinstance(generator, JSONResponse):
        return generator
    wired: Wired = http.app.state.wired
    request, asked = body.request(http), body.parameters()
    releases = [one async for _, one in wired.guard.release_many(generator, [body.prompt], request=request, **asked)]
    if not releases:
        return error_response(502, f"generator {generator.name!r} made nothing", "generation_failed")
    if releases[0].refused:
        return refusal_response(releases[0])
    answer = {
        "created": int(time.time()),
        "data": [_image(http, one, request.language, as_url=body.response_format == "url") for one in releases],
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
