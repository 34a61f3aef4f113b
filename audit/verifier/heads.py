"""Compares a log with the signed checkpoints that were kept of it elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from audit.anchor import FileAnchor
from audit.checkpoint import Checkpoint, Known
from audit.cosign import WitnessKey, cosigned
from audit.verifier.report import KEY, ROLLBACK, ROOT, SIGNATURE
from guard.errors import SignatureError
from guard.note import Note


@dataclass(frozen=True, slots=True)
class Cosigners:
    """Witnesses, some of which have to have cosigned a checkpoint."""

    keys: frozenset[WitnessKey]
    needed: int

    @classmethod
    def of(cls, keys: Sequence[WitnessKey], quorum: int | None) -> Cosigners:
        """`quorum`: how many; all when left out."""
        return cls(frozenset(keys), len(set(keys)) if quorum is None else quorum)


@dataclass(slots=True)
class Heads:
    """Checkpoints of a log, and the roots that were computed at their sizes."""

    sound: list[Checkpoint] = field(default_factory=list)
    signers: list[frozenset[str]] = field(default_factory=list)
    """Of each of them, the keys that are known and signed it."""
    changes: list[tuple[int, str, str]] = field(default_factory=list)
    """Entries of the log that changed its key: index, key before, key after."""
    wrong: list[str] = field(default_factory=list)
    """Why a checkpoint cannot be believed."""
    unchecked: list[str] = field(default_factory=list)
    cosigners: Cosigners | None = None
    """Who has to have cosigned; None when nobody was asked for."""
    witnessed: tuple[Checkpoint, dict[WitnessKey, int]] | None = None
    """The largest tree that enough of them cosigned, with their times in seconds since 1970."""
    most: int = 0
    """Of how many the cosignatures stand under one checkpoint."""
    sizes: frozenset[int] = frozenset()
    roots: dict[int, bytes] = field(default_factory=dict)

    def compare(self, size: int) -> Iterator[tuple[str, str, str]]:
        """Problems as (what, found, expected). `size`: entries that the log has."""
        for why in self.wrong:
            yield SIGNATURE, why, "checkpoints that the log's key signed"
        if self.cosigners is not None and self.witnessed is None:
            found = f"{self.most} of {len(self.cosigners.keys)} witnesses under any checkpoint"
            yield SIGNATURE, found, f"one that {self.cosigners.needed} cosigned"
        yield from self._compare_keys()
        ahead = [head for head in self.sound if head.size > size]
        if ahead:
            most = max(head.size for head in ahead)
            yield ROLLBACK, f"a log of {size} entries", f"the {most} entries that were signed: it was cut off or restored"
        for head in self.sound:
            root = self.roots.get(head.size)
            if root is not None and root != head.root:
                yield ROOT, f"{root.hex()} over the first {head.size} entries", f"the signed root {head.root.hex()}"

    def take(self, note: str, head: Checkpoint, signers: Iterable[object], name: str) -> None:
        """A checkpoint that is signed; who cosigned it. `name`: what it is called where a cosignature does not hold."""
        self.sound.append(head)
        self.signers.append(frozenset(map(str, signers)))
        if self.cosigners is None:
            return
        try:
            times = cosigned(Note.parse(note), self.cosigners.keys)
        except SignatureError as error:
            self.wrong.append(f"{name}: {error}")
            return
        self.most = max(self.most, len(times))
        if len(times) >= self.cosigners.needed and (self.witnessed is None or head.size >= self.witnessed[0].size):
            self.witnessed = head, times

    def told(self) -> tuple[str, ...]:
        """Who cosigned the largest tree that enough witnesses did, a sentence each."""
        if self.witnessed is None:
            return ()
        head, times = self.witnessed
        return tuple(
            sorted(f"{key.name} cosigned the tree of {head.size} entries at {_utc(seconds)}" for key, seconds in times.items())
        )

    def unwitnessed(self, size: int) -> Iterator[str]:
        """What no witness speaks for. `size`: entries that the log has."""
        if self.cosigners is not None and self.witnessed is not None and self.witnessed[0].size < size:
            first = self.witnessed[0].size
            yield f"entries {first} to {size - 1} came after the last checkpoint that enough witnesses cosigned"

    def _compare_keys(self) -> Iterator[tuple[str, str, str]]:
        """Each change begins where the one before ended, and each checkpoint is by a key that was the log's at its size."""
        first: dict[str, int] = {}
        last: dict[str, int] = {}
        for (idx, before, after), earlier in zip(self.changes, [None, *self.changes], strict=False):
            if earlier is not None and earlier[2] != before:
                yield KEY, f"entry {idx}, which changes the log's key {before}", f"a change of {earlier[2]}, which was in force"
            last.setdefault(before, idx + 1)
            first.setdefault(after, idx + 1)
        for head, names in zip(self.sound, self.signers, strict=True):
            if not any(first.get(name, 0) <= head.size <= last.get(name, head.size) for name in names):
                told = ", ".join(sorted(names))
                yield SIGNATURE, f"a checkpoint of size {head.size} by {told}", "the key that was the log's at that size"


def read_heads(anchors: Sequence[FileAnchor], keys: Sequence[Known], cosigners: Cosigners | None = None) -> Heads:
    """The checkpoints of all anchors. Raises LedgerError for an anchor that cannot be read."""
    heads = Heads(cosigners=cosigners)
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
                head, signers = Checkpoint.signed_by(note, keys)
            except SignatureError as error:
                heads.wrong.append(f"checkpoint {number} of {anchor.path}: {error}")
            else:
                heads.take(note, head, signers, f"checkpoint {number} of {anchor.path}")
    heads.sizes = frozenset(head.size for head in heads.sound)
    return heads


def _utc(seconds: int) -> str:
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (ValueError, OverflowError, OSError):
        return f"{seconds} s after 1970"
