"""Commits what other processes hand over: a thread for each puts it into the one queue, and answers after the commit."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from audit.ledger import BUSY_MS, GROUP, LINGER_MS, QUEUE, SqlLedger
from audit.relay import wire
from audit.stores import open_store
from audit.transaction import Draft, open_database
from guard.errors import LedgerError
from guard.types import Receipt

BACKLOG = 128
_log = logging.getLogger(__name__)


class CommittingLedger(SqlLedger):
    """A ledger that takes entries which were prepared elsewhere."""

    def take(self, drafts: Sequence[Draft]) -> list[Receipt | LedgerError | None]:
        """Commit drafts; an answer for each, after its commit."""
        return self._mine().submit_all(drafts)


def open_committing(url: str, *, key_file: str | Path | None = None, callers: int = 1) -> CommittingLedger:
    """`open_ledger` for a desk, with room for a group of each of `callers` besides. Raises LedgerError."""
    store = open_store(url)
    engine = store.writer(BUSY_MS)
    keyring = open_database(engine, store, Path(key_file) if key_file else None)
    return CommittingLedger(engine, store, keyring, QUEUE + callers * GROUP, GROUP, LINGER_MS / 1000)


class Desk:
    """Where other processes hand over. `place`: of its Unix socket, in a folder that nobody else may enter."""

    def __init__(self, ledger: CommittingLedger, place: Path) -> None:
        """Listens at once; what a desk left at the place before is removed. Raises LedgerError where that cannot be."""
        self._ledger, self._place = ledger, place
        self._lines: dict[socket.socket, threading.Thread] = {}
        self._lock = threading.Lock()
        self._leaving = threading.Event()
        self._door = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        new = place.with_name(f"{place.name}.{os.getpid()}")
        try:
            self._door.bind(str(new))
            self._door.listen(BACKLOG)
            new.replace(place)
        except OSError as error:
            self._door.close()
            raise LedgerError(f"cannot listen on {place}: {error.strerror or type(error).__name__}") from None

    def serve(self) -> None:
        """Take what comes until `leave` is called."""
        while not self._leaving.is_set():
            try:
                line, _ = self._door.accept()
            except OSError:
                break
            thread = threading.Thread(target=self._answer, args=(line,), name="genguard-desk", daemon=True)
            with self._lock:
                self._lines[line] = thread
            thread.start()

    def leave(self) -> None:
        """Take nothing new. What was handed over is answered. May be called from a handler of a signal."""
        self._leaving.set()
        with contextlib.suppress(OSError):
            self._door.shutdown(socket.SHUT_RDWR)

    def close(self, timeout: float = 30.0) -> None:
        """Answer what was handed over, then hang up and close the ledger. `timeout`: seconds."""
        self.leave()
        self._door.close()
        with self._lock:
            lines = dict(self._lines)
        for line in lines:
            with contextlib.suppress(OSError):
                line.shutdown(socket.SHUT_RD)  # whoever is being answered is; nobody is heard any more
        for thread in lines.values():
            thread.join(timeout)
        self._ledger.close(timeout)
        with contextlib.suppress(OSError):
            self._place.unlink()

    @property
    def callers(self) -> int:
        """Processes that are connected."""
        with self._lock:
            return len(self._lines)

    def _answer(self, line: socket.socket) -> None:
        """Answer one process until it hangs up."""
        try:
            while (message := wire.receive(line)) is not None:
                wire.send(line, self._said(message))
        except OSError:
            pass  # it ended: what it had handed over is committed, and nobody acknowledges it
        except wire.WireError as error:
            _log.warning("a process that handed over was hung up on: %s", error)
        finally:
            with self._lock:
                self._lines.pop(line, None)
            line.close()

    def _said(self, message: Any) -> tuple[list[tuple[Any, ...]], str]:
        match message:
            case [wire.HAND_OVER, *_]:
                answers = [wire.told(one) for one in self._ledger.take(wire.unpacked(message))]
            case [wire.LOOK]:
                answers = []
            case _:
                raise wire.WireError("found a message of another form")
        health = self._ledger.health()
        return answers, "" if health.ok else health.detail
