"""Checks a ledger from its database alone, read-only, without a service and without the writer's code.

What is compared: each body with its leaf hash and its canonical form, indices for gaps, the tree over all leaves with the head,
every projected column and term with the body, each payload row with the hashes in the body (and, where the master key is
there, by opening it), each fingerprint with its entry (the same way, and on request with the stored image), each subject key,
each policy revision with its document, the tables and triggers with what they should be, and SQLite's own structures.

With signed checkpoints that were kept elsewhere (`audit.anchor`), also that the log extends each of them. Without, someone who
may write to the file may have made the whole ledger anew, or cut off its end, and the head with it; the report says so.
"""

from __future__ import annotations

import re
import sqlite3
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

from sqlalchemy import create_engine
from sqlalchemy.exc import SQLAlchemyError

from audit import merkle
from audit.anchor import FileAnchor
from audit.body import (
    ACTIVATION,
    BANK_CHANGE,
    CONFIG,
    DECISION,
    POLICY_ROLLOUT,
    bank_change_from,
    commitments,
    decision_from,
    rollout_from,
)
from audit.canonical import loads
from audit.checkpoint import Known
from audit.database import DEFAULT_URL, database_path, raw, reader_engine
from audit.events import KEY_ROTATION, LOG, MASTER, event_from
from audit.gaps import PRUNED, Gap, Gaps
from audit.keys import find_master_key
from audit.models import ENTRY_COLUMNS, LATER, LATER_INDEXES, SCHEMA_VERSION, TRIGGERS, metadata, project, terms
from audit.review_codes import RELEASE
from audit.vault import Vault
from audit.verify_fingerprints import FingerprintChecker, Fits
from audit.verify_heads import ROLLBACK, SIGNATURE, Heads, read_heads
from audit.verify_payloads import PayloadChecker
from audit.verify_tiles import TileChecker
from guard.errors import LedgerError
from guard.types import Rollout

OK, TAMPERED, EXPLAINED, UNSIGNED, ROLLED_BACK = 0, 2, 3, 4, 5
"""Exit codes: sound, tampered with, sound with gaps that entries explain, a checkpoint whose signature is wrong, a log behind a
checkpoint."""

_CHUNK = 256
_MAX_PROBLEMS = 1000
_MAX_INTEGRITY = 20


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that is not as it was committed."""

    idx: int | None
    """The entry; None when it concerns the whole ledger."""
    decision: str
    """Its decision id as far as it can still be read, else empty."""
    what: str
    """`body`, `leaf`, `column`, `term`, `gap`, `extra`, `head`, `payload`, `fingerprint`, `key`, `policy`, `review`, `schema`,
    `tile`, `file`; of checkpoints `signature`, `root`, `rollback`."""
    found: str
    expected: str

    def __str__(self) -> str:
        place = (
            "ledger" if self.idx is None else f"entry {self.idx}" + (f" (decision {self.decision})" if self.decision else "")
        )
        return f"{place}: {self.what}: found {self.found}, expected {self.expected}"


@dataclass(frozen=True, slots=True)
class Report:
    """What a verification came to."""

    problems: tuple[Problem, ...]
    """The first 1000."""
    problem_count: int
    checked: Mapping[str, int]
    """How many of what: `entries`, `body_bytes`, `terms`, `payloads`, `payloads_opened`, `subject_keys`, `policies`,
    `pruned`, `bank_changes`, `rollouts`, `events`, `fingerprints`, `fingerprints_opened`, `fingerprints_compared`,
    `tiles`, `checkpoints`."""
    unchecked: tuple[str, ...]
    """What could not be checked, and why."""
    size: int
    root: str
    """Root over the entries as found, hexadecimal."""
    seconds: float
    gaps: tuple[Gap, ...] = ()
    """What is missing and explained by an erasure or by retention."""

    @property
    def ok(self) -> bool:
        """Whether nothing was found."""
        return self.problem_count == 0

    @property
    def exit_code(self) -> int:
        """0 sound, 3 sound with gaps that are explained; 5 behind a checkpoint, 4 when only signatures are wrong, else 2."""
        kinds = {problem.what for problem in self.problems}
        if ROLLBACK in kinds:
            return ROLLED_BACK
        if self.ok:
            return EXPLAINED if self.gaps else OK
        return UNSIGNED if kinds == {SIGNATURE} else TAMPERED


def verify(
    url: str = DEFAULT_URL,
    *,
    key_file: str | Path | None = None,
    anchors: Sequence[FileAnchor] = (),
    log_keys: Sequence[Known] = (),
    progress: Callable[[int, int], None] | None = None,
    fits: Fits | None = None,
) -> Report:
    """Verify a ledger; memory stays bounded however long it is.

    `key_file`: the master key (default: as `open_ledger`; payloads are compared but not opened when there is none).
    `anchors`: signed checkpoints kept elsewhere, which the log has to extend, by the public keys `log_keys`.
    `progress`: called with (entries checked, entries in all). `fits`: compares a fingerprint with its stored image; left out,
    none is. Raises LedgerError when there is no file or an unusable key.
    """
    path = database_path(url)
    if not path.is_file():
        raise LedgerError(f"there is no ledger {path}", advice="Name it with --ledger sqlite:///PATH.")
    file = Path(key_file) if key_file else None
    master = find_master_key(path, file)
    heads = read_heads(anchors, log_keys)
    run = _Run(
        Vault(master) if master else None,
        progress or (lambda _done, _all: None),
        heads,
        fits,
        partial(find_master_key, path, file),
    )
    started = time.monotonic()
    try:
        with reader_engine(path).connect() as connection, connection.begin():
            run.all(raw(connection))
    except (sqlite3.Error, SQLAlchemyError) as error:
        text = str(getattr(error, "orig", None) or error)
        run.problem(None, "file", f"a file that SQLite cannot read ({text})", "a ledger's database")
    return run.report(time.monotonic() - started)


@dataclass(slots=True)
class _Run:
    """One verification in progress."""

    vault: Vault | None
    progress: Callable[[int, int], None]
    heads: Heads
    fits: Fits | None
    find_key: Callable[[str], bytes | None]
    """The master key of an id, where it is here."""
    problems: list[Problem] = field(default_factory=list)
    count: int = 0
    checked: dict[str, int] = field(default_factory=dict)
    unchecked: list[str] = field(default_factory=list)
    peaks: list[bytes] = field(default_factory=list)
    size: int = 0
    documents: dict[str, tuple[str, int] | None] = field(default_factory=dict)
    """Policy and version of each revision whose document was seen; None where that could not be read."""
    missing_documents: set[str] = field(default_factory=set)
    freed: dict[int, str] = field(default_factory=dict)
    """Entries in which a person let an output go, with the decision that held it."""
    payloads: PayloadChecker | None = None
    gaps: Gaps | None = None
    pruned: set[int] = field(default_factory=set)
    """Entries of the chunk at hand whose body is gone and explained."""
    fingerprints: FingerprintChecker | None = None
    """None for a ledger of before, which gains their table when it is opened for writing."""
    tiles: TileChecker | None = None
    """Likewise."""

    def problem(self, idx: int | None, what: str, found: object, expected: object, decision: str = "") -> None:
        """Keep a problem; past the first thousand only count."""
        self.count += 1
        if len(self.problems) < _MAX_PROBLEMS:
            self.problems.append(Problem(idx, _short(decision), what, _short(found), _short(expected)))

    def report(self, seconds: float) -> Report:
        """The result; problems of entries come first, in order."""
        for what, found, expected in self.heads.compare(self.size):
            self.problem(None, what, found, expected)
        self.checked |= {"checkpoints": len(self.heads.sound)} if self.heads.sound else {}
        self.unchecked += self.heads.unchecked
        ordered = sorted(self.problems, key=lambda problem: (problem.idx is None, problem.idx or 0))
        if self.checked.get("fingerprints_opened", 0) and self.fits is None:
            self.unchecked.append("fingerprints were not compared with their images: that is done on request (--fingerprints)")
        root = merkle.frontier_root(self.peaks).hex()
        gaps = self.gaps.explained() if self.gaps is not None else ()
        return Report(tuple(ordered), self.count, dict(self.checked), tuple(self.unchecked), self.size, root, seconds, gaps)

    def all(self, connection: sqlite3.Connection) -> None:
        """Every part; a part that SQLite cannot read is a problem, and the others go on."""
        head = self.attempt("head", lambda: self.head(connection))
        ledger = self.attempt("ledger", lambda: self.ledger(connection))
        self.attempt("schema", lambda: self.schema(connection))
        self.attempt("rotations of keys", lambda: self.choose_key(connection, ledger))
        self.gaps = self.attempt("entries that explain gaps", lambda: Gaps(connection))
        self.payloads = PayloadChecker(connection, self.vault, self.problem, self.tally, self.gaps)
        if self.attempt("fingerprint", lambda: _has(connection, "fingerprint")):
            self.fingerprints = FingerprintChecker(connection, self.payloads, self.problem, self.tally, self.fits)
        if self.attempt("tile", lambda: _has(connection, "tile")):
            self.tiles = TileChecker(connection, self.problem, self.tally)
        last = self.attempt("entry", lambda: connection.execute("SELECT max(idx) FROM entry").fetchone()[0])
        size = head[0] if head is not None else (last + 1 if isinstance(last, int) else 0)
        self.entries(connection, size, ledger)
        self.attempt("extra rows", lambda: self.beyond_head(connection, size))
        if self.tiles is not None:
            self.attempt("tile", self.tiles.end)
        self.compare_head(head)
        if self.gaps is not None:
            self.gaps.compare(self.problem)
        self.attempt("subject_key", self.payloads.keys)
        self.attempt("structure", lambda: self.structure(connection))

    def attempt(self, part: str, check: Callable[[], Any]) -> Any:
        """Run a check; None when SQLite could not."""
        try:
            return check()
        except (sqlite3.Error, OverflowError) as error:
            self.problem(None, "file", f"{part} cannot be read ({error})", "a readable database")
            return None

    def tally(self, what: str, number: int = 1) -> None:
        """Count what was checked."""
        self.checked[what] = self.checked.get(what, 0) + number

    def head(self, connection: sqlite3.Connection) -> tuple[int, bytes] | None:
        """(size, frontier) of the only head row."""
        rows = connection.execute("SELECT id, size, frontier FROM head").fetchall()
        well = len(rows) == 1 and rows[0][0] == 1 and type(rows[0][1]) is int and rows[0][1] >= 0 and type(rows[0][2]) is bytes
        if not well:
            self.problem(None, "head", f"{len(rows)} rows, {rows[:1]}", "one row with id 1, a size and a frontier")
            return None
        return rows[0][1], rows[0][2]

    def ledger(self, connection: sqlite3.Connection) -> dict[str, Any] | None:
        """The row that says which ledger this is."""
        rows = connection.execute("SELECT id, ledger, database_schema, key_id FROM ledger").fetchall()
        if len(rows) != 1 or rows[0][0] != 1:
            self.problem(None, "schema", f"{len(rows)} rows in table ledger", "one row with id 1")
            return None
        return dict(zip(("ledger", "database_schema", "key_id"), rows[0][1:], strict=True))

    def choose_key(self, connection: sqlite3.Connection, ledger: Mapping[str, Any] | None) -> None:
        """Use the master key only if it is this ledger's, and the one in force."""
        in_force = None if ledger is None else self.key_in_force(connection, ledger["key_id"])
        if in_force is not None and (master := self.find_key(str(in_force))) is not None:
            self.vault = Vault(master)
        if self.vault is None:
            self.unchecked.append(
                "no master key: payloads, fingerprints and subject keys were not opened, only compared with what is hashed"
            )
        elif in_force is not None and self.vault.key_id != in_force:
            self.unchecked.append(
                "the master key given is not this ledger's: payloads, fingerprints and subject keys were not opened"
            )
            self.vault = None

    def key_in_force(self, connection: sqlite3.Connection, first: object) -> object:
        """Id of the master key after all rotations, each of which has to begin where the one before ended."""
        found = connection.execute(
            "SELECT entry.idx, entry.body FROM term JOIN entry ON entry.idx = term.idx "
            "WHERE term.name = 'what' AND term.value = ? AND entry.kind = ? ORDER BY entry.idx",
            (MASTER, KEY_ROTATION),
        )
        for idx, data in found.fetchall():
            try:
                fields = event_from(loads(data)).fields
            except (LedgerError, TypeError, KeyError, AttributeError):
                continue  # the main pass tells
            if fields.get("before") != first:
                self.problem(idx, "key", f"a rotation from key {fields.get('before')!r}", f"from {first!r}, which was in force")
            first = fields.get("after")
        return first

    def schema(self, connection: sqlite3.Connection) -> None:
        """Tables, indexes and triggers, by their very statements."""
        found = _objects(connection)
        expected = _expected_objects([name for name in LATER if f"table {name}" not in found])
        for name in LATER_INDEXES:
            if f"index {name}" not in found:
                expected.pop(f"index {name}", None)
        for name in sorted(found.keys() | expected.keys()):
            if found.get(name) != expected.get(name):
                kind = "changed" if name in found and name in expected else "added" if name in found else "missing"
                self.problem(None, "schema", f"{name} {kind}", "the tables, indexes and triggers of schema version 1")

    def entries(self, connection: sqlite3.Connection, size: int, ledger: Mapping[str, Any] | None) -> None:
        """Every entry from 0 to the head's size, in chunks that each fit into memory."""
        assert self.payloads is not None
        reach = min(size, self.capacity(connection))  # a false head must not keep the verifier busy for ever
        lost_since = reach if reach < size else None
        for start in range(0, reach, _CHUNK):
            stop = min(start + _CHUNK, reach)
            rows = self.rows(connection, start, stop)
            if not rows and self.ends(connection, start):
                lost_since = start
                break
            facts = self.facts(connection, start, stop)
            bodies: dict[int, dict[str, Any]] = {}
            self.pruned.clear()
            for idx in range(start, stop):
                row = rows.get(idx)
                if row is not None:
                    self.entry(idx, row, facts.pop(idx, set()), bodies, ledger)
            for idx in facts:
                self.problem(idx, "term", "a term without its entry", "none")
            present = rows.keys() - self.pruned
            self.payloads.chunk(start, stop, bodies, present)
            if self.fingerprints is not None:
                self.fingerprints.chunk(start, stop, bodies, present)
            self.progress(stop, size)
        if lost_since is not None:
            self.problem(lost_since, "gap", f"no entry from {lost_since} on", f"entries up to {size - 1}, as the head says")

    def capacity(self, connection: sqlite3.Connection) -> int:
        """More entries than the database has room for: each takes more than 64 bytes."""
        pages: int = connection.execute("PRAGMA page_count").fetchone()[0]
        page_size: int = connection.execute("PRAGMA page_size").fetchone()[0]
        return pages * page_size // 64

    def ends(self, connection: sqlite3.Connection, stop: int) -> bool:
        """Whether nothing follows, so that the rest is one gap and not one problem for each index."""
        try:
            found = connection.execute("SELECT 1 FROM entry WHERE idx >= ? LIMIT 1", (min(stop, 2**62),)).fetchone()
        except sqlite3.Error:
            return False
        return found is None

    def rows(self, connection: sqlite3.Connection, start: int, stop: int) -> dict[int, tuple[Any, ...]]:
        """Rows by index. Damage makes a whole range unreadable: then one by one, to name the entries."""
        statement = f"SELECT {', '.join(ENTRY_COLUMNS)} FROM entry WHERE "  # noqa: S608 - names of our own columns
        try:
            found = {row[0]: row for row in connection.execute(statement + "idx >= ? AND idx < ? ORDER BY idx", (start, stop))}
        except sqlite3.Error:
            found = {}
        if len(found) == stop - start:
            return found
        if not found and self.ends(connection, start):
            return {}
        found = {}
        for idx in range(start, stop):
            try:
                row = connection.execute(statement + "idx = ?", (idx,)).fetchone()
            except sqlite3.Error as error:
                self.problem(idx, "body", f"an entry that cannot be read ({error})", "the entry that was committed")
                continue
            if row is None:
                self.problem(idx, "gap", "no such entry", "one entry for each index")
            else:
                found[idx] = row
        return found

    def facts(self, connection: sqlite3.Connection, start: int, stop: int) -> dict[int, set[tuple[Any, Any]]]:
        """Terms by index."""
        facts: dict[int, set[tuple[Any, Any]]] = {}
        try:
            for idx, name, value in connection.execute(
                "SELECT idx, name, value FROM term WHERE idx >= ? AND idx < ? ORDER BY idx", (start, stop)
            ):
                facts.setdefault(idx, set()).add((name, value))
        except sqlite3.Error as error:
            self.problem(None, "term", f"terms of entries {start} to {stop - 1} cannot be read ({error})", "readable terms")
        return facts

    def entry(
        self,
        idx: int,
        row: tuple[Any, ...],
        facts: set[tuple[Any, Any]],
        bodies: dict[int, dict[str, Any]],
        ledger: Mapping[str, Any] | None,
    ) -> None:
        """One entry: body, leaf, columns, terms."""
        columns = dict(zip(ENTRY_COLUMNS, row, strict=True))
        leaf, data = columns["leaf"], columns["body"]
        named = columns["decision"] if isinstance(columns["decision"], str) else ""
        self.tally("entries")
        if columns["kind"] == ACTIVATION and isinstance(columns["revision"], str):
            self.documents[columns["revision"]] = None  # a damaged one is reported here, not again at each of its decisions
        good_leaf = isinstance(leaf, bytes) and len(leaf) == merkle.HASH_SIZE
        if not isinstance(data, bytes):
            if not (good_leaf and data is None and not facts and self.is_pruned(idx, columns)):
                self.problem(idx, "body", "no body", "the bytes that were hashed", named)
            self.grow(leaf if good_leaf else bytes(32))
            return
        computed = merkle.leaf_hash(data)
        if computed != leaf:
            shown = leaf.hex() if isinstance(leaf, bytes) else repr(leaf)
            self.problem(idx, "leaf", f"a body that hashes to {computed.hex()}", f"the leaf hash {shown}", named)
        self.grow(leaf if good_leaf else computed)
        self.tally("body_bytes", len(data))
        try:
            body = loads(data)
            expected, expected_terms = project(body), terms(body)
            decision = decision_from(body).id if body["kind"] == DECISION else None
            commitments(body)
            self.kind(idx, body, ledger, str(decision or ""))
        except (LedgerError, KeyError, TypeError, AttributeError) as error:
            self.problem(idx, "body", f"a body that cannot be read ({error})", "canonical JSON of a known kind", named)
            return
        named = str(decision or "") or named
        for name, value in expected.items():
            if type(columns[name]) is not type(value) or columns[name] != value:
                self.problem(idx, "column", f"{name} {columns[name]!r}", f"{value!r}, as the body says", named)
        if facts != expected_terms:
            self.problem(idx, "term", sorted(facts - expected_terms, key=repr), sorted(expected_terms - facts, key=repr), named)
        self.tally("terms", len(facts))
        bodies[idx] = body

    def is_pruned(self, idx: int, columns: Mapping[str, Any]) -> bool:
        """Whether retention dropped the body, by an entry that says so, and all that would follow from it."""
        left = {name: value for name, value in columns.items() if name not in {"idx", "leaf"} and value is not None}
        if left != PRUNED or self.gaps is None or not self.gaps.explain_body(idx):
            return False
        self.tally("pruned")
        self.pruned.add(idx)
        return True

    def grow(self, leaf: bytes) -> None:
        """One leaf more; where a checkpoint was signed at this size, the root is kept."""
        self.peaks, self.size = merkle.extend(self.peaks, self.size, [leaf])
        if self.tiles is not None:
            self.tiles.take(leaf)
        if self.size in self.heads.sizes:
            self.heads.roots[self.size] = merkle.frontier_root(self.peaks)

    def kind(self, idx: int, body: Mapping[str, Any], ledger: Mapping[str, Any] | None, named: str) -> None:
        """What each kind of entry has to fit to."""
        if (idx == 0) != (body["kind"] == CONFIG):
            self.problem(idx, "body", f"an entry of kind {body['kind']}", "kind config at index 0, and only there", named)
        elif body["kind"] == CONFIG:
            for name in ("ledger", "database_schema", "key_id"):
                if ledger is not None and ledger[name] != body.get(name):
                    self.problem(
                        idx, "column", f"{name} {ledger[name]!r} in table ledger", f"{body.get(name)!r}, as the body says"
                    )
        elif body["kind"] == ACTIVATION:
            self.tally("policies")
            self.documents[body["revision"]] = (body["policy"], body["version"])
            if sha256(str(body["document"]).encode()).hexdigest() != body["revision"]:
                self.problem(idx, "policy", "a document with another digest", f"revision {body['revision']}")
        elif body["kind"] == DECISION:
            self.decided(idx, body, named)
        else:
            self.happened(idx, body)

    def happened(self, idx: int, body: Mapping[str, Any]) -> None:
        """What is no decision has to be a thing that can be."""
        if body["kind"] == BANK_CHANGE:
            bank_change_from(body)
            self.tally("bank_changes")
        elif body["kind"] == POLICY_ROLLOUT:
            self.rollout(idx, rollout_from(body))
        else:
            event = event_from(body)
            if event.fields.get("outcome") == RELEASE:
                self.freed[idx] = event.about
            if event.kind == KEY_ROTATION and event.fields.get("what") == LOG:
                self.heads.changes.append((idx, str(event.fields.get("before")), str(event.fields.get("after"))))
            self.tally("events")

    def decided(self, idx: int, body: Mapping[str, Any], named: str) -> None:
        """A decision has the documents of all policies that spoke."""
        verdict = body["verdict"]
        refused = (verdict["policy"], verdict["revision"], verdict["action"]) == ("", "", "block")  # by no policy
        self.document_of(idx, [] if refused else [verdict["revision"]], named)
        self.document_of(idx, [shadow["verdict"]["revision"] for shadow in body.get("shadows", ())], named)
        if (person := body.get("reviewed")) is not None and self.freed.get(person["entry"]) != person["held"]:
            self.problem(idx, "review", f"an output let go by entry {person['entry']}", "a person's decision before it", named)

    def document_of(self, idx: int, revisions: list[str], named: str) -> None:
        """What is decided has its policy document in an entry before; each that is missing is told once."""
        for revision in revisions:
            if revision not in self.documents and revision not in self.missing_documents:
                self.missing_documents.add(revision)
                self.problem(idx, "policy", f"no document of policy revision {revision} before it", "its activation", named)

    def rollout(self, idx: int, rollout: Rollout) -> None:
        """A step is about revisions of its own policy."""
        self.tally("rollouts")
        revisions = [rollout.revision, *([rollout.previous] if rollout.previous else [])]
        self.document_of(idx, revisions, "")
        for revision in revisions:
            known = self.documents.get(revision)
            expected = (rollout.policy, rollout.version if revision == rollout.revision else known and known[1])
            if known is not None and known != expected:
                self.problem(idx, "policy", f"revision {revision} of policy {known[0]!r}", f"one of {rollout.policy!r}")

    def beyond_head(self, connection: sqlite3.Connection, size: int) -> None:
        """Rows that belong to no entry."""
        size = min(size, 2**62)
        for idx, decision in connection.execute("SELECT idx, decision FROM entry WHERE idx >= ? OR idx < 0 LIMIT 100", (size,)):
            self.problem(idx, "extra", "an entry past the head", f"{size} entries, as the head says", str(decision or ""))
        for table in ("term", "payload", *(["fingerprint"] if self.fingerprints else [])):
            statement = f"SELECT DISTINCT idx FROM {table} WHERE idx >= ? OR idx < 0 LIMIT 100"  # noqa: S608 - our own names
            for (idx,) in connection.execute(statement, (size,)):
                self.problem(idx, "extra", f"a {table} row without its entry", "none")

    def compare_head(self, head: tuple[int, bytes] | None) -> None:
        """The tree over what was found against the head."""
        if head is None:
            return
        size, frontier = head
        if size != self.size:
            self.problem(None, "head", f"{self.size} readable entries", f"{size}, as the head says")
        elif merkle.pack(self.peaks) != frontier:
            root = merkle.frontier_root(self.peaks).hex()
            try:
                stated = merkle.frontier_root(merkle.unpack(frontier, size)).hex()
            except ValueError as error:
                stated = f"that of a whole frontier ({error})"
            self.problem(None, "head", f"a tree with root {root}", f"root {stated}, as the head says")

    def structure(self, connection: sqlite3.Connection) -> None:
        """SQLite's own check: indexes against tables, pages, free list."""
        for (line,) in connection.execute(f"PRAGMA integrity_check({_MAX_INTEGRITY})"):
            if line != "ok":
                self.problem(None, "file", line, "a sound database")


def _objects(connection: sqlite3.Connection, without: Collection[str] = ()) -> dict[str, str]:
    """Everything but what belongs to some tables."""
    rows: Iterator[tuple[str, str, str, str | None]] = connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_master")
    return {f"{kind} {name}": _plain_sql(sql or "") for kind, name, table, sql in rows if table not in without}


def _has(connection: sqlite3.Connection, table: str) -> bool:
    found = connection.execute("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?", (table,))
    return found.fetchone() is not None


def _plain_sql(statement: str) -> str:
    """Without what may differ between versions of the library that writes it: spaces and quotation marks around names."""
    return re.sub(r"\s*([(),])\s*", r"\1", " ".join(statement.replace('"', "").split()))


def _expected_objects(without: Collection[str]) -> dict[str, str]:
    """What a new ledger of this version has, but for tables that one of before may lack."""
    engine = create_engine("sqlite://")
    with engine.begin() as connection:
        metadata.create_all(connection)
        for trigger in TRIGGERS:
            connection.exec_driver_sql(trigger)
        found = _objects(raw(connection), without)
    engine.dispose()
    return found


def _short(value: object) -> str:
    text = value if isinstance(value, str) else repr(value)
    text = text.encode("utf-8", "backslashreplace").decode()
    return text if len(text) <= 300 else text[:297] + "..."


assert SCHEMA_VERSION == 1, "the verifier knows schema version 1"
