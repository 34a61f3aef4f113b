"""`/console/decisions/{reference}`: one decision with its evidence, or another entry with its facts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from fastapi import APIRouter, Depends, HTTPException
from fastapi import Request as HttpRequest
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response

from audit.events import ACCESS
from audit.follow import Followed, erasures, followed
from audit.query import Row, Shown, query
from audit.review_queue import Case, case
from console import evidence, filters
from console.nav import HOME, need
from console.page import render
from console.policy_text import Line, excerpt, lines_of
from guard.canary import Canary
from guard.types import Decision
from serving.derived import canary, explanation
from serving.lookup import visible
from serving.wiring import Wired

router = APIRouter(prefix=f"{HOME}/decisions", tags=["console"], dependencies=[Depends(need("decisions"))])


@dataclass(frozen=True, slots=True)
class Around:
    """What the ledger has about a decision, besides itself."""

    prompt: Row | None
    after: tuple[Followed, ...]
    erasures: tuple[Followed, ...]
    case: Case
    canary: Canary | None


@router.get("/{reference}", response_model=None, include_in_schema=False)
async def page(reference: str, http: HttpRequest) -> HTMLResponse:
    """The page."""
    shown = await _visible(http, reference)
    if shown.decision is None:
        facts = tuple(_facts(shown.body))
        lines = lines_of(shown.body["document"], ()) if "document" in shown.body else ()
        return render(http, "entry", page="decisions", shown=shown, facts=facts, lines=lines)
    decision = shown.decision
    wired: Wired = http.app.state.wired
    around = await run_in_threadpool(_around, wired.ledger_url, shown, decision, http.state.sees)
    policies = not need("policies").lack(http.state.principal)
    return await run_in_threadpool(_render, http, shown, decision, around, policies=policies)


@router.get("/{reference}/policy", response_model=None, include_in_schema=False, dependencies=[Depends(need("policies"))])
async def policy(reference: str, http: HttpRequest) -> Response:
    """The policy document that a decision was made under, byte for byte: its SHA-256 is the revision."""
    shown = await _visible(http, reference)
    if shown.decision is None or not shown.document:
        raise HTTPException(404, "the ledger has no policy document for this entry")
    name = f"{shown.decision.verdict.policy}-{shown.decision.verdict.revision[:12]}.json"
    kept = {"content-disposition": f'attachment; filename="{name}"'} if name.isascii() and '"' not in name else {}
    return PlainTextResponse(shown.document, headers=kept)


def _render(http: HttpRequest, shown: Shown, decision: Decision, around: Around, *, policies: bool) -> HTMLResponse:
    explained = explanation(shown)
    lines = lines_of(shown.document, {one.rule for one in decision.verdict.fired}) if policies and shown.document else ()
    excerpts: dict[str, tuple[Line, ...]] = {one.rule: excerpt(lines, one.rule) for one in decision.verdict.fired}
    staff = not http.state.sees  # what persons wrote is not for tenants
    return render(
        http,
        "decision",
        page="decisions",
        script="decision",
        shown=shown,
        decision=decision,
        around=around,
        staff=staff,
        steps=evidence.way(shown, decision, around.prompt, around.after),
        bars=evidence.bars(explained, decision, all_rules=policies),
        findings=evidence.findings(decision),
        strip=evidence.strip(decision),
        works=evidence.works(decision),
        place_words=evidence.place_words,
        lines=lines,
        excerpts=excerpts,
        parts_stored=_parts(shown),
        seen=[one for one in around.after if one.kind == ACCESS],
        then=[one for one in around.after if one.kind != ACCESS],
        filters=filters,
        given={
            "decision": str(decision.id),
            "you": http.state.principal.name,
            "index": shown.idx,
            "leaf": shown.leaf.hex(),
            "modality": decision.context.modality.value,
            "places": evidence.places(decision),
        },
    )


async def _visible(http: HttpRequest, reference: str) -> Shown:
    found = await visible(http, reference)
    if isinstance(found, JSONResponse):
        raise HTTPException(404, "there is no such entry, or it is another tenant's")
    return found


def _around(url: str, shown: Shown, decision: Decision, sees: str) -> Around:
    request = decision.request
    return Around(
        prompt=_row(url, decision.parent) if decision.parent is not None else None,
        after=followed(url, decision.id),
        erasures=erasures(url, shown.idx, request.tenant, request.subject) if request.subject else (),
        case=case(url, str(decision.id), tenant=sees),
        canary=canary(url, shown),
    )


def _row(url: str, decision: UUID) -> Row | None:
    return next(iter(query(url, limit=1, id=str(decision)).rows), None)


def _parts(shown: Shown) -> tuple[dict[str, Any], ...]:
    """What is stored: once where what left is what came."""
    found: dict[str, dict[str, Any]] = {}
    for name in ("content", "released"):
        block = shown.body.get(name)
        if block is not None:
            known = {"part": name, "media_type": block["media_type"], "bytes": block["bytes"]}
            found.setdefault(block["commit"], known)
    return tuple(found.values())


def _facts(body: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, str]]:
    """A body as names and values, without the document of a policy, which is shown by itself."""
    for name, value in body.items():
        if isinstance(value, Mapping):
            yield from _facts(value, f"{before}{name}." if name != "fields" else before)
        elif name not in {"document", "schema", "kind"}:
            yield f"{before}{name}", ", ".join(map(str, value)) if isinstance(value, list) else str(value)
