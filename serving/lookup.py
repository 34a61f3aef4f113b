"""One entry of the ledger, for those who may see it: whose tenant it is not learns nothing, not even that it is there."""

from __future__ import annotations

from fastapi import Request as HttpRequest
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse

from audit.grammar import QueryError
from audit.query import Shown, not_there, show
from serving.gate import error_response
from serving.wiring import Wired

MAX_REFERENCE = 60
"""Characters of a decision id or index that are looked at."""
_NOTHING = not_there("")


async def visible(http: HttpRequest, reference: str) -> Shown | JSONResponse:
    """The entry without its content; the answer to give, 404, where there is none or it is another tenant's."""
    wired: Wired = http.app.state.wired
    asked = reference[:MAX_REFERENCE]
    try:
        shown = await run_in_threadpool(show, wired.ledger_url, asked)
    except QueryError as error:
        return error_response(404, error.plain(), "not_found")
    if http.state.sees and shown.body.get("request", {}).get("tenant") != http.state.sees:
        return error_response(404, _NOTHING.plain(), "not_found")
    return shown
