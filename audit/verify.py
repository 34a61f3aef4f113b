"""Checks a ledger from its database alone, read-only, without a service and without the writer's code.

What is compared: each body with its leaf hash and its canonical form, indices for gaps, the tree over all leaves with the head,
every projected column and term with the body, each payload row with the hashes in the body (and, where the master key is
there, by opening it), each fingerprint with its entry (the same way, and on request with the stored image), each subject key,
each policy revision with its document, each key of the service with the entries about it, the tables and triggers with what
they should be, and SQLite's own structures.

With signed checkpoints that were kept elsewhere (`audit.anchor`), also that the log extends each of them. Without, someone who
may write to the file may have made the whole ledger anew, or cut off its end, and the head with it; the report says so.

Entries are checked in stretches, in several processes where there are enough of them; what comes of that is put together in the
order of the log, so that the report is the same however many worked on it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from audit import merkle
from audit.anchor import FileAnchor
from audit.canonical import loads
from audit.checkpoint import Known as Trusted
from audit.cosign import WitnessKey
from audit.events import KEY_ROTATION, MASTER, event_from
from audit.gaps import READ as GAPS
from audit.gaps import WHAT, Gaps
from audit.keys import find_master_key
from audit.models import metadata
from audit.stores import DEFAULT_URL, Store, open_store
from audit.vault import Vault
from audit.verifier.api_keys import UNPROVEN, compare_keys
from audit.verifier.banks import compare_banks
from audit.verifier.course import Course
from audit.verifier.fingerprints import Fits
from audit.verifier.heads import Cosigners, Heads, read_heads
from audit.verifier.moments import MomentChecker
from audit.verifier.order import name_exchanged
from audit.verifier.pool import Pool, processors
from audit.verifier.report import EXPLAINED, OK, ROLLED_BACK, TAMPERED, UNSIGNED, Findings, Problem, Report
from audit.verifier.source import Source, SourceError, open_source, state
from audit.verifier.stretch import CHUNK, Known, Stretch, StretchChecker, fits_of
from audit.verifier.structure import compare_schema
from audit.verifier.tiles import TileChecker
from audit.verifier.wire import Answer, Begin, Check, Checked, Integrity, Learn, Lines, Unreadable, tellable
from guard.errors import LedgerError

__all__ = ("EXPLAINED", "OK", "ROLLED_BACK", "TAMPERED", "UNSIGNED", "Problem", "Report", "verify")

STRETCH = 2048
"""Entries that one process checks at a time; a power of two, so that they are one node of the tree."""
_LAST, _PART = 4, 8
"""Of so many stretches at the end each is checked in so many parts, so that all processes end at about the same time."""
MANY = 20_000
"""Entries from which on several processes work: one takes a fifth of a second to begin."""

Progress = Callable[[int, int], None]


def verify(
    url: str = DEFAULT_URL,
    *,
    key_file: str | Path | None = None,
    anchors: Sequence[FileAnchor] = (),
    log_keys: Sequence[Trusted] = (),
    progress: Progress | None = None,
    fits: Fits | None = None,
    jobs: int | None = None,
    witnesses: Sequence[WitnessKey] = (),
    quorum: int | None = None,
) -> Report:
    """Verify a ledger; memory stays bounded however long it is.

    `key_file`: the master key (default: as `open_ledger`; payloads are compared but not opened when there is none).
    `anchors`: signed checkpoints kept elsewhere, which the log has to extend, by the public keys `log_keys`.
    `progress`: called with (entries checked, entries in all). `fits`: compares a fingerprint with its stored image; left out,
    none is. `jobs`: processes that work on it (default: one a core); below `MANY` entries, it is one. `witnesses`: of whom
    `quorum` (default: all) have to have cosigned one of the checkpoints. Raises LedgerError when there is no file, or an
    unusable key.
    """
    store = open_store(url)
    if store.path is not None:
        store.need()
    file = Path(key_file) if key_file else None
    master = find_master_key(store, file)
    heads = read_heads(anchors, log_keys, Cosigners.of(witnesses, quorum) if witnesses else None)
    number = processors() if jobs is None else jobs
    run = _Run(store, url, heads, partial(find_master_key, store, file), master, progress, fits, number)
    started = time.monotonic()
    try:
        with run.states:
            run.all()
    except SourceError as error:
        name = "a file that SQLite" if store.path else "a database that PostgreSQL"
        run.found.problem(None, "file", f"{name} cannot read ({error})", "a ledger's database")
    return run.report(time.monotonic() - started)


@dataclass(slots=True)
class _Run:
    """One verification in progress."""

    store: Store
    url: str
    heads: Heads
    find_key: Callable[[str], bytes | None]
    """The master key of an id, where it is here."""
    master: bytes | None
    progress: Progress | None
    fits: Fits | None
    jobs: int
    states: ExitStack = field(default_factory=ExitStack)
    """What is open: a state of the database, and processes that see it, too."""
    found: Findings = field(default_factory=Findings)
    unchecked: list[str] = field(default_factory=list)
    peaks: list[bytes] = field(default_factory=list)
    size: int = 0
    extent: int = 0
    """Where the log ends, whatever is missing before."""
    gaps: Gaps | None = None
    tiles: TileChecker | None = None
    """None for a ledger of before, which gains their table when it is opened for writing."""
    moments: MomentChecker | None = None
    """Likewise."""
    course: Course | None = None
    """What the entries come to, once they were followed."""
    processes: int = 1

    def report(self, seconds: float) -> Report:
        """The result; problems of entries come first, in order."""
        heads = Findings()
        for what, found, expected in self.heads.compare(self.extent):
            heads.problem(None, what, found, expected)
        checked = self.found.checked | ({"checkpoints": len(self.heads.sound)} if self.heads.sound else {})
        self.unchecked += [*self.heads.unchecked, *self.heads.unwitnessed(self.extent)]
        ordered = sorted(self.found.problems, key=lambda problem: (problem.idx is None, problem.idx or 0))
        if checked.get("fingerprints_opened", 0) and self.fits is None:
            self.unchecked.append("fingerprints were not compared with their images: that is done on request (--fingerprints)")
        return Report(
            problems=(*ordered, *heads.problems),
            problem_count=self.found.count + heads.count,
            checked=checked,
            unchecked=tuple(self.unchecked),
            size=self.size,
            root=merkle.frontier_root(self.peaks).hex(),
            seconds=seconds,
            gaps=self.gaps.explained() if self.gaps is not None else (),
            processes=self.processes,
            witnessed=self.heads.told(),
        )

    def all(self) -> None:
        """Every part; a part that the database cannot read is a problem, and the others go on."""
        source, pool = self.begin()
        tables = self.attempt("schema", lambda: compare_schema(source, self.store.expected(), self.found.problem))
        if self.store.path is None and tables is not None and not tables & metadata.tables.keys():
            raise LedgerError(f"there is no ledger in {self.store.name}", advice="Name another with --ledger.")
        head = self.attempt("head", lambda: self.head(source))
        ledger = self.attempt("ledger", lambda: self.ledger(source))
        self.attempt("rotations of keys", lambda: self.choose_key(source, ledger))
        explaining = self.attempt("entries that explain gaps", lambda: source.rows(GAPS, WHAT))
        self.gaps = None if explaining is None else Gaps(explaining)
        fingerprints = tables is None or "fingerprint" in tables
        if tables is None or "tile" in tables:
            self.tiles = TileChecker(source, self.found.problem, self.found.tally)
        if tables is None or "moment" in tables:
            self.moments = MomentChecker(source, self.found.problem, self.found.tally)
        last = self.attempt("entry", lambda: source.rows("SELECT max(idx) FROM entry")[0][0])
        size = head[0] if head is not None else (last + 1 if isinstance(last, int) else 0)
        known = Known(ledger, explaining, self.master, fingerprints, named(self.fits))
        integrity = self.entries(source, pool, size, known)
        self.attempt("extra rows", lambda: self.beyond_head(source, size, fingerprints=fingerprints))
        if self.tiles is not None:
            self.attempt("tile", self.tiles.end)
        if self.moments is not None:
            self.attempt("moment", self.moments.end)
        if self.compare_head(head) and head is not None:
            self.attempt("places of entries", lambda: self.order(source, *head))
        end = self.attempt("entry", lambda: source.rows("SELECT max(idx) FROM entry WHERE idx < ?", (min(size, 2**62),))[0][0])
        self.extent = end + 1 if isinstance(end, int) else self.size
        if self.gaps is not None:
            self.gaps.compare(self.found.problem)
        keys = StretchChecker(source, known).payloads.keys
        self.attempt("subject_key", lambda: keys(self.found.problem, self.found.tally))
        self.attempt("api_key", lambda: self.api_keys(source, there=tables is None or "api_key" in tables))
        if tables is None or "bank_batch" in tables:
            self.attempt("bank_batch", lambda: self.banks(source))
        self.attempt("structure", lambda: self.structure(source, integrity))

    def begin(self) -> tuple[Source, Pool | None]:
        """A state of the database, and helpers that see it, when there is enough to do for them."""
        now = ExitStack()
        source = now.enter_context(open_source(self.store))
        pool = self.pool(source) if self.jobs > 1 else None
        if pool is not None:
            self.states.callback(pool.end)

            def again() -> tuple[Begin, str]:
                nonlocal source
                now.close()
                source = now.enter_context(open_source(self.store))
                file = str(self.store.path or "")
                return Begin(file, "" if file else self.url, source.share()), state(source)

            pool.join(again)
            self.processes, pool = max(1, len(pool)), pool if len(pool) else None
        self.states.push(now)
        return source, pool

    def pool(self, source: Source) -> Pool | None:
        """Processes, unless the ledger is small, damaged in its head, or what they would have to know cannot be told."""
        try:
            size = source.rows("SELECT size FROM head")[0][0]
            if not isinstance(size, int) or min(size, source.capacity()) < MANY:
                return None
            return Pool(self.jobs) if self.fits is None or named(self.fits) else None
        except (SourceError, IndexError, OSError):
            return None

    def attempt(self, part: str, check: Callable[[], Any]) -> Any:
        """Run a check; None when the database could not."""
        try:
            return check()
        except SourceError as error:
            self.found.problem(None, "file", f"{part} cannot be read ({error})", "a readable database")
            return None

    def head(self, source: Source) -> tuple[int, bytes] | None:
        """(size, frontier) of the only head row."""
        rows = source.rows("SELECT id, size, frontier FROM head")
        well = len(rows) == 1 and rows[0][0] == 1 and type(rows[0][1]) is int and rows[0][1] >= 0 and type(rows[0][2]) is bytes
        if not well:
            self.found.problem(None, "head", f"{len(rows)} rows, {rows[:1]}", "one row with id 1, a size and a frontier")
            return None
        return rows[0][1], rows[0][2]

    def ledger(self, source: Source) -> dict[str, Any] | None:
        """The row that says which ledger this is."""
        rows = source.rows("SELECT id, ledger, database_schema, key_id FROM ledger")
        if len(rows) != 1 or rows[0][0] != 1:
            self.found.problem(None, "schema", f"{len(rows)} rows in table ledger", "one row with id 1")
            return None
        return dict(zip(("ledger", "database_schema", "key_id"), rows[0][1:], strict=True))

    def choose_key(self, source: Source, ledger: Mapping[str, Any] | None) -> None:
        """Use the master key only if it is this ledger's, and the one in force."""
        in_force = None if ledger is None else self.key_in_force(source, ledger["key_id"])
        if in_force is not None and (master := self.find_key(str(in_force))) is not None:
            self.master = master
        if self.master is None:
            self.unchecked.append(
                "no master key: payloads, fingerprints and subject keys were not opened, only compared with what is hashed"
            )
        elif in_force is not None and Vault(self.master).key_id != in_force:
            self.unchecked.append(
                "the master key given is not this ledger's: payloads, fingerprints and subject keys were not opened"
            )
            self.master = None

    def key_in_force(self, source: Source, first: object) -> object:
        """Id of the master key after all rotations, each of which has to begin where the one before ended."""
        rotations = source.rows(
            "SELECT entry.idx, entry.body FROM term JOIN entry ON entry.idx = term.idx "
            "WHERE term.name <> 'exact' AND term.name <> 'folded' "  # `audit.models.is_fact`
            "AND term.name = 'what' AND term.value = ? AND entry.kind = ? ORDER BY entry.idx",
            (MASTER, KEY_ROTATION),
        )
        for idx, data in rotations:
            try:
                fields = event_from(loads(data)).fields
            except (LedgerError, TypeError, KeyError, AttributeError):
                continue  # the main pass tells
            if fields.get("before") != first:
                found = f"a rotation from key {fields.get('before')!r}"
                self.found.problem(idx, "key", found, f"from {first!r}, which was in force")
            first = fields.get("after")
        return first

    def entries(self, source: Source, pool: Pool | None, size: int, known: Known) -> Answer | None:
        """Every entry from 0 to the head's size. Returns what the database's own check came to, where a helper made it."""
        reach = min(size, source.capacity())  # a false head must not keep the verifier busy for ever
        spans = list(spans_of(reach))
        lost = reach if reach < size else None
        if pool is None or not tellable(Learn(known)):
            self.follow(self.alone(source, spans, size, known), size, lost)
            return None
        pool.learn(known)
        with pool.work(Integrity(), [Check(*span) for span in spans]) as board:
            self.follow(map(checked_of, board.answers()), size, lost)
            return board.long()

    def follow(self, done: Iterator[Stretch], size: int, lost: int | None) -> None:
        """What came of all entries, in their order. `lost`: from where on there cannot be any."""
        course = self.course = Course(self.found.problem)
        for stretch in done:
            self.add(stretch, course)
            if stretch.lost is not None:
                lost = stretch.lost
                break
            if self.processes > 1 and self.progress is not None:
                self.progress(stretch.stop, size)
        if lost is not None:
            found = f"no entry from {lost} on"
            self.found.problem(lost, "gap", found, f"entries up to {size - 1}, as the head says")

    def alone(self, source: Source, spans: Sequence[tuple[int, int]], size: int, known: Known) -> Iterator[Stretch]:
        """Stretches that this process checks."""
        self.processes = 1
        checker = StretchChecker(source, known, self.fits)
        progress = self.progress
        each = None if progress is None else lambda done: progress(done, size)
        for span in spans:
            yield checker.check(*span, each)

    def add(self, stretch: Stretch, course: Course) -> None:
        """What came of the next entries."""
        self.found.add(stretch.found)
        course.follow(stretch.notes)
        self.heads.changes = course.keys
        if self.tiles is not None:
            self.tiles.take(stretch.leaves, stretch.tiles)
        if self.moments is not None:
            self.moments.take(stretch.times, CHUNK)
        if self.gaps is not None:
            self.gaps.add(stretch.payloads, stretch.bodies)
        signed = self.size + 1, self.size + len(stretch.leaves)
        sizes = sorted(size for size in self.heads.sizes if signed[0] <= size <= signed[1])
        leaves, start = stretch.leaves, self.size
        for size in sizes:
            self.grow(leaves[self.size - start : size - start])
            self.heads.roots[size] = merkle.frontier_root(self.peaks)
        if stretch.node and self.size == stretch.start:
            self.peaks, self.size = merkle.add_node(self.peaks, self.size, stretch.node, len(leaves))
        else:
            self.grow(leaves[self.size - start :])

    def grow(self, leaves: Sequence[bytes]) -> None:
        """So many leaves more."""
        self.peaks, self.size = merkle.extend(self.peaks, self.size, leaves)

    def beyond_head(self, source: Source, size: int, *, fingerprints: bool) -> None:
        """Rows that belong to no entry."""
        size, problem = min(size, 2**62), self.found.problem
        for where in (f"idx >= {size}", "idx < 0"):  # each a range of an index: with OR, every row would be looked at
            for idx, decision in source.rows(f"SELECT idx, decision FROM entry WHERE {where} LIMIT 100"):  # noqa: S608 - a number
                problem(idx, "extra", "an entry past the head", f"{size} entries, as the head says", str(decision or ""))
            for table in ("term", "payload", *(["fingerprint"] if fingerprints else [])):
                statement = f"SELECT DISTINCT idx FROM {table} WHERE {where} LIMIT 100"  # noqa: S608 - our own names
                for (idx,) in source.rows(statement):
                    problem(idx, "extra", f"a {table} row without its entry", "none")

    def order(self, source: Source, size: int, frontier: bytes) -> None:
        """Entries in each other's place, where the head has a whole frontier."""
        try:
            peaks = merkle.unpack(frontier, size)
        except ValueError:
            return
        name_exchanged(source, peaks, size, self.found.problem, tiles=self.tiles is not None)

    def compare_head(self, head: tuple[int, bytes] | None) -> bool:
        """The tree over what was found against the head. Whether the trees are of the same size, and not the same."""
        if head is None:
            return False
        size, frontier = head
        if size != self.size:
            self.found.problem(None, "head", f"{self.size} readable entries", f"{size}, as the head says")
            return False
        differs = merkle.pack(self.peaks) != frontier
        if differs:
            root = merkle.frontier_root(self.peaks).hex()
            try:
                stated = merkle.frontier_root(merkle.unpack(frontier, size)).hex()
            except ValueError as error:
                stated = f"that of a whole frontier ({error})"
            self.found.problem(None, "head", f"a tree with root {root}", f"root {stated}, as the head says")
        return differs

    def api_keys(self, source: Source, *, there: bool) -> None:
        """Keys of the service against the entries about them."""
        assert self.course is not None, "entries are followed first"
        damaged = max((problem.idx for problem in self.found.problems if problem.idx is not None), default=-1)

        def tell(idx: int | None, what: str, found: object, expected: object, decision: str = "") -> None:
            """By its entry, unless a later one is damaged: that may be the one which says what became of the key."""
            self.found.problem(None if idx is not None and idx < damaged else idx, what, found, expected, decision)

        if compare_keys(source, self.course.service, tell, self.found.tally, there=there):
            self.unchecked.append(UNPROVEN)

    def banks(self, source: Source) -> None:
        """What carries banks to other machines against the entries beside it."""
        for bank in compare_banks(source, self.found.problem, self.found.tally):
            self.unchecked.append(f"bank {bank!r} was dropped from the database: what its entries say of it was not compared")

    def structure(self, source: Source, answer: Answer | None) -> None:
        """The database's own check, or what a helper's came to."""
        if isinstance(answer, Unreadable):
            raise SourceError(answer.why)
        for line in answer.lines if isinstance(answer, Lines) else source.broken():
            self.found.problem(None, "file", line, "a sound database")
        self.unchecked += source.unchecked()


def spans_of(reach: int) -> Iterator[tuple[int, int]]:
    """Stretches from entry 0 on."""
    start, whole = 0, (reach // STRETCH - _LAST) * STRETCH
    while start < reach:
        stop = min(reach, start + (STRETCH if start < whole else max(1, STRETCH // _PART)))
        yield start, stop
        start = stop


def checked_of(answer: Answer) -> Stretch:
    """What came of entries that a helper checked."""
    assert isinstance(answer, Checked), f"found {type(answer).__name__}, expected what came of entries"
    return answer.stretch


def named(fits: Fits | None) -> str:
    """What another process finds it by; empty for what it could not find."""
    name = f"{getattr(fits, '__module__', '')}:{getattr(fits, '__qualname__', '')}"
    try:
        return name if fits is not None and fits_of(name) is fits else ""
    except (ImportError, AttributeError, ValueError):
        return ""
