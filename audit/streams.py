"""Outputs that began to leave and have no decision: what a crash leaves behind, and what is still on its way."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Engine, exists, select

from audit.body import DECISION
from audit.canonical import loads
from audit.events import OPENED, STREAM, event_from
from audit.models import is_fact, tables
from audit.query import reading

_ENTRY, _TERM, *_ = tables()


@dataclass(frozen=True, slots=True)
class Unfinished:
    """One output, as its entry names it."""

    idx: int
    time: str
    decision: str
    """The id that its decision would have had."""
    prompt: str
    """Id of the decision on the prompt."""
    request: str
    tenant: str
    subject: str
    generator: str
    choice: int
    policy: str
    revision: str


def unfinished(source: str | Engine) -> list[Unfinished]:
    """Outputs without a decision, oldest first. Raises LedgerError when the ledger cannot be read."""
    decided = _ENTRY.alias()
    wanted = (
        select(_ENTRY.c.idx, _ENTRY.c.time, _ENTRY.c.body)
        .join(_TERM, _TERM.c.idx == _ENTRY.c.idx)
        .where(_ENTRY.c.kind == STREAM, is_fact(_TERM), _TERM.c.name == OPENED, _ENTRY.c.body.is_not(None))
        .where(~exists().where(decided.c.kind == DECISION, decided.c.decision == _TERM.c.value))
        .order_by(_ENTRY.c.idx)
    )
    with reading(source) as connection:
        return [_unfinished(idx, time, body) for idx, time, body in connection.execute(wanted)]


def _unfinished(idx: int, time: str, body: bytes) -> Unfinished:
    event = event_from(loads(body))
    told = {name: str(event.fields.get(name, "")) for name in ("request", "generator", "policy", "revision")}
    choice = int(str(event.fields.get("choice", 0)))
    decision = str(event.fields[OPENED])
    return Unfinished(idx, time, decision, event.about, tenant=event.tenant, subject=event.subject, choice=choice, **told)
