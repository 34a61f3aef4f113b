"""What all stages take together: releases in this process, and requests to a service that does next to nothing else.

Each is asked with several requests in work at a time, on one core, a run at a time, so that runs of different things can take
turns: what is compared is measured within the same minutes.
"""

from __future__ import annotations

import asyncio
import random
import secrets
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.capacity.pace import Pace
from benchmarks.capacity.service import Service, cores, on, served
from benchmarks.capacity.workload import NOTHING, SEED
from guard.pipeline import Guard
from guard.rules import Policy
from guard.types import Operator
from serving.heap import frozen

CROWDS = (1, 4, 16, 64)
"""Requests in work at a time."""
ROUNDS = 16
"""Requests of each of them in a run at least: all begin together, and end apart, which is not how a service is asked."""
CALLS = 100
"""Requests of a run at least."""
HTTP_S = 4.0
"""Of a run of a service that does next to nothing: it answers hundreds in a second."""
PAUSE_S = 0.02
"""Mean, before a request that is alone: others have used the caches since, or the core has slept, as under a small load."""


def pause_s(callers: int) -> float:
    """Seconds from an answer to its caller's next request, on average."""
    return 0.0 if callers > 1 else PAUSE_S


async def each(call: Callable[[], Awaitable[Any]], count: int, callers: int, pause: float = 0.0) -> float:
    """Seconds of CPU of so many calls, by callers that each wait for the answer to the one before, and then for a while.

    `pause`: seconds, on average; they are drawn as they are between arrivals of a Poisson process.
    """
    left, draw = iter(range(count)), random.Random(SEED)

    async def caller() -> None:
        for _ in left:
            if pause:
                await asyncio.sleep(draw.expovariate(1 / pause))
            await call()

    used = time.process_time()
    await asyncio.gather(*(caller() for _ in range(callers)))
    return time.process_time() - used


def guarded(policy: Policy, ledger: Any) -> tuple[Guard, Any]:
    """A guard with its models, and the generator that it asks."""
    from guard.registry import generators as registry

    guard = Guard(policy, ledger, operator=Operator(watermark_key=secrets.token_bytes(32)))
    echo = registry.make("echo", {"name": "echo"})
    asyncio.run(guard.load(echo))
    return guard, echo


class Releases:
    """Of one policy in this process, with checks side by side and a ledger in a file."""

    def __init__(self, policy: Policy, messages: Iterator[str], ledger: Any, pace: Pace) -> None:
        self._messages, self._pace = messages, pace
        self._guard, self._echo = guarded(policy, ledger)
        self._sizes: list[int] = []
        ledger.on_commit(lambda entries, _seconds, _failed: self._sizes.append(entries))
        self._taken: dict[int, list[float]] = {}
        self._seen: dict[int, list[tuple[float, float]]] = {}

    def run(self, callers: int) -> None:
        """Ask so many at a time."""
        before = self._figures()
        self._sizes.clear()
        one = self._pace.one(lambda: self.ask(callers))
        calls, contents = (now - then for now, then in zip(self._figures(), before, strict=True))
        self._taken.setdefault(callers, []).append(one.value / one.slow)
        self._seen.setdefault(callers, []).append((contents / calls, sum(self._sizes) / len(self._sizes)))

    def ask(self, callers: int) -> float:
        """Microseconds of CPU of a release."""
        count = max(CALLS, ROUNDS * callers)
        with on(cores()[0]):
            return 1e6 * asyncio.run(each(self._release, count, callers, pause_s(callers))) / count

    def told(self) -> dict[str, dict[str, Any]]:
        """Of each number of callers: microseconds of CPU by run, contents a call of a check, entries a commit."""
        found = {}
        for callers, taken in self._taken.items():
            together, group = (sum(some) / len(taken) for some in zip(*self._seen[callers], strict=True))
            found[str(callers)] = {"cpu_us": taken, "together": together, "group": group}
        return found

    def _release(self) -> Awaitable[Any]:
        return self._guard.release(self._echo, next(self._messages))

    def _figures(self) -> tuple[int, int]:
        """Calls of checks so far, and contents in them."""
        told = [figures for _, _, figures in self._guard.figures()]
        return sum(one.calls for one in told), sum(one.contents for one in told)


@contextmanager
def releasing(policy: Policy, messages: Iterator[str], pace: Pace) -> Iterator[Releases]:
    """Releases, warm."""
    from audit.ledger import open_ledger

    with TemporaryDirectory(dir=".") as folder, ExitStack() as stack:
        with on(cores()[0]):
            ledger = stack.enter_context(open_ledger(f"sqlite:///{folder}/ledger.db"))
            made = Releases(policy, messages, ledger, pace)
            made.ask(CROWDS[-1])
        with frozen():
            yield made


class Gateway:
    """A service under a policy that does next to nothing, and the same releases in this process."""

    def __init__(self, service: Service, releases: Releases, pace: Pace) -> None:
        self._service, self._releases, self._pace = service, releases, pace
        self._taken: dict[int, list[dict[str, Any]]] = {}

    def run(self, callers: int) -> None:
        """Ask so many at a time. Raises SystemExit where an answer was not 200."""
        one = self._pace.one(lambda: self._service.asked(HTTP_S, callers=callers, pause=pause_s(callers)))
        if set(one.value["statuses"]) != {"200"}:
            raise SystemExit(f"found answers {one.value['statuses']}, expected 200 alone")
        self._taken.setdefault(callers, []).append({**one.value, "slow": one.slow})
        self._releases.run(callers)

    def told(self) -> dict[str, dict[str, Any]]:
        """Of each number of callers: microseconds of CPU of an answer and of a release, by run, and the load."""
        releases = self._releases.told()
        return {
            str(callers): {
                "service_us": [one["cpu_us"] / one["slow"] for one in taken],
                "release_us": releases[str(callers)]["cpu_us"],
                "load": taken,
            }
            for callers, taken in self._taken.items()
        }


@contextmanager
def gateway(messages: Iterator[str], pace: Pace) -> Iterator[Gateway]:
    """One that runs, warm."""
    from policies import loads

    with TemporaryDirectory(dir=".") as folder:
        file = Path(folder) / "nothing.yaml"
        file.write_text(NOTHING, "utf-8")
        with served(str(file.resolve())) as service, releasing(loads(NOTHING), messages, pace) as releases:
            service.asked(1.0, callers=CROWDS[-1])
            yield Gateway(service, releases, pace)


def company(policy: Policy, messages: Iterator[str], runs: int, pace: Pace) -> dict[str, Any]:
    """Releases with everything, by how many are in work."""
    with releasing(policy, messages, pace) as releases:
        in_turns(runs, releases.run)
        return releases.told()


def http(messages: Iterator[str], runs: int, pace: Pace) -> dict[str, Any]:
    """Requests to a service that does next to nothing, and the same releases in this process, by how many are in work."""
    with gateway(messages, pace) as one:
        in_turns(runs, one.run)
        return one.told()


def in_turns(runs: int, *asked: Callable[[int], None]) -> None:
    """So many runs of each with each number of callers."""
    for _ in range(runs):
        for callers in CROWDS:
            for ask in asked:
                ask(callers)
