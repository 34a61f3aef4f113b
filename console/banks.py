"""`/console/banks`: banks of works, protected and cleared; what is in them, who changed them, and what a content matches."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Query
from fastapi import Request as HttpRequest
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import HTMLResponse

from console.nav import HOME, need
from console.page import render
from guard.matching import bank as known
from guard.matching.bank import NAME
from guard.matching.records import RIGHTS
from serving import works as shared
from serving.identity.principals import Principal
from serving.identity.roles import Permission

PAGE = 60
"""Works on one page."""
_UNKNOWN = dict.fromkeys(("title", *RIGHTS), "")
router = APIRouter(prefix=f"{HOME}/banks", tags=["console"], dependencies=[Depends(need("banks"))])


def may_change(principal: Principal) -> bool:
    """Whether somebody may change banks, which are the same for all tenants."""
    return principal.may(Permission.BANKS_WRITE) and not principal.sees


@router.get("", response_model=None, include_in_schema=False)
async def banks(http: HttpRequest) -> HTMLResponse:
    """All of them, by what they are for."""
    found = await run_in_threadpool(shared.all_banks)
    kinds = {
        kind: [one for one in found if one.get("kind") == kind and not one.get("trouble")] for kind in ("protected", "cleared")
    }
    troubled = [one for one in found if one.get("trouble")]
    return render(http, "banks", script="banks", kinds=kinds, troubled=troubled, writes=may_change(http.state.principal))


@router.get("/{bank}", response_model=None, include_in_schema=False)
async def bank(
    http: HttpRequest,
    bank: str,
    q: Annotated[str, Query(max_length=200)] = "",
    after: Annotated[int, Query(ge=0)] = 0,
    at: Annotated[str, Query(max_length=200)] = "",
) -> HTMLResponse:
    """One bank: its works, as it is or as it was at one of its digests."""
    found = await run_in_threadpool(_gathered, bank, q, after, at)
    return render(http, "bank", page="banks", script="banks", q=q, at=at, writes=may_change(http.state.principal), **found)


def _gathered(name: str, q: str, after: int, at: str) -> dict[str, Any]:
    if not NAME.fullmatch(name) or name not in known.names():
        raise HTTPException(404, f"found no bank {name[:100]!r}")
    opened = known.load(name, empty=True)
    works = list(opened.works(at=at, after=after, limit=PAGE + 1, query=q, whole=True))
    return {
        "bank": shared.bank_fields(opened, at=at),
        "now": opened.digest,
        "works": [{**_UNKNOWN, **shared.work_fields(one), "pictured": bool(one.work.thumbnail)} for one in works[:PAGE]],
        "more": works[PAGE - 1].number if len(works) > PAGE else None,
    }
