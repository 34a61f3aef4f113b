"""`/console/compliance`: duties and how they stand, the month's report, erasures, legal holds, exports."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter, Depends
from fastapi import Request as HttpRequest
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import HTMLResponse

from audit.holds import Hold, active_holds
from audit.query import query, reading
from console.filters import address
from console.nav import HOME, need
from console.page import render
from console.regulations import answers
from serving.identity.principals import Principal
from serving.identity.roles import Permission
from serving.wiring import Wired

LATEST = 10
"""Erasures that are told."""
FORMATS = ("bundle", "dsa", "csv", "jsonl", "parquet", "ocsf")
router = APIRouter(prefix=f"{HOME}/compliance", tags=["console"], dependencies=[Depends(need("compliance"))])


@router.get("", response_model=None, include_in_schema=False)
async def compliance(http: HttpRequest) -> HTMLResponse:
    """All of it on one page."""
    found = await run_in_threadpool(_gathered, http)
    return render(http, "compliance", script="compliance", find=address, **found)


def _gathered(http: HttpRequest) -> dict[str, Any]:
    wired: Wired = http.app.state.wired
    principal: Principal = http.state.principal
    judging = [one.policy for one in wired.guard.deployments if one.policy is not None]
    filters: dict[str, Any] = {"tenant": principal.sees} if principal.sees else {}
    return {
        "regulations": answers(judging, http.app.state.settings),
        "month": f"{datetime.now(UTC):%Y-%m}",
        "forgets": principal.may(Permission.FORGET),
        "exports": principal.may(Permission.EXPORT),
        "formats": FORMATS,
        "retention": http.app.state.settings.retention_days,
        "holds": _holds(wired, principal),
        "erasures": query(wired.ledger_url, "kind:erasure", limit=LATEST, **filters).rows,
        "whole": not principal.sees,
    }


def _holds(wired: Wired, principal: Principal) -> tuple[Hold, ...]:
    """None to somebody of one tenant: queries of holds may name others."""
    if principal.sees:
        return ()
    with reading(wired.ledger_url) as connection:
        return active_holds(connection)
