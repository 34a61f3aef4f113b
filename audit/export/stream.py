"""Entries handed on while they come, each at least once: sent, acknowledged, and only then the cursor moves.

The cursor is a file with the index that comes next; it is replaced, and on disk, after each acknowledged batch. A run that was
killed begins again with the batch that was on its way: receivers know an entry again by its index.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from sqlalchemy import select

from audit.export.selection import Selection, Taken
from audit.export.sinks import Sink
from audit.models import tables
from audit.query import reading
from guard.errors import InputError, LedgerError
from guard.keyfile import sync_folder

BATCH = 200
"""Entries that are sent together."""
POLL_S = 1.0
MAX_WAIT_S = 60.0
"""Between two tries; the first wait is one second, each doubles it."""

_HEAD = tables()[2]


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where a stream goes on."""

    path: Path
    ledger: str
    """Identity of the ledger that it counts entries of."""

    def read(self) -> int:
        """The index that comes next; 0 without a file. Raises InputError for a file that is another ledger's, or none."""
        try:
            told = json.loads(self.path.read_text("utf-8"))
            ledger, following = told["ledger"], told["next"]
        except FileNotFoundError:
            return 0
        except (OSError, ValueError, KeyError, TypeError):
            raise InputError(
                f"found no cursor in {self.path}, expected the file of an earlier run",
                advice="Name another file; the stream then begins anew.",
            ) from None
        if ledger != self.ledger or type(following) is not int or following < 0:
            raise InputError(
                f"the cursor {self.path} is of another ledger, expected {self.ledger}", advice="Name another cursor."
            )
        return following

    def write(self, following: int) -> None:
        """Replace the file; on disk when it returns. Raises OSError."""
        part = self.path.with_name(f".{self.path.name}.{os.getpid()}.part")
        try:
            with part.open("w", encoding="utf-8") as file:
                json.dump({"ledger": self.ledger, "next": following}, file)
                file.flush()
                os.fsync(file.fileno())
            part.replace(self.path)
            sync_folder(self.path.absolute().parent)
        finally:
            with contextlib.suppress(FileNotFoundError):
                part.unlink()


@dataclass(slots=True)
class Stream:
    """One run of a stream."""

    url: str
    selection: Selection
    sink: Sink
    cursor: Cursor
    line: Callable[[Taken], bytes]
    """An entry as a line with its end; empty for one that is not sent."""
    tries: int | None = None
    """How often a batch is tried; None: until it is acknowledged."""
    tell: Callable[[str], None] = lambda _text: None
    """Told why a batch waits."""
    sleep: Callable[[float], None] = time.sleep
    sent: int = 0

    def run(self, *, follow: bool) -> int:
        """Send what is there, and with `follow` whatever comes, until interrupted. Returns how many entries were sent.

        Raises LedgerError when the ledger is behind the cursor or cannot be read, OSError when a batch was tried too often or
        the cursor cannot be written.
        """
        following = self.cursor.read()
        while True:
            lines, after, size = self._batch(following)
            if size < following:
                raise LedgerError(
                    f"found a ledger of {size} entries, expected at least the {following} of the cursor {self.cursor.path}",
                    advice="It was restored from an older copy, or cut off. Run `genguard audit verify --anchor FILE`.",
                )
            if lines:
                self._deliver(lines)
            if after > following:
                self.cursor.write(after)
                following = after
            if after == size:
                if not follow:
                    return self.sent
                self.sleep(POLL_S)

    def _batch(self, following: int) -> tuple[list[bytes], int, int]:
        """Lines of the next entries, the index after the last of them, and the ledger's size."""
        lines: list[bytes] = []
        taken = 0
        with reading(self.url) as connection:
            size: int = connection.execute(select(_HEAD.c.size)).scalar_one()
            for entry in replace(self.selection, above=following - 1, below=size).entries(connection):
                if line := self.line(entry):
                    lines.append(line)
                taken += 1
                if taken == BATCH:
                    return lines, entry.idx + 1, size
        return lines, max(size, following), size

    def _deliver(self, lines: list[bytes]) -> None:
        wait, tried = 1.0, 0
        while True:
            try:
                self.sink.send(lines)
            except OSError as error:
                tried += 1
                if self.tries is not None and tried >= self.tries:
                    raise
                self.tell(f"not acknowledged ({error.strerror or error}); trying again in {wait:.0f} s")
                self.sleep(wait)
                wait = min(2 * wait, MAX_WAIT_S)
            else:
                self.sent += len(lines)
                return
