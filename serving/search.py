"""Routes that count decisions and help to ask for them; with a tenant's key, over that tenant's entries alone.

They come before `/v1/decisions/{decision}`, which would take their names for a decision's.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from fastapi import Request as HttpRequest
from fastapi.concurrency import run_in_threadpool

from audit.completion import complete
from audit.facets import Counts, series, top
from serving.identity.needs import needs
from serving.identity.roles import Permission
from serving.wiring import Wired

router = APIRouter(prefix="/v1/decisions", tags=["genguard"], dependencies=[needs(Permission.DECISIONS)])
Q = Annotated[str, Query(max_length=1000, description="Filters and words, such as `action:block -generator:echo`.")]


def counts_fields(counts: Counts) -> dict[str, Any]:
    """Counts as an answer."""
    values = {key: [{"value": value, "count": number} for value, number in found] for key, found in counts.values.items()}
    return {"total": counts.total, "complete": counts.complete, "since": counts.since, "why": counts.why, "values": values}


def whose(http: HttpRequest) -> dict[str, Any]:
    """The filter that a key's tenant is."""
    return {"tenant": http.state.sees} if http.state.sees else {}


@router.get("/series", response_model=None)
async def decision_series(
    http: HttpRequest,
    q: Q = "",
    by: Annotated[Literal["hour", "day", "month"], Query(description="What it counts by.")] = "day",
) -> dict[str, Any]:
    """How many decisions there were in each hour, day or month (UTC), by action, the oldest first."""
    wired: Wired = http.app.state.wired
    found = await run_in_threadpool(series, wired.ledger_url, by, q, **whose(http))
    points = [{"time": moment, "counts": counted} for moment, counted in found.points]
    return {"by": by, "points": points, "complete": found.complete, "since": found.since, "why": found.why}


@router.get("/top", response_model=None)
async def decision_top(
    http: HttpRequest,
    q: Q = "",
    key: Annotated[str, Query(max_length=40, description="What it counts by: rule, category, tenant, generator, …")] = "rule",
    limit: Annotated[int, Query(ge=1, le=100)] = 10,
) -> dict[str, Any]:
    """The most frequent values of a key."""
    wired: Wired = http.app.state.wired
    return counts_fields(await run_in_threadpool(top, wired.ledger_url, key, q, most=limit, **whose(http)))


@router.get("/complete", response_model=None)
async def decision_complete(
    http: HttpRequest, q: Q = "", at: Annotated[int | None, Query(ge=0, description="The cursor, in characters.")] = None
) -> dict[str, Any]:
    """What could be written at a place of a query: each completion with the characters that it takes the place of."""
    wired: Wired = http.app.state.wired
    found = await run_in_threadpool(complete, wired.ledger_url, q, at, tenant=http.state.sees or "")
    return {"completions": [asdict(one) for one in found]}
