"""Files that the terminal is given to judge."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path

from guard.errors import InputError, TooLargeError

MAX_FILE = 64_000_000
"""Bytes that are read at most; what of it may be judged is the guard's to say."""


def read_input(file: str) -> str | bytes:
    """A file's text, or its bytes when they begin like an image or a WAV file; `-` is standard input. Raises InputError."""
    try:
        with contextlib.nullcontext(sys.stdin.buffer) if file == "-" else Path(file).open("rb") as source:
            data = source.read(MAX_FILE + 1)
    except OSError as error:
        raise InputError(f"cannot read {file}: {error.strerror}") from None
    if len(data) > MAX_FILE:
        raise TooLargeError(f"{file}: found more than {MAX_FILE} bytes, expected at most that")
    if data.startswith((b"\x89PNG", b"\xff\xd8", b"RIFF")):
        return data
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(
            f"{file}: found bytes that are neither UTF-8 text (byte {error.start}) nor a PNG, JPEG or WebP image, nor WAV"
        ) from None
