"""Cosignatures of witnesses: https://c2sp.org/tlog-cosignature, version 1, Ed25519.

A witness says that, as of a time, the largest tree that it saw of a log is this one, and that each before it was its beginning.
The time is signed with the text, and stands in the first eight bytes of the signature. A witness's public key is written as
`NAME+ID+base64(04 || public key)`.
"""

from __future__ import annotations

import base64
import hashlib
import re
import struct
from collections.abc import Iterable
from dataclasses import dataclass

from audit.checkpoint import Checkpoint
from guard.errors import SignatureError
from guard.note import Note, PublicKey, Signature, SigningKey

_KIND = b"\x04"
_KEY_LINE = re.compile(r"([^+\s]+)\+([0-9a-f]{8})\+([A-Za-z0-9+/]{44})")
_LENGTH = 8 + 64
_MAX_TIME = 2**63 - 1


@dataclass(frozen=True, slots=True)
class WitnessKey:
    """A key that cosignatures are verified with."""

    name: str
    key: bytes
    """32 bytes."""

    @classmethod
    def of(cls, key: SigningKey) -> WitnessKey:
        """That of a witness's signing key."""
        return cls(key.name, key.public.key)

    @classmethod
    def parse(cls, line: str) -> WitnessKey:
        """Read a line such as `w1+8d66cf3c+BD…`. Raises SignatureError."""
        parts = _KEY_LINE.fullmatch(line.strip())
        data = base64.b64decode(parts[3]) if parts else b""
        if parts is None or len(data) != 33 or data[:1] != _KIND:
            raise SignatureError("found no public key of a witness, expected a line NAME+ID+KEY as `audit witness` writes it")
        made = cls(PublicKey(parts[1], data[1:]).name, data[1:])
        if made.key_id.hex() != parts[2]:
            raise SignatureError(f"found key id {parts[2]} of {parts[1]!r}, expected {made.key_id.hex()}: the line was changed")
        return made

    @property
    def key_id(self) -> bytes:
        """Four bytes that tell it from other keys of its name, and from its use for other signatures."""
        return hashlib.sha256(self.name.encode() + b"\n" + _KIND + self.key).digest()[:4]

    def __str__(self) -> str:
        return f"{self.name}+{self.key_id.hex()}+{base64.b64encode(_KIND + self.key).decode()}"

    def time(self, text: str, signature: Signature) -> int | None:
        """When this witness cosigned a text, in seconds since 1970; None for a signature that is not its own.

        Raises SignatureError for one under its name that does not hold.
        """
        if (signature.name, signature.key_id) != (self.name, self.key_id):
            return None
        if len(signature.value) == _LENGTH:
            (seconds,) = struct.unpack(">Q", signature.value[:8])
            message = _message(text, seconds)
            if seconds <= _MAX_TIME and PublicKey(self.name, self.key).holds(message, Signature("", b"", signature.value[8:])):
                return int(seconds)
        raise SignatureError(f"the cosignature of {self.name!r} does not hold: the text, the time or the signature was changed")


def cosign(text: str, key: SigningKey, seconds: int) -> Signature:
    """A witness's cosignature of a checkpoint's text, made at a time."""
    value = key.sign(_message(text, seconds)).signatures[-1].value
    return Signature(key.name, WitnessKey.of(key).key_id, struct.pack(">Q", seconds) + value)


def cosigned(note: Note, witnesses: Iterable[WitnessKey]) -> dict[WitnessKey, int]:
    """Which of the witnesses cosigned a checkpoint, and when. Raises SignatureError for a cosignature that does not hold."""
    Checkpoint.parse(note.text)
    found: dict[WitnessKey, int] = {}
    for witness in witnesses:
        times = [time for one in note.signatures if (time := witness.time(note.text, one)) is not None]
        if times:
            found[witness] = max(times)
    return found


def _message(text: str, seconds: int) -> str:
    return f"cosignature/v1\ntime {seconds}\n{text}"
