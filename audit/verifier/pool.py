"""Several processes that verify one state of a ledger together, each with a read-only transaction of its own.

All see the same. PostgreSQL hands a snapshot on; of a file, each process begins its transaction and says what the head is, and
unless all heads are the same, size and frontier, all begin again. The head moves with every entry, and nothing is pruned or
erased without an entry of its own in the same transaction: an equal head is an equal ledger. On one that is written all the
time there are short moments between two commits; should none be met, those that see what the first process sees do the work.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from audit.verifier.stretch import Known
from audit.verifier.wire import Answer, Begin, Failed, Learn, Message, Seen, Task, next_answer, send
from guard.errors import LedgerError

_TRIES = 50
_AHEAD = 64
"""Tasks that may be done before the oldest one is."""
_GIVEN = 2
"""Tasks that a helper has at a time, so that it need not wait for the next one."""
_ROOT = Path(__file__).resolve().parents[2]
_PROGRAM = """
import sys
sys.path[:] = sys.argv[1:]
try:
    from audit.verifier.worker import main
except ImportError:
    import site
    site.main()
    from audit.verifier.worker import main
main()
"""
"""What a helper runs. It takes our paths as they are: to look for them again (`site`) is a tenth of its start."""


def processors() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Helper:
    """Another process, and what is said to it."""

    def __init__(self) -> None:
        """Begin it. Raises OSError."""
        command = [sys.executable, "-P", "-S", "-c", _PROGRAM, str(_ROOT), *filter(None, sys.path)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)  # noqa: S603 - ourselves
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._in, self._out = self._process.stdin, self._process.stdout

    def tell(self, message: Message) -> None:
        """Send a message. Raises LedgerError when it is gone."""
        try:
            send(self._in, message)
        except OSError:
            raise _gone() from None

    def hear(self) -> Answer:
        """The answer to the oldest message that has none. Raises LedgerError when there is none."""
        answer = next_answer(self._out)
        if answer is None:
            raise _gone()
        if isinstance(answer, Failed):
            raise LedgerError(f"a process of the verifier failed: {answer.why}", advice="Try again with --jobs 1.")
        return answer

    def stop(self) -> None:
        """Let it end, whatever it is doing; `end` waits until it has."""
        self._process.terminate()

    def end(self) -> None:
        """End it; what it was doing is lost."""
        self.stop()
        for stream in (self._in, self._out):
            with suppress(OSError):  # it may have ended before it had read all
                stream.close()
        self._process.wait()


class Pool:
    """Processes that see the same state."""

    def __init__(self, number: int) -> None:
        """Begin so many. Raises OSError when none can be."""
        self._helpers: list[Helper] = []
        try:
            for _ in range(number):
                self._helpers.append(Helper())
        except OSError:
            if not self._helpers:
                raise

    def __len__(self) -> int:
        return len(self._helpers)

    def join(self, begin: Callable[[], tuple[Begin, str]]) -> None:
        """Let all see what this process sees; those that cannot are ended.

        `begin`: begins anew here; gives what to tell the others, and the state that is seen here.
        """
        for _ in range(_TRIES):
            message, mine = begin()
            theirs = self._ask(message)
            if all(one == Seen(mine) for one in theirs):
                return
        for helper, one in zip(list(self._helpers), theirs, strict=True):
            if one != Seen(mine):
                self._helpers.remove(helper)
                helper.end()

    def learn(self, known: Known) -> None:
        """Tell all what is known of the ledger."""
        self._ask(Learn(known))

    @contextmanager
    def work(self, long: Task, tasks: Sequence[Task]) -> Iterator[Board]:
        """Let tasks be done, and a long one beside them, which is begun first."""
        board = Board(long, tasks)
        threads = [threading.Thread(target=board.serve, args=(helper,), daemon=True) for helper in self._helpers]
        for thread in threads:
            thread.start()
        try:
            yield board
        finally:
            board.stop()

    def end(self) -> None:
        """End all, at the same time: each has a file's pages to give back."""
        for helper in self._helpers:
            helper.stop()
        for helper in self._helpers:
            helper.end()

    def _ask(self, message: Message) -> list[Answer]:
        for helper in self._helpers:
            helper.tell(message)
        return [helper.hear() for helper in self._helpers]


_LONG = -1
"""Number of the long task. Nobody waits for it before the end, and whoever does it has no other at the time."""


class Board:
    """Tasks that are given out one by one, and their answers."""

    def __init__(self, long: Task, tasks: Sequence[Task]) -> None:
        """See `Pool.work`."""
        self._tasks, self._next, self._taken, self._stop = [*tasks, long], _LONG, 0, len(tasks)
        self._done: dict[int, Answer] = {}
        self._error: Exception | None = None
        self._changed = threading.Condition()

    def serve(self, helper: Helper) -> None:
        """Give tasks to a helper until there are no more."""
        given: deque[int] = deque()
        try:
            while self._give(helper, given):
                answer = helper.hear()
                with self._changed:
                    self._done[given.popleft()] = answer
                    self._changed.notify_all()
        except LedgerError as error:
            with self._changed:
                self._error = self._error or error
                self._changed.notify_all()

    def answers(self) -> Iterator[Answer]:
        """Those to the tasks but the long one, in their order. Raises LedgerError when a helper is gone."""
        for number in range(len(self._tasks) - 1):
            answer = self._wait(number)
            with self._changed:
                self._taken = number + 1
                self._changed.notify_all()
            yield answer

    def long(self) -> Answer:
        """The answer to the long task; what was not given out by now is not done any more. Raises LedgerError as `answers`."""
        self.stop()
        return self._wait(_LONG)

    def stop(self) -> None:
        """Give out nothing more."""
        with self._changed:
            self._stop = 0
            self._changed.notify_all()

    def _wait(self, number: int) -> Answer:
        with self._changed:
            self._changed.wait_for(lambda: number in self._done or self._error is not None)
            if number not in self._done:
                assert self._error is not None
                raise self._error
            return self._done.pop(number)

    def _give(self, helper: Helper, given: deque[int]) -> bool:
        """Let a helper have enough to do. Whether it has anything."""
        while len(given) < _GIVEN and _LONG not in given and (number := self._draw(wait=not given)) is not None:
            helper.tell(self._tasks[number])
            given.append(number)
        return bool(given)

    def _draw(self, *, wait: bool) -> int | None:
        """The next task. `wait`: until the oldest ones are done, if need be; else None, too."""
        with self._changed:
            if wait:
                self._changed.wait_for(lambda: self._over() or self._next < self._taken + _AHEAD)
            if self._over() or self._next >= self._taken + _AHEAD:
                return None
            self._next += 1
            return self._next - 1

    def _over(self) -> bool:
        return self._error is not None or (self._next >= self._stop and self._next != _LONG)


def _gone() -> LedgerError:
    advice = "Try again with --jobs 1, which also tells what of a file the disk cannot read."
    return LedgerError("a process of the verifier has ended before its time", advice=advice)
