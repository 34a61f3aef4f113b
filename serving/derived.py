"""What follows from a recorded decision and its policy: the verdict again, why it is that one, the canary that made it."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from fastapi import Request as HttpRequest
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse

from audit.query import Shown
from audit.rollouts import rollouts
from guard.canary import Canary
from guard.decide import decide, set_aside, settle
from guard.errors import GenguardError
from guard.rules import Policy
from guard.types import Decision, Shadow, Verdict
from policies import from_document
from policies.explain import Explanation, explain
from policies.rollout import fold
from serving.gate import error_response
from serving.identity.needs import needs
from serving.identity.roles import Permission
from serving.lookup import visible

router = APIRouter(prefix="/v1", tags=["genguard"], dependencies=[needs(Permission.DECISIONS)])


@router.get("/decisions/{decision}/rederivation", response_model=None)
async def rederivation(decision: str, http: HttpRequest) -> Any:
    """Decide again, now, from what was recorded, under the recorded policy: `same` or not, and both verdicts."""
    shown = await visible(http, decision)
    if isinstance(shown, JSONResponse):
        return shown
    if shown.decision is None:
        return error_response(404, f"entry {shown.idx} is no decision", "not_found")
    return await run_in_threadpool(_fields, shown, shown.decision)


def _fields(shown: Shown, decision: Decision) -> dict[str, Any]:
    told = rederive(shown)
    derived = _derived(shown, decision) if told and shown.document else None
    return {
        "decision": str(decision.id),
        "same": told == "same",
        "result": told or "nothing to derive",
        "revision": decision.verdict.revision,
        "checks": len(decision.results),
        "recorded": _verdict_fields(decision.verdict),
        "derived": _verdict_fields(derived) if derived is not None else None,
    }


def _derived(shown: Shown, decision: Decision) -> Verdict | None:
    try:
        policy = from_document(shown.document)
    except GenguardError:
        return None
    return _decided(policy, decision)


def _decided(policy: Policy, decision: Decision) -> Verdict:
    verdict = settle(decide(policy, decision.results, decision.context), policy, decision.marks)
    return set_aside(verdict, policy, decision.reviewed)


def _verdict_fields(verdict: Verdict) -> dict[str, Any]:
    return {"action": verdict.action.value, "rules": [one.rule for one in verdict.fired], "edits": len(verdict.edits)}


def rederive(shown: Shown) -> str:
    """Decide again from what is recorded: `same`, or how it differs. Empty where there is nothing to derive.

    Of a decision with shadows, their verdicts too.
    """
    decision = shown.decision
    if decision is None or not shown.document or "content" not in shown.body or shown.body["content"] is None:
        return ""
    try:
        policy = from_document(shown.document)
    except GenguardError as error:
        return f"cannot be derived: {error}"
    verdict = _decided(policy, decision)
    if verdict != decision.verdict:
        return f"differs: {verdict.action.value} instead of {decision.verdict.action.value}"
    return next((told for told in (_rederive_shadow(shown, decision, one) for one in decision.shadows) if told), "same")


def _rederive_shadow(shown: Shown, decision: Decision, shadow: Shadow) -> str:
    """How a shadow's verdict differs when it is derived again; empty when it does not."""
    name, revision = shadow.verdict.policy, shadow.verdict.revision
    try:
        verdict = decide(from_document(shown.shadow_documents.get(revision, "")), shadow.results, decision.context)
    except GenguardError as error:
        return f"the shadow {name} cannot be derived: {error}"
    differs = f"the shadow {name} differs: {verdict.action.value} instead of {shadow.verdict.action.value}"
    return "" if verdict == shadow.verdict else differs


def explanation(shown: Shown) -> Explanation | None:
    """A decision under the very policy that it was made under; None where that is not possible."""
    if shown.decision is None or not shown.document or shown.body.get("content") is None:
        return None
    try:
        policy = from_document(shown.document)
    except GenguardError:
        return None  # "re-derived" says so
    return explain(policy, shown.decision.results, shown.decision.context)


def canary(source: str, shown: Shown) -> Canary | None:
    """The canary that made a decision, by the steps of the policy's rollout before it; None: what was in force did.

    Raises LedgerError when the ledger cannot be read.
    """
    if shown.decision is None:
        return None
    verdict = shown.decision.verdict
    states = fold((idx, step) for idx, step in rollouts(source) if idx < shown.idx)
    found = states[verdict.policy].canary if verdict.policy in states else None
    return found if found is not None and found.revision == verdict.revision else None
