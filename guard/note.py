"""Signed notes: a text with Ed25519 signatures under it, as https://c2sp.org/signed-note says.

    text, ends in a newline
    (empty line)
    — NAME base64(key id, 4 bytes || signature, 64 bytes)

A key is told by its name and id, the first four bytes of SHA-256(name || 0A || 01 || public key). Public keys are written as
`NAME+ID+base64(01 || public key)`, as other software for signed notes writes them; private ones as PEM (PKCS #8) under a line
that names the key.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Self

from guard.errors import SettingsError, SignatureError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

MAX_BYTES = 1_000_000
"""The largest note that is read."""
MAX_SIGNATURES = 100
_ED25519 = b"\x01"
_DASH = "\u2014 "
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f]")
_KEY_LINE = re.compile(r"([^+]+)\+([0-9a-f]{8})\+(\S+)")
_HEAD = "genguard signing key "
"""What the line before a private key begins with; the key's name follows."""


@dataclass(frozen=True, slots=True)
class Signature:
    """One line under a note."""

    name: str
    key_id: bytes
    value: bytes


@dataclass(frozen=True, slots=True)
class Note:
    """A text with signatures, which may be anybody's: nothing was verified yet."""

    text: str
    signatures: tuple[Signature, ...]

    @classmethod
    def parse(cls, data: str | bytes) -> Self:
        """Read a note. Raises SignatureError for whatever is not exactly one."""
        text = _checked(data)
        head, separator, tail = text.rpartition("\n\n")
        lines = tail.split("\n")
        if not separator or lines.pop() or not lines:
            raise SignatureError("found no signatures, expected a text, an empty line, and a line for each signature")
        if len(lines) > MAX_SIGNATURES:
            raise SignatureError(f"found {len(lines)} signatures, expected at most {MAX_SIGNATURES}")
        return cls(head + "\n", tuple(_signature(line) for line in lines))

    def __str__(self) -> str:
        lines = (f"{_DASH}{one.name} {_base64(one.key_id + one.value)}\n" for one in self.signatures)
        return f"{self.text}\n{''.join(lines)}"


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A key that signatures are verified with."""

    name: str
    key: bytes
    """32 bytes."""

    def __post_init__(self) -> None:
        """Raise SignatureError for a name that no note can carry, or another kind of key."""
        _check_name(self.name)
        if len(self.key) != 32:
            raise SignatureError(f"found a key of {len(self.key)} bytes, expected one of 32 for Ed25519")

    @classmethod
    def parse(cls, line: str) -> Self:
        """Read a line such as `ann+1f0c22ab+AW…`. Raises SignatureError."""
        parts = _KEY_LINE.fullmatch(line.strip())
        data = _decoded(parts[3]) if parts else None
        if parts is None or data is None or data[:1] != _ED25519:
            raise SignatureError("found no public key, expected a line NAME+ID+KEY as `genguard policy keygen` writes it")
        made = cls(parts[1], data[1:])
        if made.key_id.hex() != parts[2]:
            raise SignatureError(f"found key id {parts[2]} of {parts[1]!r}, expected {made.key_id.hex()}: the line was changed")
        return made

    @property
    def key_id(self) -> bytes:
        """Four bytes that tell it from other keys of its name."""
        return hashlib.sha256(self.name.encode() + b"\n" + _ED25519 + self.key).digest()[:4]

    def __str__(self) -> str:
        return f"{self.name}+{self.key_id.hex()}+{_base64(_ED25519 + self.key)}"

    def holds(self, text: str, signature: Signature) -> bool:
        """Whether a signature over a text is this key's."""
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

        try:
            Ed25519PublicKey.from_public_bytes(self.key).verify(signature.value, text.encode())
        except InvalidSignature:
            return False
        return True


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A key that notes are signed with."""

    name: str
    _key: Ed25519PrivateKey = field(repr=False)

    @classmethod
    def make(cls, name: str) -> Self:
        """A new one. Raises SignatureError for a name that no note can carry."""
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        _check_name(name)
        return cls(name, Ed25519PrivateKey.generate())

    @classmethod
    def read(cls, path: Path, name: str = "") -> Self:
        """The key in a file. `name`: its name, where the file does not say it. Raises SettingsError; nothing is quoted."""
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
        from cryptography.hazmat.primitives.serialization import load_pem_private_key

        try:
            data = path.read_bytes()
            key = load_pem_private_key(data, None)
        except OSError as error:
            raise SettingsError(f"cannot read the signing key {path}: {error.strerror}") from None
        except (ValueError, TypeError):
            key = None
        if not isinstance(key, Ed25519PrivateKey):
            raise SettingsError(
                f"{path} holds no signing key, expected a PEM file (PKCS #8) with an Ed25519 key, not encrypted"
            )
        first = data.partition(b"\n")[0].decode("utf-8", "replace").strip()
        known = name or first.removeprefix(_HEAD) * first.startswith(_HEAD)
        try:
            _check_name(known)
        except SignatureError:
            raise SettingsError(f"{path} does not say the name of its key", advice="Give it with --name.") from None
        return cls(known, key)

    @property
    def public(self) -> PublicKey:
        """The key that its signatures are verified with."""
        return PublicKey(self.name, self._key.public_key().public_bytes_raw())

    def sign(self, text: str, others: Iterable[Signature] = ()) -> Note:
        """The note with this key's signature after those of others. Raises SignatureError for a text that no note can have."""
        if not text.endswith("\n") or text != _checked(text):
            raise SignatureError("found a text that does not end in a newline, expected one that does")
        public = self.public
        mine = Signature(self.name, public.key_id, self._key.sign(text.encode()))
        kept = (one for one in others if (one.name, one.key_id) != (mine.name, mine.key_id))
        return Note(text, (*kept, mine))

    def write(self, path: Path) -> None:
        """Write the private key to a new file that its owner alone can read. Raises FileExistsError, OSError."""
        from cryptography.hazmat.primitives import serialization as forms

        pem = self._key.private_bytes(forms.Encoding.PEM, forms.PrivateFormat.PKCS8, forms.NoEncryption())
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(f"{_HEAD}{self.name}\n".encode() + pem)


def verify(note: Note, keys: Iterable[PublicKey]) -> tuple[str, ...]:
    """The names of those keys that signed a note. Raises as `signers` does."""
    return tuple(dict.fromkeys(key.name for key in signers(note, keys)))


def signers(note: Note, keys: Iterable[PublicKey]) -> tuple[PublicKey, ...]:
    """Those of the keys that signed a note.

    Raises SignatureError when none did, and when the signature of one of them does not hold. Signatures of others are ignored.
    """
    known = {(key.name, key.key_id): key for key in keys}
    signed = []
    for one in note.signatures:
        key = known.get((one.name, one.key_id))
        if key is None:
            continue
        if not key.holds(note.text, one):
            raise SignatureError(f"the signature of {one.name!r} does not hold: the text or the signature was changed")
        signed.append(key)
    if not signed:
        names = ", ".join(dict.fromkeys(repr(one.name) for one in note.signatures))
        raise SignatureError(f"found signatures of {names}, expected one of a key that is trusted")
    return tuple(dict.fromkeys(signed))


def _checked(data: str | bytes) -> str:
    """The note as text. Raises SignatureError for one that is too large, no UTF-8, or has control characters."""
    try:
        raw = data.encode() if isinstance(data, str) else data
        text = raw.decode()
    except UnicodeError:
        raise SignatureError("found a note that is no UTF-8") from None
    if len(raw) > MAX_BYTES:
        raise SignatureError(f"found a note of {len(raw)} bytes, expected at most {MAX_BYTES}")
    if _CONTROL.search(text):
        raise SignatureError("found a control character in a note, expected none but newlines")
    return text


def _signature(line: str) -> Signature:
    name, space, encoded = line.removeprefix(_DASH).partition(" ")
    data = _decoded(encoded)
    if not line.startswith(_DASH) or not space or data is None or len(data) < 5:
        raise SignatureError("found a line that is no signature, expected an em dash, the key's name and base64")
    _check_name(name)
    return Signature(name, data[:4], data[4:])


def _check_name(name: str) -> None:
    if not name or "+" in name or any(one.isspace() or one < " " for one in name):
        raise SignatureError("found a key's name that cannot be, expected one without spaces and +")


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _decoded(text: str) -> bytes | None:
    """What canonical base64 says; None for any other text."""
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return data if _base64(data) == text else None
