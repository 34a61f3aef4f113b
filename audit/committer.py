"""The one thread that writes: it commits whatever waits, in groups, and answers each waiting caller after the commit.

One commit costs one flush of the disk however many entries it holds, so entries that arrive while a commit runs form the
next group. A caller alone is committed at once; after a group of several, the thread waits up to `linger` for as many again,
because callers that were answered together tend to come back together.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from guard.errors import LedgerError, LedgerFullError

Item = TypeVar("Item")
Answer = TypeVar("Answer")


@dataclass(slots=True)
class Waiting(Generic[Item, Answer]):
    """An item in the queue, and who waits for it."""

    item: Item
    future: Future[Answer]
    since: float = field(default_factory=time.monotonic)


class Committer(Generic[Item, Answer]):
    """A bounded queue and its writer thread."""

    def __init__(
        self, commit: Callable[[Sequence[Item]], Sequence[Answer | LedgerError]], *, capacity: int, group: int, linger: float
    ) -> None:
        """`commit` gets 1 to `group` items and answers each, or raises to fail them all. `linger`: seconds."""
        self._commit = commit
        self._capacity, self._group, self._linger = capacity, group, linger
        self._queue: deque[Waiting[Item, Answer]] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._running_since: float | None = None
        self.last_error: LedgerError | None = None
        """Why the latest group was not committed; None when it was."""
        self._thread = threading.Thread(target=self._run, name="genguard-ledger", daemon=True)
        self._thread.start()

    def submit(self, item: Item) -> Future[Answer]:
        """Queue an item. Raises LedgerFullError at once when the queue is full, LedgerError when closed."""
        future: Future[Answer] = Future()
        future.set_running_or_notify_cancel()  # a caller that goes away does not take its entry along
        with self._changed:
            if self._closed:
                raise LedgerError("the ledger is closed")
            if len(self._queue) >= self._capacity:
                raise LedgerFullError(
                    f"{len(self._queue)} entries wait for their commit, expected fewer than {self._capacity}",
                    advice="Offer less at a time, or let the disk catch up; nothing of this call was recorded or released.",
                )
            self._queue.append(Waiting(item, future))
            self._changed.notify()
        return future

    @property
    def pending(self) -> int:
        """Items in the queue."""
        return len(self._queue)

    def stalled(self) -> float:
        """Seconds that the commit in progress, or the oldest item in the queue, has been waiting."""
        with self._changed:
            since = [self._running_since] if self._running_since is not None else []
            since += [self._queue[0].since] if self._queue else []
            return time.monotonic() - min(since) if since else 0.0

    def close(self, timeout: float) -> None:
        """Commit what waits, then stop. What is not committed after `timeout` seconds fails."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join(timeout)
        with self._changed:
            left = list(self._queue)
            self._queue.clear()
        for waiting in left:
            waiting.future.set_exception(LedgerError("the ledger was closed before this entry was committed"))

    def _run(self) -> None:
        previous = 1
        while group := self._take(previous):
            previous = len(group)
            try:
                answers = self._commit([waiting.item for waiting in group])
            except LedgerError as error:
                self.last_error = error
                answers = [error] * len(group)
            except Exception as error:  # noqa: BLE001 - nobody may wait for ever, whatever went wrong
                self.last_error = LedgerError(f"cannot commit: {type(error).__name__}")
                answers = [self.last_error] * len(group)
            else:
                self.last_error = None
            with self._changed:
                self._running_since = None
            for waiting, answer in zip(group, answers, strict=True):
                if isinstance(answer, LedgerError):
                    # One error object for each waiter: a traceback belongs to one raise.
                    waiting.future.set_exception(type(answer)(str(answer), advice=answer.advice))
                else:
                    waiting.future.set_result(answer)

    def _take(self, previous: int) -> list[Waiting[Item, Answer]]:
        """The next group; empty when closed and nothing waits."""
        with self._changed:
            while not self._queue:
                if self._closed:
                    return []
                self._changed.wait()
            if previous > 1:
                expected, until = min(previous, self._group), time.monotonic() + self._linger
                while len(self._queue) < expected and not self._closed and (left := until - time.monotonic()) > 0:
                    self._changed.wait(left)
            group = [self._queue.popleft() for _ in range(min(len(self._queue), self._group))]
            self._running_since = time.monotonic()
            return group
