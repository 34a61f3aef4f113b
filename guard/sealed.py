"""Values that only holders of the redaction key can read again: `[EMAIL_ADDRESS:enc:…]`, and the way back.

A token's part after `enc:` is base64url without padding of

    key id (3 bytes) || nonce (8) || AES-SIV tag and ciphertext (16 + the value in UTF-8)

AES-SIV (RFC 5297) with a 256-bit key authenticates label and nonce with the value: a token that was changed, cut, or given
another label does not open. The nonce is an HMAC of tenant and conversation, so one value gives one token within a
conversation and unrelated ones elsewhere, and the same redaction can be done again. SIV stays safe when nonces repeat. A
token shows its label and how long the value is.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from dataclasses import dataclass

from guard.redaction_key import RedactionKey
from guard.types import Span

_KEY_ID, _NONCE, _TAG = 3, 8, 16
_PURPOSE = "encrypt"
_ABOUT = b"genguard/v1/sealed"
_MARK = ":enc:"
_TOKEN = re.compile(r"\[([^\[\]:\s]{1,80}):enc:([^\[\]\s]*)(\]?)")
_UNFIT = re.compile(r"[\[\]:\s]")

OTHER_KEY, CHANGED, CUT = "sealed under another key", "changed, or not ours", "cut off"
"""Why a token does not open."""


class SealedValueError(ValueError):
    """A token that does not open; the message is one of `OTHER_KEY`, `CHANGED`, `CUT`."""


@dataclass(frozen=True, slots=True)
class Closed:
    """A token that did not open."""

    start: int
    """Where it begins, in code points of the revealed text."""
    label: str
    why: str


@dataclass(frozen=True, slots=True)
class Revealed:
    """A text with its tokens opened; those that do not open stand in it as they were."""

    text: str
    opened: int
    closed: tuple[Closed, ...]

    @property
    def found(self) -> int:
        """Tokens in all."""
        return self.opened + len(self.closed)


def shown(label: str) -> str:
    """A label as it stands in tokens: what would end it early becomes `_`."""
    return _UNFIT.sub("_", label)[:80] or "_"


def seal(key: RedactionKey, tenant: str, conversation: str, label: str, value: str) -> str:
    """The token for a value."""
    from cryptography.hazmat.primitives.ciphers.aead import AESSIV

    nonce = key.mac("encrypt-nonce", tenant, conversation)[:_NONCE]
    name = shown(label)
    sealed = AESSIV(key.subkey(_PURPOSE, 64)).encrypt(value.encode("utf-8", "surrogatepass"), [_ABOUT, name.encode(), nonce])
    return f"[{name}{_MARK}{_encode(key.id + nonce + sealed)}]"


def reveal(text: str, key: RedactionKey) -> Revealed:
    """Open every token of a text, those inside opened values too. Raises nothing: what does not open is told and left."""
    pieces: list[str] = []
    closed: list[Closed] = []
    position = length = opened = 0
    for found in _TOKEN.finditer(text):
        before = text[position : found.start()]
        length += len(before)
        try:
            inner = reveal(_open(found, key), key)
        except SealedValueError as error:
            closed.append(Closed(length, found[1], str(error)))
            after = found[0]
        else:
            opened += 1 + inner.opened
            closed += [Closed(length + one.start, one.label, one.why) for one in inner.closed]
            after = inner.text
        pieces += [before, after]
        length += len(after)
        position = found.end()
    return Revealed("".join([*pieces, text[position:]]), opened, tuple(closed))


def tokens(text: str, key: RedactionKey) -> Iterator[Span]:
    """Where the tokens are that open under this key."""
    for found in _TOKEN.finditer(text) if _MARK in text else ():
        try:
            _open(found, key)
        except SealedValueError:
            continue
        yield Span(*found.span())


def _open(found: re.Match[str], key: RedactionKey) -> str:
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESSIV

    if not found[3]:
        raise SealedValueError(CUT)
    data = _decode(found[2])
    if data is None or len(data) < _KEY_ID + _NONCE + _TAG:
        raise SealedValueError(CHANGED)
    key_id, nonce, sealed = data[:_KEY_ID], data[_KEY_ID : _KEY_ID + _NONCE], data[_KEY_ID + _NONCE :]
    try:
        value = AESSIV(key.subkey(_PURPOSE, 64)).decrypt(sealed, [_ABOUT, found[1].encode(), nonce])
    except InvalidTag:
        raise SealedValueError(CHANGED if key_id == key.id else OTHER_KEY) from None
    if key_id != key.id:
        raise SealedValueError(CHANGED)
    return value.decode("utf-8", "surrogatepass")


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _decode(text: str) -> bytes | None:
    """The bytes behind base64url in its one spelling; None for any other text."""
    try:
        data = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return None
    return data if _encode(data) == text else None
