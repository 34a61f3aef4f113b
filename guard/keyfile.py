"""Secret keys of 32 bytes, as base64 on one line: in a file for its owner alone, or in a text such as a variable holds."""

from __future__ import annotations

import base64
import binascii
import contextlib
import os
from pathlib import Path

from guard.errors import SettingsError

KEY_SIZE = 32
"""Bytes."""


def decode_key(text: str) -> bytes | None:
    """The key that a line of base64 holds; None when it holds none of 32 bytes."""
    try:
        key = base64.b64decode(text.strip(), validate=True)
    except (binascii.Error, ValueError):
        return None
    return key if len(key) == KEY_SIZE else None


def parse_key(text: str, where: str, noun: str, advice: str) -> bytes:
    """The key in a line of base64. `noun`: what it is called. Raises SettingsError that names `where` and quotes nothing."""
    secret = decode_key(text)
    if secret is None:
        raise SettingsError(f"{where} does not hold a {noun}, expected {KEY_SIZE} bytes as base64", advice=advice)
    return secret


def read_key(path: Path, noun: str, advice: str) -> bytes:
    """The key in a file. Raises SettingsError for a file that is not there, cannot be read, or holds no key."""
    try:
        return parse_key(path.read_text("ascii"), f"the key file {path}", noun, advice)
    except (OSError, UnicodeError) as error:
        why = (isinstance(error, OSError) and error.strerror) or type(error).__name__
        raise SettingsError(f"cannot read the {noun} file {path}: {why}", advice=advice) from None


def read_or_make_key(path: Path, noun: str, advice: str) -> bytes:
    """The key in a file, which is written first, with mode 0600, when it is not there. Raises SettingsError."""
    try:
        if not path.exists():
            write_new_key(path)
    except OSError as error:
        raise SettingsError(
            f"cannot write the {noun} file {path}: {error.strerror or type(error).__name__}",
            advice="Choose a folder that exists and is writable.",
        ) from None
    return read_key(path, noun, advice)


def write_new_key(path: Path, secret: bytes | None = None) -> None:
    """Write a key to a file that appears whole, with mode 0600; a file that is there stays.

    `secret`: the key; a random one when left out. Raises OSError.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(base64.b64encode(os.urandom(KEY_SIZE) if secret is None else secret) + b"\n")
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
