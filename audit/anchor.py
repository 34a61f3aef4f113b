"""Signed checkpoints kept where the database's owner cannot quietly change them: an append-only file.

The file is a sequence of signed notes, each followed by an empty line. On another volume, in an object store that locks, or
collected by syslog, it shows a log that was rewritten, cut off, or restored from an older copy.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from guard.errors import LedgerError
from guard.keyfile import sync_folder

_SIGNED = "\u2014 "


@dataclass(frozen=True, slots=True)
class FileAnchor:
    """A file of checkpoints. Several processes may append to it."""

    path: Path

    def append(self, note: str) -> None:
        """Add a signed checkpoint; returns when it is on disk. Raises LedgerError."""
        try:
            begins = not self.path.exists()
            descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
                data = f"{note}\n".encode()
                if os.write(descriptor, data) != len(data):
                    raise OSError(None, "it was not written as a whole")
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            if begins:
                sync_folder(self.path.absolute().parent)
        except OSError as error:
            raise LedgerError(
                f"cannot write the anchor {self.path}: {error.strerror or type(error).__name__}",
                advice="Free some space or name another file; what was signed before stays.",
            ) from None

    def notes(self) -> tuple[str, ...]:
        """All signed checkpoints, oldest first; none when there is no file. A last one that was cut off is left out.

        Raises LedgerError for a file that cannot be read.
        """
        try:
            text = self.path.read_bytes().decode("utf-8")
        except FileNotFoundError:
            return ()
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is no text"
            raise LedgerError(f"cannot read the anchor {self.path}: {why}", advice="Name a file of checkpoints.") from None
        return tuple(_split(text))


def _split(text: str) -> Iterator[str]:
    """Notes end with signature lines and an empty line after them."""
    lines: list[str] = []
    signed = False
    for line in text.splitlines(keepends=True):
        if line == "\n" and signed:
            yield "".join(lines)
            lines, signed = [], False
        else:
            lines.append(line)
            signed = line.startswith(_SIGNED) and line.endswith("\n")
