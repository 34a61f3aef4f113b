"""Signed notes: a text with Ed25519 signatures of named keys, as C2SP's `signed-note` and `tlog-cosignature` define them.

    text, ends with a newline
    (empty line)
    — <key name> base64(key id || signature)

A verifier key is written `name+key id+base64(type || public key)`. Nothing of a note may be trusted before a signature of a
known key was verified. Sources: c2sp.org/signed-note@v1.0.0, c2sp.org/tlog-cosignature@v1.0.0, RFC 8032.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import struct
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from guard.errors import InputError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

SIGNATURE, COSIGNATURE = 0x01, 0x04
"""Types of a key: it signs the text itself, or with the time at which it saw it."""
MAX_BYTES = 1_000_000
MAX_SIGNATURES = 100

_DASH = "\u2014 "
_LENGTH = {SIGNATURE: 64, COSIGNATURE: 72}


class NoteError(InputError):
    """A note that cannot be read, or whose signatures do not make it trustworthy."""


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """A public key with the name that its signatures bear."""

    name: str
    public: bytes
    """32 bytes."""
    kind: int = SIGNATURE

    @property
    def id(self) -> bytes:
        """Four bytes that name key, name and type together."""
        return hashlib.sha256(self.name.encode() + b"\n" + bytes([self.kind]) + self.public).digest()[:4]

    def __str__(self) -> str:
        return f"{self.name}+{self.id.hex()}+{base64.b64encode(bytes([self.kind]) + self.public).decode()}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `name+key id+key`. Raises NoteError for anything else, and for a key id that is not the key's."""
        name, _, rest = text.strip().partition("+")
        said, _, encoded = rest.partition("+")
        data = _decoded(encoded)
        if not _is_name(name) or data is None or len(data) != 33 or data[0] not in _LENGTH:
            raise NoteError("found no verifier key, expected NAME+KEY ID+KEY with an Ed25519 key")
        key = cls(name, data[1:], data[0])
        if key.id.hex() != said:
            raise NoteError(f"found the key id {said[:16]!r} for key {name!r}, expected {key.id.hex()}")
        return key


@dataclass(frozen=True, slots=True)
class SignerKey:
    """A private key with the name that its signatures bear."""

    name: str
    private: Ed25519PrivateKey = field(repr=False)
    kind: int = SIGNATURE

    def __post_init__(self) -> None:
        """Raise NoteError for a name that a note cannot hold."""
        if not _is_name(self.name):
            raise NoteError(f"found the key name {self.name!r}, expected one without spaces and '+'")

    @property
    def verifier(self) -> VerifierKey:
        """What others verify its signatures with."""
        return VerifierKey(self.name, self.private.public_key().public_bytes_raw(), self.kind)

    def line(self, text: str, time: int = 0) -> str:
        """The signature line for a text. `time`: seconds since 1970, for cosignatures."""
        stamp = struct.pack(">Q", time) if self.kind == COSIGNATURE else b""
        signed = self.private.sign(_message(text, self.kind, time))
        return f"{_DASH}{self.name} {base64.b64encode(self.verifier.id + stamp + signed).decode()}\n"


@dataclass(frozen=True, slots=True)
class Signature:
    """One signature line."""

    name: str
    key_id: bytes
    data: bytes
    """What follows the key id."""

    @property
    def time(self) -> int:
        """Of a cosignature: seconds since 1970. Meaningless before it was verified."""
        return int(struct.unpack(">Q", self.data[:8])[0]) if len(self.data) == _LENGTH[COSIGNATURE] else 0


@dataclass(frozen=True, slots=True)
class Note:
    """A note that was read, and not yet verified."""

    text: str
    signatures: tuple[Signature, ...]


@dataclass(frozen=True, slots=True)
class Verified:
    """A text that known keys signed."""

    text: str
    keys: tuple[VerifierKey, ...]
    """Those of the known keys that signed, in the order of their lines."""
    times: tuple[int, ...]
    """When each cosigned, in seconds since 1970; 0 for plain signatures."""


def sign(text: str, *signers: SignerKey, time: int = 0) -> str:
    """A note over a text. Raises NoteError for a text that no note can hold, or without a signer."""
    _check_text(text)
    if not signers:
        raise NoteError("found no key to sign with, expected at least one")
    return f"{text}\n" + "".join(signer.line(text, time) for signer in signers)


def cosign(note: str, signer: SignerKey, time: int = 0) -> str:
    """The note with one signature more."""
    return note + signer.line(parse(note).text, time)


def parse(note: str) -> Note:
    """Split a note into its text and signatures, which are not verified. Raises NoteError for what is no note."""
    if len(note) > MAX_BYTES:
        raise NoteError(f"found a note of {len(note)} characters, expected at most {MAX_BYTES}")
    place = note.rfind("\n\n")
    if place < 0 or not note.endswith("\n"):
        raise NoteError("found no empty line between text and signatures, expected a signed note that ends with a newline")
    text, lines = note[: place + 1], note[place + 2 :].split("\n")[:-1]
    _check_text(text)
    _check_text(note)
    if not 1 <= len(lines) <= MAX_SIGNATURES:
        raise NoteError(f"found {len(lines)} signature lines, expected 1 to {MAX_SIGNATURES}")
    return Note(text, tuple(_signature(line) for line in lines))


def verify(note: str, known: Iterable[VerifierKey]) -> Verified:
    """Verify a note by the known keys; signatures of others are passed over.

    Raises NoteError when none of the known keys signed, or when a signature of one of them is wrong.
    """
    parsed = parse(note)
    keys = {(key.name, key.id): key for key in known}
    signed: dict[tuple[str, bytes], tuple[VerifierKey, int]] = {}
    for one in parsed.signatures:
        key = keys.get((one.name, one.key_id))
        if key is None:
            continue
        if not _holds(parsed.text, key, one):
            raise NoteError(f"found a signature of {key.name!r} that is not right, expected one over this very text")
        signed.setdefault((one.name, one.key_id), (key, one.time))
    if not signed:
        names = ", ".join(dict.fromkeys(one.name for one in parsed.signatures))
        raise NoteError(
            f"found signatures of {names[:200]} only, expected one of a known key: "
            f"{', '.join(sorted({key.name for key in keys.values()})) or 'none is known'}"
        )
    return Verified(parsed.text, tuple(key for key, _ in signed.values()), tuple(time for _, time in signed.values()))


def _holds(text: str, key: VerifierKey, signature: Signature) -> bool:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    if len(signature.data) != _LENGTH[key.kind]:
        return False
    try:
        Ed25519PublicKey.from_public_bytes(key.public).verify(signature.data[-64:], _message(text, key.kind, signature.time))
    except (InvalidSignature, ValueError):
        return False
    return True


def _message(text: str, kind: int, time: int) -> bytes:
    head = f"cosignature/v1\ntime {time}\n" if kind == COSIGNATURE else ""
    return (head + text).encode()


def _signature(line: str) -> Signature:
    name, space, encoded = line.removeprefix(_DASH).partition(" ")
    data = _decoded(encoded)
    if not line.startswith(_DASH) or not space or not _is_name(name) or data is None or len(data) < 5:
        raise NoteError("found a signature line that cannot be read, expected '\u2014 NAME BASE64'")
    return Signature(name, data[:4], data[4:])


def _check_text(text: str) -> None:
    if not text.endswith("\n"):
        raise NoteError("found a text without a newline at its end, expected one")
    if any(letter < " " and letter != "\n" for letter in text):
        raise NoteError("found a control character, expected none but newlines")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise NoteError("found half of a surrogate pair, expected whole characters") from None


def _is_name(name: str) -> bool:
    return bool(name) and "+" not in name and not any(letter.isspace() or letter < " " for letter in name)


def _decoded(text: str) -> bytes | None:
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return data if base64.b64encode(data).decode() == text else None  # one spelling for one signature
