"""A cell as SimPy sees it: workers that share one ledger. Each is a process on cores of its own.

    arrival ─> event loop ─> checks, side by side ─> event loop ─> committer ─> lock ─> event loop ─> answer
               (HTTP, chain)  (a thread each)        (decision,     (a thread)           (twice: for the
                                                     the entry)                          prompt, the output)

All threads of a worker take turns at Python's lock; who has it and who does not need it take turns at its cores. Networks,
proxies and generators elsewhere take nothing here.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import simpy

from benchmarks.capacity.costs import STAGES, Costs
from benchmarks.capacity.stations import Check, Committer, FullError, Gatherer, Linger, Loop, Server, Steps

PROMPTS_SHARE = 0.75
"""`guard.batching`."""
SEED = 11


@dataclass(frozen=True, slots=True)
class Shape:
    """A cell, and what its parts let in. The bounds are the service's own defaults."""

    workers: int = 1
    cores: int = 1
    """Of each worker."""
    turn: float = 0.005
    """Seconds that a thread keeps Python's lock for while others wait: `sys.getswitchinterval()`."""
    slice: float = 0.0028
    """Seconds that a thread keeps a core for while others wait: of Linux with 8 cores and more (`base_slice_ns`)."""
    concurrency: int = 512
    """Requests in work in one worker; more are refused (503)."""
    waiting: int = 1024
    """Contents that wait for one check (429)."""
    queue: int = 4096
    """Entries that wait in one worker."""
    group: int = 512
    """Entries in one commit."""
    together: int = 32
    """Outputs that a generator makes together."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a simulation gave, without its beginning."""

    per_s: float
    """Requests that were answered."""
    refused_per_s: float
    p50: float
    """Seconds from arrival to answer."""
    p99: float
    mean: float
    inside: float
    """Requests in the cell at a time, on average."""
    cores: float
    """Utilisation of the cores."""
    lock: float
    """Of the ledger's write lock."""
    loop: float
    """Of the event loops, waiting for a core included."""
    checks: dict[str, float]
    """Of the threads of checks, waiting for a core included."""
    together: float
    """Contents in a call of the check that computes most, on average."""
    group: float
    """Entries in a commit, on average."""


class Worker:
    """One process."""

    def __init__(self, env: simpy.Environment, costs: Costs, lock: Server, shape: Shape) -> None:
        self._env, self._costs, self._shape = env, costs, shape
        self.cores = Server(env, shape.cores, shape.slice)
        self.python = Server(env, 1, shape.turn, self.cores)
        self.loop = Loop(env, self.python)
        self.checks = {
            name: Check(env, self.python, one.cost, one.most, shape.waiting, self._weight, self.cores, one.native)
            for name, one in costs.checks.items()
            if one.blocking
        }
        self.committer = Committer(env, self.python, lock, costs.commit, shape.group, shape.queue, Linger(), self._weight)
        making = costs.generating, shape.together, shape.waiting, lambda: 1.0, self.cores, costs.native
        self.generator = Check(env, self.python, *making) if costs.joins else None
        self.inside = 0

    def _weight(self) -> float:
        return self._costs.company.within(self.inside)

    def _compute(self, seconds: float) -> simpy.Event:
        """On the event loop."""
        return self.loop.compute(seconds * self._weight())

    def request(self) -> Steps:
        """From arrival to answer. Raises FullError where there is no room."""
        if self.inside >= self._shape.concurrency:
            raise FullError
        self.inside += 1
        try:
            yield self.loop.compute(self._costs.http.within(self.inside) / 2)
            for stage in STAGES:
                if stage == "output":
                    yield from self._generate()
                yield from self._judge(stage)
            yield self.loop.compute(self._costs.http.within(self.inside) / 2)
        finally:
            self.inside -= 1

    def _judge(self, stage: str) -> Steps:
        costs, names = self._costs, self._costs.of(stage)
        awaited = sum(costs.checks[name].cost(1) for name in names if name not in self.checks)
        yield self._compute(costs.judging / 2 + costs.asking / 2 * len(names) + awaited)
        share = PROMPTS_SHARE if stage == "prompt" else 1.0
        yield self._env.all_of([self.checks[name].ask(share=share) for name in names if name in self.checks])
        yield self._compute(costs.judging / 2 + costs.asking / 2 * len(names) + costs.preparing + costs.answering / 2)
        yield self.committer.ask()
        yield self._compute(costs.answering / 2)

    def _generate(self) -> Steps:
        if self.generator is not None:
            yield self.generator.ask()
        else:
            yield self._compute(self._costs.generating(1))


class Cell:
    """Workers and their ledger, and who asks them."""

    def __init__(self, costs: Costs, shape: Shape, seed: int = SEED) -> None:
        self.env, self.shape = simpy.Environment(), shape
        self._draw = random.Random(seed)
        self.lock = Server(self.env)
        self.workers = [Worker(self.env, costs, self.lock, shape) for _ in range(shape.workers)]
        self._taken: list[float] = []
        self._refused = 0
        self._inside = 0
        self._area = self._changed = 0.0
        self._heaviest = max(
            costs.checks, key=lambda name: costs.checks[name].cost(1) * len(costs.checks[name].stages), default=""
        )

    def run(self, *, rate: float = 0.0, callers: int = 0, seconds: float = 10.0, warm: float = 2.0) -> Outcome:
        """`rate`: requests a second, a Poisson process; `callers`: who ask again when they have an answer."""
        if rate:
            self.env.process(self._arrive(rate))
        for _ in range(callers):
            self.env.process(self._caller())
        self.env.run(warm)
        before = self._marks()
        self._taken.clear()
        self._refused = 0
        self._count(0)
        self._area = 0.0
        self.env.run(warm + seconds)
        self._count(0)
        return self._outcome(seconds, before)

    def _arrive(self, rate: float) -> Steps:
        while True:
            yield self.env.timeout(self._draw.expovariate(rate))
            self.env.process(self._one())

    def _caller(self) -> Steps:
        worker = self._draw.choice(self.workers)  # a connection is kept, and so is its worker
        while True:
            yield from self._one(worker)

    def _one(self, worker: Worker | None = None) -> Steps:
        since = self.env.now
        self._count(1)
        try:
            yield from (worker or self._draw.choice(self.workers)).request()
            self._taken.append(self.env.now - since)
        except FullError:
            self._refused += 1
            yield self.env.timeout(0.001 if worker else 0)
        self._count(-1)

    def _count(self, change: int) -> None:
        self._area += self._inside * (self.env.now - self._changed)
        self._changed = self.env.now
        self._inside += change

    def _gatherers(self) -> Iterator[tuple[str, Gatherer]]:
        for worker in self.workers:
            yield from worker.checks.items()
            yield "ledger", worker.committer

    def _marks(self) -> dict[str, Any]:
        found: dict[str, Any] = {
            "cores": sum(worker.cores.busy for worker in self.workers),
            "loop": sum(worker.loop.busy for worker in self.workers),
            "lock": self.lock.busy,
        }
        for name, one in self._gatherers():
            calls, items, busy = found.get(name, (0, 0, 0.0))
            found[name] = calls + one.seen.calls, items + one.seen.items, busy + one.seen.busy
        return found

    def _outcome(self, seconds: float, before: dict[str, Any]) -> Outcome:
        after, workers, taken = self._marks(), self.shape.workers, sorted(self._taken)

        def shared(name: str) -> float:
            calls, items = (after[name][at] - before[name][at] for at in (0, 1))
            return items / calls if calls else 0.0

        def used(name: str, places: int) -> float:
            return float((after[name] - before[name]) / (seconds * places))

        return Outcome(
            per_s=len(taken) / seconds,
            refused_per_s=self._refused / seconds,
            p50=_part(taken, 0.5),
            p99=_part(taken, 0.99),
            mean=sum(taken) / max(1, len(taken)),
            inside=self._area / seconds,
            cores=used("cores", workers * self.shape.cores),
            lock=used("lock", 1),
            loop=used("loop", workers),
            checks={name: (after[name][2] - before[name][2]) / (seconds * workers) for name in self.workers[0].checks},
            together=shared(self._heaviest) if self._heaviest in self.workers[0].checks else 1.0,
            group=shared("ledger"),
        )


def _part(ordered: list[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0
