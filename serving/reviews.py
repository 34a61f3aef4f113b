"""Reviews over HTTP: what waits, one decision, the steps, and what callers say of decisions.

A tenant's key sees its tenant's decisions. Content is told to callers of the tenant that asked for it, and only once a person
released it; who reviews reads contents at the terminal, where that is recorded.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi import Request as HttpRequest
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from audit import review_steps as steps
from audit.grammar import QueryError
from audit.review_codes import CODES
from audit.review_queue import Case, case, waiting
from serving.gate import error_response
from serving.held import Vaulted, answer, answer_fields
from serving.identity.needs import needs
from serving.identity.roles import Permission
from serving.review_fields import case_fields, taken_fields
from serving.wiring import Wired

MAX_REASON = 2000
router = APIRouter(prefix="/v1", tags=["genguard"])


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class ClaimBody(_Body):
    """How long it shall be one's own."""

    minutes: int = Field(30, ge=1, le=480)


class DecideBody(_Body):
    """What becomes of it."""

    outcome: str = Field(max_length=40, description="`release` or `withhold`.")
    code: str = Field(max_length=40, description=f"One of: {', '.join(CODES)}.")
    reason: str = Field("", max_length=MAX_REASON)


class ReasonBody(_Body):
    """Why."""

    reason: str = Field(min_length=1, max_length=MAX_REASON)


class OverruleBody(ReasonBody):
    """The contrary of what was decided."""

    outcome: str = Field(max_length=40, description="`release` or `withhold`.")


class FeedbackBody(_Body):
    """What a caller says of a decision."""

    decision: str = Field(max_length=60)
    code: str = Field(description="`wrong_block` or `missed_harm`.")
    comment: str = Field("", max_length=MAX_REASON)


@router.get("/reviews", response_model=None, dependencies=[needs(Permission.REVIEW_QUEUE)])
async def reviews(
    http: HttpRequest,
    queue: Annotated[
        str, Query(max_length=200, description="`held`, `feedback`, `quality`, `appeal`, `category:…`, `policy:…`.")
    ] = "",
    state: Annotated[str, Query(max_length=20, description="`waiting`, `second` or `appealed` alone.")] = "",
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
    after: Annotated[int, Query(ge=-1, description="Only decisions of a larger index: the cursor of the next page.")] = -1,
) -> Any:
    """What waits for a person, oldest first."""
    wired: Wired = http.app.state.wired
    found = await run_in_threadpool(
        waiting, wired.ledger_url, queue, tenant=http.state.sees, limit=limit, after=after, state=state
    )
    return {"reviews": [_fields(http, one) for one in found.cases], "next": found.next}


@router.get("/reviews/{decision}", response_model=None, dependencies=[needs(Permission.REVIEW_STATUS)])
async def review(decision: str, http: HttpRequest) -> Any:
    """How a decision stands: `waiting`, `released` with the content for the tenant that asked, `withheld`, or `not_held`."""
    wired: Wired = http.app.state.wired
    try:
        found = await run_in_threadpool(case, wired.ledger_url, decision[:60], tenant=http.state.sees)
    except QueryError:  # its words may name ids of other tenants
        return error_response(404, "no such decision", "not_found")
    subject = found.state.subject
    fields: dict[str, Any] = {}
    if subject.tenant == http.state.request.tenant and http.state.principal.may(Permission.COLLECT):
        vault = Vaulted(wired.ledger_url, http.app.state.key_file)
        fields = answer_fields(await answer(wired.guard, wired.ledger, vault, subject.decision), wired.guard.operator)
        found = await run_in_threadpool(case, wired.ledger_url, subject.decision)
    return {**fields, "review": _fields(http, found)}


@router.post("/reviews/{decision}/claim", response_model=None, dependencies=[needs(Permission.REVIEW)])
async def claim(decision: str, http: HttpRequest, body: ClaimBody | None = None) -> JSONResponse:
    """Take it for oneself for a while."""
    lease = timedelta(minutes=(body or ClaimBody(minutes=30)).minutes)
    return await _step(http, decision, lambda ledger, actor, sees: steps.claim(ledger, decision, actor, lease, tenant=sees))


@router.post("/reviews/{decision}/release", response_model=None, dependencies=[needs(Permission.REVIEW)])
async def release_claim(decision: str, http: HttpRequest) -> JSONResponse:
    """Give it back to the queue, undecided."""
    return await _step(http, decision, lambda ledger, actor, sees: steps.release_claim(ledger, decision, actor, tenant=sees))


@router.post("/reviews/{decision}/decide", response_model=None, dependencies=[needs(Permission.REVIEW)])
async def decide(decision: str, http: HttpRequest, body: DecideBody) -> JSONResponse:
    """Say what becomes of it."""
    second = http.app.state.second_review

    def take(ledger: Any, actor: str, sees: str) -> steps.Taken:
        said = (body.outcome, body.code, body.reason)
        return steps.decide(ledger, decision, actor, *said, second=second, tenant=sees)

    return await _step(http, decision, take)


@router.post("/reviews/{decision}/appeal", response_model=None, dependencies=[needs(Permission.OBJECT)])
async def appeal(decision: str, http: HttpRequest, body: ReasonBody) -> JSONResponse:
    """Ask that somebody else looks at it; callers may do so, too."""

    def take(ledger: Any, actor: str, sees: str) -> steps.Taken:
        return steps.appeal(ledger, decision, actor, body.reason, tenant=sees)

    return await _step(http, decision, take)


@router.post("/reviews/{decision}/overrule", response_model=None, dependencies=[needs(Permission.REVIEW)])
async def overrule(decision: str, http: HttpRequest, body: OverruleBody) -> JSONResponse:
    """Set aside what somebody else decided."""

    def take(ledger: Any, actor: str, sees: str) -> steps.Taken:
        return steps.overrule(ledger, decision, actor, body.outcome, body.reason, tenant=sees)

    return await _step(http, decision, take)


@router.post("/reviews/{decision}/undo", response_model=None, dependencies=[needs(Permission.OBJECT)])
async def undo(decision: str, http: HttpRequest, body: ReasonBody) -> JSONResponse:
    """Take one's own latest step back."""

    def take(ledger: Any, actor: str, sees: str) -> steps.Taken:
        return steps.undo(ledger, decision, actor, body.reason, tenant=sees)

    return await _step(http, decision, take)


@router.post("/feedback", response_model=None, dependencies=[needs(Permission.OBJECT)])
async def feedback(http: HttpRequest, body: FeedbackBody) -> JSONResponse:
    """Say that a decision was a wrong block or missed a harm: a person looks at it."""

    def take(ledger: Any, actor: str, sees: str) -> steps.Taken:
        return steps.feedback(ledger, body.decision, actor, body.code, body.comment, tenant=sees)

    return await _step(http, body.decision, take)


async def _step(http: HttpRequest, decision: str, take: Callable[[Any, str, str], steps.Taken]) -> JSONResponse:
    """Take a step under the caller's name."""
    wired: Wired = http.app.state.wired
    try:  # a mistake in the body is an InputError: only the decision is looked up by this
        found = await run_in_threadpool(case, wired.ledger_url, decision[:60], tenant=http.state.sees)
    except QueryError:  # its words may name ids of other tenants
        return error_response(404, "no such decision", "not_found")
    taken = await run_in_threadpool(take, wired.ledger, http.state.request.actor, http.state.sees)
    assert taken.case.state.subject == found.state.subject
    return JSONResponse(taken_fields(taken, _sla(http), datetime.now(UTC)))


def _fields(http: HttpRequest, found: Case) -> dict[str, Any]:
    return case_fields(found, _sla(http), datetime.now(UTC))


def _sla(http: HttpRequest) -> timedelta:
    sla: timedelta = http.app.state.review_sla
    return sla


def settle(state: Any, *, key_file: Path | None, sla_minutes: int, second: tuple[str, ...]) -> None:
    """Give an application's state what these routes need."""
    state.key_file, state.review_sla, state.second_review = key_file, timedelta(minutes=sla_minutes), second
