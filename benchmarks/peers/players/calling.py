"""What the players with many callers share. Case: how many there are; `first` is one caller with one text."""

from __future__ import annotations

import asyncio
import json
import statistics
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from playing import Work

LABELS = ("toxicity", "severe_toxicity", "obscene", "threat", "insult", "identity_attack", "sexism")


@dataclass
class Callers:
    """So many who ask about one text after the other."""

    case: str
    folder: Path
    latencies: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        texts = json.loads((self.folder / "texts.json").read_text("utf-8"))
        self.count = 1 if self.case == "first" else int(self.case)
        self.texts = texts[:1] if self.case == "first" else texts

    def awaiting(self, ask: Callable[[str], Awaitable[object]], score: Callable[[str], list[float]]) -> Work:
        """Callers are tasks of one loop."""

        async def call() -> None:
            left = iter(self.texts)

            async def caller() -> None:
                for text in left:
                    began = time.perf_counter()
                    await ask(text)
                    self.latencies.append(time.perf_counter() - began)

            await asyncio.gather(*(caller() for _ in range(self.count)))

        return self._work(call, score)

    def on_threads(self, ask: Callable[[str], object], score: Callable[[str], list[float]]) -> Work:
        """Callers are threads, which stay."""
        threads = ThreadPoolExecutor(self.count)

        def caller(left: list[str]) -> None:
            while True:
                try:
                    text = left.pop()
                except IndexError:
                    return
                began = time.perf_counter()
                ask(text)
                self.latencies.append(time.perf_counter() - began)

        async def call() -> None:
            left, loop = self.texts[::-1], asyncio.get_running_loop()
            await asyncio.gather(*(loop.run_in_executor(threads, caller, left) for _ in range(self.count)))

        return self._work(call, score)

    def _work(self, call: Callable[[], Awaitable[object]], score: Callable[[str], list[float]]) -> Work:
        def figures() -> dict[str, float]:
            took = sorted(self.latencies)
            return {"p50_ms": statistics.median(took) * 1e3, "p99_ms": took[int(0.99 * (len(took) - 1))] * 1e3}

        return Work(
            call, len(self.texts), lambda: [score(text) for text in self.texts], figures, lambda _: self.latencies.clear()
        )
