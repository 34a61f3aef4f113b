"""Decisions as columns, read fast: one read-only cursor over the bodies, of which only what a replay needs is decoded."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import chain
from typing import Any, Literal

import msgspec
from sqlalchemy import and_, func, select
from sqlalchemy.dialects import sqlite

from audit.body import BODY_VERSION, DECISION, decision_from
from audit.canonical import loads
from audit.database import clear_errors, database_path, raw, reader_engine
from audit.grammar import Filter
from audit.models import tables
from audit.query import condition
from guard.decide import EARLY_STOP
from guard.errors import LedgerError
from guard.recorded import EARLY, FAILED, OK, TIMEOUT, Findings, Recorded, Results, Source
from guard.types import Decision

BATCH = 4096
"""Decisions that are decoded together."""

_ENTRY = tables()[0]


class _There(msgspec.Struct, array_like=True, gc=False):
    """A list of which nobody asks what is in it."""


class _Anything(msgspec.Struct, gc=False):
    """An object of which nobody asks what is in it."""


class _Place(msgspec.Struct, array_like=True, gc=False):
    start: int
    end: int
    third: int = -1
    """A region has it, a span has not."""


class _Finding(msgspec.Struct, gc=False):
    label: str
    score: int
    where: _There | None = None


class _Result(msgspec.Struct, gc=False):
    check: str
    version: str
    digest: str
    status: Literal["ok", "skipped", "failed", "timeout"]
    error: str
    latency_us: int
    findings: tuple[_Finding, ...]
    scanned: _Place | None = None


class _Context(msgspec.Struct, gc=False):
    stage: Literal["prompt", "output", "chunk"]
    modality: Literal["text", "image"]
    generator: str
    tenant: str
    language: str
    length: int


class _Verdict(msgspec.Struct, gc=False):
    action: Literal["allow", "label", "redact", "review", "block"]
    policy: str
    revision: str


class _Mark(msgspec.Struct, gc=False):
    verified: bool


class _Body(msgspec.Struct, gc=False):
    schema: int
    time: str
    context: _Context
    results: tuple[_Result, ...]
    verdict: _Verdict
    marks: tuple[_Mark, ...]
    content: _Anything | None = None


class _Rule(msgspec.Struct, gc=False):
    rule: str
    action: str


class _Fired(msgspec.Struct, gc=False):
    fired: tuple[_Rule, ...]


class _Why(msgspec.Struct, gc=False):
    verdict: _Fired


_decode = msgspec.json.Decoder(_Body).decode
_decode_why = msgspec.json.Decoder(_Why).decode


@dataclass(frozen=True, slots=True)
class Range:
    """Which entries may match some filters: indices from `first` to `last`, both of them among these."""

    first: int
    last: int
    pruned: int
    """Decisions among the matching ones whose bodies are gone."""


class History:
    """Recorded decisions that match some filters, newest first; one state of the ledger throughout."""

    def __init__(self, connection: sqlite3.Connection, filters: Sequence[Filter], limit: int | None) -> None:
        """Use `history`."""
        self._connection, self._limit = connection, limit
        wanted = [Filter("kind", (DECISION,)), *filters]
        self._where = and_(*map(condition, wanted))
        self._times = [one for one in filters if one.key in {"since", "until"}]
        self.range = self._bounds()

    def batches(self, size: int = BATCH) -> Iterator[Recorded]:
        """Batches of so many decisions. Raises LedgerError for a body that cannot be read."""
        statement = select(_ENTRY.c.idx, _ENTRY.c.body).with_hint(_ENTRY, "NOT INDEXED", "sqlite")  # in the order of the file
        bounds = _ENTRY.c.idx.between(self.range.first, self.range.last)
        statement = statement.where(bounds, self._where, _ENTRY.c.body.is_not(None)).order_by(_ENTRY.c.idx.desc())
        with closing(self._run(statement if self._limit is None else statement.limit(self._limit))) as cursor:
            while rows := cursor.fetchmany(size):
                yield _recorded(rows)

    def _bounds(self) -> Range:
        time = and_(*map(condition, self._times)) if self._times else None
        first, last = self._run(
            select(func.min(_ENTRY.c.idx), func.max(_ENTRY.c.idx)).where(*([] if time is None else [time]))
        ).fetchone()
        if first is None:
            return Range(0, -1, 0)
        pruned = select(func.count()).where(_ENTRY.c.body.is_(None), self._where)
        return Range(first, last, 0 if self._limit is not None else self._run(pruned).fetchone()[0])

    def _run(self, statement: Any) -> sqlite3.Cursor:
        compiled = statement.compile(dialect=sqlite.dialect(), compile_kwargs={"render_postcompile": True})
        return self._connection.execute(str(compiled), [compiled.params[name] for name in compiled.positiontup or ()])


@contextmanager
def history(url: str, filters: Iterable[Filter] = (), *, limit: int | None = None) -> Iterator[History]:
    """Open a ledger read-only for a replay of the decisions that match `filters` (`audit.grammar`), at most the newest `limit`.

    Its writers are not held up. Raises LedgerError when it cannot be read.
    """
    path = database_path(url)
    if not path.is_file():
        raise LedgerError(f"there is no ledger {path}", advice="Name it with --ledger sqlite:///PATH.")
    with clear_errors("read the ledger", path), reader_engine(path).connect() as connection, connection.begin():
        cursor = raw(connection)
        cursor.text_factory = str
        yield History(cursor, tuple(filters), limit)


def _recorded(rows: Sequence[tuple[int, bytes]]) -> Recorded:
    """The columns of some bodies."""
    import numpy as np

    bodies = _bodies(rows)
    contexts = [body.context for body in bodies]
    verdicts = [body.verdict for body in bodies]
    of_each = [body.results for body in bodies]
    results = list(chain.from_iterable(of_each))
    row = np.repeat(np.arange(len(rows)), list(map(len, of_each)))
    length = np.array([context.length for context in contexts], np.int64)
    image = np.array([context.modality == "image" for context in contexts])
    sources, labels = _Numbers(), _Numbers()
    found = [result.findings for result in results]
    findings = list(chain.from_iterable(found))
    return Recorded(
        index=[index for index, _ in rows],
        time=[body.time for body in bodies],
        policy=[verdict.policy for verdict in verdicts],
        revision=[verdict.revision for verdict in verdicts],
        action=[verdict.action for verdict in verdicts],
        stage=[context.stage for context in contexts],
        modality=[context.modality for context in contexts],
        generator=[context.generator for context in contexts],
        tenant=[context.tenant for context in contexts],
        language=[context.language for context in contexts],
        length=length,
        refused=np.array([body.content is None for body in bodies], bool),
        unmarked=np.array([any(not mark.verified for mark in body.marks) for body in bodies], bool),
        results=Results(
            row=row,
            source=np.array([sources[one.check, one.version, one.digest] for one in results], np.int32),
            status=np.array([0 if one.status == "ok" else _status(one) for one in results], np.int8),
            whole=_whole([one.scanned for one in results], length[row], image[row]),
            latency_us=np.array([one.latency_us for one in results], np.int64),
        ),
        sources=[Source(*key) for key in sources],
        findings=Findings(
            result=np.repeat(np.arange(len(results)), list(map(len, found))),
            label=np.array([labels[one.label] for one in findings], np.int32),
            score=np.array([one.score for one in findings], np.int32),
            placed=np.array([one.where is not None for one in findings], bool),
        ),
        labels=list(labels),
        decision=lambda place: _decision(rows[place][1]),
        fired=lambda place: {one.rule: one.action for one in _decode_why(rows[place][1]).verdict.fired},
    )


def _bodies(rows: Sequence[tuple[int, bytes]]) -> list[_Body]:
    try:
        bodies = [_decode(body) for _, body in rows]
    except (msgspec.MsgspecError, ValueError):
        index = next(index for index, body in rows if not _readable(body))
        raise LedgerError(
            f"entry {index} has a body that is no decision of schema {BODY_VERSION}", advice="Run `genguard audit verify`."
        ) from None
    newer = next((index for (index, _), body in zip(rows, bodies, strict=True) if body.schema != BODY_VERSION), None)
    if newer is not None:
        raise LedgerError(
            f"entry {newer} has a body of another schema, expected {BODY_VERSION}", advice="Use a newer genguard."
        )
    return bodies


def _readable(body: bytes) -> bool:
    try:
        _decode(body)
    except (msgspec.MsgspecError, ValueError):
        return False
    return True


def _decision(body: bytes) -> Decision:
    return decision_from(loads(body))


def _status(result: _Result) -> int:
    if result.status == "ok":
        return OK
    if result.status == "timeout":
        return TIMEOUT
    return EARLY if result.status == "skipped" and result.error == EARLY_STOP else FAILED


def _whole(scanned: list[_Place | None], length: Any, image: Any) -> Any:
    """As `guard.conditions.covers`, for all results at once."""
    import numpy as np

    none = _Place(-1, -1)
    places = [none if one is None else one for one in scanned]
    start = np.array([one.start for one in places], np.int64)
    end = np.array([one.end for one in places], np.int64)
    region = np.array([one.third >= 0 for one in places], bool)
    return np.where(image, region, ~region & (start == 0) & (end >= length))


class _Numbers(dict[Any, int]):
    """Numbers what it is asked for, in order."""

    def __missing__(self, key: Any) -> int:
        self[key] = number = len(self)
        return number
