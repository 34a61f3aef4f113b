"""What processes of the verifier tell each other: messages and answers as MessagePack, each behind its length."""

from __future__ import annotations

from typing import IO, Any

import msgspec
from msgspec import Struct

from audit.verifier.stretch import Known, Stretch

_LENGTH = 8
"""Bytes."""


class Begin(Struct, frozen=True, tag=True):
    """See the database as it is now, or at a snapshot. Answer: `Seen`, or `Unreadable`."""

    file: str
    """A file; empty for a server."""
    url: str = ""
    """That of a server."""
    snapshot: str = ""


class Learn(Struct, frozen=True, tag=True):
    """What is known of the ledger. Answer: `Done`."""

    known: Known


class Check(Struct, frozen=True, tag=True):
    """Check entries. Answer: `Checked`."""

    start: int
    stop: int


class Integrity(Struct, frozen=True, tag=True):
    """Let the database check itself. Answer: `Lines`, or `Unreadable`."""


class Seen(Struct, frozen=True, tag=True):
    """A state, as `audit.verifier.source.state` says it."""

    state: str


class Done(Struct, frozen=True, tag=True):
    """Nothing more to say."""


class Checked(Struct, frozen=True, tag=True):
    """What came of entries."""

    stretch: Stretch


class Lines(Struct, frozen=True, tag=True):
    """What is wrong."""

    lines: list[str]


class Unreadable(Struct, frozen=True, tag=True):
    """The database cannot read something of itself."""

    why: str


class Failed(Struct, frozen=True, tag=True):
    """The process could not do it."""

    why: str


Task = Check | Integrity
Message = Begin | Learn | Check | Integrity
Answer = Seen | Done | Checked | Lines | Unreadable | Failed

_encode = msgspec.msgpack.Encoder().encode
_message = msgspec.msgpack.Decoder(Message).decode
_answer = msgspec.msgpack.Decoder(Answer).decode


def tellable(message: Message) -> bool:
    """Whether a message can be sent: what a damaged database says may not even be text."""
    try:
        _encode(message)
    except (msgspec.MsgspecError, TypeError, ValueError, OverflowError):
        return False
    return True


def send(stream: IO[bytes], value: Message | Answer) -> None:
    """Write one. Raises OSError."""
    data = _encode(value)
    stream.write(len(data).to_bytes(_LENGTH, "big"))
    stream.write(data)
    stream.flush()


def next_message(stream: IO[bytes]) -> Message | None:
    """Read one; None at the end."""
    data = _next(stream)
    return None if data is None else _message(data)


def next_answer(stream: IO[bytes]) -> Answer | None:
    """Read one; None at the end."""
    data = _next(stream)
    return None if data is None else _answer(data)


def _next(stream: IO[bytes]) -> bytes | None:
    length = stream.read(_LENGTH)
    if len(length) != _LENGTH:
        return None
    size = int.from_bytes(length, "big")
    data: Any = stream.read(size)
    return bytes(data) if len(data) == size else None
