"""Signed checkpoints kept where the database's owner cannot quietly change them: in a file, or sent to another machine.

The file is a sequence of signed notes, each followed by an empty line. On another volume, or in an object store that locks, it
shows a log that was rewritten, cut off, or restored from an older copy; what begins to sign compares itself with it. What was
sent to a web hook or a syslog server (`SentAnchor`) shows the same to whoever reads it there, and cannot be asked from here.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from audit.checkpoint import Checkpoint
from audit.export.sinks import Sink, Syslog, WebHook, open_sink
from audit.failpoints import failpoint
from audit.webhook import Hook
from guard.errors import LedgerError, SettingsError
from guard.keyfile import sync_folder

MAX_WAITING = 10_000
"""Checkpoints that wait to be sent; of more, the oldest go: a newer one commits to all that they say."""
BATCH = 100
"""Checkpoints that are sent at a time."""
MAX_WAIT_S = 300.0
_SIGNED = "\u2014 "
_CUT = "(the checkpoint before this line was cut off)\n"
"""Stands after what a full disk or a power cut left of a note: nothing in an append-only file can be taken back."""
_TAIL = 4096


class Anchor(Protocol):
    """Takes signed checkpoints."""

    def append(self, note: str) -> None:
        """Take one; on disk when it returns. Raises LedgerError."""

    def notes(self) -> tuple[str, ...]:
        """Those that can be read back, oldest first. Raises LedgerError."""


def open_anchor(target: str, spool: Path, secret: bytes = b"") -> Anchor:
    """The anchor that a path, `https://…` or `syslog://…` (`audit.export.sinks`) names.

    `spool`: folder of what waits to be sent. `secret`: signs what is posted. Raises InputError for a target that cannot be one,
    SettingsError for a web hook without a secret.
    """
    sink = open_sink(target, secret=secret)
    if isinstance(sink, Syslog):
        sink.message = "checkpoint"
        return SentAnchor(target, sink, spool, _line)
    if isinstance(sink, WebHook):
        if not secret:
            raise SettingsError("found a web hook as anchor and no secret", advice="Set GENGUARD_WEBHOOK_SECRET.")
        return SentAnchor(target, WebHook(Hook(target, secret, media_type="text/plain; charset=utf-8")), spool, str.encode)
    return FileAnchor(Path(target))


def spool_of(database: Path) -> Path:
    """`<database>.spool`."""
    return database.with_name(database.name + ".spool")


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


@dataclass(slots=True)
class SentAnchor:
    """Checkpoints that are sent, each at least once, smallest tree first. What was not acknowledged waits in files."""

    target: str
    sink: Sink
    spool: Path
    form: Callable[[str], bytes]
    """A note as it is sent."""
    trouble: str = ""
    """Why the latest try failed; empty when nothing waits."""
    clock: Callable[[], float] = time.monotonic
    _failed: int = field(default=0, repr=False)
    _next: float = field(default=0.0, repr=False)

    @property
    def folder(self) -> Path:
        """Where those lie that wait."""
        return self.spool / sha256(self.target.encode()).hexdigest()[:16]

    def append(self, note: str) -> None:
        """Put it where `deliver` finds it; on disk when it returns. Raises LedgerError."""
        size = Checkpoint.parse(note.partition("\n\n")[0] + "\n").size
        name = f"{size:020}-{sha256(note.encode()).hexdigest()[:16]}"
        part = self.folder / f".{name}.{os.getpid()}.part"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with part.open("w", encoding="utf-8") as file:
                file.write(note)
                file.flush()
                os.fsync(file.fileno())
            part.replace(self.folder / name)
            sync_folder(self.folder)
            for old in self.waiting()[:-MAX_WAITING]:
                old.unlink(missing_ok=True)
        except OSError as error:
            raise LedgerError(
                f"cannot keep a checkpoint in {self.folder}: {error.strerror or type(error).__name__}",
                advice="Make the folder writable, or free some space.",
            ) from None

    def notes(self) -> tuple[str, ...]:
        """None: what was sent cannot be asked for."""
        return ()

    def waiting(self) -> list[Path]:
        """Files of those that were not acknowledged, in order."""
        with contextlib.suppress(FileNotFoundError):
            return sorted(path for path in self.folder.iterdir() if not path.name.startswith("."))
        return []

    def deliver(self) -> None:
        """Send some of those that wait, unless the latest try failed a moment ago. What goes wrong is told by `trouble`."""
        if self.clock() < self._next:
            return
        waiting: list[Path] = []
        try:
            waiting = self.waiting()
            for path in waiting[:BATCH]:
                try:
                    note = path.read_text("utf-8")
                except FileNotFoundError:  # another process was faster
                    continue
                self.sink.send([self.form(note)])
                path.unlink(missing_ok=True)
        except OSError as error:
            self.trouble = f"{len(waiting)} checkpoints wait for {_host(self.target)}: {error.strerror or type(error).__name__}"
            self._failed = min(self._failed + 1, 30)
            self._next = self.clock() + min(2.0 ** (self._failed - 1), MAX_WAIT_S)
        else:
            self.trouble, self._failed, self._next = "", 0, 0.0


def _host(target: str) -> str:
    """A target without its path, in which secrets may stand."""
    parts = urlsplit(target)
    return f"{parts.scheme}://{parts.hostname}" + (f":{parts.port}" if parts.port else "")


def _line(note: str) -> bytes:
    """A note on one line, as syslog wants it."""
    return json.dumps({"checkpoint": note}, ensure_ascii=False).encode() + b"\n"


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
