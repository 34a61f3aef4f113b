"""The secret behind keyed watermarks: who has it can read them, and could make more."""

from __future__ import annotations

from pathlib import Path

from guard.keyfile import parse_key, read_key, read_or_make_key

NOUN = "watermark key"
ADVICE = (
    "Name its file with GENGUARD_WATERMARK_KEY_FILE, or set GENGUARD_WATERMARK_KEY. A new one (openssl rand -base64 32) reads "
    "nothing that was marked under an older one."
)


def parse_watermark_key(text: str, where: str) -> bytes:
    """The key in a line of base64. Raises SettingsError that names `where` and quotes nothing."""
    return parse_key(text, where, NOUN, ADVICE)


def read_watermark_key(path: Path) -> bytes:
    """The key in a file. Raises SettingsError for a file that is not there, cannot be read, or holds no key."""
    return read_key(path, NOUN, ADVICE)


def make_watermark_key(path: str | Path) -> bytes:
    """The key in a file, which is written first, with mode 0600, when it is not there. Raises SettingsError."""
    return read_or_make_key(Path(path), NOUN, ADVICE)
