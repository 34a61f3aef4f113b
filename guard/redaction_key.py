"""The secret behind keyed redactions, and the subkeys that each purpose gets from it.

One key of 32 random bytes serves `hash`, `pseudonymise` and `encrypt`. HKDF-Expand (RFC 5869, section 2.3) derives a subkey for
each purpose, so that a value made for one tells nothing to another; the key is uniform already, so nothing is extracted first.
"""

from __future__ import annotations

import hashlib
import hmac
from pathlib import Path

from guard.errors import SettingsError
from guard.keyfile import KEY_SIZE, parse_key, read_key, read_or_make_key

_NOUN = "redaction key"
_ADVICE = (
    "Name its file with --redaction-key-file, or set GENGUARD_REDACTION_KEY. A new one (openssl rand -base64 32) opens nothing "
    "that an older one encrypted."
)


class RedactionKey:
    """A redaction key in use. Its `repr` shows the id alone."""

    __slots__ = ("_secret", "_subkeys", "id")

    def __init__(self, secret: bytes) -> None:
        """Raises SettingsError unless `secret` has 32 bytes."""
        if len(secret) != KEY_SIZE:
            raise SettingsError(f"found a redaction key of {len(secret)} bytes, expected {KEY_SIZE}", advice=_ADVICE)
        self._secret = secret
        self._subkeys: dict[tuple[str, int], bytes] = {}
        self.id = self.subkey("key-id")[:3]
        """Three bytes that name the key without telling anything of it: sealed values carry them."""

    def __repr__(self) -> str:
        return f"RedactionKey({self.id.hex()})"

    @classmethod
    def parse(cls, text: str, where: str) -> RedactionKey:
        """The key in a line of base64. Raises SettingsError that names `where` and quotes nothing."""
        return cls(parse_key(text, where, _NOUN, _ADVICE))

    @classmethod
    def read(cls, path: Path) -> RedactionKey:
        """The key in a file. Raises SettingsError for a file that is not there, cannot be read, or holds no key."""
        return cls(read_key(path, _NOUN, _ADVICE))

    @classmethod
    def make(cls, path: Path) -> RedactionKey:
        """The key in a file, which is written first, with mode 0600, when it is not there. Raises SettingsError."""
        return cls(read_or_make_key(path, _NOUN, _ADVICE))

    def subkey(self, purpose: str, size: int = 32) -> bytes:
        """`size` bytes for one purpose, the same each time."""
        known = self._subkeys.get((purpose, size))
        if known is None:
            from cryptography.hazmat.primitives.hashes import SHA256
            from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

            info = f"genguard/v1/redaction/{purpose}".encode()
            known = self._subkeys[purpose, size] = HKDFExpand(SHA256(), size, info).derive(self._secret)
        return known

    def mac(self, purpose: str, *parts: str) -> bytes:
        """HMAC-SHA-256 of several texts under the purpose's subkey; each goes in with its length, so none runs into another."""
        message = bytearray()
        for part in parts:
            data = part.encode("utf-8", "surrogatepass")
            message += len(data).to_bytes(8) + data
        return hmac.digest(self.subkey(purpose), bytes(message), hashlib.sha256)
