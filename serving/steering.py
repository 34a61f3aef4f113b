"""Steps of a rollout over HTTP: put a draft in force or propose it, approve, widen, promote, stop, go back, retire.

What the terminal's commands do, with names that a key or a login proves. As there, a draft judges only with green tests and
without lint errors, and whoever proposed it does not approve it.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any, Literal

from fastapi import APIRouter
from fastapi import Request as HttpRequest
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from guard.errors import InputError, PolicyError, SignatureError
from guard.rules import Policy
from policies.gates import closed
from policies.lint import files_of
from policies.load import source_of
from policies.loaded import LoadedPolicy
from policies.source import MAX_BYTES
from serving.drafting.pictures import runnable
from serving.drafting.workshop import Workshop, lines_of, pack
from serving.gate import busy_response, error_response
from serving.identity.needs import needs
from serving.identity.roles import Permission
from serving.policies import standing_of
from serving.rollout_fields import taken_fields
from serving.stepping import Steps, Taken, judging, trust
from serving.wiring import Wired

MAX_REASON = 2000
BUSY_S = 5
_WRITE = needs(Permission.POLICIES_WRITE, whole=True)
_APPROVE = needs(Permission.POLICIES_APPROVE, whole=True)
_EITHER = needs(Permission.POLICIES_WRITE, Permission.POLICIES_APPROVE, whole=True)
router = APIRouter(prefix="/v1/policies", tags=["policies"])
_GATE = threading.Lock()
"""Tests are run for one draft at a time."""


class ReasonBody(BaseModel):
    """Why; recorded."""

    model_config = ConfigDict(extra="forbid")

    reason: str = Field(min_length=1, max_length=MAX_REASON)


class ShareBody(ReasonBody):
    """What the canary is to judge."""

    share: int = Field(ge=1, le=99, description="Per cent.")
    by: Literal["requests", "tenants"] = Field("requests", description="What the share is of.")


class ActivateBody(ReasonBody):
    """A draft, and what it is to do."""

    source: str | None = Field(None, max_length=MAX_BYTES, description="The text of a policy file.")
    pack: str | None = Field(None, max_length=64, description="A bundled policy by its name, in place of a text.")
    share: int = Field(0, ge=0, le=99, description="Per cent that it judges as a canary; 0: everything.")
    by: Literal["requests", "tenants"] = Field("requests", description="What the share is of.")
    shadow: bool = Field(False, description="Let it decide beside the one in force, without effect.")
    propose: bool = Field(
        False, description="Let somebody else approve it first. So it is anyway with the setting `policy_approvals`."
    )
    signature: str = Field("", max_length=20_000, description="The signed note of `genguard policy sign`, where one is needed.")


class StopBody(ReasonBody):
    """Which one ends."""

    revision: str = Field("", max_length=64, description="The beginning of a revision; needed where there are several.")


class RollbackBody(ReasonBody):
    """How far back."""

    to: str = Field("", max_length=64, description="The beginning of a revision that was in force; the one before by default.")


class ApproveBody(BaseModel):
    """What is approved."""

    model_config = ConfigDict(extra="forbid")

    revision: str = Field(min_length=4, max_length=64, description="The beginning of the proposed revision.")
    reason: str = Field("", max_length=MAX_REASON, description="Why; that of the proposal by default.")


@router.post("/activate", response_model=None, dependencies=[_WRITE])
async def activate(body: ActivateBody, http: HttpRequest) -> JSONResponse:
    """Put a draft in force, let it judge a share, put it in shadow, or propose that. 409 while tests or lints forbid it."""
    workshop: Workshop = http.app.state.workshop
    steps = _steps(http)
    try:
        loaded, text = await _draft(body, workshop)
    except PolicyError as error:
        return error_response(422, f"this policy cannot be used: {error}", "invalid_policy")
    _fit(body, loaded.policy)
    try:
        await asyncio.to_thread(trust(steps.settings).check, loaded.policy, [body.signature] if body.signature else [])
    except SignatureError as error:
        return _unsigned(error)
    if not body.shadow:
        if not _GATE.acquire(blocking=False):
            return busy_response("another draft is being tested", BUSY_S)
        if found := await asyncio.to_thread(_closed, body, loaded, steps.url, workshop):
            listed = "; ".join(found)
            return error_response(409, f"not activated: {listed}", "not_ready", not_ready=found)
    given = body.model_dump(include={"share", "by", "shadow", "propose", "signature"})
    return await _answer(lambda: steps.activate(loaded.policy, body.reason, source=text, **given))


@router.post("/{policy}/share", response_model=None, dependencies=[_WRITE])
async def share(policy: str, body: ShareBody, http: HttpRequest) -> JSONResponse:
    """Let the canary of a policy judge more or less; a proposal where somebody else has to approve."""
    steps = _steps(http)
    return await _answer(lambda: steps.share(policy, body.share, body.by, body.reason))


@router.post("/{policy}/promote", response_model=None, dependencies=[_WRITE])
async def promote(policy: str, body: ReasonBody, http: HttpRequest) -> JSONResponse:
    """Let the canary of a policy judge everything; a proposal where somebody else has to approve."""
    steps = _steps(http)
    return await _answer(lambda: steps.promote(policy, body.reason))


@router.post("/{policy}/stop", response_model=None, dependencies=[_EITHER])
async def stop(policy: str, body: StopBody, http: HttpRequest) -> JSONResponse:
    """End a canary, a shadow or a proposal; who only approves ends proposals."""
    steps, only = _steps(http), not http.state.principal.may(Permission.POLICIES_WRITE)
    return await _answer(lambda: steps.stop(policy, body.revision, body.reason, proposals_only=only))


@router.post("/{policy}/rollback", response_model=None, dependencies=[_WRITE])
async def rollback(policy: str, body: RollbackBody, http: HttpRequest) -> JSONResponse:
    """Take the latest change back: a canary ends, else what was in force before is again. Needs nobody's approval."""
    steps, warned = _steps(http), list[str]()
    return await _answer(lambda: steps.rollback(policy, body.to, body.reason, warn=warned.append), warned)


@router.post("/{policy}/retire", response_model=None, dependencies=[_WRITE])
async def retire(policy: str, body: ReasonBody, http: HttpRequest) -> JSONResponse:
    """Take a policy out of force altogether. What no other policy covers is blocked from then on."""
    steps = _steps(http)
    return await _answer(lambda: steps.retire(policy, body.reason))


@router.post("/{policy}/approve", response_model=None, dependencies=[_APPROVE])
async def approve(policy: str, body: ApproveBody, http: HttpRequest) -> JSONResponse:
    """Let happen what somebody else proposed. Nobody approves their own proposal."""
    steps = _steps(http)
    return await _answer(lambda: steps.approve(policy, body.revision, body.reason))


async def _draft(body: ActivateBody, workshop: Workshop) -> tuple[LoadedPolicy, str]:
    """The policy, and its text. Raises PolicyError, or InputError when there are not one of text and pack."""
    if (body.source is None) == (body.pack is None):
        raise InputError("found not one draft, expected exactly one of `source`, `pack`")
    if body.pack is not None:
        loaded = await asyncio.to_thread(pack, body.pack)
        return loaded, await asyncio.to_thread(source_of, body.pack, loaded.policy.revision)
    return await workshop.read(body.source or ""), body.source or ""


def _fit(body: ActivateBody, policy: Policy) -> None:
    """Raises InputError for what cannot be asked for at once."""
    if body.shadow and (body.share or body.propose):
        raise InputError("found a shadow with a share or a proposal, expected neither: it judges nothing")
    allowed = {"live", "shadow", "draft"} if body.shadow else {"live"}
    if policy.status not in allowed:
        raise InputError(f"found status {policy.status!r}, expected one of: {', '.join(sorted(allowed))}")


def _closed(body: ActivateBody, loaded: LoadedPolicy, ledger: str, workshop: Workshop) -> dict[str, list[str]]:
    """What keeps a draft from judging. Of examples whose pictures are not read here nobody knows."""
    try:
        loaded, left = runnable(loaded)
        if left:
            return {"tests that cannot be run here": [f"{one.at}: a picture of a draft is not read here" for one in left]}
        before, pool = judging(ledger, loaded.policy), workshop.pool()
        if body.source is None:
            return closed(loaded, before, pool)
        texts = lines_of(loaded, body.source, files_of(loaded.root))
        return closed(loaded, before, pool, suites=(), texts=texts)
    finally:
        _GATE.release()


def _steps(http: HttpRequest) -> Steps:
    wired: Wired = http.app.state.wired
    standing = {name: one.policy.revision for name, one in standing_of(wired).items() if one.policy is not None}
    return Steps(wired.ledger, wired.ledger_url, http.state.request.actor, http.app.state.settings, standing)


async def _answer(take: Callable[[], Taken], warned: list[str] | None = None) -> JSONResponse:
    """The step that was taken: 200, also when it would change nothing and was not recorded."""
    try:
        fields: dict[str, Any] = taken_fields(await run_in_threadpool(take))
    except SignatureError as error:
        return _unsigned(error)
    return JSONResponse({**fields, **({"warnings": warned} if warned else {})})


def _unsigned(error: SignatureError) -> JSONResponse:
    return error_response(409, f"services would refuse this: {error}", "not_signed")
