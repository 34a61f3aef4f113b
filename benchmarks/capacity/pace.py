"""How fast a core computes just now, so that all that is compared was measured at one pace.

On a virtual machine that depends on its neighbours, and changes within seconds by as much as a half. A small process on the
same core takes the time of a fixed computation again and again. Runs during which it took longer than usual are repeated, and
where that does not help, costs are divided by how much longer it took.

    python -m benchmarks.capacity.pace CORE        prints, 20 times a second, when it was (monotonic), and microseconds of CPU
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, quantiles
from typing import Any, Generic, TypeVar

from serving.heap import frozen

T = TypeVar("T")

LIMIT = 0.08
"""How much longer than usual the computation may take during a run, on average, before the run is repeated."""
TRIES = 3
"""Runs at most for one that counts."""
_EVERY_S = 0.05
_FIRST_S = 3.0
_AROUND_S = 0.15
"""Of what is seen before and after a run, for runs that are shorter than it takes to see anything."""
_SIZE = 6000
_ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class Paced(Generic[T]):
    """What a run gave."""

    value: T
    slow: float
    """How many times as long as usual the computation took meanwhile."""


class Pace:
    """What the process beside says."""

    def __init__(self, file: Path, usual_us: float | None = None) -> None:
        """`usual_us`: what its computation takes when the core is left alone, where that is known."""
        self._file, self._read, self._known = file, 0, usual_us
        self._laps: list[tuple[float, float]] = []
        self.again = 0
        """Runs that were repeated."""

    @property
    def usual_us(self) -> float:
        """Microseconds of CPU of the computation when the core is left alone: the shortest tenth, if it is not known."""
        self._update()
        return self._known or quantiles([took for _, took in self._laps], n=10)[0]

    def slow(self, since: float, until: float) -> float:
        """How many times as long as usual the computation took between two monotonic times, on average."""
        self._update()
        laps = [took for at, took in self._laps if since <= at <= until]
        return fmean(laps) / self.usual_us if laps else 1.0

    def one(self, run: Callable[[], T]) -> Paced[T]:
        """A run that was not disturbed, or else the one of `TRIES` that was disturbed the least."""
        tried: list[Paced[T]] = []
        while len(tried) < TRIES:
            since = time.monotonic() - _AROUND_S
            value = run()
            time.sleep(_AROUND_S)
            tried.append(Paced(value, self.slow(since, time.monotonic())))
            if tried[-1].slow <= 1 + LIMIT:
                break
        self.again += len(tried) - 1
        return min(tried, key=lambda one: one.slow)

    def told(self) -> dict[str, float]:
        """For the record."""
        return {"usual_us": self.usual_us, "again": self.again}

    def _update(self) -> None:
        with self._file.open() as file:
            file.seek(self._read)
            for line in file:
                if not line.endswith("\n"):
                    break
                self._read += len(line)
                at, took = line.split()
                self._laps.append((float(at), float(took)))


class Runs:
    """So many runs of something that takes a time; each is told as if the core had been left alone."""

    def __init__(self, count: int, pace: Pace) -> None:
        self.count, self.pace = count, pace

    def __call__(self, run: Callable[[], float], *, warm: bool = False) -> list[float]:
        """Runs of which each gives a time. `warm`: after one more that does not count."""
        return [one["it"] for one in self.parts(lambda: {"it": run()}, warm=warm)]

    def parts(self, run: Callable[[], Mapping[str, float]], *, warm: bool = False) -> list[dict[str, float]]:
        """The same of runs that give several times, by their names."""
        if warm:
            run()
        with frozen():  # as in a service
            taken = [self.pace.one(run) for _ in range(self.count)]
        return [{name: value / one.slow for name, value in one.value.items()} for one in taken]


@contextmanager
def watched(core: int, usual_us: float | None = None) -> Iterator[Pace]:
    """The pace of a core for as long as this is open; three seconds of it have been seen at the beginning."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "laps"
        with file.open("w") as out:
            command = [sys.executable, "-m", "benchmarks.capacity.pace", str(core)]
            running: Any = subprocess.Popen(command, cwd=_ROOT, stdout=out)
        try:
            time.sleep(_FIRST_S)
            if running.poll() is not None:
                raise RuntimeError(f"the process that watches the pace of core {core} ended with {running.returncode}")
            yield Pace(file, usual_us)
        finally:
            running.kill()
            running.wait()


def main() -> None:
    os.sched_setaffinity(0, {int(sys.argv[1])})
    while True:
        time.sleep(_EVERY_S)
        _lap(_SIZE // 4)  # caches are the others'
        used = time.thread_time()
        _lap(_SIZE)
        print(time.monotonic(), 1e6 * (time.thread_time() - used), flush=True)


def _lap(size: int) -> int:
    found = 0
    for at in range(size):
        found = (found * 31 + at) & 0xFFFF
    return found


if __name__ == "__main__":
    main()
