"""What the chain itself costs: checks that do nothing, through guard.chain, beside a plain loop over the same calls.

    python benchmarks/chain.py

Medians of several runs; each run times many calls. The plain loop awaits the same coroutines with nothing around them.
"""

from __future__ import annotations

import asyncio
import platform
import statistics
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence

from guard.chain import Chain
from guard.rules import CheckSpec, Found, Policy, Rule
from guard.types import CALLER, Action, Content, Examples, Modality, Request, Scan, Span, Stage

RUNS, CALLS = 7, 300


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


async def median_us(call: Callable[[], Awaitable[object]]) -> float:
    """Microseconds a call: the median over the runs."""
    await call()
    figures = []
    for _ in range(RUNS):
        started = time.perf_counter()
        for _ in range(CALLS):
            await call()
        figures.append((time.perf_counter() - started) / CALLS * 1e6)
    return statistics.median(figures)


async def main() -> None:
    text = Content(Modality.TEXT, "word " * 100, "text/plain", Stage.OUTPUT, CALLER, Request("1"))
    print(
        f"{platform.machine()}, Python {platform.python_version()}, {RUNS} runs of {CALLS} calls, 100 words; median us a call"
    )
    print(f"{'checks':>8} {'plain loop':>12} {'chain, async':>14} {'chain, threads':>16}")
    for count in (1, 10):
        specs = policy(count)
        plain = [Nothing(blocking=False) for _ in range(count)]

        async def loop(checks: list[Nothing] = plain) -> None:
            for check in checks:
                answer = check([text])
                if not isinstance(answer, Sequence):
                    await answer

        figures = [await median_us(loop)]
        for blocking in (False, True):
            chain = Chain(specs, {spec.name: Nothing(blocking=blocking) for spec in specs.checks})
            figures.append(await median_us(lambda chain=chain: chain.run([text])))
        print(f"{count:>8} {figures[0]:>12.1f} {figures[1]:>14.1f} {figures[2]:>16.1f}")


if __name__ == "__main__":
    asyncio.run(main())
