"""What goes between a process that records and the one that commits for it: messages of MessagePack, each after its length.

    >  [HAND_OVER, keys, drafts]     what is to be committed: entries as bytes and columns, with what is sealed
    <  [answers, trouble]            one a draft: [index, size] once it is on disk, or [name of an error, message, advice]
    >  [LOOK]                        whether the next commit would succeed
    <  [[], trouble]

Only what `Draft.plain` says is handed over: what looks at the log, or changes more than it, is committed by whoever records it.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from struct import Struct
from typing import Any
from uuid import UUID

import msgspec

from audit.projected import ENTRY_COLUMNS
from audit.transaction import Draft, StaleError
from audit.vault import Key, Sealed
from guard.errors import LedgerError, LedgerFullError, RefusedError
from guard.types import Receipt

HAND_OVER, LOOK = 0, 1
MOST_BYTES = 1 << 31
"""Of one message. A group has at most 512 drafts."""
_COLUMNS = ENTRY_COLUMNS[1:]
_LENGTH = Struct(">I")
_ERRORS = {kind.__name__: kind for kind in (LedgerError, LedgerFullError, RefusedError, StaleError)}
_ENCODER, _DECODER = msgspec.msgpack.Encoder(), msgspec.msgpack.Decoder()


class WireError(LedgerError):
    """The other end is gone, or says what cannot be understood."""


def send(line: socket.socket, message: Any) -> None:
    """Send one message. Raises OSError."""
    data = _ENCODER.encode(message)
    line.sendall(_LENGTH.pack(len(data)) + data)


def receive(line: socket.socket) -> Any:
    """The next message; None when the other end is done. Raises OSError, and WireError for one that was cut off."""
    head = _read(line, _LENGTH.size)
    if not head:
        return None
    (size,) = _LENGTH.unpack(head)
    if size > MOST_BYTES:
        raise WireError(f"found a message of {size} bytes, expected at most {MOST_BYTES}")
    data = _read(line, size)
    if size and not data:
        raise WireError("found a message that was cut off")
    try:
        return _DECODER.decode(data)
    except msgspec.DecodeError:
        raise WireError("found a message that is no MessagePack") from None


def _read(line: socket.socket, size: int) -> bytes:
    """So many bytes; none when the other end is done before the first. Raises WireError when it is in between."""
    parts, left = bytearray(size), size
    view = memoryview(parts)
    while left:
        count = line.recv_into(view[size - left :])
        if not count:
            if left == size:
                return b""
            raise WireError("found a message that was cut off")
        left -= count
    return bytes(parts)


def packed(drafts: Sequence[Draft]) -> list[Any]:
    """Drafts as a message."""
    keys: dict[str, tuple[Any, ...]] = {}
    made = []
    for draft in drafts:
        sealed = []
        for one in draft.sealed:
            key = one.key
            keys[key.id] = (key.id, key.tenant, key.subject, key.wrapped, key.stored)
            sealed.append((one.part, key.id, one.nonce, one.wrapped, one.ciphertext, one.size, one.commit))
        made.append(
            (
                draft.leaf,
                [draft.columns[name] for name in _COLUMNS],
                list(draft.terms),
                sealed,
                draft.revision,
                draft.master,
                draft.decision.bytes,
                draft.fingerprint,
            )
        )
    return [HAND_OVER, list(keys.values()), made]


def unpacked(message: Sequence[Any]) -> list[Draft]:
    """Drafts from a message: none can be made anew here. Raises WireError for what is none."""
    try:
        _, keys, drafts = message
        known = {ident: Key(ident, tenant, subject, wrapped, _SHUT, stored) for ident, tenant, subject, wrapped, stored in keys}
        return [_draft(known, one) for one in drafts]
    except (TypeError, ValueError, KeyError):
        raise WireError("found a message of another form") from None


def _draft(keys: dict[str, Key], given: Sequence[Any]) -> Draft:
    leaf, columns, terms, sealed, revision, master, decision, fingerprint = given
    made = tuple(
        Sealed(part, keys[key], nonce, wrapped, data, size, commit) for part, key, nonce, wrapped, data, size, commit in sealed
    )
    draft = Draft(leaf, dict(zip(_COLUMNS, columns, strict=True)), {(name, value) for name, value in terms}, made, revision)
    draft.master, draft.decision, draft.fingerprint = master, UUID(bytes=decision), fingerprint
    return draft


_SHUT: Any = None
"""In the place of a key's cipher: who commits opens nothing with it."""


def told(answer: Receipt | LedgerError | None) -> tuple[Any, ...]:
    """An answer as a part of a message."""
    if isinstance(answer, Receipt):
        return (answer.index, answer.tree_size)
    if answer is None:
        return (LedgerError.__name__, "found no receipt of an entry", "")
    name = next((one.__name__ for one in type(answer).__mro__ if one.__name__ in _ERRORS), LedgerError.__name__)
    return (name, str(answer), answer.advice)


def heard(answer: Sequence[Any]) -> tuple[int, int] | LedgerError:
    """The index of an entry and the size of the log after its commit, or why it was not committed.

    Raises WireError for what is neither.
    """
    match answer:
        case [int(index), int(size)] if 0 < index < size:
            return index, size
        case [str(name), str(message), str(advice)] if name in _ERRORS:
            return _ERRORS[name](message, advice=advice)
    raise WireError("found an answer of another form")
