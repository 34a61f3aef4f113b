"""Brings SQLite's write-ahead log into the database beside the writer, so that no commit has to wait for that.

SQLite does it by itself at the end of a commit that finds the log long, and every entry that waits then waits for that. Here
a thread of its own does it each time that about `PAGES` pages were added, while the writer goes on. A log that is never brought
in whole, because the writer is always ahead, grows up to `audit.stores.sqlite.LOG_PAGES`; then a commit does what little is
left.
"""

from __future__ import annotations

import contextlib
import threading

from audit.stores import Store
from guard.errors import LedgerError

PAGES = 2000
"""Pages of the log after which it is brought in; a guess, since SQLite does not say how many there are."""
_COMMIT = 25
"""Pages that a commit changes besides those of its entries: one or two of each index."""


class Settling:
    """Used by the writer's thread, but for `close`."""

    def __init__(self, store: Store) -> None:
        """Does nothing yet."""
        self._store = store
        self._pages = 0
        self._thread: threading.Thread | None = None

    def wrote(self, entries: int, log: object) -> None:
        """After a commit of so many entries, each about a page. `log`: that the writer writes to."""
        self._pages += _COMMIT + entries
        if self._pages < PAGES or log is None or (self._thread is not None and self._thread.is_alive()):
            return
        self._pages = 0
        self._thread = threading.Thread(target=self._settle, args=(log,), name="genguard-settle", daemon=True)
        self._thread.start()

    def close(self, timeout: float) -> None:
        """Wait until it is done. `timeout`: seconds."""
        if self._thread is not None:
            self._thread.join(timeout)

    def _settle(self, log: object) -> None:
        """What fails here, for want of space or because someone else does it, a later commit does."""
        if self._store.log() == log:  # else another process took the log for unused, and this one must not be brought in
            with contextlib.suppress(LedgerError):
                self._store.settle()
