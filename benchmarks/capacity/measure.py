"""What each stage of a request takes, measured alone on one core of this machine.

CPU is that of the process with all of its threads. Runs that neighbours of the machine disturbed are repeated (`pace.py`); what
others do on it adds to waiting a lot: `waits` under the ledger's lock want a machine with nothing else to do.
"""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import islice
from statistics import median
from typing import Any

from benchmarks.capacity import ledgers
from benchmarks.capacity.costs import STAGES
from benchmarks.capacity.pace import Pace, Runs
from benchmarks.capacity.service import cores, on
from benchmarks.capacity.together import company, each, guarded, http
from benchmarks.capacity.workload import contents, empty, texts
from guard.chain import Chain
from guard.ids import uuid7
from guard.pipeline import Guard
from guard.protocols import Generator, JointGenerator
from guard.rules import Policy
from guard.traits import traits_of
from guard.types import Content, Decision, Examples, Modality, Receipt, Scan, Span, Stage

SIZES = (1, 8, 32)
"""Contents in one call."""
CALLERS = 32
_STAGES = {"prompt": Stage.PROMPT, "output": Stage.OUTPUT}


class Nothing:
    """A check that blocks, reads the text and finds nothing."""

    blocking, version, digest = True, "1", ""
    modalities = frozenset({Modality.TEXT})
    labels: Mapping[str, str] = {"found": "harassment"}
    examples = Examples((), ())

    def load(self) -> None:
        """Nothing to load."""

    def __call__(self, batch: Sequence[Content]) -> Sequence[Scan]:
        return [Scan((), Span(0, content.length)) for content in batch]


class Forgetful:
    """A ledger that keeps decisions in memory, for as long as it lives, and costs nothing."""

    identity = "none"

    def __init__(self) -> None:
        self.decisions: list[Decision] = []

    async def append(self, decision: Decision, /) -> Receipt:
        """Take one."""
        self.decisions.append(decision)
        return Receipt(decision.id, len(self.decisions), bytes(32), len(self.decisions) + 1)

    async def activate(self, policy_id: str, version: int, revision: str, document: str, /) -> None:
        """Take nothing."""


def chain(runs: Runs, calls: int = 400) -> list[dict[str, Any]]:
    """A content that goes through one check, and ten, that do nothing, while as many callers ask as a busy service has."""
    found = []
    for checks in (1, 10):
        policy = empty(checks)
        ledger: Any = Forgetful()
        guard = Guard(policy, ledger, chains={policy.id: Chain(policy, {spec.name: Nothing() for spec in policy.checks})})
        messages = texts()

        def judged(guard: Guard = guard, messages: Iterator[str] = messages) -> float:
            return 1e6 * asyncio.run(each(lambda: guard.check(next(messages)), calls, CALLERS)) / calls

        found.append({"checks": checks, "callers": CALLERS, "cpu_us": runs(judged, warm=True)})
    return found


def checks(policy: Policy, messages: Iterator[str], runs: Runs) -> dict[str, Any]:
    """Each check of a policy that reads text: calls of several sizes, of messages that it has not seen."""
    built = Chain(policy)
    troubles = asyncio.run(built.load())
    if troubles:
        raise SystemExit(f"found checks that do not load: {', '.join(f'{name}: {why}' for name, why in troubles.items())}")
    found: dict[str, Any] = {}
    for spec in policy.checks:
        stages = [name for name, stage in _STAGES.items() if spec.applies(stage, Modality.TEXT)]
        if not stages:
            continue
        check: Any = built.checks[spec.name]
        stage = _STAGES[stages[0]]

        def asked(batch: list[Content], check: Any = check) -> None:
            given = check(batch)
            if not check.blocking:
                asyncio.run(_finished(given))

        asked(contents(list(islice(messages, 2)), stage))
        found[spec.name] = {
            "stages": stages,
            "most": traits_of(check).together,
            "blocking": check.blocking,
            "native": native(partial(asked, contents(list(islice(messages, SIZES[1])), stage)), runs.count),
            "calls": {str(size): _timed(asked, messages, stage, size, runs) for size in SIZES},
        }
    return found


def native(call: Callable[[], None], count: int) -> list[float]:
    """The part of a call for which it does not need Python's lock, several times.

    A loop on another core keeps a part r of its pace beside calls on this one. Who wants the lock as well has it half of the
    time, so that with a part f without it a call takes 2 - f times as long, and r is 1 / (2 - f).
    """
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)  # whoever wants the lock does not wait for it much longer than that
    try:
        return [2 - 1 / _kept(call) for _ in range(count)]
    finally:
        sys.setswitchinterval(before)


def _kept(call: Callable[[], None], seconds: float = 0.3) -> float:
    """The part of its pace that a loop keeps beside calls: the median of five, in turns with the loop alone."""
    found = []
    for _ in range(5):
        alone, ended = _laps(seconds), threading.Event()

        def calls(ended: threading.Event = ended) -> None:
            while not ended.is_set():
                call()

        beside = threading.Thread(target=calls)
        beside.start()
        found.append(_laps(seconds) / alone)
        ended.set()
        beside.join()
    return median(found)


def _laps(seconds: float) -> int:
    """Of a loop on the core of who asks a service."""
    laps, until = 0, time.perf_counter() + seconds
    with on(cores()[1]):
        while time.perf_counter() < until:
            laps += 1
    return laps


async def _finished(given: Any) -> None:
    await given


def _timed(
    call: Callable[[list[Content]], None], messages: Iterator[str], stage: Stage, size: int, runs: Runs, *, most: int = 128
) -> dict[str, list[float]]:
    """Microseconds of a call: several runs of some calls each, of `most` contents in all where a call has fewer."""
    calls = max(1, most // size)

    def run() -> dict[str, float]:
        batches = [contents(list(islice(messages, size)), stage) for _ in range(calls)]
        began, used = time.perf_counter(), time.process_time()
        for batch in batches:
            call(batch)
        cpu, wall = time.process_time() - used, time.perf_counter() - began
        return {"cpu_us": 1e6 * cpu / calls, "wall_us": 1e6 * wall / calls}

    taken = runs.parts(run)
    return {name: [one[name] for one in taken] for name in taken[0]}


def generators(messages: Iterator[str], runs: Runs, tokens: int) -> dict[str, Any]:
    """Outputs of `echo`, each on the event loop, and of the bundled language model, which makes several together."""
    from generators.batched import batched
    from guard.registry import generators as registry

    found: dict[str, Any] = {}
    given: dict[str, tuple[dict[str, Any], dict[str, Any], tuple[int, ...]]] = {
        "echo": ({}, {}, (64,)),
        "language": ({"model": "bundled/language-service"}, {"max_new_tokens": tokens, "seed": 1}, (1, 4, 16)),
    }
    for name, (options, parameters, sizes) in given.items():
        made = registry.make(name, options or {"name": name})
        made.load()
        generator = batched(made)

        def call(batch: list[Content], generator: Any = generator, parameters: Any = parameters) -> None:
            asyncio.run(_made(generator, batch, parameters))

        call(contents(list(islice(messages, 2)), Stage.PROMPT))
        prompts = contents(list(islice(messages, sizes[0])), Stage.PROMPT)
        parts = native(partial(call, prompts), runs.count) if isinstance(made, JointGenerator) else [0.0]
        calls = {
            str(size): _timed(call, messages, Stage.PROMPT, size, runs, most=512 if name == "echo" else 4) for size in sizes
        }
        found[name] = {"joins": isinstance(made, JointGenerator), "parameters": parameters, "native": parts, "calls": calls}
    return found


async def _made(generator: Generator, batch: list[Content], parameters: Mapping[str, Any]) -> None:
    async def one(prompt: Content) -> None:
        async for _ in generator([prompt], parameters):
            pass

    await asyncio.gather(*(one(prompt) for prompt in batch))


def decisions(policy: Policy, messages: Iterator[str], count: int) -> list[Decision]:
    """So many decisions of the policy, on prompts and outputs in turn, as they would be recorded."""
    ledger: Any = Forgetful()
    guard, echo = guarded(policy, ledger)

    async def all_of_them() -> None:
        await asyncio.gather(*(guard.release(echo, next(messages)) for _ in range(-(-count // len(STAGES)))))

    asyncio.run(all_of_them())
    made: list[Decision] = ledger.decisions[:count]
    return made


def anew(made: Sequence[Decision], count: int) -> list[Decision]:
    """So many that no ledger has yet."""
    return [replace(made[at % len(made)], id=uuid7()) for at in range(count)]


def parts(policy: Policy, asked: Any, pace: Pace) -> dict[str, Callable[[], Any]]:
    """What can be measured, by its name in the file. `asked`: options of the command line."""
    messages, runs = texts(file=asked.texts), Runs(asked.runs, pace)

    def ledger() -> dict[str, Any]:
        made = decisions(policy, messages, 128)
        return ledgers.measured(lambda count: anew(made, count), policy, runs, each)

    alone = {
        "chain": lambda: chain(runs),
        "checks": lambda: checks(policy, messages, runs),
        "generators": lambda: generators(messages, runs, asked.tokens),
        "ledger": ledger,
        "company": lambda: company(policy, messages, asked.runs, pace),
    }

    def pinned(measure: Callable[[], Any]) -> Callable[[], Any]:
        def run() -> Any:
            with on(cores()[0]):
                return measure()

        return run

    return {
        **{name: pinned(measure) for name, measure in alone.items()},
        "http": lambda: http(messages, asked.runs, pace),
    }
