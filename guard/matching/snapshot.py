"""A bank as it was at one moment: what a check matches against, and the digest that a decision records.

A snapshot never changes. A bank that gains or loses works gives another snapshot, which shares with the last one what stayed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Self

from guard.matching.works import Work, Works


class WorkIndex(Protocol):
    """Fingerprints of one method, findable by likeness. Immutable: a change makes another index that shares what it can.

    Work numbers are positive and below 2**31. How it is searched differs by method, and is the class's own.
    """

    @classmethod
    def empty(cls, method: str) -> Self:
        """An index without entries."""

    @classmethod
    def open(cls, method: str, folder: Path) -> Self:
        """Memory-map what `save` wrote. Raises ModelError when it is missing, damaged or of another version."""

    def save(self, folder: Path) -> None:
        """Write it to a folder, whole or not at all."""

    def extended(self, entries: Iterable[tuple[int, bytes]]) -> Self:
        """With more (work number, fingerprint) entries. Raises ModelError for a malformed fingerprint."""

    def without(self, numbers: Collection[int]) -> Self:
        """Without the fingerprints of these works."""

    def compacted(self) -> Self:
        """The same entries in the form that is searched fastest."""

    @property
    def pending(self) -> int:
        """Entries that were added or dropped since it was last compacted: the more, the slower a search."""

    def __len__(self) -> int:
        """Fingerprints that can be found."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A bank at one moment."""

    bank: str
    digest: str
    """Names the bank's history up to this moment, hexadecimal: which works were registered is derivable from it."""
    size: int
    """Works that are registered and not retired."""
    indexes: Mapping[str, WorkIndex]
    """By method; a method that no work has is absent."""
    works: Works


def snapshot_of(bank: str, works: Iterable[Work], *, digest: str = "") -> Snapshot:
    """A snapshot in memory; works are numbered from 1 in the order given."""
    from guard.matching.methods import index_class

    numbered = dict(enumerate(works, 1))
    entries: dict[str, list[tuple[int, bytes]]] = {}
    for number, work in numbered.items():
        for one in work.fingerprints:
            entries.setdefault(one.method, []).append((number, one.data))
    indexes = {method: index_class(method).empty(method).extended(found).compacted() for method, found in entries.items()}
    return Snapshot(bank, digest, len(numbered), indexes, numbered)
