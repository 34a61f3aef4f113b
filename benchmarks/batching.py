"""64 callers and one toxicity model: through the chain, where they share calls, and calling the model themselves on threads.

    python benchmarks/batching.py

Texts of mixed lengths from the corpora that GENGUARD_DATA names. Each of 64 callers asks about one text at a time, and the next
one when it has its answer. The same texts go:

- `chain`: through `guard.chain`, as a request does; contents that wait for the check share its next call;
- `check, 64 threads`: the check itself, called with one text on a thread for each caller;
- `int8 encoder, 64 threads`: the encoder that the check computes, once for each window of a text, without the n-gram part;
- `Detoxify, 64 threads`: the same weights as their library calls them, `Detoxify.predict(text)`, in single precision. It cuts
  off what does not fit its one window, where the others read all of a text.

All in one run, in turns, medians of several; the scores of the first two are compared. Latencies are the callers' own.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from text_throughput import DATA, mixture

from guard.chain import Chain
from guard.checks.toxicity_reader import Reader
from guard.rules import CheckSpec, Policy
from guard.types import CALLER, Content, Modality, Request, Scan, Stage, Status

MODEL, CALLERS, RUNS, DEADLINE_MS, TENANTS = "bundled/toxicity-en", 64, 5, 500, 8


@dataclass
class Measured:
    """One way to ask, over all its runs."""

    texts: int
    rates: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    latencies: list[float] = field(default_factory=list)

    def row(self) -> tuple[float, float, float, float]:
        """Texts/s, ms cpu a text, and median and 99th percentile of the latencies in ms."""
        cuts = statistics.quantiles(self.latencies, n=100)
        return statistics.median(self.rates), statistics.median(self.cpu), cuts[49] * 1e3, cuts[98] * 1e3


def contents(texts: Sequence[str]) -> list[Content]:
    return [
        Content(Modality.TEXT, text, "text/plain", Stage.OUTPUT, CALLER, Request(f"r{at}", tenant=f"tenant {at % TENANTS}"))
        for at, text in enumerate(texts)
    ]


def through_chain(chain: Chain, asked: Sequence[Content], found: dict[int, Scan], into: list[float]) -> None:
    async def caller(left: Iterator[tuple[int, Content]]) -> None:
        for at, one in left:
            began = time.perf_counter()
            result = (await chain.run([one]))[0][0]
            into.append(time.perf_counter() - began)
            if result.status is not Status.OK:
                raise SystemExit(f"the check did not answer: {result.status.value}, {result.error}")
            found[at] = Scan(result.findings, result.scanned)

    async def all_callers() -> None:
        left = iter(enumerate(asked))
        await asyncio.gather(*(caller(left) for _ in range(CALLERS)))

    asyncio.run(all_callers())


def on_threads(call: Callable[[Content], Any], asked: Sequence[Content], found: dict[int, Any], into: list[float]) -> None:
    left = iter(enumerate(asked))

    def caller(_: int) -> None:
        for at, one in left:
            began = time.perf_counter()
            found[at] = call(one)
            into.append(time.perf_counter() - began)

    with ThreadPoolExecutor(CALLERS) as threads:
        list(threads.map(caller, range(CALLERS)))


def encoder_alone(reader: Reader) -> Callable[[Content], Any]:
    integers = reader._integers  # noqa: SLF001 - a baseline has no business in the library
    assert integers is not None
    return lambda content: [integers(window.tokens) for window in reader._cut([content.text])]  # noqa: SLF001


def furthest(found: dict[int, Scan], other: dict[int, Scan]) -> int:
    """The largest difference between two scores for one label of one text, per mille."""
    pairs = [
        ({one.label: one.score for one in found[at].findings}, {one.label: one.score for one in other[at].findings})
        for at in found
    ]
    return max((abs(one.get(label, 0) - two.get(label, 0)) for one, two in pairs for label in {*one, *two}), default=0)


def main() -> None:
    parser = argparse.ArgumentParser(description="Throughput of many callers of one check.")
    parser.add_argument("--count", type=int, default=1024)
    parser.add_argument("--slow-count", type=int, default=192, help="texts for Detoxify's own call")
    parser.add_argument("--runs", type=int, default=RUNS)
    given = parser.parse_args()
    if not DATA.is_dir():
        print(f"no corpora at {DATA}: nothing measured. Set GENGUARD_DATA.")
        return
    line = CheckSpec("toxicity", "toxicity", {"model": MODEL, "report_from": 0}, deadline_ms=DEADLINE_MS)
    chain = Chain(Policy("bench", 1, "draft", "", "", (line,), ()))
    if trouble := asyncio.run(chain.load()):
        raise SystemExit(f"could not be loaded: {trouble}")
    check: Any = chain.checks["toxicity"]
    reader: Reader = check._readers[0]  # noqa: SLF001
    detoxify = reader._detoxify  # noqa: SLF001
    asked = contents(mixture(given.count))
    shared, alone = dict[int, Scan](), dict[int, Scan]()
    ways: dict[str, tuple[int, Callable[[Sequence[Content], list[float]], None]]] = {
        "chain": (given.count, lambda some, into: through_chain(chain, some, shared, into)),
        "check, 64 threads": (given.count, lambda some, into: on_threads(lambda one: check([one])[0], some, alone, into)),
        "int8 encoder, 64 threads": (given.count, lambda some, into: on_threads(encoder_alone(reader), some, {}, into)),
        "Detoxify, 64 threads": (
            min(given.count, given.slow_count),
            lambda some, into: on_threads(lambda one: detoxify.predict(one.text), some, {}, into),
        ),
    }
    measured = {name: Measured(count) for name, (count, _) in ways.items()}
    for turn in range(given.runs + 1):  # the first to warm up
        for name, (count, ask) in ways.items():
            into: list[float] = []
            wall, cpu = time.perf_counter(), time.process_time()
            ask(asked[:count] if turn else asked[:CALLERS], into)
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
            if turn:
                measured[name].rates.append(count / wall)
                measured[name].cpu.append(cpu / count * 1e3)
                measured[name].latencies += into
    report(asked, measured, chain, furthest(shared, alone), given.runs)


def report(asked: Sequence[Content], measured: dict[str, Measured], chain: Chain, apart: int, runs: int) -> None:
    lengths = sorted(content.length for content in asked)
    print(
        f"{platform.machine()}, {len(os.sched_getaffinity(0))} cores, Python {platform.python_version()}; {CALLERS} callers, "
        f"{len(asked)} texts of {lengths[0]} to {lengths[-1]} characters (median {statistics.median(lengths):.0f}), "
        f"medians of {runs} runs"
    )
    print(f"{'':>26} {'texts/s':>8} {'ms cpu a text':>14} {'median ms':>10} {'p99 ms':>8} {'chain is':>9}")
    ours = measured["chain"].row()[0]
    for name, one in measured.items():
        rate, cpu, median, last = one.row()
        print(f"{name:>26} {rate:>8.0f} {cpu:>14.2f} {median:>10.0f} {last:>8.0f} {ours / rate:>8.1f}x")
    figures = chain.instruments["toxicity"].batcher.figures()
    print(
        f"calls shared by {figures.contents / figures.calls:.1f} texts on average, {figures.largest} at most; "
        f"deadline {DEADLINE_MS} ms, {figures.overdue} overdue; scores differ by {apart / 1000:.3f} at most"
    )


if __name__ == "__main__":
    main()
