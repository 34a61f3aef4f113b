"""Released images that a picture looks like: a ledger's fingerprints, kept in memory and read on as entries come.

What was erased is never told of: each image found is looked for in the ledger again. Memory follows when one is missing, and
every `FOLLOW_S` seconds.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from audit.fingerprints import kept_fingerprints, read_fingerprints
from guard.matching.likeness import Looked, Near, Released

FOLLOW_S = 600.0
"""How long, in seconds, a fingerprint that was erased may stay in this process's memory."""
_LEDGERS = 4
"""Ledgers whose fingerprints one process keeps."""


@dataclass(frozen=True, slots=True)
class Alike:
    """What was found."""

    near: tuple[Near, ...]
    """Released images within the limit, nearest first."""
    limit: int
    """The largest distance that counts, in bits of 256."""
    views: int
    """How many were compared."""


class Album:
    """The fingerprints of one ledger. Safe to use from several threads."""

    def __init__(self, url: str, key_file: Path | None) -> None:
        """Use `album`."""
        self._url, self._key_file = url, key_file
        self._released = Released()
        self._last = -1
        self._followed = time.monotonic()
        self._lock = threading.Lock()

    def nearest(self, picture: Looked) -> Alike:
        """The released images that a picture looks like.

        Raises LedgerError when the ledger cannot be read, or its key is not here.
        """
        released = self._read()
        near, limit, views = released.nearest(picture)
        kept = kept_fingerprints(self._url, [one.entry for one in near]) if near else frozenset()
        if len(kept) < len(near):
            self._follow()
        return Alike(tuple(one for one in near if one.entry in kept), limit, views)

    def _read(self) -> Released:
        """Everything up to now. A ledger that has become shorter is an older copy of itself: it is read anew."""
        with self._lock:
            more = True
            while more:
                batch = read_fingerprints(self._url, self._last, key_file=self._key_file)
                if self._last >= batch.size:
                    self._released, self._last = Released(), -1
                    continue
                self._released.add(batch.rows)
                self._last, more = batch.last, batch.more
        if time.monotonic() - self._followed > FOLLOW_S:
            self._follow()
        return self._released

    def _follow(self) -> None:
        """Forget what the ledger does not keep any more."""
        self._followed = time.monotonic()
        with self._lock:
            self._released.keep(kept_fingerprints(self._url))


@lru_cache(_LEDGERS)
def album(ledger: tuple[str, str], key_file: Path | None) -> Album:
    """The fingerprints of a ledger, once a process. `ledger`: its URL, and what tells it from another one at the same place."""
    return Album(ledger[0], key_file)
