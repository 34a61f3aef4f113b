"""How long expressions may take together over one text: each is bounded, and so is the number of times that it is tried."""

from __future__ import annotations

from time import perf_counter, thread_time

_LEAST_S = 0.001
_READ_EVERY_S = 0.002
"""To ask for the computing time of a thread takes longer than most searches: it is not asked for at each of them."""


class Patience:
    """Seconds of computing, counted from when it is made, in the thread that makes it.

    What a busy machine gives to others does not count, so that load alone makes no check fail.
    """

    __slots__ = ("_left", "_read", "_until", "seconds")

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._until = thread_time() + seconds
        self._left, self._read = seconds, perf_counter()

    def left(self) -> float:
        """What a `regex` call may take: its `timeout`. Raises TimeoutError when nothing is left."""
        now = perf_counter()
        if now - self._read >= _READ_EVERY_S:
            self._left, self._read = self._until - thread_time(), now
        if self._left <= 0:
            raise TimeoutError(f"expressions took longer than {self.seconds} s over one text")
        return max(self._left, _LEAST_S)
