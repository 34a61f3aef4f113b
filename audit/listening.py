"""Hears at once what others commit that a service follows: rollouts, keys, sessions. Where the database tells nothing, never.

PostgreSQL tells whoever listens, when such a transaction commits (`Store.announce`). A lost connection is made again; what was
missed meanwhile is found by those who look anyway, every second or two: nothing depends on being told.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from audit.stores import open_store
from guard.errors import LedgerError

FIRST_S, LONGEST_S = 0.5, 30.0
"""Pauses between attempts to listen again, each twice the one before."""
_log = logging.getLogger(__name__)


class Listener:
    """A thread that listens."""

    def __init__(self, url: str, wake: Callable[[], None]) -> None:
        """`wake`: called on that thread for what was committed, and once it listens, for what it may have missed."""
        self._store, self._wake = open_store(url), wake
        self._leaving = threading.Event()
        self.listening = threading.Event()
        """Set while it would hear of something."""
        self._thread = threading.Thread(target=self._run, name="genguard-listener", daemon=True)
        if self._store.tells:
            self._thread.start()

    def close(self, timeout: float = 5.0) -> None:
        """Stop. `timeout`: seconds."""
        self._leaving.set()
        if self._thread.is_alive():
            self._thread.join(timeout)

    def _run(self) -> None:
        pause = FIRST_S
        while not self._leaving.is_set():
            try:
                with self._store.clear_errors("listen to"):
                    for _ in self._store.told(self._leaving.is_set, self.listening.set):
                        pause = FIRST_S
                        self._wake()
            except LedgerError as error:
                _log.warning("nothing is heard of changes, they are found by looking: %s", error)
            finally:
                self.listening.clear()
            self._leaving.wait(pause)
            pause = min(2 * pause, LONGEST_S)
