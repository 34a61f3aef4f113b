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
from guard.note import NoteError, SignerKey, VerifierKey, sign, verify

_SIZE = re.compile("0|[1-9][0-9]{0,18}")


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

    def signed(self, *signers: SignerKey) -> str:
        """The checkpoint as a signed note."""
        return sign(self.text, *signers)

    @classmethod
    def parse(cls, text: str) -> Checkpoint:
        """Read the text of a note. Raises NoteError for what is no checkpoint, or has extension lines."""
        lines = text.split("\n")
        if len(lines) != 4 or lines[3] or not lines[0] or not _SIZE.fullmatch(lines[1]):
            raise NoteError("found no checkpoint, expected three lines: origin, size and root")
        try:
            root = base64.b64decode(lines[2], validate=True)
        except (binascii.Error, ValueError):
            root = b""
        if len(root) != merkle.HASH_SIZE or base64.b64encode(root).decode() != lines[2]:
            raise NoteError("found no root in the checkpoint, expected 32 bytes in base64")
        return cls(lines[0], int(lines[1]), root)

    @classmethod
    def verified(cls, note: str, known: Iterable[VerifierKey], origin: str = "") -> Checkpoint:
        """Read a signed note that one of the known keys signed. `origin`: of which log; empty: any.

        Raises NoteError for one that none of them signed, that is no checkpoint, or that is another log's.
        """
        found = cls.parse(verify(note, known).text)
        if origin and found.origin != origin:
            raise NoteError(f"found a checkpoint of {found.origin[:200]!r}, expected {origin!r}")
        return found
