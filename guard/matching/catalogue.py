"""The SQLite database of a bank: its works with their fingerprints, and the chain of changes that led to them.

A change adds a work or retires one, and is never changed itself. Changes are numbered (`seq`) and committed in batches; each
batch keeps the head of a SHA-256 chain over all changes up to its end, which is the bank's digest at that moment:

    head(0) = SHA-256("genguard-bank", kind)
    head(n) = SHA-256(head(n-1), canonical [seq, kind of change, work number, work digest or id, time, actor])

A work keeps its row when it is retired; the same id may then be registered again, under a new number.
"""

from __future__ import annotations

import os
import re
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from guard.errors import ModelError
from guard.matching.batches import Change, Opened, Signed
from guard.matching.catalogue_file import begin_file, begin_tables, check_form, clear_errors, connect, genesis
from guard.matching.changing import (
    ADD,
    PLACES,
    RETIRE,
    Sharing,
    State,
    end_batch,
    insert,
    ledger_of,
    made,
    number_of,
    parts,
    retire,
    share,
    step,
)
from guard.matching.records import check_kind, check_work, day_from, work_digest
from guard.matching.works import Fingerprint, Work
from guard.types import Modality

_ASKED = 500
"""Ids that are looked up in one statement."""

_WORK = "number, id, title, modality, owner, licence, terms, contact, valid_from, valid_until, territory, added, retired"


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
        with clear_errors("open", path):
            if kind is not None:
                begin_file(path, kind)
            writer = connect(path)
            try:
                if kind is not None:
                    begin_tables(writer, kind)
                check_form(writer, path)
                return cls(path, connect(path), writer)
            except BaseException:
                writer.close()
                raise

    @classmethod
    def memory(cls, kind: str) -> Self:
        """A catalogue that is gone with the object."""
        check_kind(kind)
        connection = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        begin_tables(connection, kind)
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
        place, end = (after.number + 1) << PLACES, (until.number + 1) << PLACES
        statement = (
            "SELECT place, data FROM fingerprint WHERE place >= ? AND place < ? AND method = ? ORDER BY place LIMIT 4096"
        )
        while place < end:
            with self._read() as connection:
                rows = connection.execute(statement, (place, end, method)).fetchall()
            for place, data in rows:
                if (number := place >> PLACES) not in gone:
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
                head = step(head, seq, kind, number, what, time, actor)
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
        sharing: Sharing | None = None,
    ) -> Outcome:
        """Register works in one transaction. Each comes with a digest of what it was made from, or nothing.

        A work that is there just so, or has been retired just so (unless `again`), is passed over; one whose id another
        work has is left out and named. Raises InputError for a malformed work, ModelError when it cannot be written, and
        what `sharing` raises.
        """
        checked = [(check_work(work), made_from, work_digest(work)) for work, made_from in works]
        outcome = Outcome()
        with self._change(sharing) as connection:
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
                signed = Signed(time if time is not None else _now(), actor, source)
                end = insert(connection, state, fresh, signed)
                end_batch(connection, state, end, sharing, [(work, made_from) for work, made_from, _ in fresh])
            outcome.added = len(fresh)
        return outcome

    def retire(
        self,
        ids: Sequence[str],
        *,
        actor: str = "",
        source: str = "",
        time: str | None = None,
        sharing: Sharing | None = None,
    ) -> int:
        """Retire works in one transaction; return how many were registered and no longer are. Raises as `add`."""
        with self._change(sharing) as connection:
            state = self.state_in(connection)
            live = [(number, one) for one in dict.fromkeys(ids) if (number := number_of(connection, one))]
            if live:
                end = retire(connection, state, live, Signed(time if time is not None else _now(), actor, source))
                end_batch(connection, state, end, sharing, [one for _, one in live])
        return len(live)

    def follow(self, before: bytes, after: bytes, batch: Opened, ledger: str, digest: str) -> bool:
        """Make the changes of a batch that was carried here, all in one transaction; False when they were made already.

        `before`, `after`: heads of the chain; `digest`: SHA-256 of the batch. Raises ModelError, and nothing is changed, for a
        batch that does not follow here, or does not lead to that head.
        """
        with self._change(Sharing(ledger, lambda _: None)) as connection:
            if connection.execute("SELECT 1 FROM batch WHERE head = ?", (after,)).fetchone():
                return False
            state = end = self.state_in(connection)
            if state.head != before:
                raise ModelError(
                    f"found a batch of changes after {before.hex()[:16]}, and the bank is at {state.head.hex()[:16]}"
                )
            for part in parts(batch.changes()):
                end = made(connection, end, part, batch.signed)
            if end.head != after:
                raise ModelError(f"found changes that lead to {end.head.hex()[:16]}, expected {after.hex()[:16]}")
            if batch.digest() != digest:
                raise ModelError(f"found a batch with SHA-256 {batch.digest()[:16]}, expected {digest[:16]}")
            end_batch(connection, state, replace(end, **asdict(batch.signed)), None, ())
            share(connection, ledger, end.seq)
        return True

    def share(self, ledger: str) -> None:
        """Note that all up to now is in this ledger, and what follows is made through it. Raises ModelError."""
        with self._change(Sharing(ledger, lambda _: None)) as connection:
            share(connection, ledger, self.state_in(connection).seq)

    def shared(self) -> str:
        """Id of the ledger through which it is shared; empty when it is not."""
        with self._read() as connection:
            return ledger_of(connection)

    def changes(self, after: State, until: State) -> Iterator[Change]:
        """What led from one state to another, in order."""
        statement = (
            "SELECT seq, kind, number, id, source FROM change JOIN work USING (number) "
            "WHERE seq > ? AND seq <= ? ORDER BY seq LIMIT 1000"
        )
        seq = after.seq
        while seq < until.seq:
            with self._read() as connection:
                rows = connection.execute(statement, (seq, until.seq)).fetchall()
            if not rows:
                raise ModelError(f"the bank is damaged: change {seq + 1} is of a work that is not there")
            for seq, kind, number, id_, made_from in rows:  # noqa: B007 - the last one is where to go on
                found = self.work(number) if kind == ADD else None
                yield (found.work, made_from) if found is not None else id_

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
            prints = connection.execute(statement, (number << PLACES, (number + 1) << PLACES)).fetchall()
            thumbnail = connection.execute("SELECT data FROM thumbnail WHERE number = ?", (number,)).fetchone()
        return _registered(row, tuple(Fingerprint(*one) for one in prints), thumbnail[0] if thumbnail else b"")

    def _one(self, statement: str, values: Sequence[Any] = ()) -> Any:
        with self._read() as connection:
            return connection.execute(statement, values).fetchone()

    @contextmanager
    def _read(self) -> Iterator[sqlite3.Connection]:
        self._after_fork()
        with self._reading, clear_errors("read", self.path):
            yield self._reader

    @contextmanager
    def _write(self) -> Iterator[sqlite3.Connection]:
        """One transaction that is on disk when it ends, or did not happen."""
        self._after_fork()
        with self._writing, clear_errors("write to", self.path):
            self._writer.execute("BEGIN IMMEDIATE")
            try:
                yield self._writer
                self._writer.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):
                    self._writer.execute("ROLLBACK")
                raise
            self._writes += 1

    @contextmanager
    def _change(self, sharing: Sharing | None) -> Iterator[sqlite3.Connection]:
        """`_write`, for whom the bank may be changed by."""
        with self._write() as connection:
            ledger = ledger_of(connection)
            if ledger and (sharing is None or sharing.ledger != ledger):
                raise ModelError(
                    f"the bank is shared through the ledger {ledger}, and was to be changed without it",
                    advice="Name that ledger (GENGUARD_LEDGER, --ledger) and the bank, not its folder.",
                )
            yield connection

    def _after_fork(self) -> None:
        """SQLite's connections do not survive a fork: a child opens its own."""
        if self.path is not None and self._process != os.getpid():
            self._process = os.getpid()
            self._reading, self._writing = threading.RLock(), threading.RLock()
            self._reader, self._writer = connect(self.path), connect(self.path)


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


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
