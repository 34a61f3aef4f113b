"""The SQLite database of a bank: its works with their fingerprints, and the chain of changes that led to them.

A change adds a work or retires one, and is never changed itself. Changes are numbered (`seq`) and committed in batches; each
batch keeps the head of a SHA-256 chain over all changes up to its end, which is the bank's digest at that moment:

    head(0) = SHA-256("genguard-bank", kind)
    head(n) = SHA-256(head(n-1), canonical [seq, kind of change, work number, work digest or id, time, actor])

A work keeps its row when it is retired; the same id may then be registered again, under a new number.
"""

from __future__ import annotations

import hashlib
import os
import re
import sqlite3
import threading
import time as clock
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote

from guard.errors import ModelError
from guard.matching.records import MOST_FINGERPRINTS, canonical, check_kind, check_work, day_from, work_digest
from guard.matching.works import Fingerprint, Work
from guard.types import Modality

FORMAT = 1
"""Version of the tables."""
ADD, RETIRE = "add", "retire"
MAX_NUMBER = 2**31 - 1
_PLACES = 10
"""Bits of a fingerprint's place that count within its work."""
_BUSY_S = 30.0
_ASKED = 500
"""Ids that are looked up in one statement."""

_SCHEMA = (
    """CREATE TABLE bank (
        id INTEGER PRIMARY KEY CHECK (id = 1), format INTEGER NOT NULL, kind TEXT NOT NULL, recorded INTEGER NOT NULL)""",
    """CREATE TABLE work (
        number INTEGER PRIMARY KEY, id TEXT NOT NULL, title TEXT NOT NULL, modality TEXT NOT NULL, owner TEXT NOT NULL,
        licence TEXT NOT NULL, terms TEXT NOT NULL, contact TEXT NOT NULL, valid_from TEXT NOT NULL, valid_until TEXT NOT NULL,
        territory TEXT NOT NULL, digest BLOB NOT NULL, source BLOB NOT NULL, added INTEGER NOT NULL, retired INTEGER)""",
    "CREATE UNIQUE INDEX ux_work_live ON work (id) WHERE retired IS NULL",
    "CREATE INDEX ix_work_gone ON work (id) WHERE retired IS NOT NULL",
    "CREATE TABLE thumbnail (number INTEGER PRIMARY KEY, data BLOB NOT NULL)",
    "CREATE TABLE method (name TEXT PRIMARY KEY) WITHOUT ROWID",
    "CREATE TABLE fingerprint (place INTEGER PRIMARY KEY, method TEXT NOT NULL, view TEXT NOT NULL, data BLOB NOT NULL)",
    "CREATE TABLE change (seq INTEGER PRIMARY KEY, kind TEXT NOT NULL, number INTEGER NOT NULL)",
    """CREATE TABLE batch (
        seq INTEGER PRIMARY KEY, number INTEGER NOT NULL, size INTEGER NOT NULL, head BLOB NOT NULL UNIQUE,
        time TEXT NOT NULL, actor TEXT NOT NULL, source TEXT NOT NULL)""",
    *(
        f"CREATE TRIGGER {table}_no_{verb.lower()} BEFORE {verb} ON {table} "
        f"BEGIN SELECT RAISE(ABORT, '{table} rows cannot be changed'); END"
        for table in ("change", "batch", "fingerprint")
        for verb in ("UPDATE", "DELETE")
    ),
)
_WORK = "number, id, title, modality, owner, licence, terms, contact, valid_from, valid_until, territory, added, retired"


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
class Registered:
    """A work as it stands in the bank."""

    number: int
    work: Work
    """Without its fingerprints and thumbnail unless they were asked for."""
    added: int
    """`seq` of the change that added it."""
    retired: int | None
    """`seq` of the change that retired it."""


@dataclass(slots=True)
class Outcome:
    """What became of works that were to be added."""

    added: int = 0
    same: int = 0
    """Already there, just so."""
    retired: int = 0
    """Just so, but retired: not added again."""
    taken: list[int] = field(default_factory=list)
    """Places, in what was given, of works whose id another work has."""


class Catalogue:
    """An open catalogue. Safe to use from several threads; other processes may read and write at the same time."""

    def __init__(self, path: Path | None, connection: sqlite3.Connection, writer: sqlite3.Connection) -> None:
        """Use `open` or `memory`."""
        self.path = path
        self._reader = connection
        self._writer = writer
        self._reading = threading.RLock()
        self._writing = self._reading if writer is connection else threading.RLock()
        self._process = os.getpid()
        self._writes = 0
        self.kind: str = self._one("SELECT kind FROM bank")[0]

    @classmethod
    def open(cls, path: Path, *, kind: str | None = None) -> Self:
        """Open the file, beginning it as a bank of that `kind` if one is named and there is none.

        Raises ModelError for a file that is missing, no catalogue, or of another version.
        """
        if kind is not None:
            check_kind(kind)
        elif not path.is_file():
            raise ModelError(f"there is no bank {path.parent}", advice="Add a work to it, or import some, to begin it.")
        with _clear("open", path):
            if kind is not None:
                _begin_file(path)
            writer = _connect(path)
            try:
                if kind is not None:
                    _begin(writer, kind)
                _check(writer, path)
                return cls(path, _connect(path), writer)
            except BaseException:
                writer.close()
                raise

    @classmethod
    def memory(cls, kind: str) -> Self:
        """A catalogue that is gone with the object."""
        check_kind(kind)
        connection = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        _begin(connection, kind)
        return cls(None, connection, connection)

    def close(self) -> None:
        """Let go of the file."""
        if self._process == os.getpid():
            for connection in (self._reader, self._writer):
                connection.close()

    # --- reading ------------------------------------------------------------------------------------------------------

    def version(self) -> tuple[int, int]:
        """Differs whenever anybody has committed a change since it was last asked; costs some microseconds."""
        with self._read() as connection:
            return connection.execute("PRAGMA data_version").fetchone()[0], self._writes

    def state(self, seq: int | None = None) -> State:
        """The latest state, or that at a batch's end. Raises ModelError when no batch ends there."""
        where = "ORDER BY seq DESC LIMIT 1" if seq is None else "WHERE seq = ?"
        row = self._one(f"SELECT * FROM batch {where}", () if seq is None else (seq,))  # noqa: S608 - our own words
        if row is None:
            raise ModelError(f"no batch of changes ends at {seq}")
        return State(*row)

    def state_of(self, head: bytes) -> State | None:
        """The state that a digest names; None when it is not of this history."""
        row = self._one("SELECT * FROM batch WHERE head = ?", (head,))
        return None if row is None else State(*row)

    def state_from(self, digest: str) -> State | None:
        """The state that a digest, or the beginning of one (8 digits or more), names; None when none or several do."""
        text = digest.lower()
        if not re.fullmatch(r"[0-9a-f]{8,64}", text):
            return None
        low, high = (bytes.fromhex(text.ljust(64, fill)) for fill in "0f")
        with self._read() as connection:
            rows = connection.execute("SELECT * FROM batch WHERE head BETWEEN ? AND ? LIMIT 2", (low, high)).fetchall()
        return State(*rows[0]) if len(rows) == 1 else None

    def batches(self, after: int) -> list[State]:
        """The ends of all batches past a change."""
        with self._read() as connection:
            rows = connection.execute("SELECT * FROM batch WHERE seq > ? ORDER BY seq", (after,)).fetchall()
        return [State(*row) for row in rows]

    def methods(self) -> tuple[str, ...]:
        """Methods that any work, retired or not, has a fingerprint of."""
        with self._read() as connection:
            return tuple(name for (name,) in connection.execute("SELECT name FROM method ORDER BY name"))

    def entries(self, method: str, after: State, until: State) -> Iterator[tuple[int, bytes]]:
        """(work number, fingerprint) of one method, of the works that came between two states and are there at the second."""
        gone = self.retired(after, until)
        place, end = (after.number + 1) << _PLACES, (until.number + 1) << _PLACES
        statement = (
            "SELECT place, data FROM fingerprint WHERE place >= ? AND place < ? AND method = ? ORDER BY place LIMIT 4096"
        )
        while place < end:
            with self._read() as connection:
                rows = connection.execute(statement, (place, end, method)).fetchall()
            for place, data in rows:
                if (number := place >> _PLACES) not in gone:
                    yield number, data
            if len(rows) < 4096:
                return
            place += 1

    def retired(self, after: State, until: State) -> set[int]:
        """Numbers of the works that were retired between two states."""
        statement = "SELECT number FROM change WHERE seq > ? AND seq <= ? AND kind = 'retire'"
        with self._read() as connection:
            return {number for (number,) in connection.execute(statement, (after.seq, until.seq))}

    def work(self, number: int) -> Registered | None:
        """A work with all that is kept of it."""
        row = self._one(f"SELECT {_WORK} FROM work WHERE number = ?", (number,))  # noqa: S608 - our own columns
        return None if row is None else self._whole(row)

    def find(self, id: str, at: State | None = None) -> Registered | None:  # noqa: A002
        """The work that has this id, now or at a state; else the one that had it last before. None when none ever had."""
        end = (at or self.state()).seq
        statement = f"SELECT {_WORK} FROM work WHERE id = ? AND added <= ? ORDER BY number DESC LIMIT 1"  # noqa: S608
        row = self._one(statement, (id, end))
        return None if row is None else self._whole(row)

    def works(
        self, at: State | None = None, *, after: int = 0, limit: int | None = None, query: str = "", whole: bool = False
    ) -> Iterator[Registered]:
        """Works that are registered, now or at a state, by number. `query`: what id, title or owner has to contain."""
        end = (at or self.state()).seq
        statement = (
            f"SELECT {_WORK} FROM work WHERE number > ? AND added <= ? AND (retired IS NULL OR retired > ?) "  # noqa: S608
            "AND (? = '' OR instr(lower(id || char(10) || title || char(10) || owner), ?)) ORDER BY number LIMIT ?"
        )
        left = limit
        while left is None or left > 0:
            chunk = 1000 if left is None else min(1000, left)
            with self._read() as connection:
                rows = connection.execute(statement, (after, end, end, query, query.lower(), chunk)).fetchall()
            for row in rows:
                yield self._whole(row) if whole else _registered(row)
            if len(rows) < chunk:
                return
            after, left = rows[-1][0], None if left is None else left - chunk

    def recorded(self) -> int:
        """The last change that the ledger has."""
        found: int = self._one("SELECT recorded FROM bank")[0]
        return found

    def tally(self, after: State, until: State, ids: int) -> tuple[int, int, tuple[str, ...]]:
        """How many works were added and how many retired between two states, and the first `ids` of their ids."""
        with self._read() as connection:
            span = (after.seq, until.seq)
            counts = dict(
                connection.execute(
                    "SELECT kind, count(*) FROM change WHERE seq > ? AND seq <= ? GROUP BY kind", span
                ).fetchall()
            )
            named = connection.execute(
                "SELECT work.id FROM change JOIN work USING (number) WHERE seq > ? AND seq <= ? ORDER BY seq LIMIT ?",
                (*span, ids),
            )
            return counts.get(ADD, 0), counts.get(RETIRE, 0), tuple(one for (one,) in named)

    def rehash(self) -> bytes:
        """The head computed anew from every work and change. Raises ModelError when it is not the one that is kept."""
        head = genesis(self.kind)
        with self._read() as connection:
            for seq, kind, number, time, actor, stated in connection.execute(
                "SELECT c.seq, c.kind, c.number, b.time, b.actor, CASE WHEN b.seq = c.seq THEN b.head END FROM change c "
                "JOIN batch b ON b.seq = (SELECT min(seq) FROM batch WHERE seq >= c.seq) ORDER BY c.seq"
            ):
                found = self.work(number)
                if found is None:
                    raise ModelError(f"the bank is damaged: change {seq} is of a work that is not there")
                what = work_digest(found.work).hex() if kind == ADD else found.work.id
                head = _step(head, seq, kind, number, what, time, actor)
                if stated is not None and stated != head:
                    raise ModelError(f"the bank is damaged: its works do not hash to the digest it had after change {seq}")
        return head

    # --- writing ------------------------------------------------------------------------------------------------------

    def add(
        self,
        works: Sequence[tuple[Work, bytes]],
        *,
        actor: str = "",
        source: str = "",
        time: str | None = None,
        again: bool = False,
    ) -> Outcome:
        """Register works in one transaction. Each comes with a digest of what it was made from, or nothing.

        A work that is there just so, or has been retired just so (unless `again`), is passed over; one whose id another
        work has is left out and named. Raises InputError for a malformed work, ModelError when it cannot be written.
        """
        checked = [(check_work(work), made_from, work_digest(work)) for work, made_from in works]
        outcome = Outcome()
        with self._write() as connection:
            state = self.state_in(connection)
            known = _known(connection, [work.id for work, _, _ in checked])
            fresh: list[tuple[Work, bytes, bytes]] = []
            for place, (work, made_from, digest) in enumerate(checked):
                live, gone = known.setdefault(work.id, ([], []))
                if live:
                    if _same(live, made_from, digest):
                        outcome.same += 1
                    else:
                        outcome.taken.append(place)
                elif gone and not again and _same(gone, made_from, digest):
                    outcome.retired += 1
                else:
                    live.append((digest, made_from))
                    fresh.append((work, made_from, digest))
            if fresh:
                _insert(connection, state, fresh, time if time is not None else _now(), actor, source)
            outcome.added = len(fresh)
        return outcome

    def retire(self, ids: Sequence[str], *, actor: str = "", source: str = "", time: str | None = None) -> int:
        """Retire works in one transaction; return how many were registered and no longer are. Raises ModelError."""
        with self._write() as connection:
            state = self.state_in(connection)
            statement = "SELECT number FROM work WHERE id = ? AND retired IS NULL"
            found = [(row[0], id_) for id_ in dict.fromkeys(ids) if (row := connection.execute(statement, (id_,)).fetchone())]
            when = time if time is not None else _now()
            head = state.head
            for seq, (number, id_) in enumerate(found, state.seq + 1):
                connection.execute("UPDATE work SET retired = ? WHERE number = ?", (seq, number))
                connection.execute("INSERT INTO change VALUES (?, ?, ?)", (seq, RETIRE, number))
                head = _step(head, seq, RETIRE, number, id_, when, actor)
            if found:
                end = (state.seq + len(found), state.number, state.size - len(found), head, when, actor, source)
                connection.execute("INSERT INTO batch VALUES (?, ?, ?, ?, ?, ?, ?)", end)
        return len(found)

    def known(self, ids: Sequence[str]) -> dict[str, tuple[list[tuple[bytes, bytes]], list[tuple[bytes, bytes]]]]:
        """By id: (digest, digest of what it was made from) of the work that has it, and of the retired ones that had it."""
        with self._read() as connection:
            return _known(connection, ids)

    def set_recorded(self, seq: int) -> None:
        """Remember the last change that the ledger has."""
        with self._write() as connection:
            connection.execute("UPDATE bank SET recorded = max(recorded, ?)", (seq,))

    @staticmethod
    def state_in(connection: sqlite3.Connection) -> State:
        """The latest state as a transaction sees it."""
        return State(*connection.execute("SELECT * FROM batch ORDER BY seq DESC LIMIT 1").fetchone())

    def _whole(self, row: Sequence[Any]) -> Registered:
        number = row[0]
        statement = "SELECT method, data, view FROM fingerprint WHERE place >= ? AND place < ? ORDER BY place"
        with self._read() as connection:
            prints = connection.execute(statement, (number << _PLACES, (number + 1) << _PLACES)).fetchall()
            thumbnail = connection.execute("SELECT data FROM thumbnail WHERE number = ?", (number,)).fetchone()
        return _registered(row, tuple(Fingerprint(*one) for one in prints), thumbnail[0] if thumbnail else b"")

    def _one(self, statement: str, values: Sequence[Any] = ()) -> Any:
        with self._read() as connection:
            return connection.execute(statement, values).fetchone()

    @contextmanager
    def _read(self) -> Iterator[sqlite3.Connection]:
        self._after_fork()
        with self._reading, _clear("read", self.path):
            yield self._reader

    @contextmanager
    def _write(self) -> Iterator[sqlite3.Connection]:
        """One transaction that is on disk when it ends, or did not happen."""
        self._after_fork()
        with self._writing, _clear("write to", self.path):
            self._writer.execute("BEGIN IMMEDIATE")
            try:
                yield self._writer
                self._writer.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):
                    self._writer.execute("ROLLBACK")
                raise
            self._writes += 1

    def _after_fork(self) -> None:
        """SQLite's connections do not survive a fork: a child opens its own."""
        if self.path is not None and self._process != os.getpid():
            self._process = os.getpid()
            self._reading, self._writing = threading.RLock(), threading.RLock()
            self._reader, self._writer = _connect(self.path), _connect(self.path)


def genesis(kind: str) -> bytes:
    """The digest of a bank that nothing was added to yet."""
    return hashlib.sha256(canonical(["genguard-bank", kind])).digest()


def _step(head: bytes, seq: int, kind: str, number: int, what: str, time: str, actor: str) -> bytes:
    return hashlib.sha256(head + canonical([seq, kind, number, what, time, actor])).digest()


def _insert(
    connection: sqlite3.Connection, state: State, works: Sequence[tuple[Work, bytes, bytes]], time: str, actor: str, source: str
) -> None:
    if state.number + len(works) > MAX_NUMBER:
        raise ModelError(f"the bank has had {state.number} works, expected at most {MAX_NUMBER}", advice="Begin another bank.")
    head = state.head
    rows: list[tuple[Any, ...]] = []
    prints: list[tuple[Any, ...]] = []
    for step, (work, made_from, digest) in enumerate(works, 1):
        number, seq = state.number + step, state.seq + step
        days = (
            work.valid_from.isoformat() if work.valid_from else "",
            work.valid_until.isoformat() if work.valid_until else "",
        )
        texts = (work.id, work.title, work.modality.value, work.owner, work.licence, work.terms, work.contact)
        rows.append((number, *texts, *days, " ".join(work.territory), digest, made_from, seq))
        for place, one in enumerate(work.fingerprints):
            prints.append(((number << _PLACES) + place, one.method, one.view, one.data))
        head = _step(head, seq, ADD, number, digest.hex(), time, actor)
    connection.executemany("INSERT INTO work VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, NULL)", rows)
    connection.executemany("INSERT INTO fingerprint VALUES (?, ?, ?, ?)", prints)
    connection.executemany("INSERT OR IGNORE INTO method VALUES (?)", [(name,) for name in {one[1] for one in prints}])
    connection.executemany("INSERT INTO change VALUES (?, 'add', ?)", [(row[-1], row[0]) for row in rows])
    connection.executemany(
        "INSERT INTO thumbnail VALUES (?, ?)",
        [(state.number + step, work.thumbnail) for step, (work, _, _) in enumerate(works, 1) if work.thumbnail],
    )
    end = (state.seq + len(works), state.number + len(works), state.size + len(works), head, time, actor, source)
    connection.execute("INSERT INTO batch VALUES (?, ?, ?, ?, ?, ?, ?)", end)


def _known(
    connection: sqlite3.Connection, ids: Sequence[str]
) -> dict[str, tuple[list[tuple[bytes, bytes]], list[tuple[bytes, bytes]]]]:
    found: dict[str, tuple[list[tuple[bytes, bytes]], list[tuple[bytes, bytes]]]] = {}
    for start in range(0, len(ids), _ASKED):
        asked = ids[start : start + _ASKED]
        marks = ",".join("?" * len(asked))
        for which in ("NULL", "NOT NULL"):  # two statements, so that each is served by its own partial index
            statement = f"SELECT id, digest, source FROM work WHERE id IN ({marks}) AND retired IS {which}"  # noqa: S608
            for id_, digest, source in connection.execute(statement, asked):
                found.setdefault(id_, ([], []))[which == "NOT NULL"].append((digest, source))
    return found


def _same(works: Iterable[tuple[bytes, bytes]], made_from: bytes, digest: bytes) -> bool:
    """Whether one of them was made from the same, or is the same."""
    return any(kept == digest or (made_from and source == made_from) for kept, source in works)


def _registered(row: Sequence[Any], fingerprints: tuple[Fingerprint, ...] = (), thumbnail: bytes = b"") -> Registered:
    number, id_, title, modality, owner, licence, terms, contact, begin, end, territory, added, retired = row
    work = Work(
        id_, title, Modality(modality), owner, licence, terms, contact,
        day_from("valid_from", begin), day_from("valid_until", end), tuple(territory.split()), thumbnail, fingerprints,
    )  # fmt: skip
    return Registered(number, work, added, retired)


def _begin(connection: sqlite3.Connection, kind: str) -> None:
    """Make the tables, unless another process has."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        if not connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone():
            for statement in _SCHEMA:
                connection.execute(statement)
            connection.execute("INSERT INTO bank VALUES (1, ?, ?, 0)", (FORMAT, kind))
            connection.execute("INSERT INTO batch VALUES (0, 0, 0, ?, '', '', '')", (genesis(kind),))
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise


def _begin_file(path: Path) -> None:
    """An empty file that only its owner may read; SQLite gives its companions the same mode."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))


def _check(connection: sqlite3.Connection, path: Path) -> None:
    row = connection.execute("SELECT format FROM bank").fetchone()
    if row is None or row[0] != FORMAT:
        raise ModelError(
            f"{path} has format {row[0] if row else 'none'}, expected {FORMAT}",
            advice="Use the version of genguard that made it.",
        )


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(
        f"file:{quote(str(path))}?mode=rw", uri=True, timeout=_BUSY_S, isolation_level=None, check_same_thread=False
    )
    until = clock.monotonic() + _BUSY_S
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "trusted_schema=OFF", "cache_size=-65536"):
        while True:
            try:
                connection.execute(f"PRAGMA {pragma}")
            except sqlite3.OperationalError as error:  # which comes at once when another process begins the same file
                if "locked" not in str(error) or clock.monotonic() > until:
                    connection.close()
                    raise
                clock.sleep(0.01)
            else:
                break
    return connection


@contextmanager
def _clear(doing: str, path: Path | None) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise ModelError(
            f"cannot {doing} the bank {path.parent.name if path else ''}: {error}", advice=_advice(str(error))
        ) from None


def _advice(text: str) -> str:
    signs = {
        "not a database": "The file is no catalogue of a bank, or was damaged: restore a copy of it.",
        "malformed": "The file is damaged: restore a copy of it.",
        "no such table": "The file is no catalogue of a bank: name another.",
        "locked": "Another process has been writing to it for too long.",
        "readonly": "Make the bank's folder and files writable for this user.",
        "full": "Free some space; nothing that was committed is lost.",
        "unable to open": "The bank's folder and files have to be accessible to this user.",
    }
    return next((advice for sign, advice in signs.items() if sign in text), "")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


assert MOST_FINGERPRINTS == 1 << _PLACES
