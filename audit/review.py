"""How a decision stands with the persons who look at it: folded from its entries in the log's order, without a clock.

    held ─> waiting ─ claim, decide ─> [second] ─ claim, decide ─> decided ─ appeal ─> appealed ─ claim, decide ─> decided

A decision that was held waits from the beginning; any other one waits once feedback, a sample or an appeal opens it. What the
log may not say is refused before it is recorded (`audit.review_steps`), with the same function that the fold uses: a step
counts at the time that it bears, so that whoever folds the log later comes to the same state.

Who asked for an output never decides on it; who decided is barred from whatever follows, until they undo it themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from audit.body import time_from
from audit.events import APPEAL, FEEDBACK, OVERRIDE, REVIEW
from audit.review_codes import CODES, OUTCOMES, RELEASE, WITHHOLD

CLAIM, GIVE_BACK, DECIDE, SAMPLE, FILE = "claim", "release", "decide", "sample", "file"
"""Values of `step`: of a review the first four, of an appeal `file` and `decide`."""
RELEASED = "released"
"""Kind of the step that a decision takes which releases what was held."""
MAX_LEASE = timedelta(hours=8)
MAX_ROUNDS = 2
HELD, FEEDBACKS, QUALITY, APPEALS = "held", "feedback", "quality", "appeal"
"""Queues: by what made a decision wait."""


class Phase(StrEnum):
    """Where a decision stands."""

    AUTOMATIC = "automatic"
    """Nobody was asked."""
    WAITING = "waiting"
    SECOND = "second"
    """One person has decided, and somebody else has to."""
    DECIDED = "decided"
    APPEALED = "appealed"

    @property
    def open(self) -> bool:
        """Whether it waits for somebody."""
        return self in {Phase.WAITING, Phase.SECOND, Phase.APPEALED}


@dataclass(frozen=True, slots=True)
class Subject:
    """The decision that is looked at, as far as it matters who may do what."""

    decision: str
    idx: int
    time: datetime
    held: bool
    """Whether its output waits for a person: no other output leaves by a review."""
    asker: str
    """Who made the call that it answers."""
    tenant: str = ""
    person: str = ""
    """Whose data it is."""


@dataclass(frozen=True, slots=True)
class Step:
    """One entry about a decision."""

    idx: int
    kind: str
    actor: str
    time: datetime
    fields: Mapping[str, Any] = field(default_factory=dict)
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Said:
    """What one person decided."""

    idx: int
    actor: str
    outcome: str
    code: str


@dataclass(frozen=True, slots=True)
class State:
    """How a decision stands."""

    subject: Subject
    phase: Phase
    since: datetime
    """When it began to wait; for one that does not, when it was last changed."""
    queue: str = ""
    rounds: int = 1
    """How many persons have to decide."""
    said: tuple[Said, ...] = ()
    """What was decided since it was last opened, in order."""
    outcome: str = ""
    """`release` or `withhold`; empty until it is decided."""
    holder: str = ""
    lease: datetime | None = None
    barred: tuple[str, ...] = ()
    """Who may not decide on it any more."""
    appealed: bool = False
    released: str = ""
    """The decision that released the output."""
    last: int = 0
    """The step that `undo` would take back, by its index; 0 for none."""
    before: State | None = field(default=None, repr=False)
    """How it stood before that step."""
    void: tuple[tuple[int, str], ...] = ()
    """Entries without effect, with the reason. A ledger of ours records none."""

    def claimed(self, now: datetime) -> bool:
        """Whether somebody has it."""
        return bool(self.holder) and self.lease is not None and self.lease > now

    @property
    def leaves(self) -> bool:
        """Whether the output may leave."""
        ready = self.phase is Phase.DECIDED or bool(self.released)
        return self.subject.held and self.outcome == RELEASE and ready


def begin(subject: Subject) -> State:
    """How a decision stands before anybody looked at it."""
    phase = Phase.WAITING if subject.held else Phase.AUTOMATIC
    return State(subject, phase, subject.time, HELD if subject.held else "")


def fold(subject: Subject, steps: Iterable[Step]) -> State:
    """How it stands after these entries, in order."""
    state = begin(subject)
    for step in steps:
        after = advance(state, step)
        state = replace(state, void=(*state.void, (step.idx, after))) if isinstance(after, str) else after
    return state


def advance(state: State, step: Step) -> State | str:
    """How it stands after one step, or why the step may not be taken. Pure: the time is the step's."""
    take = _STEPS.get((step.kind, step.fields.get("step", "")))
    if take is None:
        return f"expected a step of a review, found {step.kind} {step.fields.get('step', '')!r}"
    after = take(state, step)
    if isinstance(after, str):
        return after
    idx = state.subject.idx
    turned = {
        "opens": idx if after.phase.open and not state.phase.open else 0,
        "closes": idx if state.phase.open and not after.phase.open else 0,
    }
    if step.kind != RELEASED and any(step.fields.get(name, 0) != value for name, value in turned.items()):
        return "somebody was faster, and now it stands otherwise: look at it again"
    return replace(after, void=state.void)


def turns(state: State, step: Step) -> dict[str, Any]:
    """The fields `opens` and `closes` of a step that is about to be taken: by these queues find what waits."""
    take = _STEPS.get((step.kind, step.fields.get("step", "")))
    after = take(state, step) if take else ""
    if isinstance(after, str) or after.phase.open is state.phase.open:
        return {}
    return {"opens" if after.phase.open else "closes": state.subject.idx}


def same(one: str, other: str) -> bool:
    """Whether two names are one person's."""
    return one.strip().casefold() == other.strip().casefold()


# --- one step each -----------------------------------------------------------------------------------------------------


def _claim(state: State, step: Step) -> State | str:
    if why := _not_theirs(state, step):
        return why
    try:
        until = time_from(str(step.fields.get("lease", "")))
        good = step.time < until <= step.time + MAX_LEASE
    except (ValueError, TypeError):
        return "found a lease that is no time, expected its end"
    if not good:
        return f"expected a lease that ends within {MAX_LEASE.seconds // 3600} hours"
    return replace(state, holder=step.actor, lease=until)


def _give_back(state: State, step: Step) -> State | str:
    if not state.phase.open or not same(state.holder, step.actor):
        return f"{step.actor} has not claimed it"
    return replace(state, holder="", lease=None)


def _decide(state: State, step: Step) -> State | str:
    if (step.kind == APPEAL) is not (state.phase is Phase.APPEALED) and state.phase.open:
        return "somebody was faster, and now it stands otherwise: look at it again"
    if why := _not_theirs(state, step) or _not_held(state, step) or _no_answer(step):
        return why
    rounds, number = step.fields.get("rounds", 1), step.fields.get("round", 1)
    fits = number == len(state.said) + 1 and state.rounds <= rounds <= MAX_ROUNDS and (number == 1 or rounds == state.rounds)
    if not fits:
        return "somebody was faster, and now it stands otherwise: look at it again"
    said = (*state.said, Said(step.idx, step.actor, step.fields["outcome"], step.fields["code"]))
    done = number >= rounds
    agreed = RELEASE if all(one.outcome == RELEASE for one in said) else WITHHOLD
    return _done(
        state,
        step,
        phase=Phase.DECIDED if done else Phase.SECOND,
        since=step.time if done else state.since,
        rounds=rounds,
        said=said,
        outcome=agreed if done else state.outcome,
        released=state.released if not done or agreed == state.outcome else "",
    )


def _appeal(state: State, step: Step) -> State | str:
    if state.phase.open:
        return "nothing is decided yet that could be appealed"
    if state.appealed:
        return "an appeal was decided already: it can be overruled, not appealed again"
    if _is_barred(state, step.actor):
        return f"{step.actor} decided it: undo it instead"
    if not step.reason.strip():
        return "expected a reason"
    opened = {"said": (), "queue": APPEALS, "appealed": True}  # what took two persons takes two again
    return _done(state, step, phase=Phase.APPEALED, since=step.time, **opened)


def _overrule(state: State, step: Step) -> State | str:
    if step.fields.get("undoes"):
        return _undo(state, step)
    outcome = str(step.fields.get("outcome", ""))
    return _no_overrule(state, step, outcome) or _done(state, step, since=step.time, outcome=outcome, released="")


def _no_overrule(state: State, step: Step, outcome: str) -> str:
    """Why what was decided is not turned round."""
    if state.phase is not Phase.DECIDED:
        return "nothing is decided that could be overruled"
    if _is_barred(state, step.actor):
        return f"{step.actor} decided or appealed it: somebody else may overrule"
    if same(state.subject.asker, step.actor):
        return f"{step.actor} asked for this output, expected somebody else to decide"
    if outcome not in OUTCOMES or outcome == state.outcome:
        return f"expected the contrary of what was decided, which is {state.outcome}"
    if outcome == RELEASE and state.rounds > 1:
        return f"{state.rounds} persons have to release it, expected an appeal: one alone may only withhold"
    return ""


def _undo(state: State, step: Step) -> State | str:
    if not state.last or state.before is None or step.fields["undoes"] != state.last:
        return f"step {step.fields['undoes']} is not the latest that could be undone"
    if not same(state.barred[-1], step.actor):
        return f"{state.barred[-1]} took this step: somebody else may overrule it, not undo it"
    return replace(state.before, holder="", lease=None)


def _open(queue: str) -> Callable[[State, Step], State | str]:
    def opened(state: State, step: Step) -> State | str:
        if state.phase.open:
            return state  # it waits already
        rounds = step.fields.get("rounds", 1)
        if not 1 <= rounds <= MAX_ROUNDS:
            return f"expected 1 to {MAX_ROUNDS} persons"
        nobody: dict[str, Any] = {"said": (), "holder": "", "lease": None, "last": 0, "before": None}
        return replace(state, phase=Phase.WAITING, since=step.time, queue=queue, rounds=rounds, **nobody)

    return opened


def _released(state: State, step: Step) -> State | str:
    if not state.leaves or state.released:
        return "nobody decided that it may leave" if not state.leaves else "it was released already"
    return replace(state, released=str(step.fields[RELEASED]))


_STEPS: Mapping[tuple[str, str], Callable[[State, Step], State | str]] = {
    (REVIEW, CLAIM): _claim,
    (REVIEW, GIVE_BACK): _give_back,
    (REVIEW, DECIDE): _decide,
    (APPEAL, DECIDE): _decide,
    (REVIEW, SAMPLE): _open(QUALITY),
    (APPEAL, FILE): _appeal,
    (OVERRIDE, ""): _overrule,
    (FEEDBACK, ""): _open(FEEDBACKS),
    (RELEASED, ""): _released,
}


def _done(state: State, step: Step, **changed: Any) -> State:
    """After a step that can be undone, and that bars who took it from what follows."""
    kept = {"holder": "", "lease": None, "barred": (*state.barred, step.actor), "last": step.idx, "before": state}
    return replace(state, **{**kept, **changed})


def _not_theirs(state: State, step: Step) -> str:
    """Why somebody may not decide on it now, claimed or not."""
    if not state.phase.open:
        return f"nothing waits for anybody: it is {state.phase.value}" + (f", {state.outcome}" if state.outcome else "")
    if same(state.subject.asker, step.actor):
        return f"{step.actor} asked for this output, expected somebody else to decide"
    if _is_barred(state, step.actor):
        return f"{step.actor} decided or appealed it before, expected somebody else"
    if state.claimed(step.time) and not same(state.holder, step.actor):
        return f"{state.holder} has it until {state.lease:%Y-%m-%d %H:%M:%S} UTC"
    return ""


def _not_held(state: State, step: Step) -> str:
    if not same(state.holder, step.actor):
        return f"{step.actor} has not claimed it"
    return "" if state.claimed(step.time) else f"the lease of {step.actor} ended at {state.lease:%Y-%m-%d %H:%M:%S} UTC"


def _no_answer(step: Step) -> str:
    if step.fields.get("outcome") not in OUTCOMES:
        return f"found the outcome {step.fields.get('outcome', '')!r}, expected {' or '.join(OUTCOMES)}"
    if step.fields.get("code") not in CODES:
        return f"found the code {step.fields.get('code', '')!r}, expected one of: {', '.join(CODES)}"
    return "expected a reason with the code 'other'" if step.fields["code"] == "other" and not step.reason.strip() else ""


def _is_barred(state: State, actor: str) -> bool:
    return any(same(one, actor) for one in state.barred)
