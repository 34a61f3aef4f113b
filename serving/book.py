"""What the ledger says of a decision to whoever holds an output: never who asked, what was asked, or why it was decided."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePath, PureWindowsPath
from typing import Any
from uuid import UUID

from audit.body import ACTIVATION
from audit.copies import Copies, find_copies
from audit.grammar import QueryError
from audit.query import Shown, policy_document, query, show
from guard.errors import LedgerError, PolicyError
from guard.marks.watermark import DEFAULT
from guard.marks.wording import label_lines
from guard.matching.likeness import Looked
from guard.rules import MarkSpec
from guard.types import Mark, Modality
from policies import from_document
from serving.album import Alike, album

_MOST = 20
"""Entries of one payload that are looked at."""
_POLICIES = 100
"""Policy revisions that are looked at for watermarks and labels, the newest first."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One decision, as far as anyone may know it."""

    decision: UUID
    index: int
    time: str
    policy: str
    version: int
    revision: str
    action: str
    generator: str
    model: str
    modality: Modality
    leaf_hash: str
    released: bool
    marks: tuple[Mark, ...]
    """Those that were on what was released."""
    comparable: bool
    """Whether a copy of what was released would be found."""

    def mark(self, kind: str, *methods: str) -> Mark | None:
        """A mark of this kind that was read back, of one of the methods where some are named."""
        found = (one for one in self.marks if one.kind == kind and (not methods or one.method in methods))
        return next(found, None)


class Book:
    """A ledger, opened to look outputs up. One that cannot be read says so in `trouble` and finds nothing."""

    def __init__(self, url: str, key_file: Path | None = None) -> None:
        self.url, self.key_file = url, key_file
        self.identity, self.size, self.trouble = "", 0, ""
        try:
            first = show(url, 0)
            self.identity, self.size = str(first.body["ledger"]), first.tree_size
        except (LedgerError, QueryError, KeyError) as error:
            self.trouble = str(error) if isinstance(error, LedgerError) else f"{url} holds no ledger"
        self.blind = self.trouble
        """Why copies and images that look alike cannot be looked up; empty when they can."""

    def entry(self, reference: UUID | int) -> Entry | None:
        """The decision with this id or index; None when the ledger has none."""
        try:
            return _entry(show(self.url, reference))
        except QueryError:
            return None

    def marked(self, payload: str, method: str) -> tuple[Entry, ...]:
        """Decisions whose output bears this watermark, the newest first."""
        rows = query(self.url, mark=payload, limit=_MOST).rows
        found = (self.entry(row.idx) for row in rows)
        return tuple(one for one in found if one and (mark := one.mark("watermark", method)) and mark.payload == payload)

    def copies(self, data: str | bytes) -> Copies:
        """Entries that released the same; none, with the reason in `blind`, when that cannot be told."""
        if self.blind:
            return Copies()
        try:
            return find_copies(self.url, data, key_file=self.key_file)
        except LedgerError as error:
            self.blind = str(error)
            return Copies()

    def alike(self, picture: Looked) -> Alike | None:
        """Released images that look like a picture; None, with the reason in `blind`, when that cannot be told."""
        if self.blind:
            return None
        try:
            return album((self.url, self.identity), self.key_file).nearest(picture)
        except LedgerError as error:
            self.blind = str(error)
            return None

    def watermarks(self) -> frozenset[str]:
        """Methods of watermarking in the policies of this ledger."""
        return frozenset(str(mark.parameters.get("method", DEFAULT)) for mark in self._marks() if mark.use == "watermark")

    def label_lines(self) -> frozenset[str]:
        """Lines by which the policies of this ledger label texts, in their own wording or that of their profile."""
        return label_lines(self._marks())

    def _marks(self) -> tuple[MarkSpec, ...]:
        """What the policies of this ledger ask for; nothing when it cannot be read."""
        if self.trouble:
            return ()
        rows = query(self.url, kind=ACTIVATION, limit=_POLICIES).rows
        return tuple(mark for row in rows for mark in _marks(self.url, row.revision))


@lru_cache(1024)
def _marks(url: str, revision: str) -> tuple[MarkSpec, ...]:
    try:
        return from_document(policy_document(url, revision)).marks
    except (PolicyError, QueryError):  # a document of another format says nothing here
        return ()


def _entry(shown: Shown) -> Entry | None:
    decision = shown.decision
    if decision is None:
        return None
    origin: dict[str, Any] = dict(shown.body.get("origin") or {})
    released = "released" in shown.body and decision.verdict.action.releases
    return Entry(
        decision.id,
        shown.idx,
        decision.time.isoformat(timespec="seconds"),
        decision.verdict.policy,
        decision.verdict.version,
        decision.verdict.revision,
        decision.verdict.action.value,
        decision.context.generator,
        _model(str(origin.get("model", ""))),
        decision.context.modality,
        shown.leaf.hex(),
        released,
        tuple(mark for mark in decision.marks if mark.verified),
        "copies" in shown.body,
    )


def _model(name: str) -> str:
    """A model's name; of one that lies in some folder of the operator's, its last part."""
    absolute = PurePath(name).is_absolute() or PureWindowsPath(name).is_absolute() or name.startswith((".", "~"))
    return PureWindowsPath(name).name if absolute else name
