"""What the chain and the decision cost: checks that do nothing, beside the same calls in a plain loop and with a deadline each.

    python benchmarks/chain.py

Microseconds of computing a call, the least of several runs, each of many calls: what others do on the machine adds to a run,
and nothing makes one shorter. The plain loop awaits the same coroutines with nothing around them; the loop with deadlines puts
`asyncio.timeout` around each.
"""

from __future__ import annotations

import asyncio
import platform
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial

from guard.chain import Chain, context_of
from guard.decide import decide
from guard.rules import CheckSpec, Found, Policy, Rule
from guard.types import CALLER, Action, Content, Examples, Modality, Request, Scan, Span, Stage, Verdict

RUNS, CALLS = 15, 300


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
        revision="",
        document="",
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


async def main() -> None:
    print(
        f"{platform.machine()}, Python {platform.python_version()}, {RUNS} runs of {CALLS} calls, 100 words; us of CPU a call"
    )
    names = ("plain loop", "deadline each", "chain", "chain, decision", "same, threads")
    print(f"{'checks':>8}" + "".join(f"{name:>17}" for name in names))
    for count in (1, 10, 50):
        print(f"{count:>8}" + "".join(f"{one:>17.1f}" for one in await figures(count)))


if __name__ == "__main__":
    asyncio.run(main())
