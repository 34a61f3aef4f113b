"""Saved searches over HTTP: names for queries, shared by all who see the decisions of all tenants."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from fastapi import Request as HttpRequest
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from audit.grammar import QueryError
from audit.saved import delete_search, save_search, saved_search, saved_searches
from serving.gate import error_response
from serving.identity.needs import needs
from serving.identity.roles import Permission
from serving.wiring import Wired

router = APIRouter(prefix="/v1/searches", tags=["genguard"])
_READS = needs(Permission.DECISIONS, whole=True)
_WRITES = needs(Permission.SEARCHES, whole=True)


class SearchBody(BaseModel):
    """What is looked for."""

    model_config = ConfigDict(extra="forbid")

    q: str = Field(max_length=1000, description="Filters and words, such as `action:block since:7d`.")


@router.get("", response_model=None, dependencies=[_READS])
async def searches(http: HttpRequest) -> dict[str, Any]:
    """All that are kept, by name."""
    wired: Wired = http.app.state.wired
    found = await run_in_threadpool(saved_searches, wired.ledger_url)
    return {"searches": [{"name": name, "q": query} for name, query in found.items()]}


@router.put("/{name}", response_model=None, dependencies=[_WRITES])
async def keep(name: str, http: HttpRequest, body: SearchBody) -> dict[str, str]:
    """Keep a query under a name, in place of one that has it."""
    wired: Wired = http.app.state.wired
    await run_in_threadpool(save_search, wired.ledger_url, name, body.q)
    return {"name": name, "q": body.q}


@router.delete("/{name}", response_model=None, dependencies=[_WRITES])
async def forget(name: str, http: HttpRequest) -> Any:
    """Forget one."""
    wired: Wired = http.app.state.wired
    try:
        await run_in_threadpool(saved_search, wired.ledger_url, name)
    except QueryError:
        return error_response(404, "no saved search of this name", "not_found")
    await run_in_threadpool(delete_search, wired.ledger_url, name)
    return JSONResponse({"deleted": name})
