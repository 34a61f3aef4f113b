"""Reads the steps of policies' rollouts, read-only: what services follow, and what a rollout's commands begin with."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import Engine, select

from audit.body import ACTIVATION, DECISION, rollout_from
from audit.canonical import loads
from audit.models import is_fact, tables
from audit.projected import ROLLOUT
from audit.query import reading
from guard.errors import LedgerError
from guard.types import Rollout

_ENTRY, _TERM, _, _, _, _ = tables()


def rollouts(source: str | Engine, *, after: int = -1) -> list[tuple[int, Rollout]]:
    """Steps with an index greater than `after`, in order. `source`: a ledger URL, or an engine of `Store.reader`.

    Costs a look into the index of terms while there is nothing new. Raises LedgerError when the ledger cannot be read.
    """
    # `+ 0` keeps SQLite to the index on names, under which there are few: by index it would walk over all terms since.
    wanted = select(_TERM.c.idx).where(is_fact(_TERM), _TERM.c.name == ROLLOUT, _TERM.c.idx + 0 > after)
    found = select(_ENTRY.c.idx, _ENTRY.c.body).where(_ENTRY.c.idx.in_(wanted)).order_by(_ENTRY.c.idx)
    with reading(source) as connection:
        rows = connection.execute(found).all()
    return [(idx, _step(idx, body)) for idx, body in rows]


def documents(source: str | Engine, revisions: Iterable[str]) -> dict[str, str]:
    """The policy documents of revisions, as far as the ledger has them. Raises LedgerError when it cannot be read."""
    found = select(_ENTRY.c.revision, _ENTRY.c.body).where(_ENTRY.c.kind == ACTIVATION, _ENTRY.c.revision.in_(set(revisions)))
    with reading(source) as connection:
        rows = connection.execute(found).all()
    return {revision: str(loads(body)["document"]) for revision, body in rows}


def last_revision(source: str | Engine, policy: str) -> str:
    """The revision of a policy that the latest decision was made under; empty when there is none."""
    judged = select(_ENTRY.c.revision).where(_ENTRY.c.policy == policy, _ENTRY.c.kind == DECISION)
    with reading(source) as connection:
        return connection.execute(judged.order_by(_ENTRY.c.idx.desc()).limit(1)).scalar_one_or_none() or ""


def _step(idx: int, body: bytes | None) -> Rollout:
    if body is None:
        raise LedgerError(f"entry {idx} has no body", advice="Run `genguard audit verify`.")
    return rollout_from(loads(body))
