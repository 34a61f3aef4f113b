"""Stored content of a decision over HTTP: for those who may reveal it, recorded before it is shown."""

from __future__ import annotations

import base64
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi import Request as HttpRequest
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse

from audit.access import record_reveal
from audit.query import Shown, Stored, show
from serving.gate import error_response
from serving.identity.needs import needs
from serving.identity.roles import Permission
from serving.lookup import visible
from serving.settings import Settings
from serving.wiring import Wired

router = APIRouter(prefix="/v1", tags=["genguard"], dependencies=[needs(Permission.REVEAL, Permission.BREAK_GLASS)])


@router.get("/decisions/{decision}/content", response_model=None)
async def content(
    decision: str,
    http: HttpRequest,
    reason: Annotated[str, Query(max_length=2000, description="Why it has to be seen. It is recorded: name nobody.")] = "",
    break_glass: Annotated[bool, Query(description="Reveal without the right to, in an emergency; recorded as that.")] = False,
) -> JSONResponse:
    """The stored content of one decision, for officers and reviewers; others break the glass. An `access` entry comes first."""
    wired: Wired = http.app.state.wired
    settings: Settings = http.app.state.settings
    actor: str = http.state.request.actor
    may = http.state.principal.may(Permission.REVEAL)
    if not (may or break_glass):
        return error_response(403, "this key may reveal content in an emergency only: `break_glass=true`", "forbidden")
    if not reason.strip():
        return error_response(400, "found no reason to reveal content, expected `reason`", "invalid_input")
    masked = await visible(http, decision)
    if isinstance(masked, JSONResponse):
        return masked
    if masked.decision is None:
        return error_response(404, f"entry {masked.idx} is no decision", "not_found")
    record = partial(record_reveal, wired.ledger, masked, actor, reason, break_glass=not may)
    index = await run_in_threadpool(record)
    opened = await run_in_threadpool(partial(show, wired.ledger_url, masked.idx, reveal=True, key_file=settings.key_file))
    fields = {"decision": str(masked.decision.id), "access": index, "break_glass": not may, "content": _fields(opened)}
    return JSONResponse(fields, headers={"cache-control": "no-store"})


def _fields(shown: Shown) -> list[dict[str, Any]]:
    return [{"part": one.part, "media_type": one.media_type, "bytes": one.size, **_data(one)} for one in shown.payloads]


def _data(stored: Stored) -> dict[str, str]:
    if stored.data is None:
        return {"why": stored.why}
    if stored.media_type.startswith("text/"):
        return {"text": stored.data.decode("utf-8", "replace")}
    return {"base64": base64.b64encode(stored.data).decode()}
