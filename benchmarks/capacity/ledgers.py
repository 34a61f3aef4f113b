"""What an entry takes: preparing it, committing groups of several sizes, and how long the write lock is held meanwhile."""

from __future__ import annotations

import asyncio
import statistics
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from audit.ledger import GROUP, SqlLedger, open_ledger
from benchmarks.capacity.pace import Runs
from guard.rules import Policy
from guard.types import Decision

GROUPS = (1, 4, 16, 64, GROUP)
_AT_A_TIME = 512
_CALLERS = 64

Anew = Callable[[int], list[Decision]]
"""Gives so many decisions that no ledger has yet."""
Each = Callable[[Callable[[], Awaitable[Any]], int, int], Any]
"""Seconds of CPU of so many calls by so many callers."""


def measured(anew: Anew, policy: Policy, runs: Runs, each: Each) -> dict[str, Any]:
    """SQLite in a file, and PostgreSQL where there is a server to start."""
    with TemporaryDirectory(dir=".") as folder:
        found = {"sqlite": _one(f"sqlite:///{folder}/ledger.db", f"{folder}/key", anew, policy, runs, each)}
        with _postgres() as url:
            if url:
                found["postgres"] = _one(url, f"{folder}/key2", anew, policy, runs, each)
    return found


@contextmanager
def _postgres() -> Iterator[str]:
    """The URL of a server of its own, on any core; empty where none is installed."""
    sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests"))
    from postgres import Server, binaries, fresh

    if binaries() is None:
        print("no PostgreSQL server here: its ledger is left out", file=sys.stderr)
        yield ""
        return
    server = Server.start()
    try:
        for stat in Path("/proc").glob("[0-9]*/cmdline"):
            if str(server.folder) in stat.read_bytes().decode("utf-8", "replace"):
                _free(int(stat.parent.name))
        yield fresh(server.url("postgres"))
    finally:
        server.close()


def _free(pid: int) -> None:
    """Let a process compute on any core: its children, one a connection, too."""
    import os

    os.sched_setaffinity(pid, range(os.cpu_count() or 1))


def _one(url: str, key_file: str, anew: Anew, policy: Policy, runs: Runs, each: Each) -> dict[str, Any]:
    with open_ledger(url, key_file=key_file) as ledger:
        ledger.activate_sync(policy.id, policy.version, policy.revision, policy.document)
        watch = _Watch(ledger)
        prepare, groups = _prepare(ledger, anew, runs), {}
        for size in GROUPS:
            groups[str(size)] = runs.parts(partial(_commits, ledger, watch, anew, size), warm=True)
        sizes: list[int] = []
        ledger.on_commit(lambda entries, _seconds, _failed: sizes.append(entries))
        appended = runs(partial(_append, ledger, anew, each), warm=True)
        return {
            "prepare_us": prepare,
            "groups": {
                size: {name: [run[name] for run in taken] for name in ("cpu_us", "locked_us", "held_us")}
                for size, taken in groups.items()
            },
            "append": {"callers": _CALLERS, "group": statistics.fmean(sizes), "cpu_us": appended},
        }


class _Watch:
    """How long each transaction took, and what this process computed meanwhile."""

    def __init__(self, ledger: Any) -> None:
        self._inner = ledger._committed  # noqa: SLF001 - from taking the lock to the end of the commit
        self.held = self.locked = 0.0
        ledger._committed = self._committed  # noqa: SLF001

    def _committed(self, *given: Any) -> Any:
        began, used = time.perf_counter(), time.thread_time()
        done = self._inner(*given)
        self.held += time.perf_counter() - began
        self.locked += time.thread_time() - used
        return done


def _prepare(ledger: SqlLedger, anew: Anew, runs: Runs) -> list[float]:
    def run() -> float:
        made = anew(_AT_A_TIME)
        used = time.process_time()
        for one in made:
            ledger._draft(one)  # noqa: SLF001 - measured alone
        return 1e6 * (time.process_time() - used) / len(made)

    return runs(run, warm=True)


def _commits(ledger: SqlLedger, watch: _Watch, anew: Anew, size: int) -> dict[str, float]:
    """Microseconds of one commit of so many."""
    count = max(2, min(64, _AT_A_TIME // size))
    made = [ledger._draft(one) for one in anew(size * count)]  # noqa: SLF001 - prepared beforehand
    drafts = [made[at : at + size] for at in range(0, len(made), size)]
    watch.held = watch.locked = 0.0
    used = time.process_time()
    for group in drafts:
        _insist(ledger._commit(group))  # noqa: SLF001 - without queue and futures
    cpu = time.process_time() - used
    return {
        name: 1e6 * value / count for name, value in (("cpu_us", cpu), ("locked_us", watch.locked), ("held_us", watch.held))
    }


def _insist(answers: Sequence[Any]) -> None:
    for answer in answers:
        if isinstance(answer, Exception):
            raise answer


def _append(ledger: SqlLedger, anew: Anew, each: Each) -> float:
    """Microseconds of CPU of an entry, from `append` to the receipt, with as many callers as a busy service has."""
    made = iter(anew(_AT_A_TIME * 2))
    took: float = asyncio.run(each(lambda: ledger.append(next(made)), _AT_A_TIME * 2, _CALLERS))
    return 1e6 * took / (_AT_A_TIME * 2)
