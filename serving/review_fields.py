"""Reviews as plain fields, the same over HTTP and at the terminal."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from audit.body import time_string
from audit.review import State
from audit.review_queue import Case
from audit.review_steps import Taken


def case_fields(found: Case, sla: timedelta, now: datetime) -> dict[str, Any]:
    """A decision and how it stands. Times are RFC 3339 in UTC, `age` is in seconds; neither names nor quotes a content."""
    state = found.state
    subject = state.subject
    fields: dict[str, Any] = {
        "decision": subject.decision,
        "index": subject.idx,
        "tenant": subject.tenant,
        "held": subject.held,
        "action": found.action,
        "policy": found.policy,
        "rules": list(found.rules),
        "categories": list(found.categories),
        "stage": found.stage,
        "modality": found.modality,
        "generator": found.generator,
        **_standing(state),
    }
    if state.phase.open:
        due = state.since + sla
        fields |= {"age": int((now - state.since).total_seconds()), "due": time_string(due), "overdue": due <= now}
        if state.claimed(now) and state.lease is not None:
            fields["claimed"] = {"by": state.holder, "until": time_string(state.lease)}
    return fields


def taken_fields(taken: Taken, sla: timedelta, now: datetime) -> dict[str, Any]:
    """A step that was recorded, and how the decision stands after it."""
    return {"entry": taken.index, "review": case_fields(taken.case, sla, now)}


def _standing(state: State) -> dict[str, Any]:
    said = [{"entry": one.idx, "by": one.actor, "outcome": one.outcome, "code": one.code} for one in state.said]
    return {
        "state": state.phase.value,
        "queue": state.queue,
        "since": time_string(state.since),
        "outcome": state.outcome,
        "persons": state.rounds,
        "said": said,
        "appealed": state.appealed,
        "released_by": state.released,
    }
