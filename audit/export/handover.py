"""A file that is handed out only once the ledger says that it is: temporary file, `export` entry, rename."""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from audit.events import EXPORT, MAX_TEXT, Event, Value
from audit.failpoints import failpoint
from guard.errors import InputError
from guard.keyfile import sync_folder

_CHUNK = 1 << 20


@dataclass(slots=True)
class Written:
    """What a writer put into the file; it counts while it writes."""

    count: int = 0
    """Entries, or what the format makes of them."""
    first: int = 0
    last: int = 0
    """Smallest and largest index."""
    left_out: dict[str, int] | None = None
    """How many matching entries the format cannot say, by reason; None where it says them all."""

    def add(self, idx: int) -> None:
        """Count an entry."""
        self.first = self.first if self.count else idx
        self.last = idx
        self.count += 1

    def leave_out(self, why: str) -> None:
        """Count an entry that is not in the file."""
        self.left_out = self.left_out or {}
        self.left_out[why] = self.left_out.get(why, 0) + 1


@dataclass(frozen=True, slots=True)
class HandedOver:
    """An export that is there and recorded."""

    path: Path
    format: str
    query: str
    written: Written
    digest: str
    """SHA-256 of the file, hexadecimal."""
    size: int
    """Bytes of the file."""
    entry: int
    """Index of the `export` entry that says all this."""


def hand_over(
    out: Path,
    named: tuple[str, str],
    who: tuple[str, str],
    write: Callable[[BinaryIO], Written],
    record: Callable[[Event], int],
) -> HandedOver:
    """Write a file beside `out`, record it, and only then give it its name. Nothing is left when one of these fails.

    It can be read by its owner alone (mode 0600), as it names people by their ids.

    `named`: the format and the query. `who`: actor and tenant. `record`: commits the event and returns its index. Raises
    InputError when `out` exists or its folder does not, OSError when the disk fails, and what `write` and `record` raise.
    """
    if out.exists():
        raise InputError(f"{out} exists already, expected a new file", advice="Evidence is never written over: name another.")
    if not out.absolute().parent.is_dir():
        raise InputError(f"there is no folder {out.parent}, expected one for {out.name}", advice="Make the folder first.")
    descriptor, name = tempfile.mkstemp(prefix=f".{out.name}.", suffix=".part", dir=out.absolute().parent)
    try:
        with os.fdopen(descriptor, "w+b") as file:
            written = write(file)
            file.flush()
            os.fsync(file.fileno())
            file.seek(0)
            digest, size = _digest(file)
        failpoint("export: written")
        told: dict[str, Value] = {"format": named[0], "query": named[1][:MAX_TEXT], "digest": digest}
        told |= {"count": written.count, "first": written.first, "last": written.last}
        event = Event(EXPORT, who[0], told, tenant=who[1])
        entry = record(event)
        failpoint("export: recorded")
        Path(name).replace(out)
        failpoint("export: named")
        sync_folder(out.absolute().parent)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            Path(name).unlink()
        raise
    return HandedOver(out, named[0], named[1], written, digest, size, entry)


def _digest(file: BinaryIO) -> tuple[str, int]:
    found, size = hashlib.sha256(), 0
    while chunk := file.read(_CHUNK):
        found.update(chunk)
        size += len(chunk)
    return found.hexdigest(), size
