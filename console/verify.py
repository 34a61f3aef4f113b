"""`/console/verify`: where a content comes from: what the public page `/verify` tells, with links into the ledger."""

from __future__ import annotations

from fastapi import APIRouter, Depends
from fastapi import Request as HttpRequest
from fastapi.responses import HTMLResponse

from console.nav import HOME, need
from console.page import render

router = APIRouter(prefix=f"{HOME}/verify", tags=["console"], dependencies=[Depends(need("verify"))])


@router.get("", response_model=None, include_in_schema=False)
async def verify(http: HttpRequest) -> HTMLResponse:
    """A place to drop a file or paste a text."""
    return render(http, "verify", script="verify", public=http.app.state.settings.public_verify)
