"""What has to go and what has to stay, over HTTP: erasures, legal holds, the report of a month. For officers."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi import Request as HttpRequest
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import HTMLResponse, JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from audit.certificate import certify
from audit.erasure import erase
from audit.holds import active_holds, lift_hold, set_hold
from audit.query import identity, reading
from audit.report import report
from audit.statistics import Period, statistics
from serving.identity.needs import needs
from serving.identity.roles import Permission
from serving.proofs import Office
from serving.wiring import Wired

MAX_REASON = 2000
REPORT = {
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "cache-control": "no-store",
}
"""Headers of a report: its style stands in it, so that it can be kept as one file."""
router = APIRouter(prefix="/v1", tags=["genguard"])
_FORGETS = needs(Permission.FORGET)
_HOLDS = needs(Permission.FORGET, whole=True)


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class ErasureBody(_Body):
    """Whose content, why, and on what basis."""

    subject: str = Field(min_length=1, max_length=200, description="The id that decisions were recorded under.")
    reason: str = Field(min_length=1, max_length=MAX_REASON)
    basis: str = Field("", max_length=500, description="The legal basis, such as `GDPR Art. 17(1)(b)`.")
    tenant: str = Field("", max_length=200, description="Only of this tenant; a tenant's key erases its own alone.")


class HoldBody(_Body):
    """What is held, and why."""

    query: str = Field("", max_length=1000, description="Filters such as `subject:person-7`; empty: everything.")
    reason: str = Field(min_length=1, max_length=MAX_REASON)


class LiftBody(_Body):
    """Why it is lifted."""

    reason: str = Field(min_length=1, max_length=MAX_REASON)


@router.post("/erasures", response_model=None, dependencies=[_FORGETS])
async def erasure(body: ErasureBody, http: HttpRequest) -> JSONResponse:
    """Destroy keys, content and fingerprints of a subject, and record that; 409 where a hold covers some of it."""
    return JSONResponse(await run_in_threadpool(_erase, body, http), headers={"cache-control": "no-store"})


def _erase(body: ErasureBody, http: HttpRequest) -> dict[str, Any]:
    wired: Wired = http.app.state.wired
    office: Office = http.app.state.office
    tenant = http.state.sees or body.tenant
    erased = erase(
        wired.ledger, body.subject, actor=http.state.request.actor, reason=body.reason, tenant=tenant, basis=body.basis
    )
    counts = {what: erased.count(what) for what in ("keys", "payloads", "fingerprints")}
    return {
        "entry": erased.index,
        **counts,
        "again": erased.again,
        "overwritten": not erased.trouble,
        "why": erased.trouble,
        "certificate": certify(erased, office.notary.key),
    }


@router.get("/holds", response_model=None, dependencies=[_HOLDS])
def holds(http: HttpRequest) -> dict[str, Any]:
    """The legal holds that are in force."""
    wired: Wired = http.app.state.wired
    with reading(wired.ledger_url) as connection:
        return {"holds": [asdict(one) for one in active_holds(connection)]}


@router.post("/holds", response_model=None, dependencies=[_HOLDS])
def hold(body: HoldBody, http: HttpRequest) -> dict[str, Any]:
    """Keep what matches, now and later, from being erased or pruned."""
    wired: Wired = http.app.state.wired
    found = set_hold(wired.ledger, body.query, actor=http.state.request.actor, reason=body.reason)
    return {"hold": found.id, "entry": found.index}


@router.post("/holds/{hold}/lift", response_model=None, dependencies=[_HOLDS])
def lift(hold: str, body: LiftBody, http: HttpRequest) -> dict[str, Any]:
    """Lift a legal hold; 409 for one that is not in force."""
    wired: Wired = http.app.state.wired
    return {"hold": hold[:60], "entry": lift_hold(wired.ledger, hold[:60], actor=http.state.request.actor, reason=body.reason)}


@router.get("/report", response_class=HTMLResponse, dependencies=[needs(Permission.EXPORT)])
async def monthly(
    http: HttpRequest,
    month: Annotated[str, Query(max_length=7, description="A calendar month (UTC), such as 2026-11.")],
    q: Annotated[str, Query(max_length=1000, description="Filters, without times.")] = "",
) -> HTMLResponse:
    """Figures and charts of a month beside the one before, as a page that prints well; a tenant's key gets its own."""
    return HTMLResponse(await run_in_threadpool(_report, http, month, q), headers=REPORT)


def _report(http: HttpRequest, month: str, query: str) -> str:
    wired: Wired = http.app.state.wired
    tenant: str = http.state.sees
    counted = statistics(wired.ledger_url, Period.month(month), query, tenant=tenant)
    return report(counted, identity(wired.ledger_url), datetime.now(UTC), tenant=tenant)
