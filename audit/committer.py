"""The one thread that writes: it commits whatever waits, in groups, and answers each waiting caller after the commit.

One commit costs one flush of the disk however many entries it holds, so entries that arrive while a commit runs form the
next group. A caller alone is committed at once; after a group of several, the thread waits for as many again while they keep
coming, because callers that were answered together tend to come back together: at most `linger`, and no longer than the latest
commit took, since a group that waits for company longer than it saves makes all of it wait.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from guard.errors import LedgerError, LedgerFullError, RefusedError

Item = TypeVar("Item")
Answer = TypeVar("Answer")


_PROBE_S = 1.0
_LULL = 0.0005
"""Seconds without a new entry after which a group that lingers is closed."""


class Answers(Generic[Answer]):
    """The answers to items that were handed in together. One thread waits for all of them."""

    def __init__(self, count: int) -> None:
        self.found: list[Answer | LedgerError | None] = [None] * count
        self._left = count
        self._all = threading.Event()
        if not count:
            self._all.set()

    def wait(self) -> list[Answer | LedgerError | None]:
        """All of them, once they are there."""
        self._all.wait()
        return self.found

    def put(self, place: int, answer: Answer | LedgerError) -> None:
        """Note one. For one thread at a time."""
        self.found[place] = answer
        self._left -= 1
        if not self._left:
            self._all.set()


class Place(Generic[Answer]):
    """The place of one answer among others: what `Waiting` needs of a future."""

    __slots__ = ("_answers", "_place")

    def __init__(self, answers: Answers[Answer], place: int) -> None:
        self._answers, self._place = answers, place

    def done(self) -> bool:
        """Whoever waits for others too does not go away."""
        return False

    def set_result(self, answer: Answer) -> None:
        """Take an answer."""
        self._answers.put(self._place, answer)

    def set_exception(self, error: LedgerError) -> None:
        """Take an error."""
        self._answers.put(self._place, error)


@dataclass(slots=True)
class Waiting(Generic[Item, Answer]):
    """An item in the queue, and who waits for it: an event loop's future, or a thread's."""

    item: Item
    future: Future[Answer] | asyncio.Future[Answer] | Place[Answer]
    loop: asyncio.AbstractEventLoop | None
    since: float = field(default_factory=time.monotonic)

    def settle(self, answer: Answer | LedgerError) -> None:
        """Answer the caller, unless it went away."""
        if self.future.done():
            return
        if isinstance(answer, LedgerError):
            # One error object for each caller: a traceback belongs to one raise.
            self.future.set_exception(type(answer)(str(answer), advice=answer.advice))
        else:
            self.future.set_result(answer)


class Committer(Generic[Item, Answer]):
    """A bounded queue and its writer thread."""

    def __init__(
        self,
        commit: Callable[[Sequence[Item]], Sequence[Answer | LedgerError]],
        probe: Callable[[], None],
        *,
        capacity: int,
        group: int,
        linger: float,
    ) -> None:
        """`commit` gets 1 to `group` items and answers each, or raises to fail them all. `linger`: seconds.

        `probe` is called about once a second after a commit failed while nothing waits; it raises while the next would fail.
        """
        self._commit, self._probe = commit, probe
        self._capacity, self._group, self._linger = capacity, group, linger
        self._queue: deque[Waiting[Item, Answer]] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._idle = False
        """Whether the thread sleeps until something comes."""
        self._running_since: float | None = None
        self.told: Callable[[int, float, int], None] | None = None
        """Called on its thread after each group, with the entries, the seconds of their commit, and how many failed."""
        self._took = 0.0
        """Seconds of the latest commit."""
        self.last_error: LedgerError | None = None
        """Why the latest group was not committed; None when it was."""
        self._thread = threading.Thread(target=self._run, name="genguard-ledger", daemon=True)
        self._thread.start()

    def submit(self, item: Item) -> Future[Answer]:
        """Queue an item. Raises LedgerFullError at once when the queue is full, LedgerError when closed."""
        future: Future[Answer] = Future()
        self._queue_up(Waiting(item, future, None))
        return future

    def submit_async(self, item: Item) -> asyncio.Future[Answer]:
        """`submit` from a running event loop; a caller that goes away does not take its entry along."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Answer] = loop.create_future()
        self._queue_up(Waiting(item, future, loop))
        return future

    def submit_all(self, items: Sequence[Item]) -> list[Answer | LedgerError | None]:
        """Queue items together and wait for their answers; an error is one, also where the queue is full or closed."""
        with self._changed:
            refusal = self._refusal(len(items))
            room = len(items) if refusal is None else 0 if self._closed else self._capacity - len(self._queue)
            answers: Answers[Answer] = Answers(room)
            since = time.monotonic()
            self._queue.extend(Waiting(item, Place(answers, place), None, since) for place, item in enumerate(items[:room]))
            if self._idle:
                self._changed.notify()
        return [*answers.wait(), *[refusal] * (len(items) - room)]

    def _refusal(self, count: int) -> LedgerError | None:
        """Why so many more are not taken; None when they are. Under the lock."""
        if self._closed:
            return LedgerError("the ledger is closed")
        if len(self._queue) + count > self._capacity:
            return LedgerFullError(
                f"{len(self._queue)} entries wait for their commit, expected fewer than {self._capacity}",
                advice="Offer less at a time, or let the disk catch up; nothing of this call was recorded or released.",
            )
        return None

    def _queue_up(self, waiting: Waiting[Item, Answer]) -> None:
        with self._changed:
            if (refusal := self._refusal(1)) is not None:
                raise refusal
            self._queue.append(waiting)
            if self._idle:
                self._changed.notify()

    @property
    def pending(self) -> int:
        """Items in the queue."""
        return len(self._queue)

    @property
    def closed(self) -> bool:
        """Whether it takes nothing any more."""
        return self._closed

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
        error = LedgerError("the ledger was closed before this entry was committed")
        _deliver((waiting, error) for waiting in left)

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
            self._tell(answers)
            with self._changed:
                self._took = time.monotonic() - (self._running_since or 0.0)
                self._running_since = None
            _deliver(zip(group, answers, strict=True))

    def _tell(self, answers: Sequence[Answer | LedgerError]) -> None:
        if self.told is not None and self._running_since is not None:
            failed = sum(isinstance(one, LedgerError) and not isinstance(one, RefusedError) for one in answers)
            with contextlib.suppress(Exception):  # whoever counts stops no commit
                self.told(len(answers), time.monotonic() - self._running_since, failed)

    def _take(self, previous: int) -> list[Waiting[Item, Answer]]:
        """The next group; empty when closed and nothing waits."""
        with self._changed:
            while not self._queue:
                if self._closed:
                    return []
                self._idle = True
                came = self._changed.wait(None if self.last_error is None else _PROBE_S)
                self._idle = False
                if not came and not self._closed:
                    self._try_again()
        if previous > 1:
            self._await_more(min(previous, self._group))
        with self._changed:
            group = [self._queue.popleft() for _ in range(min(len(self._queue), self._group))]
            self._running_since = time.monotonic()
            return group

    def _try_again(self) -> None:
        """Find out whether what failed works again, so that health turns green though nobody asks for a commit."""
        self._changed.release()
        try:
            self._probe()
        except LedgerError as error:
            self.last_error = error
        except Exception as error:  # noqa: BLE001 - the thread must live
            self.last_error = LedgerError(f"cannot commit: {type(error).__name__}")
        else:
            self.last_error = None
        finally:
            self._changed.acquire()

    def _await_more(self, expected: int) -> None:
        """Let the queue grow to `expected`, as long as it grows. Polls: waking for each arrival would slow them down."""
        until, seen = time.monotonic() + min(self._linger, self._took), 0
        while seen < (now := len(self._queue)) < expected and not self._closed and time.monotonic() < until:
            seen = now
            time.sleep(_LULL)


def _deliver(answered: Iterable[tuple[Waiting[Item, Answer], Answer | LedgerError]]) -> None:
    """Answer all; each event loop is woken once."""
    by_loop: defaultdict[asyncio.AbstractEventLoop, list[tuple[Waiting[Item, Answer], Answer | LedgerError]]] = defaultdict(
        list
    )
    for waiting, answer in answered:
        if waiting.loop is None:
            waiting.settle(answer)
        else:
            by_loop[waiting.loop].append((waiting, answer))
    for loop, pairs in by_loop.items():
        with contextlib.suppress(RuntimeError):  # the loop was closed: nobody waits any more
            loop.call_soon_threadsafe(_settle, pairs)


def _settle(pairs: Sequence[tuple[Waiting[Item, Answer], Answer | LedgerError]]) -> None:
    for waiting, answer in pairs:
        waiting.settle(answer)
