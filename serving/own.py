"""Our own routes: judging content that was made elsewhere, and looking decisions up."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from fastapi import APIRouter, Query
from fastapi import Request as HttpRequest
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse

from audit.facets import facets as count_facets
from audit.query import query
from guard.errors import InputError
from serving.gate import refusal_response
from serving.identity.needs import needs
from serving.identity.roles import Permission
from serving.lookup import visible
from serving.schemas import STAGES, CheckAnswer, CheckRequest, check_answer, evidence_headers
from serving.search import counts_fields, whose
from serving.wiring import Wired

router = APIRouter(prefix="/v1", tags=["genguard"])


@router.post("/check", response_model=CheckAnswer, dependencies=[needs(Permission.GENERATE)])
async def check(body: CheckRequest, http: HttpRequest) -> JSONResponse:
    """Take a text, an image or an audio through the policy. The answer holds what may be shown, edited and marked."""
    wired: Wired = http.app.state.wired
    stage = STAGES[body.stage]
    try:
        data = body.data()
    except InputError as error:
        return refusal_response(await wired.guard.refuse(error, http.state.request, stage=stage, modality=body.modality))
    release = await wired.guard.check(data, request=http.state.request, stage=stage, media_type=body.media_type)
    if release.refused:
        return refusal_response(release)
    answer = check_answer(release, wired.guard.operator).model_dump(by_alias=True)
    if answer["AIGC"] is None:
        del answer["AIGC"]
    return JSONResponse(answer, headers=evidence_headers(release))


@router.get("/decisions", response_model=None, dependencies=[needs(Permission.DECISIONS)])
async def decisions(
    http: HttpRequest,
    q: str = Query("", max_length=1000, description="Filters such as `action:block category:privacy -generator:echo`."),
    limit: int = Query(50, ge=1, le=500),
    before: int | None = Query(None, ge=0, description="Only entries with a smaller index: the cursor of the next page."),
    after: int | None = Query(None, ge=-1, description="Only entries with a larger index, the nearest ones: what came since."),
    facets: bool = Query(False, description="Also count by action, rule, category and so on."),
) -> dict[str, Any]:
    """Decisions, newest first; with a tenant's key, that tenant's. Content is never part of the answer."""
    wired: Wired = http.app.state.wired
    page = await run_in_threadpool(query, wired.ledger_url, q, limit=limit, before=before, after=after, **whose(http))
    answer: dict[str, Any] = {
        "decisions": [asdict(row) for row in page.rows],
        "next": page.older,
        "newer": page.newer,
        "size": page.size,
        "partial": page.partial,
    }
    if facets:
        counts = await run_in_threadpool(count_facets, wired.ledger_url, q, **whose(http))
        answer["facets"] = counts_fields(counts)
    return answer


@router.get("/decisions/{decision}", response_model=None, dependencies=[needs(Permission.DECISIONS)])
async def decision(decision: str, http: HttpRequest) -> Any:
    """One decision with everything that was recorded of it, except content."""
    shown = await visible(http, decision)
    if isinstance(shown, JSONResponse):
        return shown
    return {"index": shown.idx, "leaf_hash": shown.leaf.hex(), "tree_size": shown.tree_size, "entry": shown.body}
