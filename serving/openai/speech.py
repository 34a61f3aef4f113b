"""`/v1/audio/speech`: an audio file, or why there is none as an error, since a sound has no place for words beside it."""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter
from fastapi import Request as HttpRequest
from fastapi.responses import Response
from pydantic import Field

from guard import sound
from guard.types import Modality, Release
from serving.gate import error_response, refusal_response
from serving.openai.answers import FILTERED, is_output
from serving.openai.asking import Asking, Text, generator_of, given
from serving.schemas import evidence, evidence_headers, message_of
from serving.wiring import Wired

router = APIRouter()

DEFAULT_VOICE = "default"
FORMATS = ("wav", "pcm")


class SpeechRequest(Asking):
    """What to say, by whom and how."""

    model: Text
    input: str
    voice: Text = Field(DEFAULT_VOICE, description="One of the generator's voices; `default` is every generator's own.")
    response_format: str = Field(
        "wav", description="`wav`, or `pcm`: the samples alone, 16 bits, which carry no mark. Others are not offered."
    )
    speed: float = Field(1.0, ge=0.25, le=4.0, description="For generators that take it; 1 is the model's own pace.")
    stream_format: Literal["audio"] = "audio"
    seed: int | None = Field(None, description="Ours: the same seed gives the same sound twice.")
    seconds: float | None = Field(None, description="Ours: how long it plays, for generators of music.")


@router.post("/audio/speech", response_model=None)
async def speech(body: SpeechRequest, http: HttpRequest) -> Response:
    """Make one sound. What the policy withholds is an error `content_filter` with the policy's message and the evidence."""
    if body.response_format not in FORMATS:
        told = f"found response_format {body.response_format[:20]!r}, expected one of: {', '.join(FORMATS)}"
        return error_response(400, told, "unsupported_format", param="response_format")
    generator = generator_of(http, body.model, Modality.AUDIO)
    if isinstance(generator, Response):
        return generator
    wired: Wired = http.app.state.wired
    request = body.request(http)
    marks = wired.guard.marks_for(generator, request)
    if marks and body.response_format == "pcm":
        told = f"found response_format 'pcm', which cannot carry what the policy marks audio with ({', '.join(marks)}): use wav"
        return error_response(400, told, "unsupported_format", param="response_format")
    asked = given(
        voice=None if body.voice == DEFAULT_VOICE else body.voice,
        speed=None if body.speed == 1 else body.speed,
        seed=body.seed,
        seconds=body.seconds,
    )
    release = await wired.guard.release(generator, body.input, request=request, **asked)
    if release.refused:
        return refusal_response(release)
    return _answer(release, request.language, body.response_format)


def _answer(release: Release, language: str, form: str) -> Response:
    content = release.content
    if content is None or content.modality is not Modality.AUDIO or not is_output(release):
        response: Response = error_response(400, message_of(release, language), FILTERED, genguard=evidence(release))
    elif form == "pcm":
        made = sound.identify(content.file)
        kind = f"audio/pcm;rate={made.rate};channels={made.channels};bits={made.bits}"
        response = Response(sound.samples_of(content.file), media_type=kind)
    else:
        response = Response(content.file, media_type=content.media_type)
    response.headers.update(evidence_headers(release))
    return response
