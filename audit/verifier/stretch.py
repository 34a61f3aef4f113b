"""Entries from one index to another, in one state of the database: what one process checks at a time.

Chunks of rows come in the order of their indices. Most are decisions whose bytes are those of a decision of this version
(`audit.verifier.typed`) and whose columns and terms follow from it; every other row is read carefully.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from importlib import import_module
from typing import Any

from msgspec import UNSET

from audit import merkle
from audit.body import DECISION
from audit.gaps import Gaps
from audit.projected import ENTRY_COLUMNS
from audit.tiles import WIDTH, roots_of_full_tiles
from audit.vault import Vault
from audit.verifier.careful import CarefulReader, by_no_policy
from audit.verifier.course import Let, Notes, Step
from audit.verifier.fingerprints import FingerprintChecker, Fits
from audit.verifier.moments import Ends, ends_of, joined
from audit.verifier.payloads import Bodies, Expected, PayloadChecker, Released
from audit.verifier.report import Findings
from audit.verifier.source import Row, Source, SourceError
from audit.verifier.typed import Reader, columns, terms

CHUNK = 256
"""Entries of which the earliest and the latest time are told together. No more rows than theirs are in memory at once."""
_IDX, _LEAF, _KIND, _BODY, _TIME = range(5)
_MODALITY, _VERSION = ENTRY_COLUMNS.index("modality"), ENTRY_COLUMNS.index("version")
_BEGUN = sha256(b"\x00").copy
_COLUMNS = ", ".join(ENTRY_COLUMNS)
_READ = f"SELECT {_COLUMNS} FROM entry WHERE idx >= ? AND idx < ? ORDER BY idx"  # noqa: S608 - names of our own columns
_READ_ONE = f"SELECT {_COLUMNS} FROM entry WHERE idx = ?"  # noqa: S608
_TERMS = "SELECT idx, name, value FROM term WHERE idx >= ? AND idx < ? ORDER BY idx, name, value"


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a ledger before its entries are looked at."""

    ledger: Mapping[str, Any] | None = None
    """The row that says which ledger this is; None when it cannot be read."""
    gaps: Sequence[tuple[int, bytes]] | None = None
    """Entries that explain what is missing; None when they cannot be read."""
    master: bytes | None = field(default=None, repr=False)
    """The master key in force; None when it is not here."""
    fingerprints: bool = True
    """Whether there is a table of them."""
    fits: str = ""
    """Module and name of what compares a fingerprint with its image; empty for nothing."""


def fits_of(name: str) -> Fits:
    """What `Known.fits` names. Raises ImportError and AttributeError when there is no such thing."""
    module, _, function = name.partition(":")
    fits: Fits = getattr(import_module(module), function)
    return fits


@dataclass(slots=True)
class Stretch:
    """What came of some entries."""

    start: int
    stop: int
    found: Findings = field(default_factory=Findings)
    notes: list[Step] = field(default_factory=list)
    leaves: list[bytes] = field(default_factory=list)
    """Leaf hashes of the entries that are there."""
    tiles: list[bytes] = field(default_factory=list)
    """Roots over each tile of them, where they are whole tiles and none is missing; else empty."""
    times: list[Ends | None] = field(default_factory=list)
    """The earliest and the latest time of each whole chunk; None for one of which not all is there."""
    node: bytes = b""
    """Root over all of them, where they are a node of the tree; else empty."""
    payloads: dict[int, int] = field(default_factory=dict)
    """Missing payloads by the entry that explains them."""
    bodies: dict[int, int] = field(default_factory=dict)
    lost: int | None = None
    """From where on there is no entry at all."""


class StretchChecker:
    """Checks stretches of entries in one state of a database."""

    def __init__(self, source: Source, known: Known, fits: Fits | None = None) -> None:
        """`source`: the state. `fits`: instead of `known.fits`."""
        self._source = source
        self._gaps = None if known.gaps is None else Gaps(known.gaps)
        self._careful, self._read = CarefulReader(known.ledger, self._gaps), Reader().read
        self.payloads = PayloadChecker(source, Vault(known.master) if known.master else None, self._gaps)
        fits = fits or (fits_of(known.fits) if known.fits else None)
        self._fingerprints = FingerprintChecker(source, self.payloads, fits) if known.fingerprints else None

    def check(self, start: int, stop: int, progress: Callable[[int], None] | None = None) -> Stretch:
        """Entries `start` to `stop`. `progress`: called with how far it is, after each chunk."""
        out = Stretch(start, stop)
        notes = Notes(out.notes)
        ends: list[Ends | None] = []
        batch = self._source.batch
        for first in range(start, stop, batch):
            last = min(first + batch, stop)
            if not self._batch(first, last, out, notes, ends):
                out.lost = first
                if ends and first + CHUNK - batch * len(ends) <= stop:
                    out.times.append(None)
                break
            if (last - start) % CHUNK == 0:
                out.times.append(joined(ends))
                ends.clear()
                if progress is not None:
                    progress(last)
        if progress is not None and ends and out.lost is None:
            progress(stop)
        count = stop - start
        if len(out.leaves) == count and start % WIDTH == count % WIDTH == 0:
            out.tiles = roots_of_full_tiles(start, out.leaves)
            out.node = merkle.perfect_root(out.tiles) if count & (count - 1) == 0 and start % count == 0 else b""
        if self._gaps is not None:
            out.payloads, out.bodies = map(dict, self._gaps.take())
        return out

    def _batch(self, start: int, stop: int, out: Stretch, notes: Notes, ends: list[Ends | None]) -> bool:
        """Some entries; False when there are none from `start` on."""
        found = out.found
        rows = self._rows(start, stop, found)
        if not rows and self._ends(start):
            return False
        facts = Facts(self._facts(start, stop, found))
        bodies, present, quick, size = Bodies(), set(range(start, stop)), 0, 0
        if len(rows) != stop - start:
            present = {row[_IDX] for row in rows}
        ends.append(ends_of(rows, _TIME) if len(rows) == stop - start else None)
        for row in rows:
            if self._quick(row, facts, bodies, notes):
                out.leaves.append(row[_LEAF])
                quick, size = quick + 1, size + len(row[_BODY])
            else:
                self._slow(row, facts, bodies, present, out, notes)
        for idx in facts.rest():
            found.problem(idx, "term", "a term without its entry", "none")
        if quick:
            for what, number in (("entries", quick), ("body_bytes", size), ("terms", facts.quick)):
                found.tally(what, number)
        self.payloads.chunk(start, stop, bodies, present, found.problem, found.tally)
        if self._fingerprints is not None:
            self._fingerprints.chunk(start, stop, bodies, present, found.problem, found.tally)
        return True

    def _quick(self, row: Row, facts: Facts, bodies: Bodies, notes: Notes) -> bool:
        """Whether an entry is a decision with which all is well; anything else is left to the careful reader."""
        idx, leaf, kind, data = row[:4]
        if kind != DECISION or type(data) is not bytes or not idx or _leaf_hash(data) != leaf:
            return False
        body = self._read(data, row[_MODALITY])
        if body is None or columns(body) != row[4:] or type(row[_VERSION]) is not int or not facts.match(idx, terms(idx, body)):
            return False
        verdict, request, named = body.verdict, body.request, body.id
        if verdict.policy or not by_no_policy(verdict.policy, verdict.revision, verdict.action):
            notes.used(idx, verdict.revision, named)
        if body.shadows is not UNSET:
            for shadow in body.shadows:
                notes.used(idx, shadow.verdict.revision, named)
        if body.reviewed is not UNSET:
            notes.steps.append(Let(idx, body.reviewed.entry, body.reviewed.held, named))
        bodies.named[idx] = named
        tenant, subject = request.tenant, request.subject
        if (block := body.content) is not UNSET:
            bodies.payloads[idx, block.part] = Expected(block.sealed, block.commit, block.bytes, tenant, subject, named)
        if (block := body.released) is not UNSET:
            bodies.payloads[idx, block.part] = Expected(block.sealed, block.commit, block.bytes, tenant, subject, named)
            if body.context.modality == "image":
                bodies.images[idx] = Released(named, tenant, subject, block.part)
        return True

    def _slow(self, row: Row, facts: Facts, bodies: Bodies, present: set[int], out: Stretch, notes: Notes) -> None:
        """What took a closer look."""
        idx = row[_IDX]
        leaf, body, pruned = self._careful.entry(idx, row, facts.of(idx), out.found, notes)
        out.leaves.append(leaf)
        if body is not None:
            bodies.add(idx, body)
        if pruned:
            present.discard(idx)

    def _ends(self, start: int) -> bool:
        """Whether nothing follows, so that the rest is one gap and not one problem for each index."""
        try:
            return not self._source.rows("SELECT 1 FROM entry WHERE idx >= ? LIMIT 1", (min(start, 2**62),))
        except SourceError:
            return False

    def _rows(self, start: int, stop: int, found: Findings) -> Collection[Row]:
        """Rows in order. Damage makes a whole range unreadable: then one by one, to name the entries."""
        try:
            rows = self._source.all(_READ, (start, stop))
        except SourceError:
            rows = []
        if len(rows) == stop - start or (not rows and self._ends(start)):
            return rows
        rows = []
        for idx in range(start, stop):
            try:
                one = self._source.rows(_READ_ONE, (idx,))
            except SourceError as error:
                found.problem(idx, "body", f"an entry that cannot be read ({error})", "the entry that was committed")
                continue
            if not one:
                found.problem(idx, "gap", "no such entry", "one entry for each index")
            rows += one
        return rows

    def _facts(self, start: int, stop: int, found: Findings) -> list[Row]:
        """Terms in the order of indices."""
        try:
            return self._source.all(_TERMS, (start, stop))
        except SourceError:
            pass
        try:
            return self._source.rows(_TERMS, (start, stop))
        except SourceError as error:
            found.problem(None, "term", f"terms of entries {start} to {stop - 1} cannot be read ({error})", "readable terms")
            return []


def _leaf_hash(data: bytes) -> bytes:
    """As `merkle.leaf_hash`, by the quickest way where no other thread waits."""
    digest = _BEGUN()
    digest.update(data)
    return digest.digest()


class Facts:
    """Terms of a chunk of entries, taken entry by entry."""

    __slots__ = ("_all", "_at", "_left", "quick")

    def __init__(self, rows: list[Row]) -> None:
        """`rows`: index, name and value, in their order."""
        self._all, self._at, self.quick = rows, 0, 0
        self._left: list[int] = []

    def match(self, idx: int, expected: list[tuple[int, str, str]]) -> bool:
        """Whether these are the next entry's, all of them; then they are taken."""
        rows, at = self._all, self._at
        end = at + len(expected)
        if rows[at:end] != expected or (end < len(rows) and rows[end][0] == idx):
            return False
        self._at = end
        self.quick += len(expected)
        return True

    def of(self, idx: int) -> set[tuple[Any, Any]]:
        """Those of an entry, whatever they are."""
        taken: set[tuple[Any, Any]] = set()
        while self._at < len(self._all) and self._all[self._at][0] <= idx:
            owner, *fact = self._all[self._at]
            if owner == idx:
                taken.add((fact[0], fact[1]))
            elif owner not in self._left:
                self._left.append(owner)
            self._at += 1
        return taken

    def rest(self) -> list[int]:
        """Indices of those that no entry took."""
        return list(dict.fromkeys([*self._left, *[row[0] for row in self._all[self._at :]]]))
