"""Makes the proof of one entry: a file that verifies without the ledger, its database or this program."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Connection, Engine, select

from audit import merkle
from audit.checkpoint import Checkpoint
from audit.models import metadata
from audit.proof import Proof
from audit.query import find_row, reading
from audit.tiles import WIDTH, Tree, roots_of_full_tiles
from guard.errors import LedgerError
from guard.note import Note

_ENTRY = metadata.tables["entry"]


@dataclass(frozen=True, slots=True)
class Leaves:
    """A log's hashes from its table of entries: leaves as they are, other levels computed from them."""

    connection: Connection

    def read(self, level: int, start: int, stop: int, /) -> Sequence[bytes]:
        """See `audit.tiles.Hashes`."""
        self._require(stop * WIDTH**level - 1)
        if level > 1:
            return [merkle.tree_root(self.read(level - 1, index * WIDTH, (index + 1) * WIDTH)) for index in range(start, stop)]
        if level:
            return roots_of_full_tiles(start * WIDTH, self.read(0, start * WIDTH, stop * WIDTH))
        statement = select(_ENTRY.c.leaf).where(_ENTRY.c.idx >= start, _ENTRY.c.idx < stop).order_by(_ENTRY.c.idx)
        found = [bytes(leaf) for leaf in self.connection.execute(statement).scalars()]
        if len(found) < stop - start:
            raise LookupError(f"entries {start} to {stop - 1} are not all there")
        return found

    def _require(self, index: int) -> None:
        """Raise LookupError where the log is too short, before thousands of leaves are read for nothing."""
        if self.connection.execute(select(_ENTRY.c.idx).where(_ENTRY.c.idx == index)).first() is None:
            raise LookupError(f"there is no entry {index}")


def prove(source: str | Engine, reference: str | int | UUID, checkpoint: str) -> Proof:
    """The proof that an entry is under a signed checkpoint, with the entry's body.

    `source`: a ledger URL, or an engine of `Store.reader`. `reference`: a decision id, the beginning of one, or an index.
    Raises QueryError when there is no such entry, LedgerError when the checkpoint does not cover it, or the log is not the one
    that was signed.
    """
    head = Checkpoint.parse(Note.parse(checkpoint).text)
    with reading(source) as connection:
        row = find_row(connection, reference)
        if row["body"] is None:
            raise LedgerError(f"entry {row['idx']} has no body any more", advice="Run `genguard audit verify`.")
        if row["idx"] >= head.size:
            raise LedgerError(
                f"entry {row['idx']} is not under the checkpoint of size {head.size}",
                advice="Sign the log again, then prove it.",
            )
        tree = Tree(Leaves(connection))
        try:
            path, root = tree.inclusion(row["idx"], head.size), tree.root(head.size)
        except LookupError as error:
            raise LedgerError(f"cannot prove entry {row['idx']}: {error}", advice="Run `genguard audit verify`.") from None
        if root != head.root:
            raise LedgerError(
                f"found a log whose first {head.size} entries have another root than the checkpoint",
                advice="Run `genguard audit verify --anchor FILE`.",
            )
        return Proof(row["idx"], tuple(path), checkpoint, bytes(row["body"]))
