"""Many callers of one language model, each with a seed and settings of its own: joined, against one after the other.

    OMP_NUM_THREADS=1 python benchmarks/joint.py

Each caller asks once, for one output of a length of its own. `joined`: all at once, through `generators.batched`, where outputs
share forward passes and leave when they are done. `staggered`: the same, but each comes a little after the one before, so that
it finds a batch that runs. `in turns`: one call after the other, of the generator itself. The texts are compared: every caller
gets the same in all three ways. A tiny model spends most of a step outside its matrices and gains most; give `--model` and
`--device` for one's own.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import statistics
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from generators.batched import batched
from guard.protocols import Generator
from guard.registry import generators
from guard.types import CALLER, Content, Modality, Request, Stage

PROMPTS = (
    "I would like to book a table for two.",
    "What is the weather like in London?",
    "Two tickets, please, for the last train to Berlin on Friday evening, and a seat at the window if there is one left.",
    "Hello!",
)


@dataclass(frozen=True)
class Ask:
    """What one caller wants."""

    prompt: Content
    parameters: Mapping[str, Any]


@dataclass
class Measured:
    """One way, over its runs."""

    seconds: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    latencies: list[float] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)


def mixed(count: int, tokens: int) -> list[Ask]:
    """Callers who agree on nothing."""
    asked = []
    for at in range(count):
        prompt = Content(Modality.TEXT, PROMPTS[at % 4], "text/plain", Stage.PROMPT, CALLER, Request(f"r{at}"))
        parameters = {
            "seed": at,
            "max_new_tokens": tokens // 2 + tokens * (at % 3) // 2,
            "temperature": (0.7, 0.8, 1.0, 0.0)[at % 4],
            "top_p": (0.95, 0.9, 1.0)[at % 3],
        }
        asked.append(Ask(prompt, parameters))
    return asked


async def one(generator: Generator, ask: Ask, delay: float, into: list[float]) -> str:
    await asyncio.sleep(delay)
    began = time.perf_counter()
    outputs: AsyncIterator[tuple[int, Content]] = generator([ask.prompt], ask.parameters)
    async with aclosing(outputs) as found:  # type: ignore[type-var]
        (text,) = [content.text async for _, content in found]
    into.append(time.perf_counter() - began)
    return text


async def at_once(generator: Generator, asked: list[Ask], apart: float, into: list[float]) -> list[str]:
    return await asyncio.gather(*(one(generator, ask, apart * at, into) for at, ask in enumerate(asked)))


async def in_turns(generator: Generator, asked: list[Ask], into: list[float]) -> list[str]:
    return [await one(generator, ask, 0, into) for ask in asked]


def main() -> None:
    import torch

    parser = argparse.ArgumentParser(description="Throughput of many callers of one language model.")
    parser.add_argument("--model", default="bundled/language-service")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--callers", type=int, nargs="+", default=[8, 32])
    parser.add_argument("--tokens", type=int, default=32, help="new tokens of a middling output")
    parser.add_argument("--apart", type=float, default=5.0, help="milliseconds from one staggered caller to the next")
    parser.add_argument("--runs", type=int, default=5)
    given = parser.parse_args()
    inner = generators.make("language", {"model": given.model, "device": given.device})
    inner.load()
    joined = batched(inner)
    print(
        f"{platform.machine()}, {len(os.sched_getaffinity(0))} cores, {torch.get_num_threads()} threads of PyTorch, "
        f"load {os.getloadavg()[0]:.1f}; "
        f"{given.model}, outputs of up to {given.tokens // 2} to {given.tokens * 3 // 2} tokens, "
        f"medians of {given.runs} runs"
    )
    print(f"{'callers':>8} {'':>10} {'s in all':>9} {'s cpu':>7} {'median ms':>10} {'longest ms':>11} {'gain':>6}")
    for count in given.callers:
        asked = mixed(count, given.tokens)
        ways = {name: Measured() for name in ("joined", "staggered", "in turns")}
        for turn in range(given.runs + 1):  # the first to warm up
            for name, found in ways.items():
                into: list[float] = []
                wall, cpu = time.perf_counter(), time.process_time()
                if name == "in turns":
                    texts = asyncio.run(in_turns(inner, asked, into))
                else:
                    texts = asyncio.run(at_once(joined, asked, given.apart / 1e3 if name == "staggered" else 0, into))
                if turn:
                    found.seconds.append(time.perf_counter() - wall)
                    found.cpu.append(time.process_time() - cpu)
                    found.latencies += into
                    found.texts = texts
        alone = statistics.median(ways["in turns"].seconds)
        for name, found in ways.items():
            seconds = statistics.median(found.seconds)
            print(
                f"{count:>8} {name:>10} {seconds:>9.3f} {statistics.median(found.cpu):>7.3f} "
                f"{statistics.median(found.latencies) * 1e3:>10.0f} {max(found.latencies) * 1e3:>11.0f} "
                f"{alone / seconds:>5.1f}x"
            )
        different = sum(len({found.texts[at] for found in ways.values()}) > 1 for at in range(count))
        print(f"{count:>8} callers: {different} got another text in company than alone")


if __name__ == "__main__":
    main()
