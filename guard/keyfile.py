"""Files that hold one secret key of 32 bytes, as base64 on one line, for their owner alone."""

from __future__ import annotations

import base64
import binascii
import contextlib
import os
from pathlib import Path

KEY_SIZE = 32
"""Bytes."""


def decode_key(text: str) -> bytes | None:
    """The key that a line of base64 holds; None when it holds none of 32 bytes."""
    try:
        key = base64.b64decode(text.strip(), validate=True)
    except (binascii.Error, ValueError):
        return None
    return key if len(key) == KEY_SIZE else None


def write_new_key(path: Path) -> None:
    """Write a random key to a file that appears whole, with mode 0600; a file that is there stays. Raises OSError."""
    draft = path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(base64.b64encode(os.urandom(KEY_SIZE)) + b"\n")
            stream.flush()
            os.fsync(stream.fileno())
        with contextlib.suppress(FileExistsError):  # unlike a rename, a link never replaces a key that another process made
            os.link(draft, path)
    finally:
        draft.unlink(missing_ok=True)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make new names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
