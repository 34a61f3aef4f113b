"""`/console/policies`: which policies judge, how each came to, and the workshop where they are written."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Query
from fastapi import Request as HttpRequest
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import HTMLResponse, JSONResponse

from console.language import language_of
from console.nav import HOME, need
from console.page import HEADERS, render
from console.policy_hints import hints
from console.policy_texts import NEW, Kept, compared, kept, next_version, pack_text, rules_of
from guard.bench import Deployment
from policies import packs
from serving.identity.roles import Permission
from serving.policies import list_policies, show_policy, standing_of
from serving.wiring import Wired

PREFIX = f"{HOME}/policies"
NOTHING = "_"
"""Stands in addresses for a policy that has no name yet; no policy can be called so."""
Name = Annotated[str, Query(max_length=64)]
router = APIRouter(prefix=PREFIX, tags=["console"], dependencies=[Depends(need("policies"))])


@router.get("", response_model=None, include_in_schema=False)
async def page(http: HttpRequest) -> HTMLResponse:
    """All policies that judge, are tried or wait."""
    found = await run_in_threadpool(list_policies, http)
    return render(http, "policies", rows=found["policies"], packs=packs(), may=_may(http))


@router.get("/hints.json", response_model=None, include_in_schema=False)
async def completion(http: HttpRequest) -> JSONResponse:
    """What an editor completes from."""
    return JSONResponse(await run_in_threadpool(hints, language_of(http)), headers=HEADERS)


@router.get("/{policy}", response_model=None, include_in_schema=False)
async def one(policy: str, http: HttpRequest) -> HTMLResponse:
    """One policy: what stands, what can be done about it, its revisions and its steps."""
    found = await run_in_threadpool(show_policy, policy, http)
    revisions = await _kept(http, policy)
    live = standing_of(_wired(http)).get(policy, Deployment(None)).policy
    return render(
        http,
        "policy",
        page="policies",
        script="policies/rollout",
        found=found,
        ledger=found["ledger"] or {"waiting": [], "before": None, "canary": None, "in_force": None, "shadows": []},
        steps=list(reversed(found["history"])),
        revisions=revisions,
        states=_states(found),
        live=live,
        rules=rules_of(live) if live is not None else [],
        may=_may(http),
        me=http.state.principal.name,
    )


@router.get("/{policy}/revisions/{revision}", response_model=None, include_in_schema=False)
async def revision(policy: str, revision: str, http: HttpRequest) -> HTMLResponse:
    """What a policy said at a revision: its rules, the text that was written, the document that decides."""
    found = _named(await _kept(http, policy), revision)
    given: dict[str, Any] = {"policy": policy, "found": found, "rules": rules_of(found.policy), "may": _may(http)}
    return render(http, "policy_revision", page="policies", script="policies/shown", **given)


@router.get("/{policy}/diff", response_model=None, include_in_schema=False)
async def difference(
    policy: str, http: HttpRequest, before: Annotated[str, Query(alias="from", max_length=64)] = "", to: Name = ""
) -> HTMLResponse:
    """What changed from one revision to another, in words and beside it line by line."""
    every = await _kept(http, policy)
    new = _named(every, to) if to else _first(every)
    old = _named(every, before) if before else _before(every, new)
    found = await run_in_threadpool(compared, old, new)
    return render(http, "policy_diff", page="policies", policy=policy, old=old, new=new, found=found, revisions=every)


@router.get("/{policy}/edit", response_model=None, include_in_schema=False)
async def edit(policy: str, http: HttpRequest, revision: Name = "", pack: Name = "") -> HTMLResponse:
    """The workshop: a text, what is wrong with it, its tests, what it would say and would have said, and the way into force."""
    base: Kept | None = None
    text = NEW
    if pack:
        text = _pack(pack)
    elif policy != NOTHING:
        every = await _kept(http, policy)
        live = standing_of(_wired(http)).get(policy, Deployment(None)).policy
        base = _named(every, revision or (live.revision if live is not None else _first(every).revision))
        text = next_version(base.source, max(one.version for one in every)) if base.source else ""
    settings = http.app.state.settings
    return render(
        http,
        "policy_edit",
        page="policies",
        script="policies/draft",
        policy=policy,
        base=base,
        pack=pack,
        text=text,
        approvals=settings.policy_approvals,
        signatures=bool(settings.policy_keys),
        may=_may(http),
        me=http.state.principal.name,
    )


def _pack(name: str) -> str:
    try:
        return pack_text(name)
    except KeyError:
        raise HTTPException(404, "no pack of this name") from None


def _wired(http: HttpRequest) -> Wired:
    found: Wired = http.app.state.wired
    return found


async def _kept(http: HttpRequest, policy: str) -> tuple[Kept, ...]:
    """Raises HTTPException 404 for a policy that nothing is known of."""
    wired = _wired(http)
    running = [one for used in wired.guard.deployments for one in used.revisions]
    found = await run_in_threadpool(kept, wired.ledger_url, policy, running, http.app.state.settings.policies)
    if not found:
        raise HTTPException(404, "no policy of this id")
    return found


def _named(found: tuple[Kept, ...], beginning: str) -> Kept:
    fitting = [one for one in found if one.revision.startswith(beginning.lower())]
    if len(fitting) != 1:
        raise HTTPException(404, f"{len(fitting)} revisions of this policy begin so, expected one")
    return fitting[0]


def _first(found: tuple[Kept, ...]) -> Kept:
    return found[0]


def _before(found: tuple[Kept, ...], one: Kept) -> Kept:
    """The one that came before it; itself where there is none."""
    at = found.index(one)
    return found[min(at + 1, len(found) - 1)]


def _states(found: dict[str, Any]) -> dict[str, list[str]]:
    """By revision: what it does now."""
    states: dict[str, list[str]] = {}
    ledger = found["ledger"] or {}
    told = [
        ("in_force", [found["in_force"]]),
        ("canary", [found["canary"]]),
        ("shadow", found["shadows"]),
        ("waiting", ledger.get("waiting", [])),
    ]
    for name, those in told:
        for one in those:
            if one:
                states.setdefault(one["revision"], []).append(name)
    return states


def _may(http: HttpRequest) -> dict[str, bool]:
    """What somebody may do about policies."""
    held = http.state.principal.permissions
    write, approve = Permission.POLICIES_WRITE in held, Permission.POLICIES_APPROVE in held
    return {"write": write, "approve": approve, "draft": write or approve}
