"""Signs what a ledger has become, after proving that it only grew, and hands it to the anchors.

At start the newest anchored checkpoint has to be a beginning of the log that is there: an anchor that is ahead means that the
database was restored from an older copy, another root that it was rewritten. Then nothing is signed, and a person has to look.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import Connection, Engine, select

from audit import merkle
from audit.anchor import FileAnchor
from audit.checkpoint import Checkpoint
from audit.failpoints import failpoint
from audit.models import metadata
from audit.stores import store_of
from guard.errors import LedgerError, SignatureError
from guard.note import SigningKey

_CHUNK = 65_536
_ENTRY, _HEAD = metadata.tables["entry"], metadata.tables["head"]


class RollbackError(LedgerError):
    """The log is shorter than, or other than, what was signed of it before."""


@dataclass(slots=True)
class Notary:
    """Signs checkpoints of one ledger. Not safe to use from several threads at once."""

    engine: Engine
    path: Path
    key: SigningKey
    anchors: Sequence[FileAnchor] = ()
    _size: int = 0
    _peaks: list[bytes] = field(default_factory=list)
    _begun: bool = False

    def sign(self) -> str | None:
        """Sign the log as it is now; None when it is as it was when last signed here.

        Raises RollbackError when it did not only grow since, LedgerError when it cannot be read or an anchor not be written.
        """
        with store_of(self.engine).clear_errors("sign the ledger"), self.engine.connect() as connection, connection.begin():
            if not self._begun:
                self._begin(connection)
            size, frontier = connection.execute(select(_HEAD.c.size, _HEAD.c.frontier)).one()
            if size < self._size:
                raise _shorter(size, self._size, "signed before")
            if size == self._size:
                return None
            peaks, counted = list(self._peaks), self._size
            for leaves in _leaves(connection, counted, size):
                peaks, counted = merkle.extend(peaks, counted, leaves)
        if counted != size or merkle.pack(peaks) != bytes(frontier):
            raise RollbackError(
                f"found {counted} entries that do not lead to the head of size {size}, expected the log to have only grown",
                advice="Run `genguard audit verify`; nothing was signed.",
            )
        note = Checkpoint(self.key.name, size, merkle.frontier_root(peaks)).signed(self.key)
        failpoint("sign: before the anchor")
        for anchor in self.anchors:
            anchor.append(note)
        failpoint("sign: anchored")
        self._size, self._peaks = size, peaks
        return note

    def _begin(self, connection: Connection) -> None:
        """Go on from the newest checkpoint that the anchors have."""
        newest = self._newest()
        if newest is not None:
            size = connection.execute(select(_HEAD.c.size)).scalar_one()
            if size < newest.size:
                raise _shorter(size, newest.size, "anchored")
            peaks, counted = self._peaks, 0
            for leaves in _leaves(connection, 0, newest.size):
                peaks, counted = merkle.extend(peaks, counted, leaves)
            if counted != newest.size or merkle.frontier_root(peaks) != newest.root:
                raise RollbackError(
                    f"found a log whose first {newest.size} entries have another root than the anchored one",
                    advice="Run `genguard audit verify --anchor FILE`; nothing was signed.",
                )
            self._peaks, self._size = peaks, counted
        self._begun = True

    def _newest(self) -> Checkpoint | None:
        found: Checkpoint | None = None
        for anchor in self.anchors:
            for note in reversed(anchor.notes()):
                try:
                    one = Checkpoint.verified(note, [self.key.public], self.key.name)
                except SignatureError:
                    continue  # of another key or ledger; `audit verify` tells of those that are wrong
                if found is None or one.size > found.size:
                    found = one
                break
        return found


def _shorter(size: int, known: int, how: str) -> RollbackError:
    return RollbackError(
        f"found a log of {size} entries, expected at least the {known} that were {how}",
        advice="The database was restored from an older copy, or its end was cut off. Nothing was signed.",
    )


def _leaves(connection: Connection, start: int, stop: int) -> Iterator[list[bytes]]:
    """Leaf hashes in chunks; ends early where an index is missing."""
    for low in range(start, stop, _CHUNK):
        high = min(low + _CHUNK, stop)
        statement = select(_ENTRY.c.idx, _ENTRY.c.leaf).where(_ENTRY.c.idx >= low, _ENTRY.c.idx < high).order_by(_ENTRY.c.idx)
        rows = connection.execute(statement).all()
        yield [bytes(leaf) for _, leaf in rows]
        if len(rows) < high - low:
            return
