"""Encrypts payloads, and commits to them in a way that survives their erasure.

    commit      SHA-256(label || salt || plaintext), in the body. The salt (32 random bytes) lies inside the ciphertext, so
                nobody can test a guess against the log once the key is gone.
    ciphertext  AES-256-GCM of salt || plaintext under a record key, of one decision
    wrapped     nonce || AES-256-GCM of the record key under a subject key
    subject key wrapped the same way under the master key, which lives outside the database
    tag         HMAC-SHA-256(label || name || 0 || plaintext) under a subkey of the master key, cut to 128 bits, in the body of
                what was released: finds copies (`audit.copies`). Only the key's holders can test a guess against it
    sealed      SHA-256(label || subject key id || wrapped || nonce || ciphertext), in the body: shows a changed payload row
                even to those who hold no key
    fingerprint nonce || AES-256-GCM of a released image's fingerprint under the subject key, not in the body in any form: it
                shows roughly what the image shows, and goes with it

The associated data of each seal names the decision and the part (or the tenant and subject), so rows cannot be swapped. A
subject may have several keys (each process makes its own): erasing a subject means destroying all of them.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

import orjson
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from audit.randomness import Random
from guard.errors import LedgerError

KEY_SIZE = 32
SALT_SIZE = 32
NONCE_SIZE = 12
TAG_SIZE = 16

_NONCES = 2 * NONCE_SIZE
_SEAL = _NONCES + SALT_SIZE
_BLOCK = 64
_INNER, _OUTER = (bytes(byte ^ pad for byte in range(256)) for pad in (0x36, 0x5C))
_COMMIT = b"genguard/v1/payload-commit\x00"
_SEALED = sha256(b"genguard/v1/payload-sealed\x00").copy
_PAYLOAD = b"genguard/v1/payload\x00"
_RECORD = b"genguard/v1/record-key\x00"
_SUBJECT = b"genguard/v1/subject-key\x00"
_TAG = b"genguard/v1/copy-tag\x00"
_OLD_TAGS = b"genguard/v1/old-tags\x00"
_FINGERPRINT = b"genguard/v1/fingerprint\x00"
_CLOSED = "{} does not open: it was changed, moved, or sealed under another key"


class SealError(LedgerError):
    """A sealed record that does not open: it was changed, moved, or sealed under another key."""


@dataclass(slots=True)
class Key:
    """A subject key in use."""

    id: str
    tenant: str
    subject: str
    wrapped: bytes
    cipher: AESGCM = field(repr=False)
    stored: bool = False
    """Whether a committed transaction holds it."""


@dataclass(slots=True)
class Record:
    """A key of one decision's payloads."""

    secret: bytes = field(repr=False)
    cipher: AESGCM = field(repr=False)


@dataclass(slots=True)
class Sealed:
    """One encrypted payload, and what the body says of it."""

    part: str
    key: Key
    nonce: bytes
    wrapped: bytes
    ciphertext: bytes = field(repr=False)
    size: int
    commit: bytes

    @property
    def commitment(self) -> dict[str, Any]:
        """The fields that go into the body: which payload row, its size in bytes, and the two hashes."""
        digest = sealed_digest(self.key.id, self.wrapped, self.nonce, self.ciphertext)
        return {"part": self.part, "bytes": self.size, "commit": self.commit.hex(), "sealed": digest.hex()}


class Vault:
    """Seals payloads under one master key. Safe to use from several threads."""

    def __init__(self, master: bytes, *, keys_kept: int = 4096) -> None:
        """`keys_kept`: subject keys held in memory; the least recently used goes first, and is never used again."""
        self.key_id = _derive(master, b"genguard/v1/key-id")[:16].hex()
        self._master = AESGCM(_derive(master, b"genguard/v1/wrap"))
        self._tags = _derive(master, b"genguard/v1/tag")
        self._macs: dict[str, tuple[Any, Any]] = {}
        self._old_tags: tuple[bytes, ...] = ()
        self._keys: OrderedDict[tuple[str, str], Key] = OrderedDict()
        self._keys_kept = keys_kept
        self._lock = threading.Lock()
        self._random = Random()

    def key(self, tenant: str, subject: str) -> Key:
        """The key that this vault uses for a subject; a new one the first time."""
        with self._lock:
            key = self._keys.get((tenant, subject))
            if key is not None:
                self._keys.move_to_end((tenant, subject))
                return key
            key = self._keys[tenant, subject] = self._new_key(tenant, subject)
            if len(self._keys) > self._keys_kept:
                self._keys.popitem(last=False)
            return key

    def forget(self, key: Key) -> None:
        """Stop using a key, because the database no longer holds it."""
        with self._lock:
            if self._keys.get((key.tenant, key.subject)) is key:
                del self._keys[key.tenant, key.subject]

    def record(self) -> Record:
        """A new key for the payloads of one decision."""
        secret = self._random.take(KEY_SIZE)
        return Record(secret, AESGCM(secret))

    def seal(self, decision: bytes, part: str, key: Key, plaintext: bytes, record: Record | None = None) -> Sealed:
        """Encrypt a payload of the decision with these 16 id bytes; under a new record key unless it has one already."""
        record = record or self.record()
        random = self._random.take(_SEAL)
        nonce, wrap_nonce, salted = random[:NONCE_SIZE], random[NONCE_SIZE:_NONCES], random[_NONCES:] + plaintext
        named = decision + part.encode()
        ciphertext = record.cipher.encrypt(nonce, salted, _PAYLOAD + named)
        wrapped = wrap_nonce + key.cipher.encrypt(wrap_nonce, record.secret, _RECORD + named)
        return Sealed(part, key, nonce, wrapped, ciphertext, len(plaintext), sha256(_COMMIT + salted).digest())

    def seal_fingerprint(self, decision: bytes, key: Key, fingerprint: bytes) -> bytes:
        """Encrypt the fingerprint of what the decision with these 16 id bytes released; `open_fingerprint` opens it."""
        nonce = os.urandom(NONCE_SIZE)
        return nonce + key.cipher.encrypt(nonce, fingerprint, _about(_FINGERPRINT, decision, ""))

    def tag(self, name: str, plaintext: bytes) -> str:
        """What the ledger finds copies of a released output by, hexadecimal; the same for the same bytes under one `name`."""
        started = self._macs.get(name)
        if started is None:
            started = self._macs[name] = _started(self._tags, name)
        return _finished(*started, plaintext)

    def old_tags(self, name: str, plaintext: bytes) -> list[str]:
        """`tag` as it was under master keys of before."""
        return [_finished(*_started(key, name), plaintext) for key in self._old_tags]

    def sealed_tags(self, old: Vault) -> tuple[str, ...]:
        """The keys of another vault's tags, sealed under this one's master key, hexadecimal: for `remember`."""
        sealed = []
        for key in (*old._old_tags, old._tags):
            nonce = os.urandom(NONCE_SIZE)
            sealed.append((nonce + self._master.encrypt(nonce, key, _OLD_TAGS)).hex())
        return tuple(sealed)

    def remember(self, sealed: Iterable[str]) -> None:
        """Find copies under older keys, too. Raises SealError for what was not sealed under this master key."""
        self._old_tags = tuple(_decrypt(self._master, bytes.fromhex(one), _OLD_TAGS, "key of older copies") for one in sealed)

    def rewrap(self, key_id: str, tenant: str, subject: str, wrapped: bytes, other: Vault) -> bytes:
        """A stored subject key, wrapped under another vault's master key. Raises SealError when it does not open."""
        about = _key_about(key_id, tenant, subject)
        return other._wrap(_decrypt(self._master, wrapped, about, f"subject key {key_id}"), about)

    def _wrap(self, secret: bytes, about: bytes) -> bytes:
        nonce = os.urandom(NONCE_SIZE)
        return nonce + self._master.encrypt(nonce, secret, about)

    def open_key(self, key_id: str, tenant: str, subject: str, wrapped: bytes) -> AESGCM:
        """Unwrap a stored subject key. Raises SealError when it does not open under this master key."""
        return AESGCM(_decrypt(self._master, wrapped, _key_about(key_id, tenant, subject), f"subject key {key_id}"))

    def _new_key(self, tenant: str, subject: str) -> Key:
        key_id, secret = os.urandom(16).hex(), os.urandom(KEY_SIZE)
        wrapped = self._wrap(secret, _key_about(key_id, tenant, subject))
        return Key(key_id, tenant, subject, wrapped, AESGCM(secret))


def open_payload(
    cipher: AESGCM, decision: bytes, part: str, wrapped: bytes, nonce: bytes, ciphertext: bytes
) -> tuple[bytes, bytes]:
    """Plaintext and commitment of a stored payload. Raises SealError when it does not open under this subject key."""
    salted = _salted(cipher, decision, part, wrapped, nonce, ciphertext)
    return salted[SALT_SIZE:], sha256(_COMMIT + salted).digest()


def try_payload(
    cipher: AESGCM, decision: bytes, part: str, wrapped: bytes, nonce: bytes, ciphertext: bytes
) -> tuple[int, bytes]:
    """Size in bytes and commitment of a stored payload. Raises SealError as `open_payload` does."""
    salted = _salted(cipher, decision, part, wrapped, nonce, ciphertext)
    return len(salted) - SALT_SIZE, sha256(_COMMIT + salted).digest()


def _salted(cipher: AESGCM, decision: bytes, part: str, wrapped: bytes, nonce: bytes, ciphertext: bytes) -> bytes:
    named, what = decision + part.encode(), "record key"
    try:
        record_key = cipher.decrypt(wrapped[:NONCE_SIZE], wrapped[NONCE_SIZE:], _RECORD + named)
        what = "payload"
        return AESGCM(record_key).decrypt(nonce, ciphertext, _PAYLOAD + named)
    except (InvalidTag, ValueError):
        raise SealError(_CLOSED.format(what)) from None


def open_fingerprint(cipher: AESGCM, decision: bytes, sealed: bytes) -> bytes:
    """A stored fingerprint. Raises SealError when it does not open under this subject key, for this decision."""
    return _decrypt(cipher, sealed, _about(_FINGERPRINT, decision, ""), "fingerprint")


def sealed_digest(key_id: str, wrapped: bytes, nonce: bytes, ciphertext: bytes) -> bytes:
    """Hash over a payload row as it is stored. All parts but the last have a fixed length."""
    digest = _SEALED()
    digest.update(b"".join((key_id.encode("utf-8", "surrogateescape"), wrapped, nonce, ciphertext)))
    return digest.digest()


def _started(key: bytes, name: str) -> tuple[Any, Any]:
    """HMAC-SHA-256 (RFC 2104) up to the plaintext, as the states of its inner and outer hash: the same each time."""
    block = key.ljust(_BLOCK, b"\x00")
    inner = sha256(block.translate(_INNER) + _TAG + name.encode() + b"\x00")
    return inner, sha256(block.translate(_OUTER))


def _finished(inner: Any, outer: Any, plaintext: bytes) -> str:
    inside, outside = inner.copy(), outer.copy()
    inside.update(plaintext)
    outside.update(inside.digest())
    return str(outside.hexdigest()[: 2 * TAG_SIZE])


def _decrypt(cipher: AESGCM, data: bytes, about: bytes, what: str) -> bytes:
    try:
        return cipher.decrypt(data[:NONCE_SIZE], data[NONCE_SIZE:], about)
    except (InvalidTag, ValueError):
        raise SealError(_CLOSED.format(what)) from None


def _about(label: bytes, decision: bytes, part: str) -> bytes:
    return label + decision + part.encode()


def _key_about(key_id: str, tenant: str, subject: str) -> bytes:
    return _SUBJECT + orjson.dumps([key_id, tenant, subject])


def _derive(master: bytes, label: bytes) -> bytes:
    return HKDFExpand(algorithm=SHA256(), length=KEY_SIZE, info=label).derive(master)
