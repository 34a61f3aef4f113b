"""`POST /v1/verify` and the page `/verify`: where does this image, audio or text come from? Nothing of it is recorded."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import re
from functools import cache
from pathlib import Path
from typing import Any

from fastapi import APIRouter
from fastapi import Request as HttpRequest
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import HTMLResponse, JSONResponse
from pydantic import BaseModel, ConfigDict, Field, model_validator

from guard.admission import admit
from guard.types import CALLER, Request, Stage
from serving.evidence import fields
from serving.gate import busy_response
from serving.identity.needs import needs
from serving.identity.roles import Permission
from serving.schemas import file_of, require_one
from serving.verification import Sources, verify
from serving.wiring import Wired

PAGE, ROUTE = "/verify", "/v1/verify"
AT_ONCE = 2
"""Verifications that run at the same time: each may keep a core busy for some seconds."""
WAITING = 16
"""Verifications that may wait for their turn."""
_RETRY_S = 10

router = APIRouter(tags=["verify"], dependencies=[needs(Permission.VERIFY, strangers=True)])


class VerifyRequest(BaseModel):
    """One text, or one image or audio as base64."""

    model_config = ConfigDict(extra="forbid")

    text: str | None = None
    image: str | None = Field(None, description="The image file's bytes in base64: PNG, JPEG or WebP.")
    audio: str | None = Field(None, description="The audio file's bytes in base64: WAV with PCM.")
    aigc: dict[str, str] | None = Field(None, alias="AIGC", description="The object of that name that came beside the text.")

    @model_validator(mode="after")
    def _exactly_one(self) -> VerifyRequest:
        require_one(self.text, self.image, self.audio)
        return self


class Desk:
    """Lets a few verifications run and a few more wait."""

    def __init__(self, sources: Sources) -> None:
        self.sources = sources
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._waiting = 0

    async def verify(self, data: str | bytes, envelope: str) -> dict[str, Any] | None:
        """The report as plain fields; None when too many wait already. Raises InputError as `verify` does."""
        if self._waiting >= WAITING:
            return None
        self._waiting += 1
        try:
            await self._turns.acquire()
        finally:
            self._waiting -= 1
        try:
            return fields(await run_in_threadpool(verify, data, self.sources, envelope))
        finally:
            self._turns.release()


@router.post(ROUTE, response_model=None)
async def verify_origin(body: VerifyRequest, http: HttpRequest) -> JSONResponse:
    """Tell where a text, an image or an audio comes from, with what the answer rests on. Nothing of it is kept or recorded."""
    wired: Wired = http.app.state.wired
    data = body.text if body.text is not None else file_of(body.image, body.audio)
    # The same limits as for a check; the content itself is not used further.
    admit(data, request=Request("verify"), stage=Stage.OUTPUT, origin=CALLER, media_type="", limits=wired.guard.limits)
    envelope = json.dumps(body.aigc) if body.aigc is not None else ""
    answer = await http.app.state.desk.verify(data, envelope)
    if answer is None:
        return busy_response("found too many verifications that wait already", _RETRY_S)
    return JSONResponse(answer, headers={"cache-control": "no-store"})


@router.get(PAGE, response_model=None, include_in_schema=True)
async def page() -> HTMLResponse:
    """The same for people, as a page that loads nothing from elsewhere."""
    html, policy = _page()
    headers = {
        "content-security-policy": policy,
        "x-content-type-options": "nosniff",
        "referrer-policy": "no-referrer",
        "x-frame-options": "DENY",
    }
    return HTMLResponse(html, headers=headers)


@cache
def _page() -> tuple[str, str]:
    """The page, and a policy under which its own script and style run and nothing else."""
    html = (Path(__file__).parent / "verify.html").read_text("utf-8")
    allowed = {
        tag: " ".join(f"'sha256-{_digest(part)}'" for part in re.findall(rf"<{tag}>(.*?)</{tag}>", html, re.DOTALL))
        for tag in ("script", "style")
    }
    rules = {
        "default-src": "'none'",
        "script-src": allowed["script"],
        "style-src": allowed["style"],
        "connect-src": "'self'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
    }
    return html, "; ".join(f"{name} {value}" for name, value in rules.items())


def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
