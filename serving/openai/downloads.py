"""Short-lived addresses of released images: whoever has one may fetch the file until it expires, without a key.

The address names the decision and the second at which it expires, and a tag over both under a key of the ledger's vault. So any
process that serves this ledger can answer, nothing is kept beside the ledger, and what was erased meanwhile is gone here too.
"""

from __future__ import annotations

import hmac
import time
from functools import partial
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query
from fastapi import Request as HttpRequest
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import Response

from audit.grammar import QueryError
from audit.query import show
from guard.types import Modality
from serving.gate import FILES, error_response
from serving.wiring import Wired

router = APIRouter()
LIVES_S = 3600
"""How long an address works."""


def address(http: HttpRequest, wired: Wired, decision: UUID) -> str:
    """Where the image that this decision released can be fetched for an hour."""
    expires = int(time.time()) + LIVES_S
    query = f"expires={expires}&tag={_tag(wired, decision, expires)}"
    return str(http.base_url.replace(path=f"{FILES}{decision}", query=query))


@router.get("/images/files/{decision}", response_model=None)
async def file(
    decision: UUID,
    http: HttpRequest,
    expires: Annotated[int, Query(ge=0)],
    tag: Annotated[str, Query(max_length=64)],
) -> Response:
    """The file of an address that `/v1/images/generations` gave."""
    wired: Wired = http.app.state.wired
    if not hmac.compare_digest(tag.encode(), _tag(wired, decision, expires).encode()):
        return error_response(403, "found an address that was not given out, or was changed", "forbidden")
    if expires < time.time():
        return error_response(410, "found an address that has expired; make the image again", "expired")
    key_file = http.app.state.settings.key_file
    try:
        shown = await run_in_threadpool(partial(show, wired.ledger_url, decision, reveal=True, key_file=key_file))
    except QueryError:
        return error_response(410, "the decision of this image is no longer kept", "gone")
    stored = next((one for one in shown.payloads if one.part == "released"), None)
    image = shown.decision is not None and shown.decision.context.modality is Modality.IMAGE
    if stored is None or not image:
        return error_response(404, "found a decision that released no image", "not_found")
    if stored.data is None:
        return error_response(410, f"the image is no longer kept: {stored.why}", "gone")
    headers = {"cache-control": "private, no-store", "x-content-type-options": "nosniff"}
    return Response(stored.data, media_type=stored.media_type, headers=headers)


def _tag(wired: Wired, decision: UUID, expires: int) -> str:
    return wired.ledger.keyring.vault.tag("download", f"{decision} {expires}".encode())
