"""`/console/decisions`: the list of a query, what it counts, and what came since."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from fastapi import Request as HttpRequest
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import HTMLResponse

from audit.facets import FACETS, Counts, facets, series
from audit.grammar import QueryError
from audit.query import Page, query
from audit.saved import saved_searches
from console import filters
from console.charts import Chart, chart_of
from console.nav import HOME, need
from console.page import fragment, render
from guard.errors import LedgerError
from serving.exports import TYPES
from serving.search import whose
from serving.wiring import Wired

LIMIT = 50
"""Entries of a page."""
router = APIRouter(prefix=f"{HOME}/decisions", tags=["console"], dependencies=[Depends(need("decisions"))])
Q = Annotated[str, Query(max_length=1000)]
Cursor = Annotated[int | None, Query(ge=-1)]


@dataclass(frozen=True, slots=True)
class Value:
    """A value of a facet, and the queries that it leads to."""

    value: str
    count: int
    chosen: bool
    only: str
    """The query that asks for it; where it is chosen, the one that does not any more."""
    not_: str
    """The query that leaves it out."""


@router.get("", response_model=None, include_in_schema=False)
async def page(
    http: HttpRequest, q: Q = "", before: Cursor = None, after: Cursor = None, live: bool = False, counts: bool = False
) -> HTMLResponse:
    """The list. `counts`: with numbers, for browsers without scripts; others fetch them."""
    wired: Wired = http.app.state.wired
    shown: dict[str, Any] = {"q": q, "live": live, "formats": tuple(TYPES), "filters": filters, "script": "decisions"}
    shown["saved"] = await run_in_threadpool(_saved, http)
    try:
        found = await run_in_threadpool(
            partial(query, wired.ledger_url, q, limit=LIMIT, before=before, after=after, **whose(http))
        )
    except QueryError as error:
        return render(http, "decisions", status=400, error=error, found=None, terms=(), **shown)
    shown |= {"terms": filters.terms(q), "newest": before is None and after is None, "counts": counts}
    if counts:
        shown |= await _counts(http, q) | await _chart(http, q)
    return render(http, "decisions", error=None, found=found, last=_last(found), **shown)


@router.get("/facets", response_model=None, include_in_schema=False)
async def counted(http: HttpRequest, q: Q = "") -> HTMLResponse:
    """What a query's entries have in common, for a script that puts it beside the list."""
    return fragment(http, "decisions_facets", filters=filters, **await _counts(http, q))


@router.get("/chart", response_model=None, include_in_schema=False)
async def charted(http: HttpRequest, q: Q = "") -> HTMLResponse:
    """A query's entries over time, for a script that puts it above the list."""
    return fragment(http, "decisions_chart", **await _chart(http, q))


@router.get("/newer", response_model=None, include_in_schema=False)
async def newer(http: HttpRequest, after: Annotated[int, Query(ge=-1)], q: Q = "") -> HTMLResponse:
    """The entries that came since, as rows."""
    wired: Wired = http.app.state.wired
    found = await run_in_threadpool(partial(query, wired.ledger_url, q, limit=LIMIT, after=after, **whose(http)))
    return fragment(http, "decisions_rows", found=found, last=_last(found))


@router.get("/older", response_model=None, include_in_schema=False)
async def older(http: HttpRequest, before: Annotated[int, Query(ge=-1)], q: Q = "") -> HTMLResponse:
    """The entries before those that are shown, as rows."""
    wired: Wired = http.app.state.wired
    found = await run_in_threadpool(partial(query, wired.ledger_url, q, limit=LIMIT, before=before, **whose(http)))
    return fragment(http, "decisions_rows", found=found, last=_last(found))


def _last(found: Page) -> int:
    """The index up to which there is nothing newer than a page shows, as far as anybody knew."""
    return found.rows[0].idx if found.rows and found.newer is not None else found.size - 1


def _saved(http: HttpRequest) -> dict[str, str] | None:
    """Saved searches; None for those who do not see all tenants, and where they cannot be kept."""
    wired: Wired = http.app.state.wired
    if http.state.sees:
        return None
    try:
        return saved_searches(wired.ledger_url)
    except LedgerError:
        return None


async def _counts(http: HttpRequest, q: str) -> dict[str, Any]:
    wired: Wired = http.app.state.wired
    found = await run_in_threadpool(partial(facets, wired.ledger_url, q, **whose(http)))
    hidden = {"tenant"} if http.state.sees else set()
    return {"facets": {key: _values(q, key, found) for key in FACETS if key not in hidden}, "counted": found}


def _values(q: str, key: str, found: Counts) -> tuple[Value, ...]:
    return tuple(_value(q, key, value, count) for value, count in found.values[key])


def _value(q: str, key: str, value: str, count: int) -> Value:
    chosen = filters.has(q, key, value)
    only = filters.without(q, key, value) if chosen else filters.adding(q, key, value)
    left = filters.without(q, key, value) if chosen else q
    return Value(value, count, chosen, only, filters.adding(left, key, value, excluded=True))


async def _chart(http: HttpRequest, q: str) -> dict[str, Chart | None]:
    wired: Wired = http.app.state.wired
    return {"chart": chart_of(await run_in_threadpool(partial(series, wired.ledger_url, "hour", q, **whose(http))), q)}
