"""`/console/reviews`: what waits for a person, oldest first, and the desk at which one decision is looked at."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Query
from fastapi import Request as HttpRequest
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import HTMLResponse

from audit.body import time_string
from audit.grammar import QueryError
from audit.query import show
from audit.review import Phase, State, same
from audit.review_codes import CODES, OUTCOMES
from audit.review_queue import Case, case, count, followers, waiting
from console.nav import HOME, need
from console.page import render
from guard.types import Decision
from serving.identity.principals import Principal
from serving.identity.roles import Permission
from serving.review_fields import case_fields
from serving.wiring import Wired

QUEUES = ("held", "appeal", "feedback", "quality")
STATES = (Phase.WAITING.value, Phase.SECOND.value, Phase.APPEALED.value)
PAGE = 50
"""Decisions on one page."""
AHEAD = 10
"""Decisions that are looked at for the next that somebody may take."""
router = APIRouter(prefix=f"{HOME}/reviews", tags=["console"], dependencies=[Depends(need("reviews"))])


@router.get("", response_model=None, include_in_schema=False)
async def reviews(
    http: HttpRequest,
    queue: Annotated[str, Query(max_length=200)] = "",
    state: Annotated[str, Query(max_length=20)] = "",
    after: Annotated[int, Query(ge=-1)] = -1,
) -> HTMLResponse:
    """What waits in a queue."""
    wired: Wired = http.app.state.wired
    tenant: str = http.state.sees
    found = await run_in_threadpool(
        waiting, wired.ledger_url, queue, tenant=tenant, limit=PAGE, after=after, state=state if state in STATES else ""
    )
    counts = await run_in_threadpool(lambda: {one: count(wired.ledger_url, one, tenant=tenant) for one in ("", *QUEUES)})
    cases = [_fields(http, one) for one in found.cases]
    me = http.state.principal.name
    return render(
        http,
        "reviews",
        script="reviews",
        cases=cases,
        next=found.next,
        queue=queue,
        queues=QUEUES,
        state=state,
        states=STATES,
        counts=counts,
        me=me,
        free=_free(cases, me),
        may=http.state.principal.may(Permission.REVIEW),
        narrowed=[queue] if queue.partition(":")[0] in {"category", "policy"} else [],
    )


@router.get("/{decision}", response_model=None, include_in_schema=False)
async def review(decision: str, http: HttpRequest) -> HTMLResponse:
    """One decision, what can be done about it, and what was done."""
    found = await run_in_threadpool(_gathered, http, decision)
    return render(http, "review", page="reviews", script="review", **found)


def _gathered(http: HttpRequest, reference: str) -> dict[str, Any]:
    wired: Wired = http.app.state.wired
    principal: Principal = http.state.principal
    try:
        found = case(wired.ledger_url, reference[:60], tenant=http.state.sees)
    except QueryError as error:  # its words may name ids of other tenants
        raise HTTPException(404, "found no such decision") from error
    decision = show(wired.ledger_url, found.state.subject.idx).decision
    assert decision is not None
    fields = _fields(http, found)
    free = ""
    if principal.may(Permission.REVIEW):
        others = [_fields(http, one) for one in waiting(wired.ledger_url, tenant=http.state.sees, limit=AHEAD).cases]
        free = _free([one for one in others if one["decision"] != fields["decision"]], principal.name)
    return {
        "free": free,
        "case": fields,
        "decision": decision,
        "steps": followers(wired.ledger_url, fields["decision"]),
        "may": _may(found.state, fields, principal),
        "me": principal.name,
        "codes": tuple(CODES),
        "outcomes": OUTCOMES,
        "scores": list(_scores(decision)),
        "tested": _example_rule(decision),
        "now": time_string(datetime.now(UTC)),
    }


def _fields(http: HttpRequest, found: Case) -> dict[str, Any]:
    none = {"age": 0, "due": "", "overdue": False, "claimed": None}
    return none | case_fields(found, http.app.state.review_sla, datetime.now(UTC))


def _open_to(fields: dict[str, Any], me: str) -> bool:
    return fields["state"] in STATES and (fields["claimed"] is None or fields["claimed"]["by"] == me)


def _may_claim(fields: dict[str, Any], me: str) -> bool:
    return fields["claimed"] is None and _open_to(fields, me) and me not in {one["by"] for one in fields["said"]}


def _free(cases: list[dict[str, Any]], me: str) -> str:
    """The first that somebody may take; empty where there is none."""
    return next((one["decision"] for one in cases if _may_claim(one, me)), "")


def _may(state: State, fields: dict[str, Any], principal: Principal) -> dict[str, bool]:
    """What somebody may do now, as far as the page can tell; the ledger has the last word."""
    me = principal.name
    reviews = principal.may(Permission.REVIEW) and not any(same(one, me) for one in (*state.barred, state.subject.asker))
    mine = fields["claimed"] is not None and fields["claimed"]["by"] == me
    over = state.phase is Phase.DECIDED
    return {
        "claim": reviews and not mine and _may_claim(fields, me),
        "release": mine,
        "decide": reviews and mine and state.phase.open,
        "overrule": reviews and over and bool(state.said) and me not in {one.actor for one in state.said},
        "appeal": principal.may(Permission.OBJECT) and state.phase in {Phase.DECIDED, Phase.AUTOMATIC},
        "undo": principal.may(Permission.OBJECT) and bool(state.last) and bool(state.barred) and same(state.barred[-1], me),
        "reveal": principal.may(Permission.REVEAL),
        "break_glass": principal.may(Permission.BREAK_GLASS) and not principal.may(Permission.REVEAL),
    }


def _scores(decision: Decision) -> Any:
    """What checks measured, the highest first, once for each check and label."""
    most: dict[tuple[str, str], int] = {}
    for result in decision.results:
        for finding in result.findings:
            key = (result.check, finding.label)
            most[key] = max(most.get(key, 0), finding.score)
    for (check, label), score in sorted(most.items(), key=lambda one: -one[1])[:12]:
        yield {"check": check, "label": label, "score": score / 1000}


def _example_rule(decision: Decision) -> str:
    """The rule that an example of this decision would stand beside: the strictest that fired."""
    return next((one.rule for one in decision.verdict.fired if ":" not in one.rule), "")
