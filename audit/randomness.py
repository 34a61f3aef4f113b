"""Random bytes of the operating system, drawn in stock: a draw is a system call, around which Python's threads take turns."""

from __future__ import annotations

import os
import threading

_STOCK = 8192
_forks = 0


class Random:
    """A stock of random bytes. Each byte is given once; safe to use from several threads, and after a fork."""

    def __init__(self) -> None:
        """The stock is empty at first."""
        self._lock = threading.Lock()
        self._stock = b""
        self._used = 0
        self._forks = 0

    def take(self, count: int) -> bytes:
        """`os.urandom(count)`; `count` is at most 8192."""
        with self._lock:
            start, end = self._used, self._used + count
            if end > len(self._stock) or self._forks != _forks:  # a child must not give what its parent gives
                self._stock, self._forks = os.urandom(_STOCK), _forks
                start, end = 0, count
            self._used = end
            return self._stock[start:end]


def _forked() -> None:
    global _forks  # noqa: PLW0603 - one count a process
    _forks += 1


os.register_at_fork(after_in_child=_forked)
