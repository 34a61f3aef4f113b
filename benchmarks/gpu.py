"""What generators and checks do on the device that is there: texts/s, images/s, the chain's share, and curves over batches.

    python benchmarks/gpu.py                                   # CUDA when it is there, else the CPU
    python benchmarks/gpu.py --language /models/llama --diffusion /models/sd-turbo --sizes 1 8 32 128

- `texts`: so many callers who ask at once for one output each, through `generators.batched`;
- `images`: one call for so many images; their batches are as large as the generator makes them on this device;
- `toxicity`: so many texts through the toxicity check at once;
- `guarded`: so many texts released by a guard with toxicity, secrets, invisible characters and a ledger on disk, and the part
  of that time that the same texts did not take without it. Texts that are made while others are judged count once.

Each figure is the median of `--runs` runs after one that warms up. On CUDA the most memory that was taken is told, too.
"""

from __future__ import annotations

import argparse
import asyncio
import platform
import statistics
import time
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from audit.ledger import open_ledger
from generators.base import choose_device
from generators.batched import batched
from guard.pipeline import Guard
from guard.registry import generators
from guard.types import CALLER, Content, Modality, Request, Stage
from policies import loads

POLICY = """\
policy: bench
version: 1
status: live
checks:
  toxicity: {use: toxicity, deadline_ms: 60000}
  secrets: {use: secrets, deadline_ms: 60000}
  invisible: {use: invisible_characters, deadline_ms: 60000}
rules:
  - {id: threat, when: {toxicity.threat: 0.9}, action: block, category: violence}
"""
PROMPTS = ("I would like to book a table for two.", "What is the weather like in London?", "Two tickets, please.", "Hello!")


def prompts(count: int, stage: Stage = Stage.PROMPT) -> list[Content]:
    return [Content(Modality.TEXT, PROMPTS[at % 4], "text/plain", stage, CALLER, Request(f"r{at}")) for at in range(count)]


async def made(generator: Any, asked: list[Content], parameters: dict[str, Any]) -> int:
    async with aclosing(generator(asked, parameters)) as outputs:
        return len([one async for one in outputs])


async def callers(generator: Any, count: int, parameters: dict[str, Any]) -> None:
    each = [made(generator, [one], {**parameters, "seed": at}) for at, one in enumerate(prompts(count))]
    assert await asyncio.gather(*each) == [1] * count


async def released(guard: Guard, generator: Any, count: int, parameters: dict[str, Any]) -> None:
    each = (guard.release(generator, one.text, seed=at, **parameters) for at, one in enumerate(prompts(count)))
    assert len(await asyncio.gather(*each)) == count


def seconds(run: Callable[[], Awaitable[Any]], runs: int) -> float:
    """Median of several runs after one that warms up."""
    found = []
    for _ in range(runs + 1):
        began = time.perf_counter()
        asyncio.run(run())  # type: ignore[arg-type]
        found.append(time.perf_counter() - began)
    return statistics.median(found[1:])


def curve(name: str, unit: str, sizes: list[int], measure: Callable[[int], float]) -> dict[int, float]:
    """Print and return the seconds of each size."""
    found = {}
    for size in sizes:
        found[size] = measure(size)
        print(f"{name:>10} {size:>5} side by side: {size / found[size]:>9.1f} {unit}/s, {found[size] * 1e3:>9.1f} ms")
    return found


def guarded(guard: Guard, generator: Any, given: argparse.Namespace, bare: dict[int, float]) -> None:
    parameters = {"max_new_tokens": given.tokens}
    asyncio.run(guard.load(generator))
    for size in given.sizes:
        whole = seconds(lambda size=size: released(guard, generator, size, parameters), given.runs)  # type: ignore[misc]
        share = max(0.0, 1 - bare[size] / whole)
        print(
            f"{'guarded':>10} {size:>5} side by side: {size / whole:>9.1f} texts/s, {share:>8.0%} of it is not the generator's"
        )
    check: Any = next(iter(guard._bench.seats.values())).chain.checks["toxicity"]  # noqa: SLF001 - as the chain made it

    async def scanned(size: int) -> None:
        check(prompts(size, Stage.OUTPUT))

    curve("toxicity", "texts", given.sizes, lambda size: seconds(lambda: scanned(size), given.runs))


def main(arguments: list[str] | None = None) -> None:
    import torch

    parser = argparse.ArgumentParser(description="Generators and checks on the device that is there.")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--language", default="bundled/language-service")
    parser.add_argument("--diffusion", default="bundled/diffusion-marks")
    parser.add_argument("--sizes", type=int, nargs="+", default=[1, 2, 4, 8, 16, 32])
    parser.add_argument("--tokens", type=int, default=32)
    parser.add_argument("--steps", type=int, default=25)
    parser.add_argument("--runs", type=int, default=3)
    given = parser.parse_args(arguments)
    device = choose_device(given.device)
    told = torch.cuda.get_device_name(device) if device.type == "cuda" else f"CPU, {torch.get_num_threads()} threads"
    print(f"{platform.machine()}, {told}, PyTorch {torch.__version__}; medians of {given.runs} runs")
    text = generators.make("language", {"model": given.language, "device": str(device), "batch": max(given.sizes)})
    text.load()
    joined, parameters = batched(text), {"max_new_tokens": given.tokens}
    bare = curve("texts", "texts", given.sizes, lambda size: seconds(lambda: callers(joined, size, parameters), given.runs))
    pictures = generators.make("diffusion", {"model": given.diffusion, "device": str(device)})
    pictures.load()
    steps = {"steps": given.steps, "seed": 1}
    curve("images", "images", given.sizes, lambda size: seconds(lambda: made(pictures, prompts(size), steps), given.runs))
    with TemporaryDirectory() as folder, open_ledger(f"sqlite:///{Path(folder) / 'ledger.db'}") as ledger:
        guarded(Guard(loads(POLICY), ledger), joined, given, bare)
    if device.type == "cuda":
        print(f"at most {torch.cuda.max_memory_allocated(device) / 2**30:.2f} GiB of its memory were taken")


if __name__ == "__main__":
    main()
