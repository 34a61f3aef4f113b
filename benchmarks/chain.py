"""What the chain and the decision cost: checks that do nothing, beside the same calls in a plain loop and with a deadline each.

    python benchmarks/chain.py

Microseconds of computing a call, the least of several runs, each of many calls: what others do on the machine adds to a run,
and nothing makes one shorter. The plain loop awaits the same coroutines with nothing around them; the loop with deadlines puts
`asyncio.timeout` around each.

The last lines add a row of a SQLite ledger (WAL, synchronous=FULL) to each decision: so many callers each measure, decide, and
append, and go on when the row is on disk. Computing is that of all threads, an entry, the least of several runs; `row` is what
appending decisions takes that were made before.
"""

from __future__ import annotations

import asyncio
import platform
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from hashlib import sha256
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from guard.chain import Chain, context_of
from guard.decide import decide
from guard.ids import uuid7
from guard.rules import CheckSpec, Found, Policy, Rule
from guard.types import CALLER, Action, Content, Decision, Examples, Modality, Request, Scan, Span, Stage, Verdict

RUNS, CALLS = 15, 300
TURNS, ENTRIES = 5, 8192


class Nothing:
    """Reads the text and finds nothing."""

    version, digest = "1", ""
    modalities = frozenset({Modality.TEXT})
    labels: Mapping[str, str] = {"found": "harassment"}
    examples = Examples((), ())

    def __init__(self, *, blocking: bool) -> None:
        self.blocking = blocking

    def load(self) -> None:
        """Nothing to load."""

    def __call__(self, batch: Sequence[Content]) -> Sequence[Scan] | Awaitable[Sequence[Scan]]:
        scans = [Scan((), Span(0, content.length)) for content in batch]
        return scans if self.blocking else _later(scans)


async def _later(scans: list[Scan]) -> Sequence[Scan]:
    return scans


def policy(checks: int) -> Policy:
    names = [f"check{number}" for number in range(checks)]
    return Policy(
        id="bench",
        version=1,
        status="live",
        revision=sha256(b"{}").hexdigest(),
        document="{}",
        checks=tuple(CheckSpec(name, "nothing") for name in names),
        rules=(Rule("found", Found(names[0]), Action.BLOCK, "harassment"),),
    )


async def least_us(call: Callable[[], Awaitable[object]]) -> float:
    """Microseconds of computing a call: the least of the runs."""
    await call()
    figures = []
    for _ in range(RUNS):
        started = time.process_time()
        for _ in range(CALLS):
            await call()
        figures.append((time.process_time() - started) / CALLS * 1e6)
    return min(figures)


async def figures(count: int) -> list[float]:
    """Of so many checks: a plain loop, a deadline each, the chain, chain and decision, and both with a thread a check."""
    text = Content(Modality.TEXT, "word " * 100, "text/plain", Stage.OUTPUT, CALLER, Request("1"))
    specs = policy(count)
    plain = [Nothing(blocking=False) for _ in range(count)]
    context = context_of(text)

    async def loop() -> None:
        for check in plain:
            await check([text])  # type: ignore[misc]  # none of them blocks

    async def timed() -> None:
        for check in plain:
            async with asyncio.timeout(2):
                await check([text])  # type: ignore[misc]

    found = [await least_us(loop), await least_us(timed)]
    for blocking in (False, True):
        chain = Chain(specs, {spec.name: Nothing(blocking=blocking) for spec in specs.checks})

        async def judged(chain: Chain = chain) -> Verdict:
            (results,) = await chain.run([text])
            return decide(specs, results, context)

        if not blocking:
            found.append(await least_us(partial(chain.run, [text])))
        found.append(await least_us(judged))
    return found


async def durable(count: int, callers: int) -> tuple[float, float]:
    """Microseconds of computing an entry: of so many checks, decision and ledger row together, and of the row alone."""
    from audit.ledger import open_ledger

    rules, texts = policy(count), "word " * 100
    chain = Chain(rules, {spec.name: Nothing(blocking=False) for spec in rules.checks})

    async def judged(number: int) -> Decision:
        content = Content(Modality.TEXT, texts, "text/plain", Stage.OUTPUT, CALLER, Request(f"{number:032x}"))
        now = datetime.now(UTC)
        (results,) = await chain.run([content], now)
        context = context_of(content, now)
        verdict = decide(rules, results, context)
        return Decision(uuid7(), now, content, context, content.request, results, verdict, content)

    whole, row = [], []
    with tempfile.TemporaryDirectory() as folder, open_ledger(f"sqlite:///{folder}/ledger.db") as ledger:
        ledger.activate_sync(rules.id, rules.version, rules.revision, rules.document)

        async def work(numbers: Iterator[int]) -> None:
            for number in numbers:
                await ledger.append(await judged(number))

        async def append(decisions: Iterator[Decision]) -> None:
            for decision in decisions:
                await ledger.append(decision)

        for _ in range(TURNS):
            numbers = iter(range(ENTRIES))
            started = time.process_time()
            await asyncio.gather(*[work(numbers) for _ in range(callers)])
            whole.append((time.process_time() - started) / ENTRIES * 1e6)
            decisions = iter([await judged(number) for number in range(ENTRIES)])
            started = time.process_time()
            await asyncio.gather(*[append(decisions) for _ in range(callers)])
            row.append((time.process_time() - started) / ENTRIES * 1e6)
    return min(whole), min(row)


async def main() -> None:
    print(
        f"{platform.machine()}, Python {platform.python_version()}, {RUNS} runs of {CALLS} calls, 100 words; us of CPU a call"
    )
    names = ("plain loop", "deadline each", "chain", "chain, decision", "same, threads")
    print(f"{'checks':>8}" + "".join(f"{name:>17}" for name in names))
    for count in (1, 10, 50):
        print(f"{count:>8}" + "".join(f"{one:>17.1f}" for one in await figures(count)))
    for callers in (64, 1024):
        whole, row = await durable(10, callers)
        print(f"10 checks, decision and ledger row, {callers:>4} callers: {whole:.1f}; row {row:.1f}")


if __name__ == "__main__":
    asyncio.run(main())
