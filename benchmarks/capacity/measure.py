"""What each stage of a request takes, measured alone on one core of this machine.

CPU is that of the process with all of its threads. What others do on the machine adds to it a little, and to waiting a lot:
`waits` under the ledger's lock want a machine with nothing else to do.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.capacity import ledgers
from benchmarks.capacity.costs import STAGES
from benchmarks.capacity.service import cores, on, served
from benchmarks.capacity.workload import NOTHING, contents, empty, texts
from guard.chain import Chain
from guard.ids import uuid7
from guard.pipeline import Guard
from guard.protocols import Generator, JointGenerator
from guard.rules import Policy
from guard.traits import traits_of
from guard.types import Content, Decision, Examples, Modality, Operator, Receipt, Scan, Span, Stage

SIZES = (1, 8, 32)
"""Contents in one call."""
CALLERS = 32
CROWDS = (1, 4, CALLERS)
"""Requests in work at a time."""
PAUSE_S = 0.02
"""Before a request that is alone: others have used the caches since, or the core has slept, as under a small load."""
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


def chain(runs: int, calls: int = 400) -> list[dict[str, Any]]:
    """A content that goes through one check, and ten, that do nothing, while as many callers ask as a busy service has."""
    found = []
    for checks in (1, 10):
        policy = empty(checks)
        ledger: Any = Forgetful()
        guard = Guard(policy, ledger, chains={policy.id: Chain(policy, {spec.name: Nothing() for spec in policy.checks})})
        messages, cpu = texts(), list[float]()
        for _ in range(runs + 1):
            took = asyncio.run(_each(lambda: guard.check(next(messages)), calls, CALLERS))  # noqa: B023 - run at once
            cpu.append(1e6 * took / calls)
        found.append({"checks": checks, "callers": CALLERS, "cpu_us": cpu[1:]})
    return found


async def _each(call: Callable[[], Any], count: int, callers: int, pause_s: float = 0.0) -> float:
    """Seconds of CPU of so many calls, by callers that each wait for the answer to the one before, and then for a while."""
    left = iter(range(count))

    async def caller() -> None:
        for _ in left:
            if pause_s:
                await asyncio.sleep(pause_s)
            await call()

    used = time.process_time()
    await asyncio.gather(*(caller() for _ in range(callers)))
    return time.process_time() - used


def checks(policy: Policy, messages: Iterator[str], runs: int) -> dict[str, Any]:
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
        check = built.checks[spec.name]
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
            "calls": {str(size): _timed(asked, messages, stage, size, runs) for size in SIZES},
        }
    return found


async def _finished(given: Any) -> None:
    await given


def _timed(
    call: Callable[[list[Content]], None], messages: Iterator[str], stage: Stage, size: int, runs: int, *, most: int = 128
) -> dict[str, list[float]]:
    """Microseconds of a call: several runs of some calls each, of `most` contents in all where a call has fewer."""
    calls = max(1, most // size)
    cpu, wall = [], []
    for _ in range(runs):
        batches = [contents(list(islice(messages, size)), stage) for _ in range(calls)]
        began, used = time.perf_counter(), time.process_time()
        for batch in batches:
            call(batch)
        cpu.append(1e6 * (time.process_time() - used) / calls)
        wall.append(1e6 * (time.perf_counter() - began) / calls)
    return {"cpu_us": cpu, "wall_us": wall}


def generators(messages: Iterator[str], runs: int, tokens: int) -> dict[str, Any]:
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
        calls = {
            str(size): _timed(call, messages, Stage.PROMPT, size, runs, most=512 if name == "echo" else 4) for size in sizes
        }
        found[name] = {"joins": isinstance(made, JointGenerator), "parameters": parameters, "calls": calls}
    return found


async def _made(generator: Generator, batch: list[Content], parameters: Mapping[str, Any]) -> None:
    async def one(prompt: Content) -> None:
        async for _ in generator([prompt], parameters):
            pass

    await asyncio.gather(*(one(prompt) for prompt in batch))


def decisions(policy: Policy, messages: Iterator[str], count: int) -> list[Decision]:
    """So many decisions of the policy, on prompts and outputs in turn, as they would be recorded."""
    ledger: Any = Forgetful()
    guard, echo = _guarded(policy, ledger)

    async def all_of_them() -> None:
        await asyncio.gather(*(guard.release(echo, next(messages)) for _ in range(-(-count // len(STAGES)))))

    asyncio.run(all_of_them())
    made: list[Decision] = ledger.decisions[:count]
    return made


def anew(made: Sequence[Decision], count: int) -> list[Decision]:
    """So many that no ledger has yet."""
    return [replace(made[at % len(made)], id=uuid7()) for at in range(count)]


def _guarded(policy: Policy, ledger: Any) -> tuple[Guard, Any]:
    """A guard with its models, and the generator that it asks."""
    from guard.registry import generators as registry

    guard = Guard(policy, ledger, operator=Operator(watermark_key=secrets.token_bytes(32)))
    echo = registry.make("echo", {"name": "echo"})
    asyncio.run(guard.load(echo))
    return guard, echo


def company(policy: Policy, messages: Iterator[str], runs: int, calls: int = 96) -> dict[str, Any]:
    """Releases in this process with everything, checks side by side and a ledger in a file, by how many are in work."""
    from audit.ledger import open_ledger

    found: dict[str, Any] = {}
    with TemporaryDirectory(dir=".") as folder, open_ledger(f"sqlite:///{folder}/ledger.db") as ledger:
        guard, echo = _guarded(policy, ledger)
        sizes: list[int] = []
        ledger.on_commit(lambda entries, _seconds, _failed: sizes.append(entries))
        for callers in CROWDS:
            cpu = []
            for run in range(runs + 1):
                if run == 1:
                    sizes.clear()
                    before = _figures(guard)
                pause = 0.0 if callers > 1 else PAUSE_S
                took = asyncio.run(_each(lambda: guard.release(echo, next(messages)), calls, callers, pause))
                cpu.append(1e6 * took / calls)
            asked, items = (now - then for now, then in zip(_figures(guard), before, strict=True))
            found[str(callers)] = {"cpu_us": cpu[1:], "together": items / asked, "group": sum(sizes) / len(sizes)}
    return found


def _figures(guard: Guard) -> tuple[int, int]:
    """Calls of checks so far, and contents in them."""
    told = [figures for _, _, figures in guard.figures()]
    return sum(one.calls for one in told), sum(one.contents for one in told)


def http(messages: Iterator[str], runs: int, seconds: float) -> dict[str, Any]:
    """A request to the service under a policy that does next to nothing, and the same release in this process."""
    from audit.ledger import open_ledger
    from policies import loads

    with TemporaryDirectory(dir=".") as folder:
        file = Path(folder) / "nothing.yaml"
        file.write_text(NOTHING, "utf-8")
        with served(str(file.resolve())) as service:
            service.asked(1.0, callers=CALLERS)
            given = {callers: {"callers": callers} if callers > 1 else {"rate": 1 / PAUSE_S} for callers in CROWDS}
            asked = {callers: [service.asked(seconds, **load) for _ in range(runs)] for callers, load in given.items()}
        with open_ledger(f"sqlite:///{folder}/ledger.db") as ledger, on(cores()[0]):
            guard, echo = _guarded(loads(NOTHING), ledger)

            def released(callers: int) -> float:
                calls, pause = (int(seconds * 200), 0.0) if callers > 1 else (int(seconds / PAUSE_S), PAUSE_S)
                return 1e6 * asyncio.run(_each(lambda: guard.release(echo, next(messages)), calls, callers, pause)) / calls

            release = {callers: [released(callers) for _ in range(runs + 1)][1:] for callers in CROWDS}
    wrong = [one["statuses"] for taken in asked.values() for one in taken if set(one["statuses"]) != {"200"}]
    if wrong:
        raise SystemExit(f"found answers {wrong[0]}, expected 200 alone")
    return {
        str(callers): {"service_us": [one["cpu_us"] for one in taken], "release_us": release[callers], "load": taken}
        for callers, taken in asked.items()
    }


def parts(policy: Policy, asked: Any) -> dict[str, Callable[[], Any]]:
    """What can be measured, by its name in the file. `asked`: options of the command line."""
    messages = texts(file=asked.texts)

    def ledger() -> dict[str, Any]:
        made = decisions(policy, messages, 128)
        return ledgers.measured(lambda count: anew(made, count), policy, asked.runs, _each)

    alone = {
        "chain": lambda: chain(asked.runs),
        "checks": lambda: checks(policy, messages, asked.runs),
        "generators": lambda: generators(messages, asked.runs, asked.tokens),
        "ledger": ledger,
        "company": lambda: company(policy, messages, asked.runs),
    }

    def pinned(measure: Callable[[], Any]) -> Callable[[], Any]:
        def run() -> Any:
            with on(cores()[0]):
                return measure()

        return run

    return {
        **{name: pinned(measure) for name, measure in alone.items()},
        "http": lambda: http(messages, min(3, asked.runs), asked.seconds),
    }
