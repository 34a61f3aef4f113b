"""`/console`: how things stand, beside the period before; each number leads to what it counts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query
from fastapi import Request as HttpRequest
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import HTMLResponse

from audit.body import time_string
from audit.facets import series, top
from audit.grammar import quoted
from audit.statistics import Period, Statistics, statistics
from console.charts import chart_of
from console.filters import address
from console.nav import HOME, need
from console.page import render
from guard.types import Action
from serving.identity.roles import Permission
from serving.wiring import Wired

Span = Literal["day", "week", "month"]
SPANS: Mapping[Span, timedelta] = {"day": timedelta(days=1), "week": timedelta(days=7), "month": timedelta(days=30)}
RULES, FAILED = 8, 10
"""Rules, and checks that failed, that are told."""
FAILURES = "category:operation"
"""Finds decisions in which something did not do its work."""
router = APIRouter(prefix=HOME, tags=["console"], dependencies=[Depends(need("overview"))])


@dataclass(frozen=True, slots=True)
class Figure:
    """One number with its share of all decisions, now and before."""

    name: str
    count: int
    share: float
    share_before: float
    href: str

    @property
    def change(self) -> float:
        """In percentage points."""
        return 100 * (self.share - self.share_before)


@router.get("", response_model=None, include_in_schema=False)
async def overview(http: HttpRequest, span: Annotated[Span, Query()] = "day") -> HTMLResponse:
    """Numbers of the last day, week or month."""
    found = await run_in_threadpool(_gathered, http, span)
    return render(http, "overview", span=span, spans=tuple(SPANS), **found)


def _gathered(http: HttpRequest, span: Span) -> dict[str, Any]:
    wired: Wired = http.app.state.wired
    tenant: str = http.state.sees
    now = datetime.now(UTC)
    period = _whole_hours(now, SPANS[span])
    counted = statistics(wired.ledger_url, period, tenant=tenant, now=now)
    within, earlier = _within(period.since, period.until), _within(period.before, period.since)
    seen = {"tenant": tenant} if tenant else {}
    failed = top(wired.ledger_url, "rule", f"{FAILURES} {within}", most=FAILED, **seen)
    return {
        "period": period,
        "counted": counted,
        "within": within,
        "earlier": earlier,
        "figures": list(_figures(counted, within)),
        "chart": chart_of(series(wired.ledger_url, "hour", within, **seen), period=period),
        "rules": [
            (one, address(f"rule:{quoted(one.value)} {within}"), address(f"rule:{quoted(one.value)} {earlier}"))
            for one in counted.by["rule"][:RULES]
            if one.total
        ],
        "failed": [(name, number, address(f"rule:{quoted(name)} {within}")) for name, number in failed.values.get("rule", ())],
        "queue": counted.queue if http.state.principal.may(Permission.REVIEW_QUEUE) else None,
        "sla_hours": http.app.state.settings.review_sla_minutes / 60,
        "ledger": _ledger(http),
        "find": address,
    }


def _whole_hours(now: datetime, length: timedelta) -> Period:
    """Up to the end of this hour, so that columns are whole."""
    until = now.replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
    return Period.between(until - length, until)


def _within(since: datetime, until: datetime) -> str:
    return f"since:{time_string(since)[:16]}Z until:{time_string(until)[:16]}Z"


def _figures(counted: Statistics, within: str) -> Iterator[Figure]:
    yield Figure("all", counted.total.total, 1.0, 1.0, address(within))
    for action in (Action.BLOCK, Action.REDACT, Action.REVIEW):
        now, before = counted.total.now.get(action, 0), counted.total.before.get(action, 0)
        shares = counted.share(now), counted.share(before, before=True)
        yield Figure(action.value, now, *shares, address(f"action:{action.value} {within}"))


def _ledger(http: HttpRequest) -> dict[str, Any] | None:
    """How the ledger stands; None for somebody of one tenant: it is all tenants'."""
    if http.state.sees:
        return None
    wired: Wired = http.app.state.wired
    office = http.app.state.office
    health = wired.ledger.health()
    return {
        "ok": health.ok,
        "detail": health.detail,
        "size": wired.ledger.size,
        "signed": time_string(datetime.now(UTC) - timedelta(seconds=office.age())),
        "trouble": office.trouble,
        "notices": office.notices(),
        "verified": http.app.state.checkup.last(),
    }
