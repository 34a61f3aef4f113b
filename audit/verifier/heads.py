"""Compares a log with the signed checkpoints that were kept of it elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from audit.anchor import FileAnchor
from audit.checkpoint import Checkpoint
from guard.errors import SignatureError
from guard.note import PublicKey

SIGNATURE, ROOT, ROLLBACK = "signature", "root", "rollback"
"""Kinds of problems."""


@dataclass(slots=True)
class Heads:
    """Checkpoints of a log, and the roots that were computed at their sizes."""

    sound: list[Checkpoint] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    """Why a checkpoint cannot be believed."""
    unchecked: list[str] = field(default_factory=list)
    sizes: frozenset[int] = frozenset()
    roots: dict[int, bytes] = field(default_factory=dict)

    def compare(self, size: int) -> Iterator[tuple[str, str, str]]:
        """Problems as (what, found, expected). `size`: entries that the log has."""
        for why in self.wrong:
            yield SIGNATURE, why, "checkpoints that the log's key signed"
        ahead = [head for head in self.sound if head.size > size]
        if ahead:
            most = max(head.size for head in ahead)
            yield ROLLBACK, f"a log of {size} entries", f"the {most} entries that were signed: it was cut off or restored"
        for head in self.sound:
            root = self.roots.get(head.size)
            if root is not None and root != head.root:
                yield ROOT, f"{root.hex()} over the first {head.size} entries", f"the signed root {head.root.hex()}"


def read_heads(anchors: Sequence[FileAnchor], keys: Sequence[PublicKey]) -> Heads:
    """The checkpoints of all anchors. Raises LedgerError for an anchor that cannot be read."""
    heads = Heads()
    if not anchors:
        heads.unchecked.append(
            "no anchor was given: a database rewritten as a whole, or restored from an older copy, would not show"
        )
    for anchor in anchors:
        notes = anchor.notes()
        if not notes:
            heads.unchecked.append(f"the anchor {anchor.path} holds no checkpoint")
        if anchor.ends_cut:
            heads.unchecked.append(f"the last checkpoint of the anchor {anchor.path} was cut off")
        for number, note in enumerate(notes, 1):
            try:
                heads.sound.append(Checkpoint.verified(note, keys))
            except SignatureError as error:
                heads.wrong.append(f"checkpoint {number} of {anchor.path}: {error}")
    heads.sizes = frozenset(head.size for head in heads.sound)
    return heads
