"""Sounds for tests, made of arithmetic."""

from __future__ import annotations

import math
import struct

from guard.sound import encode_wav

RATE = 8000


def samples(seconds: float = 0.1, tone: int = 9) -> bytes:
    """A tone in 16 bits."""
    return b"".join(struct.pack("<h", round(8000 * math.sin(at / tone))) for at in range(round(seconds * RATE)))


def wav(seconds: float = 0.1, tone: int = 9) -> bytes:
    """A WAV file of it."""
    return encode_wav(samples(seconds, tone), RATE)


def riff(*chunks: tuple[bytes, bytes]) -> bytes:
    """A WAV file of these chunks, whatever they hold."""
    body = b"".join(kind + struct.pack("<I", len(one)) + one + b"\x00" * (len(one) % 2) for kind, one in chunks)
    return b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WAVE" + body


def header(coding: int = 1, channels: int = 1, rate: int = RATE, bits: int = 16, block: int | None = None) -> bytes:
    """A format chunk's body."""
    size = channels * bits // 8 if block is None else block
    return struct.pack("<HHIIHH", coding, channels, rate, rate * size, size, bits)
