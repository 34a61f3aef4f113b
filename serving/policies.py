"""Routes of policies: which revisions judge here, and how they came to. For keys without a tenant: policies name tenants."""

from __future__ import annotations

import json
from typing import Any

from fastapi import APIRouter, HTTPException
from fastapi import Request as HttpRequest

from guard.bench import Deployment
from guard.rules import Policy
from policies.rollout import State
from serving.identity.needs import needs
from serving.identity.roles import Permission
from serving.rollout_fields import history_fields, state_fields
from serving.wiring import Wired

router = APIRouter(prefix="/v1/policies", tags=["policies"], dependencies=[needs(Permission.POLICIES, whole=True)])


@router.get("", response_model=None)
def list_policies(http: HttpRequest) -> dict[str, Any]:
    """Every policy that judges, or is tried, in this service."""
    wired: Wired = http.app.state.wired
    standing = standing_of(wired)
    names = dict.fromkeys([*standing, *wired.watcher.states])
    return {"policies": [_fields(wired, name, standing.get(name)) for name in names]}


@router.get("/{policy}", response_model=None)
def show_policy(policy: str, http: HttpRequest) -> dict[str, Any]:
    """One policy with the document that is in force and every step of its rollout."""
    wired: Wired = http.app.state.wired
    found = standing_of(wired).get(policy)
    state = wired.watcher.states.get(policy)
    if found is None and state is None:
        raise HTTPException(404, "no policy of this id")
    live = found.policy if found is not None else None
    document = json.loads(live.document) if live is not None else None
    return {
        **_fields(wired, policy, found),
        "document": document,
        "ledger": state_fields(state) if state is not None else None,
        "history": history_fields(state) if state is not None else [],
    }


def standing_of(wired: Wired) -> dict[str, Deployment]:
    """What is used here, by policy."""
    return {one.revisions[0].id: one for one in wired.guard.deployments}


def _fields(wired: Wired, name: str, found: Deployment | None) -> dict[str, Any]:
    """What is used here, which may lag behind the ledger or be held back by a trouble."""
    standing = found or Deployment(None)
    trial = {"share": standing.share, "by": standing.by}
    state = wired.watcher.states.get(name, State(name))
    return {
        "policy": name,
        "source": wired.watcher.source(name),
        "in_force": _revision(standing.policy),
        "canary": {**_revision(standing.canary), **trial} if standing.canary is not None else None,
        "shadows": [_revision(one) for one in standing.shadows],
        "waiting": len(state.proposals),
        "trouble": wired.watcher.troubles.get(name, ""),
    }


def _revision(policy: Policy | None) -> Any:
    return None if policy is None else {"version": policy.version, "revision": policy.revision, "status": policy.status}
