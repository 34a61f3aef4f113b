"""What a log says of itself, signed: its origin, its size and its root (C2SP tlog-checkpoint).

    <origin>
    <size>
    <base64 root>

A checkpoint is the text of a signed note (`guard.note`). Extension lines are neither written nor accepted.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable
from dataclasses import dataclass

from audit import merkle
from guard.errors import SignatureError
from guard.note import Note, PublicKey, SigningKey, signers

_SIZE = re.compile("0|[1-9][0-9]{0,18}")


@dataclass(frozen=True, slots=True)
class Tenure:
    """A log's key, and the sizes that its checkpoints may have: all, unless it took another's place or gave up its own."""

    key: PublicKey
    first: int = 0
    last: int | None = None

    def covers(self, size: int) -> bool:
        """Whether it may sign a tree of that size."""
        return self.first <= size and (self.last is None or size <= self.last)


Known = PublicKey | Tenure
"""A key that is trusted: for all sizes, or for some."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A tree head."""

    origin: str
    size: int
    root: bytes

    @property
    def text(self) -> str:
        """The signed text."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"

    def signed(self, key: SigningKey) -> str:
        """The checkpoint as a signed note."""
        return str(key.sign(self.text))

    @classmethod
    def parse(cls, text: str) -> Checkpoint:
        """Read the text of a note. Raises SignatureError for what is no checkpoint, or has extension lines."""
        lines = text.split("\n")
        if len(lines) != 4 or lines[3] or not lines[0] or not _SIZE.fullmatch(lines[1]):
            raise SignatureError("found no checkpoint, expected three lines: origin, size and root")
        try:
            root = base64.b64decode(lines[2], validate=True)
        except (binascii.Error, ValueError):
            root = b""
        if len(root) != merkle.HASH_SIZE or base64.b64encode(root).decode() != lines[2]:
            raise SignatureError("found no root in the checkpoint, expected 32 bytes in base64")
        return cls(lines[0], int(lines[1]), root)

    @classmethod
    def verified(cls, note: str, known: Iterable[Known], origin: str = "") -> Checkpoint:
        """Read a signed note that one of the known keys signed. `origin`: of which log; empty: any.

        Raises SignatureError for one that none of them signed, or only one that was not the log's key at that size, that is no
        checkpoint, or that is another log's.
        """
        return cls.signed_by(note, known, origin)[0]

    @classmethod
    def signed_by(cls, note: str, known: Iterable[Known], origin: str = "") -> tuple[Checkpoint, tuple[PublicKey, ...]]:
        """`verified`, and the known keys that signed it."""
        tenures = [one if isinstance(one, Tenure) else Tenure(one) for one in known]
        read = Note.parse(note)
        keys = signers(read, [one.key for one in tenures])
        found = cls.parse(read.text)
        if origin and found.origin != origin:
            raise SignatureError(f"found a checkpoint of {found.origin[:200]!r}, expected {origin!r}")
        good = tuple(one.key for one in tenures if one.key in keys and one.covers(found.size))
        if not good:
            names = ", ".join(f"{one.name}+{one.key_id.hex()}" for one in keys)
            raise SignatureError(f"found a checkpoint of size {found.size} by {names}, which is not the log's key at that size")
        return found, good
