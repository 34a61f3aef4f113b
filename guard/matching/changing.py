"""Changes of a catalogue inside one of its transactions: rows in, and the chain a step further for each."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from guard.errors import ModelError
from guard.matching.batches import Change, Signed
from guard.matching.catalogue_file import SHARED
from guard.matching.records import MOST_FINGERPRINTS, canonical, work_digest
from guard.matching.works import Work

ADD, RETIRE = "add", "retire"
MAX_NUMBER = 2**31 - 1
PLACES = 10
"""Bits of a fingerprint's place that count within its work."""
_HELD, _WEIGHT = 1000, 8_000_000
"""Works, and bytes of their fingerprints, that are held at once of a batch that was carried here."""


@dataclass(frozen=True, slots=True)
class State:
    """The end of a batch: how far the history goes."""

    seq: int
    number: int
    """The largest work number so far."""
    size: int
    """Works that are registered and not retired."""
    head: bytes
    time: str = ""
    actor: str = ""
    source: str = ""
    """Where the batch came from, in a word or two: the name of a file, `retire`."""


@dataclass(frozen=True, slots=True)
class Changed:
    """What a transaction changes, before it is committed."""

    before: State
    after: State
    changes: Sequence[Change]


@dataclass(frozen=True, slots=True)
class Sharing:
    """How a change gets to the others that have the bank."""

    ledger: str
    """Id of the ledger through which it does."""
    carry: Callable[[Changed], None]
    """Takes it there, durably, or raises: then it is not made here either."""


def step(head: bytes, seq: int, kind: str, number: int, what: str, time: str, actor: str) -> bytes:
    """The head of the chain after one more change."""
    return hashlib.sha256(head + canonical([seq, kind, number, what, time, actor])).digest()


def insert(connection: sqlite3.Connection, state: State, works: Sequence[tuple[Work, bytes, bytes]], signed: Signed) -> State:
    """Add works, and their changes; what the state is then."""
    if state.number + len(works) > MAX_NUMBER:
        raise ModelError(f"the bank has had {state.number} works, expected at most {MAX_NUMBER}", advice="Begin another bank.")
    head = state.head
    rows: list[tuple[Any, ...]] = []
    prints: list[tuple[Any, ...]] = []
    for place, (work, made_from, digest) in enumerate(works, 1):
        number, seq = state.number + place, state.seq + place
        days = (
            work.valid_from.isoformat() if work.valid_from else "",
            work.valid_until.isoformat() if work.valid_until else "",
        )
        texts = (work.id, work.title, work.modality.value, work.owner, work.licence, work.terms, work.contact)
        rows.append((number, *texts, *days, " ".join(work.territory), digest, made_from, seq))
        for within, one in enumerate(work.fingerprints):
            prints.append(((number << PLACES) + within, one.method, one.view, one.data))
        head = step(head, seq, ADD, number, digest.hex(), signed.time, signed.actor)
    connection.executemany("INSERT INTO work VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, NULL)", rows)
    connection.executemany("INSERT INTO fingerprint VALUES (?, ?, ?, ?)", prints)
    connection.executemany("INSERT OR IGNORE INTO method VALUES (?)", [(name,) for name in {one[1] for one in prints}])
    connection.executemany("INSERT INTO change VALUES (?, 'add', ?)", [(row[-1], row[0]) for row in rows])
    connection.executemany(
        "INSERT INTO thumbnail VALUES (?, ?)",
        [(state.number + place, work.thumbnail) for place, (work, _, _) in enumerate(works, 1) if work.thumbnail],
    )
    count = len(works)
    return State(state.seq + count, state.number + count, state.size + count, head, **asdict(signed))


def retire(connection: sqlite3.Connection, state: State, live: Sequence[tuple[int, str]], signed: Signed) -> State:
    """Retire works, each by number and id; what the state is then."""
    head = state.head
    for seq, (number, id_) in enumerate(live, state.seq + 1):
        connection.execute("UPDATE work SET retired = ? WHERE number = ?", (seq, number))
        connection.execute("INSERT INTO change VALUES (?, ?, ?)", (seq, RETIRE, number))
        head = step(head, seq, RETIRE, number, id_, signed.time, signed.actor)
    return State(state.seq + len(live), state.number, state.size - len(live), head, **asdict(signed))


def end_batch(
    connection: sqlite3.Connection, before: State, after: State, sharing: Sharing | None, changes: Sequence[Change]
) -> None:
    """End a batch. What carries it to others comes last: when that fails, nothing has happened here."""
    row = (after.seq, after.number, after.size, after.head, after.time, after.actor, after.source)
    connection.execute("INSERT INTO batch VALUES (?, ?, ?, ?, ?, ?, ?)", row)
    if sharing is not None:
        share(connection, sharing.ledger, after.seq)
        sharing.carry(Changed(before, after, changes))


def parts(changes: Iterable[Change]) -> Iterator[list[Change]]:
    """Changes of one kind at a time, few enough to be held."""
    part: list[Change] = []
    weight = 0
    for change in changes:
        more = 0 if isinstance(change, str) else sum(len(one.data) for one in change[0].fingerprints)
        if part and (len(part) >= _HELD or weight + more > _WEIGHT or isinstance(part[0], str) != isinstance(change, str)):
            yield part
            part, weight = [], 0
        part.append(change)
        weight += more
    if part:
        yield part


def made(connection: sqlite3.Connection, state: State, part: Sequence[Change], signed: Signed) -> State:
    """Make some changes that were carried here, all of one kind. Raises ModelError for one of a work that is not there."""
    works = [(change[0], change[1], work_digest(change[0])) for change in part if not isinstance(change, str)]
    if works:
        return insert(connection, state, works, signed)
    live: list[tuple[int, str]] = []
    for id_ in part:
        assert isinstance(id_, str)
        if not (number := number_of(connection, id_)):
            raise ModelError(f"found a change that retires work {id_[:200]!r}, which is not registered")
        live.append((number, id_))
    return retire(connection, state, live, signed)


def number_of(connection: sqlite3.Connection, id_: str) -> int:
    """The number of the work that has an id now; 0 for none."""
    row = connection.execute("SELECT number FROM work WHERE id = ? AND retired IS NULL", (id_,)).fetchone()
    return int(row[0]) if row else 0


def ledger_of(connection: sqlite3.Connection) -> str:
    """Id of the ledger through which the bank is shared; empty for none."""
    if not connection.execute("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'shared'").fetchone():
        return ""
    return str(connection.execute("SELECT ledger FROM shared").fetchone()[0])


def share(connection: sqlite3.Connection, ledger: str, seq: int) -> None:
    """Note through which ledger the bank is shared, and up to where it is."""
    connection.execute(SHARED)
    connection.execute("INSERT OR IGNORE INTO shared VALUES (1, ?)", (ledger,))
    connection.execute("UPDATE bank SET recorded = max(recorded, ?)", (seq,))


assert MOST_FINGERPRINTS == 1 << PLACES
