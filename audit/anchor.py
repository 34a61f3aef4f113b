"""Signed checkpoints kept where the database's owner cannot quietly change them: an append-only file.

The file is a sequence of signed notes, each followed by an empty line. On another volume, in an object store that locks, or
collected by syslog, it shows a log that was rewritten, cut off, or restored from an older copy.
"""

from __future__ import annotations

import fcntl
import os
from dataclasses import dataclass
from pathlib import Path

from audit.failpoints import failpoint
from guard.errors import LedgerError
from guard.keyfile import sync_folder

_SIGNED = "\u2014 "
_CUT = "(the checkpoint before this line was cut off)\n"
"""Stands after what a full disk or a power cut left of a note: nothing in an append-only file can be taken back."""
_TAIL = 4096


@dataclass(frozen=True, slots=True)
class FileAnchor:
    """A file of checkpoints. Several processes may append to it."""

    path: Path

    def append(self, note: str) -> None:
        """Add a signed checkpoint; returns when it is on disk. Raises LedgerError."""
        try:
            begins = not self.path.exists()
            descriptor = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
                data = f"{_mend(descriptor)}{note}\n".encode()
                if os.write(descriptor, data) != len(data):
                    raise OSError(None, "it was not written as a whole")
                failpoint("sign: anchor written")
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
        """All signed checkpoints, oldest first; none when there is no file. Those that were cut off are left out.

        Raises LedgerError for a file that cannot be read.
        """
        return self._read()[0]

    @property
    def ends_cut(self) -> bool:
        """Whether the last checkpoint was cut off. Raises LedgerError for a file that cannot be read."""
        return self._read()[1]

    def _read(self) -> tuple[tuple[str, ...], bool]:
        try:
            text = self.path.read_bytes().decode("utf-8", "replace")
        except FileNotFoundError:
            return (), False
        except OSError as error:
            raise LedgerError(
                f"cannot read the anchor {self.path}: {error.strerror}", advice="Name a file of checkpoints."
            ) from None
        return _split(text)


def _mend(descriptor: int) -> str:
    """What has to stand before the next note, so that it does not run into one that was cut off; mostly nothing."""
    size = os.fstat(descriptor).st_size
    tail = os.pread(descriptor, _TAIL, max(0, size - _TAIL))
    whole = tail.endswith(b"\n\n") and tail[:-2].rpartition(b"\n")[2].startswith(_SIGNED.encode())
    return "" if whole or not tail else f"\n{_CUT}"


def _split(text: str) -> tuple[tuple[str, ...], bool]:
    """Notes, which end with signature lines and an empty line after them, and whether more follows that is none."""
    notes: list[str] = []
    lines: list[str] = []
    signed = False
    for line in text.splitlines(keepends=True):
        if line == "\n" and signed:
            notes.append("".join(lines))
            lines, signed = [], False
        elif line == _CUT:
            lines, signed = [], False
        else:
            lines.append(line)
            signed = line.startswith(_SIGNED) and line.endswith("\n")
    return tuple(notes), bool(lines)
