"""Decisions as columns, read fast: one read-only cursor over the bodies, of which only what a replay needs is decoded."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from itertools import chain
from typing import Any, Literal

import msgspec
import orjson
from sqlalchemy import Connection, and_, func, select

from audit.body import BODY_VERSION, DECISION, decision_from
from audit.conditions import condition
from audit.grammar import Filter
from audit.models import is_fact, tables
from audit.projected import REVIEWED
from audit.stores import open_store
from audit.stores.sqlite import raw
from guard.errors import LedgerError
from guard.recorded import STOPPED, Coded, Findings, Recorded, Results, Source, status_of
from guard.types import NONE, Decision

BATCH = 4096
"""Decisions that are decoded together."""
MANY = 100_000
"""Entries from which on compiled loops are worth the time that compiling them takes, once an installation."""

_ENTRY, _TERM, *_ = tables()

_Read = tuple[int, Recorded | None]


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
    modality: Literal["text", "image", "audio"]
    generator: str
    tenant: str
    language: str
    length: int
    purpose: str = NONE
    consent: str = NONE


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


class History:
    """Recorded decisions that match some filters, newest first; one state of the ledger throughout."""

    def __init__(self, connection: Connection, filters: Sequence[Filter], limit: int | None, many: int, rules: bool) -> None:
        """Use `history`."""
        self._connection, self._limit, self._many = connection, limit, many
        released = select(_TERM.c.idx).where(is_fact(_TERM), _TERM.c.name == REVIEWED)
        alone = [_ENTRY.c.idx.not_in(released)] if rules else []
        self._where = and_(*map(condition, [Filter("kind", (DECISION,)), *filters]), *alone)
        self.first, self.last = self._bounds([one for one in filters if one.key in {"since", "until"}])
        """Between which indices matching entries lie; the first is the larger one when there are none."""
        self.pruned = 0
        """Matching decisions, among those that were read so far, whose bodies are gone."""

    def batches(self, size: int = BATCH) -> Iterator[Recorded]:
        """Batches of so many decisions. Raises LedgerError for a body that cannot be read."""
        many = min(self._limit or self.last, self.last - self.first) >= self._many
        for pruned, batch in self._ahead(size) if many else self._in_turn(size):
            self.pruned += pruned
            if batch is not None:
                yield batch

    def _in_turn(self, size: int) -> Iterator[_Read]:
        """Batches, each with how many bodies beside it are gone."""
        for pruned, rows in self._rows(size):
            yield pruned, _plain(rows) if rows else None

    def _ahead(self, size: int) -> Iterator[_Read]:
        """The same by compiled loops, which do without Python's lock: one batch is read while another one is put to use."""
        waiting: deque[tuple[int, Future[Recorded] | None]] = deque()
        with ThreadPoolExecutor(1, "genguard-history") as pool:
            for pruned, rows in self._rows(size):
                waiting.append((pruned, pool.submit(_fast, rows) if rows else None))
                if len(waiting) > 1:
                    yield _done(*waiting.popleft())
            for one in waiting:
                yield _done(*one)

    def _rows(self, size: int) -> Iterator[tuple[int, list[tuple[int, bytes]]]]:
        """How many bodies are gone among so many decisions, and those that are there."""
        statement = select(_ENTRY.c.idx, _ENTRY.c.body).with_hint(_ENTRY, "NOT INDEXED", "sqlite")  # in the order of the file
        statement = statement.where(_ENTRY.c.idx.between(self.first, self.last), self._where).order_by(_ENTRY.c.idx.desc())
        with closing(self._run(statement if self._limit is None else statement.limit(self._limit))) as cursor:
            while rows := cursor.fetchmany(size):
                whole = [row for row in rows if row[1] is not None]
                yield len(rows) - len(whole), whole

    def _bounds(self, times: Sequence[Filter]) -> tuple[int, int]:
        place = _ENTRY.c.idx + 0 if times else _ENTRY.c.idx  # an expression: see `Search._jump`
        with closing(self._run(select(func.min(place), func.max(place)).where(*map(condition, times)))) as cursor:
            first, last = cursor.fetchone()
        return (0, -1) if first is None else (first, last)

    def _run(self, statement: Any) -> Any:
        """A cursor of the driver's: rows without objects of SQLAlchemy around them, few at once in memory."""
        dialect = self._connection.dialect
        compiled = statement.compile(dialect=dialect, compile_kwargs={"render_postcompile": True})
        driver: Any = self._connection.connection.driver_connection
        if dialect.name == "sqlite":
            return driver.execute(str(compiled), [compiled.params[name] for name in compiled.positiontup or ()])
        return driver.cursor(name="history", binary=True).execute(str(compiled), compiled.params)


@contextmanager
def history(
    url: str, filters: Iterable[Filter] = (), *, limit: int | None = None, many: int = MANY, rules: bool = False
) -> Iterator[History]:
    """Open a ledger read-only for a replay of the decisions that match `filters` (`audit.grammar`), at most the newest `limit`.

    Its writers are not held up. `many`: from how many entries on compiled loops read them. `rules`: leave out what persons
    released: policies decided on it once, when it was held. Raises LedgerError when the ledger
    cannot be read.
    """
    store = open_store(url)
    store.need()
    with store.clear_errors("read the ledger"), store.reader().connect() as connection, connection.begin():
        if store.path is not None:
            raw(connection).text_factory = str
        yield History(connection, tuple(filters), limit, many, rules)


def _done(pruned: int, batch: Future[Recorded] | None) -> _Read:
    return pruned, None if batch is None else batch.result()


def _plain(rows: Sequence[tuple[int, bytes]]) -> Recorded:
    """The columns of some bodies, by msgspec."""
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
        purpose=[context.purpose for context in contexts],
        consent=[context.consent for context in contexts],
        length=length,
        refused=np.array([body.content is None for body in bodies], bool),
        unmarked=np.array([any(not mark.verified for mark in body.marks) for body in bodies], bool),
        results=Results(
            row=row,
            source=np.array([sources[one.check, one.version, one.digest] for one in results], np.int32),
            status=np.array([0 if one.status == "ok" else status_of(one.status, one.error) for one in results], np.int8),
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
        fired=lambda place: _fired(rows[place][1]),
    )


def _fast(rows: Sequence[tuple[int, bytes]]) -> Recorded:
    """The same by compiled loops; by msgspec for bodies that these do not expect."""
    import numpy as np

    from audit import body_kernels as kernels

    bodies = [body for _, body in rows]
    joined = b"".join(bodies)
    data = np.frombuffer(joined, np.uint8)
    starts = np.zeros(len(rows) + 1, np.int64)
    np.cumsum(list(map(len, bodies)), out=starts[1:])
    read = kernels.Columns(
        np.empty((len(rows), kernels.CONSENT + 1), np.int64),
        np.empty((len(data) // 64 + 1, kernels.SOURCE + 1), np.int64),
        np.empty((len(data) // 32 + 1, kernels.PLACED + 1), np.int64),
        np.zeros(2, np.int64),
    )
    table = kernels.Strings(
        np.full(2 * kernels.STRINGS, -1, np.int64), np.empty((kernels.STRINGS, 2), np.int64), np.zeros(1, np.int64)
    )
    if not kernels.scan(data, starts, np.frombuffer(STOPPED.encode(), np.uint8), read, table):
        return _plain(rows)
    known = table.known[: table.count[0]].tolist()
    strings = [msgspec.json.decode(joined[first - 1 : last + 1], type=str) for first, last in known]
    sources = _sources(read.results[: read.done[0]], strings)
    columns = read.rows.T.copy()
    results, findings = read.results[: read.done[0]].T.copy(), read.findings[: read.done[1]].T.copy()
    if sources is None or (columns[kernels.SCHEMA] != BODY_VERSION).any():
        return _plain(rows)
    labels, label = _fewer(findings[kernels.LABEL], strings)
    said = [*strings, NONE]  # the number -1 is that of the last one

    def texts(column: int) -> Coded:
        return Coded(said, columns[column] % len(said))

    row, length, modality = results[kernels.ROW], columns[kernels.LENGTH], texts(kernels.MODALITY)
    image = modality.each(lambda one: one == "image", bool)[row]
    region, start, end = results[kernels.PLACES] == 4, results[kernels.START], results[kernels.END]
    return Recorded(
        index=[index for index, _ in rows],
        time=_Times(bodies, columns[kernels.TIME], columns[kernels.TIME_END]),
        policy=texts(kernels.POLICY),
        revision=texts(kernels.REVISION),
        action=texts(kernels.ACTION),
        stage=texts(kernels.STAGE),
        modality=modality,
        generator=texts(kernels.GENERATOR),
        tenant=texts(kernels.TENANT),
        language=texts(kernels.LANGUAGE),
        purpose=texts(kernels.PURPOSE),
        consent=texts(kernels.CONSENT),
        length=length,
        refused=columns[kernels.CONTENT] == 0,
        unmarked=columns[kernels.UNMARKED] != 0,
        results=Results(
            row=row,
            source=results[kernels.SOURCE],
            status=results[kernels.STATUS].astype(np.int8),
            whole=np.where(image, region, ~region & (start == 0) & (end >= length[row])),
            latency_us=results[kernels.LATENCY],
        ),
        sources=sources,
        findings=Findings(
            result=findings[kernels.RESULT],
            label=label,
            score=findings[kernels.SCORE],
            placed=findings[kernels.PLACED] != 0,
        ),
        labels=labels,
        decision=lambda place: _decision(rows[place][1]),
        fired=lambda place: _fired(rows[place][1]),
    )


def _sources(results: Any, strings: Sequence[str]) -> list[Source] | None:
    """The triples of check, version and digest, which get numbers; None when there are too many."""
    import numpy as np

    from audit import body_kernels as kernels

    known = np.empty(kernels.STRINGS, np.int64)
    count = kernels.number(results, np.full(2 * kernels.STRINGS, -1, np.int64), known)
    least = 2**20 - 1
    found = known[: max(0, count)].tolist()
    triples = [Source(strings[one >> 40], strings[(one >> 20) & least], strings[one & least]) for one in found]
    return None if count < 0 else triples


def _fewer(numbers: Any, strings: Sequence[str]) -> tuple[list[str], Any]:
    """The strings that some numbers stand for, and their numbers among these."""
    import numpy as np

    used = np.bincount(numbers, minlength=len(strings)) > 0
    return [strings[number] for number in np.flatnonzero(used).tolist()], (np.cumsum(used) - 1)[numbers]


class _Times(Sequence[str]):
    """Times by their places in their bodies: few are ever asked for."""

    def __init__(self, bodies: Sequence[bytes], first: Any, last: Any) -> None:
        self._bodies, self._first, self._last = bodies, first, last

    def __getitem__(self, place: Any) -> Any:
        return self._bodies[place][self._first[place] : self._last[place]].decode()

    def __len__(self) -> int:
        return len(self._first)


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


def _fired(body: bytes) -> dict[str, str]:
    try:
        return {one.rule: one.action for one in _decode_why(body).verdict.fired}
    except msgspec.MsgspecError:
        raise LedgerError("found a decision's body whose rules cannot be read", advice="Run `genguard audit verify`.") from None


def _decision(body: bytes) -> Decision:
    return decision_from(orjson.loads(body))


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
