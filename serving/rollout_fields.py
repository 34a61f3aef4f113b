"""How a policy stands in its rollout, as plain fields: for HTTP and for the terminal."""

from __future__ import annotations

from typing import Any

from guard.types import Rollout
from policies.rollout import State
from serving.stepping import Taken


def state_fields(state: State) -> dict[str, Any]:
    """A state without its steps: what is in force, tried, in shadow, waiting, and what a rollback would go to."""
    canary = state.canary
    return {
        "policy": state.policy,
        "in_force": revision_fields(state, state.revision),
        "canary": {**(revision_fields(state, canary.revision) or {}), "share": canary.share, "by": canary.by}
        if canary
        else None,
        "shadows": [revision_fields(state, one) for one in state.shadows],
        "waiting": [
            {
                **(revision_fields(state, one.revision) or {}),
                "author": one.author,
                "reason": one.reason,
                "time": one.time.isoformat(),
                **({"share": one.share, "by": one.by} if one.share else {}),
            }
            for one in state.proposals
        ],
        "before": revision_fields(state, state.history[-1]) if state.history else None,
        "retired": state.retired,
    }


def history_fields(state: State) -> list[dict[str, Any]]:
    """Every step, oldest first, with its index in the ledger; of one that changed nothing why."""
    void = dict(state.void)
    return [step_fields(index, one) | ({"void": void[index]} if index in void else {}) for index, one in state.steps]


def taken_fields(taken: Taken) -> dict[str, Any]:
    """What came of a step: its entry, or why there is none, and how the policy stands."""
    done = step_fields(taken.index, taken.rollout) if taken.index is not None else None
    return {"recorded": taken.index is not None, "entry": done, "why": taken.why, "state": state_fields(taken.state)}


def step_fields(index: int, rollout: Rollout) -> dict[str, Any]:
    """One step."""
    optional = {
        "share": rollout.share,
        "by": rollout.by,
        "approver": rollout.approver,
        "previous": rollout.previous,
        "signature": rollout.signature,
    }
    return {
        "index": index,
        "time": rollout.time.isoformat(),
        "step": rollout.step.value,
        "version": rollout.version,
        "revision": rollout.revision,
        "author": rollout.author,
        "reason": rollout.reason,
        **{name: value for name, value in optional.items() if value},
    }


def revision_fields(state: State, revision: str) -> dict[str, Any] | None:
    """A revision with its version, which is 0 where no step of it was recorded; None for none."""
    if not revision:
        return None
    version = next((one.version for _, one in reversed(state.steps) if one.revision == revision), 0)
    return {"version": version, "revision": revision}
