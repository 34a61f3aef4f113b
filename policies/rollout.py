"""Which revisions of each policy judge: folded from the steps that the ledger recorded, in their order. Pure.

    rollouts of one policy, by index ─> fold ─> State ─> choose(state, request, tenant) ─> revision

A fold never fails. A step that cannot be taken from where a policy stands, such as an approval of what nobody proposed, changes
nothing, and is named in `State.void`: whoever folds the same entries comes to the same state.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from guard.canary import Canary, takes
from guard.types import Rollout, Step


@dataclass(frozen=True, slots=True)
class State:
    """How one policy stands after some steps."""

    policy: str
    revision: str = ""
    """In force; empty when none is."""
    canary: Canary | None = None
    shadows: tuple[str, ...] = ()
    """Revisions in shadow, oldest first."""
    proposals: tuple[Rollout, ...] = ()
    """What waits for an approval, oldest first; of one revision the latest alone."""
    history: tuple[str, ...] = ()
    """Revisions that were in force before, oldest first. A rollback goes to the last, and takes out what it goes back over."""
    retired: bool = False
    steps: tuple[tuple[int, Rollout], ...] = ()
    """All steps that were taken, with the index of each."""
    void: tuple[tuple[int, str], ...] = ()
    """Indices of steps that changed nothing, and why."""

    @property
    def revisions(self) -> tuple[str, ...]:
        """All that decide now: in force, canary, shadows."""
        canary = (self.canary.revision,) if self.canary else ()
        return tuple(one for one in (self.revision, *canary, *self.shadows) if one)

    def signatures(self, revision: str) -> tuple[str, ...]:
        """The signed notes that came with steps of a revision, void ones too: each says itself what it is worth."""
        return tuple(dict.fromkeys(one.signature for _, one in self.steps if one.revision == revision and one.signature))


def fold(rollouts: Iterable[tuple[int, Rollout]], states: Mapping[str, State] | None = None) -> dict[str, State]:
    """The state of each policy after these steps. `rollouts`: (index, step) in the ledger's order; `states`: those before."""
    found = dict(states or {})
    for index, rollout in rollouts:
        state = found.get(rollout.policy) or State(rollout.policy)
        taken = advance(state, rollout)
        if isinstance(taken, str):
            taken = replace(state, void=(*state.void, (index, taken)))
        found[rollout.policy] = replace(taken, steps=(*state.steps, (index, rollout)))
    return found


def advance(state: State, rollout: Rollout) -> State | str:
    """The state after one step, or why the step cannot be taken."""
    return _TAKEN[rollout.step](state, rollout)


def choose(state: State, request: str, tenant: str) -> str:
    """The revision that judges a request: the canary's for those that fall into its share, else the one in force; or none.

    Depends on nothing but its arguments, so a prompt and its output get the same one, and anyone can derive it again.
    """
    if state.canary is not None and takes(state.policy, state.canary, request, tenant):
        return state.canary.revision
    return state.revision


def _pointless(state: State, rollout: Rollout) -> str:
    """Why a revision cannot be brought into force, or into a canary; empty when it can."""
    if rollout.share and (rollout.revision, rollout.share, rollout.by) == _running(state):
        return "this canary runs already"
    return "it is in force already" if rollout.revision == state.revision and (rollout.share or not state.canary) else ""


def _running(state: State) -> tuple[str, int, str]:
    return (state.canary.revision, state.canary.share, state.canary.by) if state.canary else ("", 0, "")


def _activated(state: State, rollout: Rollout) -> State | str:
    if fault := _pointless(state, rollout):
        return fault
    before = state.revision or (rollout.previous if not state.history else "")  # the first step knows what judged from a file
    gone = () if before in {"", rollout.revision} else (before,)
    history = (*state.history, *gone)
    settled = _settled(state, rollout.revision)
    return replace(settled, revision=rollout.revision, canary=None, history=history, retired=False)


def _canaried(state: State, rollout: Rollout) -> State | str:
    # A policy that services have from a file goes on beside its first canary.
    known = state.revision or ("" if state.history or state.retired else rollout.previous)
    if fault := _pointless(replace(state, revision=known), rollout):
        return fault
    canary = Canary(rollout.revision, rollout.share, rollout.by)
    return replace(_settled(_settled(state, rollout.revision), known), revision=known, canary=canary)


def _shadowed(state: State, rollout: Rollout) -> State | str:
    if rollout.revision in state.revisions:
        return "it decides already"
    return replace(_settled(state, rollout.revision), shadows=(*state.shadows, rollout.revision))


def _proposed(state: State, rollout: Rollout) -> State | str:
    if fault := _pointless(state, rollout):
        return fault
    waiting = tuple(one for one in state.proposals if one.revision != rollout.revision)
    return replace(state, proposals=(*waiting, rollout))


def _settled(state: State, revision: str) -> State:
    """The state in which a revision is neither in shadow nor waits any more."""
    return replace(
        state,
        shadows=tuple(one for one in state.shadows if one != revision),
        proposals=tuple(one for one in state.proposals if one.revision != revision),
    )


def _approved(state: State, rollout: Rollout) -> State | str:
    asked = (rollout.revision, rollout.share, rollout.by, rollout.author)
    if not any((one.revision, one.share, one.by, one.author) == asked for one in state.proposals):
        return "nobody proposed this"
    return _canaried(state, rollout) if rollout.share else _activated(state, rollout)


def _stopped(state: State, rollout: Rollout) -> State | str:
    revision = rollout.revision
    settled = _settled(state, revision)
    if state.canary is not None and state.canary.revision == revision:
        return replace(settled, canary=None)
    return settled if settled != state else "it is no canary, no shadow and no proposal"


def _rolled_back(state: State, rollout: Rollout) -> State | str:
    revision = rollout.revision
    if revision not in state.history:
        return "it was not in force before the one that is"
    at = len(state.history) - 1 - state.history[::-1].index(revision)
    return replace(_settled(state, revision), revision=revision, canary=None, history=state.history[:at], retired=False)


def _retired(state: State, rollout: Rollout) -> State | str:
    if state.revision != rollout.revision:
        return "it is not in force"
    return replace(state, revision="", canary=None, history=(*state.history, rollout.revision), retired=True)


_TAKEN: dict[Step, Callable[[State, Rollout], State | str]] = {
    Step.ACTIVATE: _activated,
    Step.CANARY: _canaried,
    Step.SHADOW: _shadowed,
    Step.STOP: _stopped,
    Step.ROLLBACK: _rolled_back,
    Step.PROPOSE: _proposed,
    Step.APPROVE: _approved,
    Step.RETIRE: _retired,
}
