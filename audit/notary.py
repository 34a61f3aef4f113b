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
from audit.anchor import Anchor
from audit.checkpoint import Checkpoint, Known
from audit.failpoints import failpoint
from audit.log_key import latest_rotation
from audit.models import metadata
from audit.prove import Leaves
from audit.stores import store_of
from audit.tiles import Tree
from audit.witnesses import Witnesses
from guard.errors import LedgerError, SignatureError
from guard.note import SigningKey

_CHUNK = 65_536
_ENTRY, _HEAD = metadata.tables["entry"], metadata.tables["head"]


class RollbackError(LedgerError):
    """The log is shorter than, or other than, what was signed of it before."""


class NotCosignedError(LedgerError):
    """Fewer witnesses cosigned a checkpoint than have to."""


class KeyChangedError(LedgerError):
    """The log says that another key signs it now."""


@dataclass(slots=True)
class Notary:
    """Signs checkpoints of one ledger. Not safe to use from several threads at once."""

    engine: Engine
    path: Path
    key: SigningKey
    anchors: Sequence[Anchor] = ()
    known: Sequence[Known] = ()
    """Keys that what the anchors have may be signed with, besides the own: those of before."""
    witnesses: Witnesses | None = None
    """Who cosigns what is signed here."""
    _size: int = 0
    _peaks: list[bytes] = field(default_factory=list)
    _begun: bool = False

    def sign(self) -> str | None:
        """Sign the log as it is now; None when it is as it was when last signed here.

        Raises RollbackError when it did not only grow since, KeyChangedError when another key signs it now, NotCosignedError
        when too few witnesses cosigned, LedgerError when it cannot be read or an anchor not be written.
        """
        with store_of(self.engine).clear_errors("sign the ledger"), self.engine.connect() as connection, connection.begin():
            change = latest_rotation(connection)
            if change is not None and change.after != str(self.key.public):
                raise KeyChangedError(
                    f"the log's key was changed by entry {change.index}, and the one here is another",
                    advice="Name the file of the new key with GENGUARD_LOG_KEY_FILE or --log-key-file.",
                )
            if not self._begun:
                self._begin(connection)
            size, frontier = connection.execute(select(_HEAD.c.size, _HEAD.c.frontier)).one()
            if size < self._size:
                raise _shorter(size, self._size, "signed before")
            if size == self._size:
                return None
            peaks, counted = self._grow(connection, size)
        if counted != size or merkle.pack(peaks) != bytes(frontier):
            raise RollbackError(
                f"found {counted} entries that do not lead to the head of size {size}, expected the log to have only grown",
                advice="Run `genguard audit verify`; nothing was signed.",
            )
        note = Checkpoint(self.key.name, size, merkle.frontier_root(peaks)).signed(self.key)
        if self.witnesses is not None:
            note = self.witnesses.ask(note, self._consistency)
            if self.witnesses.required and (lack := self.witnesses.lack()):
                raise NotCosignedError(f"the checkpoint of size {size} is not handed out: {lack}")
        failpoint("sign: before the anchor")
        for anchor in self.anchors:
            anchor.append(note)
        failpoint("sign: anchored")
        self._size, self._peaks = size, peaks
        return note

    def hand_over(self, size: int, new: SigningKey) -> str:
        """Sign the first `size` entries with this key and with the one that follows it. Raises as `sign` does."""
        with store_of(self.engine).clear_errors("sign the ledger"), self.engine.connect() as connection, connection.begin():
            if not self._begun:
                self._begin(connection)
            peaks, counted = self._grow(connection, size)
        if counted != size:
            raise _shorter(counted, size, "recorded")
        mine = self.key.sign(Checkpoint(self.key.name, size, merkle.frontier_root(peaks)).text)
        note = str(new.sign(mine.text, mine.signatures))
        for anchor in self.anchors:
            anchor.append(note)
        return note

    def _consistency(self, old: int, new: int) -> list[bytes]:
        """The proof that the log of `new` entries extends that of `old`. Raises LedgerError."""
        with store_of(self.engine).clear_errors("read the ledger"), self.engine.connect() as connection, connection.begin():
            try:
                return Tree(Leaves(connection)).consistency(old, new)
            except LookupError as error:
                raise LedgerError(f"cannot prove what was added: {error}", advice="Run `genguard audit verify`.") from None

    def _grow(self, connection: Connection, size: int) -> tuple[list[bytes], int]:
        """Frontier and size once the leaves that came were added."""
        peaks, counted = list(self._peaks), self._size
        for leaves in _leaves(connection, counted, size):
            peaks, counted = merkle.extend(peaks, counted, leaves)
        return peaks, counted

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
                    one = Checkpoint.verified(note, [self.key.public, *self.known], self.key.name)
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
