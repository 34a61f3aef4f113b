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
from markupsafe import Markup

from audit.body import time_string
from audit.facets import series, top
from audit.grammar import quoted
from audit.statistics import Period, Statistics, statistics
from console.charts import Column, columns
from console.filters import address
from console.language import Words
from console.nav import HOME, need
from console.page import render, words_of
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
    failed = top(wired.ledger_url, "rule", f"{FAILURES} {within}", most=FAILED, **({"tenant": tenant} if tenant else {}))
    return {
        "period": period,
        "counted": counted,
        "within": within,
        "earlier": earlier,
        "figures": list(_figures(counted, within)),
        "chart": _chart(wired.ledger_url, span, period, tenant, words_of(http)),
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


def _chart(url: str, span: Span, period: Period, tenant: str, t: Words) -> Markup:
    """Decisions of each hour, or of each day of a longer period, with those that had none."""
    hours = span == "day"
    step = timedelta(hours=1) if hours else timedelta(days=1)
    size = 13 if hours else 10
    filters = {"tenant": tenant} if tenant else {}
    found = series(url, "hour" if hours else "day", _within(period.since, period.until), **filters)
    counts = {moment[:size]: numbers for moment, numbers in found.points}
    shown: list[Column] = []
    at = period.since if hours else period.since.replace(hour=0)
    while at < period.until:
        moment = time_string(at)[:size]
        shown.append((moment[11:] + ":00" if hours else moment[5:], address(_within(at, at + step)), counts.get(moment, {})))
        at += step
    return columns(shown, t(f"overview.chart.{'hours' if hours else 'days'}"), lambda action: t.of("frame.action", action))


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
