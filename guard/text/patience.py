"""How long expressions may take together over one text: each is bounded, and so is the number of times that it is tried."""

from __future__ import annotations

from time import thread_time

_LEAST_S = 0.001


class Patience:
    """Seconds of computing, counted from when it is made, in the thread that makes it.

    What a busy machine gives to others does not count, so that load alone makes no check fail.
    """

    __slots__ = ("_until", "seconds")

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._until = thread_time() + seconds

    def left(self) -> float:
        """What a `regex` call may take: its `timeout`. Raises TimeoutError when nothing is left."""
        left = self._until - thread_time()
        if left <= 0:
            raise TimeoutError(f"expressions took longer than {self.seconds} s over one text")
        return max(left, _LEAST_S)
