"""Quality control: a sample of automatic decisions for persons to look at, and how far persons agree.

The sample is drawn by a hash of the decision's id: whoever draws it again, anywhere, draws the same, and nobody can choose.
Agreement is Cohen's kappa: (p_o - p_e) / (1 - p_e), where p_o is the share of decisions on which two persons said the same and
p_e the share on which they would by chance, from how often the first and the second ones say each (J. Cohen, A coefficient of
agreement for nominal scales, Educational and Psychological Measurement 20, 1960, 37-46).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256

from sqlalchemy import Connection, Engine, select

from audit.body import DECISION, time_string
from audit.canonical import loads
from audit.models import tables
from audit.query import reading
from audit.review import State, Step, Subject, advance, begin
from audit.review_queue import histories
from guard.errors import InputError
from guard.types import Action

_ENTRY, _, _, _, _, _ = tables()
_LABEL = b"genguard/v1/sample\x00"


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far the first and the second persons agree."""

    table: Mapping[tuple[str, str], int]
    """How many decisions by what the first and what the second person said."""

    @property
    def pairs(self) -> int:
        """Decisions that two persons looked at."""
        return sum(self.table.values())

    @property
    def observed(self) -> float | None:
        """Share on which they said the same; None for no pairs."""
        return sum(count for (one, other), count in self.table.items() if one == other) / self.pairs if self.pairs else None

    @property
    def kappa(self) -> float | None:
        """Cohen's kappa, at most 1; None where it is not defined: no pairs, or everybody always said one thing."""
        observed, pairs = self.observed, self.pairs
        if observed is None:
            return None
        first: Counter[str] = Counter()
        second: Counter[str] = Counter()
        for (one, other), count in self.table.items():
            first[one] += count
            second[other] += count
        agreeing = sum(first[name] * second[name] for name in first)
        if agreeing == pairs * pairs:
            return None
        expected = agreeing / (pairs * pairs)
        return (observed - expected) / (1 - expected)


def drawn(decision: str, rate: float) -> bool:
    """Whether a decision is in the sample of this share, more than 0 to 1. One of a smaller share is in every larger one."""
    number = int.from_bytes(sha256(_LABEL + decision.encode()).digest()[:8], "big")
    return number < rate * 2**64


def candidates(source: str | Engine, rate: float, since: datetime, *, tenant: str = "") -> list[str]:
    """Ids of the automatic decisions since then that are drawn and that nobody was asked about, oldest first.

    Raises InputError for a rate out of range, LedgerError when the ledger cannot be read.
    """
    if not 0 < rate <= 1:
        raise InputError(f"found the rate {rate:g}, expected more than 0 and at most 1")
    wanted = select(_ENTRY.c.idx, _ENTRY.c.decision).where(_ENTRY.c.kind == DECISION, _ENTRY.c.time >= time_string(since))
    wanted = wanted.where(_ENTRY.c.action != Action.REVIEW.value)
    if tenant:
        wanted = wanted.where(_ENTRY.c.tenant == tenant)
    with reading(source) as connection:
        found = {idx: one for idx, one in connection.execute(wanted.order_by(_ENTRY.c.idx)) if drawn(one, rate)}
        persons = {idx for idx in found if _by_person(connection, idx)}
    asked = {subject.decision for subject, steps in histories(source, found.values()) if steps}
    return [one for idx, one in found.items() if idx not in persons and one not in asked]


def _by_person(connection: Connection, idx: int) -> bool:
    body = connection.execute(select(_ENTRY.c.body).where(_ENTRY.c.idx == idx)).scalar_one()
    return body is None or "reviewed" in loads(body)


def agreement(source: str | Engine, *, queue: str = "", tenant: str = "") -> Agreement:
    """How far two persons agree who decided on the same decision without having seen the other's result.

    `queue`: only what they decided on in this queue, such as `quality`. What was undone does not count, and appeals do not:
    who appeals has chosen the decision. Raises LedgerError when the ledger cannot be read.
    """
    table: Counter[tuple[str, str]] = Counter()
    for subject, steps in histories(source):
        if not tenant or subject.tenant == tenant:
            table.update(_pairs(subject, steps, queue))
    return Agreement(dict(table))


def _pairs(subject: Subject, steps: Sequence[Step], queue: str) -> Iterator[tuple[str, str]]:
    found: dict[int, tuple[str, str]] = {}
    for state, step in _walk(subject, steps):
        found.pop(step.fields.get("undoes", 0), None)
        if state.last == step.idx and len(state.said) == 2 and queue in {"", state.queue}:
            found[step.idx] = (state.said[0].outcome, state.said[1].outcome)
    yield from found.values()


def _walk(subject: Subject, steps: Iterable[Step]) -> Iterator[tuple[State, Step]]:
    state = begin(subject)
    for step in steps:
        after = advance(state, step)
        if isinstance(after, State):
            state = after
            yield state, step
