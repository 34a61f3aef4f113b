"""Reads reviews, read-only: how one decision stands, and what waits for a person, oldest first.

What waits is found by two walks over indexes alone, however much was decided before: decisions that were held and that no step
closed, and decisions whose latest step that opened them comes after the latest that closed them (terms `opens` and `closes`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Connection, Engine, Select, Text, cast, exists, func, select

from audit.body import DECISION, time_from
from audit.canonical import loads
from audit.events import APPEAL, FEEDBACK, OVERRIDE, REVIEW
from audit.grammar import QueryError
from audit.models import is_fact, tables
from audit.query import find_row, reading
from audit.review import APPEALS, FEEDBACKS, HELD, QUALITY, RELEASED, State, Step, Subject, fold
from guard.errors import LedgerError
from guard.types import Action

MAX_LIMIT = 500
CLOSES, OPENS, QUEUE = "closes", "opens", "queue"
QUEUES = (HELD, FEEDBACKS, QUALITY, APPEALS)
"""Queues by what made a decision wait; `category:NAME` and `policy:NAME` are queues, too."""

_Condition = Callable[[ColumnElement[Any]], ColumnElement[bool]]
_ENTRY, _TERM, _, _, _, _ = tables()
_STEPS = (REVIEW, APPEAL, OVERRIDE, FEEDBACK)


@dataclass(frozen=True, slots=True)
class Case:
    """A decision and how it stands."""

    state: State
    action: str
    policy: str
    categories: tuple[str, ...]
    rules: tuple[str, ...]
    stage: str
    modality: str
    generator: str


@dataclass(frozen=True, slots=True)
class Cases:
    """Some of what waits, oldest first. `next` goes into `after`; None at the end."""

    cases: tuple[Case, ...]
    next: int | None


def case(source: str | Engine, reference: str, *, tenant: str = "") -> Case:
    """How one decision stands, by its id or the beginning of one. `tenant`: whose it has to be.

    Raises QueryError when there is no such decision, LedgerError when the ledger cannot be read.
    """
    with reading(source) as connection:
        row = find_row(connection, reference)
        if row["kind"] != DECISION or (tenant and row["tenant"] != tenant):
            raise QueryError(f"no decision {reference[:60]!r}", advice="Give a decision id, at least its beginning.")
        return _cases(connection, [row["idx"]])[0]


def state_of(connection: Connection, decision: str) -> State:
    """How a decision stands, in a transaction. Raises QueryError when there is no such decision."""
    row = connection.execute(select(_ENTRY.c.idx).where(_ENTRY.c.decision == decision)).one_or_none()
    if row is None:
        raise QueryError(f"no decision {decision!r}")
    return _cases(connection, [row.idx])[0].state


def waiting(
    source: str | Engine, queue: str = "", *, tenant: str = "", limit: int = 50, after: int = -1, state: str = ""
) -> Cases:
    """What waits for a person, oldest first.

    `queue`: `held`, `feedback`, `quality`, `appeal`, `category:NAME`, `policy:NAME`; empty for all. `after`: only
    decisions of a larger index. `state`: `waiting`, `second` or `appealed` alone: a page then has fewer. Raises QueryError for
    another queue, LedgerError.
    """
    if not 1 <= limit <= MAX_LIMIT:
        raise QueryError(f"limit is {limit}, expected 1 to {MAX_LIMIT}")
    with reading(source) as connection:
        found = _open(connection, queue, tenant, limit + 1, after)
        cases = _cases(connection, found[:limit])
    kept = tuple(one for one in cases if one.state.phase.open and state in {"", one.state.phase.value})
    return Cases(kept, found[limit - 1] if len(found) > limit else None)


def count(source: str | Engine, queue: str = "", *, tenant: str = "") -> int:
    """How many wait. Raises as `waiting` does."""
    with reading(source) as connection:  # no decision is in both: a held one is opened only after it was closed
        found = [select(func.count()).select_from(one.subquery()) for one in _waiting(queue, tenant)]
        return sum(connection.execute(one).scalar_one() for one in found)


def histories(source: str | Engine, decisions: Iterable[str] | None = None) -> list[tuple[Subject, list[Step]]]:
    """Decisions with the steps that were taken about each, in order; all that persons looked at when none are named."""
    with reading(source) as connection:
        if decisions is None:
            stepped = select(_TERM.c.idx).where(is_fact(_TERM), _TERM.c.name == "step")
            looked = select(_ENTRY.c.parent).where(_ENTRY.c.idx.in_(stepped))
            wanted = list(connection.execute(looked.where(_ENTRY.c.kind.in_(_STEPS)).distinct()).scalars())
        else:
            wanted = list(decisions)
        found: list[tuple[Subject, list[Step]]] = []
        for start in range(0, len(wanted), MAX_LIMIT):
            part = wanted[start : start + MAX_LIMIT]
            steps = _steps(connection, part)
            rows = connection.execute(select(_ENTRY).where(_ENTRY.c.decision.in_(part)).order_by(_ENTRY.c.idx)).mappings()
            found += [(_subject(dict(row)), steps.get(row["decision"], [])) for row in rows]
    return found


def followers(source: str | Engine, decision: str) -> list[Step]:
    """What followed a decision, of every kind, in order."""
    with reading(source) as connection:
        found = select(_ENTRY.c.idx, _ENTRY.c.body).where(_ENTRY.c.parent == decision).order_by(_ENTRY.c.idx)
        rows = connection.execute(found).all()
    return [_step(row.idx, loads(row.body)) for row in rows if row.body is not None]


# --- what waits --------------------------------------------------------------------------------------------------------


def _open(connection: Connection, queue: str, tenant: str, limit: int, after: int) -> list[int]:
    """Indices of decisions that wait, smallest first."""
    found: set[int] = set()
    for statement in _waiting(queue, tenant):
        idx = statement.selected_columns[0]
        found |= set(connection.execute(statement.where(idx > after).order_by(idx).limit(limit)).scalars())
    return sorted(found)[:limit]


def _waiting(queue: str, tenant: str) -> list[Select[Any]]:
    """Selects the indices of what waits, in two parts that have none in common."""
    kind, _, name = queue.partition(":")
    about = kind in {"category", "policy"} and bool(name)
    if queue and queue not in QUEUES and not about:
        named = ", ".join((*QUEUES, "category:NAME", "policy:NAME"))
        raise QueryError(f"unknown queue {queue[:60]!r}", advice=f"Queues are: {named}.")
    parts = [
        *([_held()] if queue in {"", HELD} or about else []),
        *([_opened("" if about else queue)] if queue != HELD else []),
    ]
    narrow = _narrow(kind if about else "", name, tenant)
    return [part.where(*(condition(part.selected_columns[0]) for condition in narrow)) for part in parts]


def _held() -> Select[Any]:
    """Held decisions that no step closed. `action` holds the index: with the table's key it covers all that is read."""
    closed = exists().where(is_fact(_TERM), _TERM.c.name == CLOSES, _TERM.c.value == cast(_ENTRY.c.idx, Text))
    return select(_ENTRY.c.idx).where(_ENTRY.c.action == Action.REVIEW.value, ~closed)


def _opened(queue: str) -> Select[Any]:
    """Decisions that a step opened and no later one closed."""
    latest = (
        select(cast(_TERM.c.value, BigInteger).label("idx"), _TERM.c.value, func.max(_TERM.c.idx).label("step"))
        .where(is_fact(_TERM), _TERM.c.name == OPENS)
        .group_by(_TERM.c.value)
        .subquery()
    )
    closing, queued = _TERM.alias(), _TERM.alias()
    same = (is_fact(closing), closing.c.name == CLOSES, closing.c.value == latest.c.value)
    closed = exists().where(*same, closing.c.idx > latest.c.step)
    kept = _ENTRY.alias()  # retention may have dropped what was opened
    there = exists().where(kept.c.idx == latest.c.idx, kept.c.decision.is_not(None))
    found = select(latest.c.idx).where(~closed, there)
    if queue:
        named = exists().where(queued.c.idx == latest.c.step, queued.c.name == QUEUE, queued.c.value == queue)
        found = found.where(named)
    return found


def _narrow(kind: str, name: str, tenant: str) -> list[_Condition]:
    """Looks at each that waits, by its key: through an index on tenants it would walk over all that ever was decided."""
    term, entry = _TERM.alias(), _ENTRY.alias()
    conditions: list[_Condition] = []
    if kind == "category":
        conditions.append(lambda idx: exists().where(term.c.idx == idx, term.c.name == "category", term.c.value == name))
    columns = {"policy": name if kind == "policy" else "", "tenant": tenant}
    wanted = [entry.c[column] == value for column, value in columns.items() if value]
    if wanted:
        conditions.append(lambda idx: exists().where(entry.c.idx == idx, *wanted))
    return conditions


# --- how decisions stand -----------------------------------------------------------------------------------------------


def _cases(connection: Connection, indices: Sequence[int]) -> list[Case]:
    """Some decisions with all that followed each; three statements however many there are."""
    rows = connection.execute(select(_ENTRY).where(_ENTRY.c.idx.in_(indices)).order_by(_ENTRY.c.idx)).mappings().all()
    steps = _steps(connection, [row["decision"] for row in rows])
    terms: dict[tuple[int, str], tuple[str, ...]] = {}
    facts = select(_TERM).where(_TERM.c.idx.in_(indices), _TERM.c.name.in_(["category", "rule"]))
    for idx, name, value in connection.execute(facts.order_by(_TERM.c.idx, _TERM.c.name, _TERM.c.value)):
        terms[idx, name] = (*terms.get((idx, name), ()), value)
    names = ("action", "policy", "stage", "modality", "generator")
    return [
        Case(
            fold(_subject(dict(row)), steps.get(row["decision"], ())),
            categories=terms.get((row["idx"], "category"), ()),
            rules=terms.get((row["idx"], "rule"), ()),
            **{name: str(row[name] or "") for name in names},
        )
        for row in rows
    ]


def _subject(row: Mapping[str, Any]) -> Subject:
    held = row["action"] == Action.REVIEW.value
    asker, tenant, person = (str(row[name] or "") for name in ("actor", "tenant", "subject"))
    return Subject(row["decision"], row["idx"], time_from(row["time"]), held, asker, tenant, person)


def _steps(connection: Connection, decisions: Iterable[str]) -> dict[str, list[Step]]:
    kinds = _ENTRY.c.kind.in_((*_STEPS, DECISION))
    found = select(_ENTRY.c.idx, _ENTRY.c.parent, _ENTRY.c.body).where(_ENTRY.c.parent.in_(list(decisions)), kinds)
    steps: dict[str, list[Step]] = {}
    for idx, parent, data in connection.execute(found.order_by(_ENTRY.c.idx)):
        if data is None:
            raise LedgerError(f"entry {idx} has no body", advice="Run `genguard audit verify`.")
        body = loads(data)
        if body["kind"] != DECISION or "reviewed" in body:  # the other ones answer a prompt
            steps.setdefault(parent, []).append(_step(idx, body))
    return steps


def _step(idx: int, body: Mapping[str, Any]) -> Step:
    time = time_from(body["time"])
    if body["kind"] == DECISION and "reviewed" in body:
        return Step(idx, RELEASED, body["reviewed"]["actor"], time, {RELEASED: body["id"]})
    if body["kind"] == DECISION:
        action = body["verdict"]["action"]
        return Step(idx, DECISION, body["request"]["actor"], time, {"decision": body["id"], "action": action})
    return Step(idx, body["kind"], body.get("actor", ""), time, body.get("fields", {}), body.get("reason", ""))
