"""Takes the steps of a review: each is an entry, refused in its own transaction when the log says that it may not be.

Every function raises QueryError for a decision that is not there, RefusedError with the reason for a step that may not be taken
(`audit.review`), and LedgerError. `tenant`: whose the decision has to be; empty for anybody's.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from sqlalchemy import Connection, Engine

from audit.body import time_string
from audit.events import APPEAL, FEEDBACK, OVERRIDE, REVIEW, Event
from audit.review import (
    APPEALS,
    CLAIM,
    DECIDE,
    FEEDBACKS,
    FILE,
    GIVE_BACK,
    QUALITY,
    SAMPLE,
    Phase,
    State,
    Step,
    advance,
    turns,
)
from audit.review_codes import CODES, FEEDBACK_CODES, OUTCOMES
from audit.review_queue import Case, case, state_of
from guard.errors import InputError, RefusedError

LEASE = timedelta(minutes=30)
"""How long a claim holds unless it says otherwise."""


class Recorder(Protocol):
    """The ledger, as far as reviews need it."""

    @property
    def reader(self) -> Engine:
        """For reading it."""

    def record_sync(self, event: Event, /, unless: Callable[[Connection], str] | None = None) -> int:
        """Record an event, unless a reason is found in its transaction; return its index."""


@dataclass(frozen=True, slots=True)
class Taken:
    """A step that was recorded, and how the decision stands after it."""

    index: int
    case: Case

    @property
    def state(self) -> State:
        """How it stands."""
        return self.case.state


def claim(ledger: Recorder, decision: str, actor: str, lease: timedelta = LEASE, *, tenant: str = "") -> Taken:
    """Take a decision for oneself, or go on having it; nobody else may decide until the lease ends."""
    now = datetime.now(UTC)
    fields = {"step": CLAIM, "lease": time_string(now + lease)}
    return _take(ledger, decision, tenant, actor, lambda _: (REVIEW, fields), time=now)


def release_claim(ledger: Recorder, decision: str, actor: str, *, tenant: str = "") -> Taken:
    """Give a claimed decision back to the queue."""
    return _take(ledger, decision, tenant, actor, lambda _: (REVIEW, {"step": GIVE_BACK}))


def decide(
    ledger: Recorder,
    decision: str,
    actor: str,
    outcome: str,
    code: str,
    reason: str = "",
    *,
    second: Collection[str] = (),
    tenant: str = "",
) -> Taken:
    """Say what becomes of a claimed decision. `second`: rules and categories that take two persons.

    Of an appeal a reason has to be given. Raises InputError for an outcome or a code that is none.
    """
    _one_of("outcome", outcome, OUTCOMES)
    _one_of("code", code, CODES)

    def fields(found: Case) -> tuple[str, dict[str, Any]]:
        state = found.state
        appealed = state.phase is Phase.APPEALED
        twice = not appealed and bool({*found.rules, *found.categories} & set(second))
        rounds = state.rounds if state.said else max(state.rounds, 2 if twice else 1)
        number = len(state.said) + 1
        said = {"step": DECIDE, "outcome": outcome, "code": code, "round": number, "rounds": rounds}
        return (APPEAL if appealed else REVIEW), said

    return _take(ledger, decision, tenant, actor, fields, reason)


def appeal(ledger: Recorder, decision: str, actor: str, reason: str, *, tenant: str = "") -> Taken:
    """Ask that somebody else looks at what was decided, by persons or by rules alone."""
    return _take(ledger, decision, tenant, actor, lambda _: (APPEAL, {"step": FILE, "queue": APPEALS}), reason)


def overrule(ledger: Recorder, decision: str, actor: str, outcome: str, reason: str, *, tenant: str = "") -> Taken:
    """Set aside what somebody else decided. Raises InputError for an outcome that is none."""
    _one_of("outcome", outcome, OUTCOMES)
    return _take(ledger, decision, tenant, actor, lambda _: (OVERRIDE, {"outcome": outcome}), reason)


def undo(ledger: Recorder, decision: str, actor: str, reason: str, *, tenant: str = "") -> Taken:
    """Take one's own latest step back: it stands as before, unclaimed."""

    def fields(found: Case) -> tuple[str, dict[str, Any]]:
        if not found.state.last:
            raise RefusedError("nothing was decided that could be undone")
        return OVERRIDE, {"undoes": found.state.last, "queue": found.state.before.queue if found.state.before else ""}

    return _take(ledger, decision, tenant, actor, fields, reason)


def feedback(ledger: Recorder, decision: str, actor: str, code: str, comment: str = "", *, tenant: str = "") -> Taken:
    """Record what a caller says of a decision; it waits for a person from then on."""
    _one_of("code", code, FEEDBACK_CODES)
    return _take(ledger, decision, tenant, actor, lambda _: (FEEDBACK, {"code": code, "queue": FEEDBACKS}), comment)


def sample(ledger: Recorder, decision: str, actor: str, *, persons: int = 1, tenant: str = "") -> Taken:
    """Let persons look at a decision for quality control, 1 or 2 of them."""
    return _take(ledger, decision, tenant, actor, lambda _: (REVIEW, {"step": SAMPLE, "queue": QUALITY, "rounds": persons}))


def _one_of(what: str, found: str, known: Collection[str]) -> None:
    if found not in known:
        raise InputError(f"found the {what} {found[:40]!r}, expected one of: {', '.join(known)}")


def _take(
    ledger: Recorder,
    decision: str,
    tenant: str,
    actor: str,
    make: Callable[[Case], tuple[str, Mapping[str, Any]]],
    reason: str = "",
    *,
    time: datetime | None = None,
) -> Taken:
    found, actor = case(ledger.reader, decision, tenant=tenant), actor.strip()
    subject, now = found.state.subject, time or datetime.now(UTC)
    kind, given = make(found)
    fields = {**given, **turns(found.state, Step(0, kind, actor, now, given, reason))}
    if not reason.strip() and kind in {APPEAL, OVERRIDE}:
        raise InputError("found no reason, expected one", advice="Say why: it is recorded.")
    event = Event(kind, actor, fields, subject.decision, reason, subject.tenant, subject.person, now)
    step = Step(0, kind, actor, now, {name: value for name, value in fields.items() if value}, reason)

    def refused(connection: Connection) -> str:
        after = advance(state_of(connection, subject.decision), step)
        return after if isinstance(after, str) else ""

    index = ledger.record_sync(event, unless=refused)
    return Taken(index, case(ledger.reader, subject.decision))
