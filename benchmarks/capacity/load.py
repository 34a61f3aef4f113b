"""Requests over HTTP from one process that computes as little as it can, so that it leaves the cores to the service.

    python -m benchmarks.capacity.load PORT --seconds 8 --callers 64          each caller asks again when it has its answer
    python -m benchmarks.capacity.load PORT --seconds 8 --callers 1 --pause 0.02    the same, after a while
    python -m benchmarks.capacity.load PORT --seconds 8 --rate 50             they come when they like: a Poisson process

What is answered in the first `LEAD_S` is not counted. Times of `--rate` count from when a request was due, so that a slow
service is not spared. Prints JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import re
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from benchmarks.capacity.workload import SEED, bodies, texts

_LENGTH = re.compile(rb"content-length: (\d+)", re.IGNORECASE)
LEAD_S = 0.8
_PATIENCE_S = 30.0


class _Line(asyncio.Protocol):
    """One connection that is kept, with at most one request on its way."""

    def __init__(self, answered: Callable[[_Line, int], None]) -> None:
        self._answered, self._read = answered, bytearray()
        self.due = 0.0
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def ask(self, request: bytes, due: float) -> None:
        """Send one. `due`: when it should have been sent."""
        self.due = due
        self._read.clear()
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._read += data
        head = self._read.find(b"\r\n\r\n")
        length = _LENGTH.search(self._read, 0, head) if head >= 0 else None
        if length and len(self._read) >= head + 4 + int(length[1]):
            self._answered(self, int(self._read[9:12]))

    def connection_lost(self, _error: Exception | None) -> None:
        self._answered(self, 0)


class Load:
    """What was asked and answered."""

    def __init__(self, port: int, requests: Iterator[bytes]) -> None:
        self._port, self._requests = port, requests
        self._lines: list[_Line] = []
        self._idle: deque[_Line] = deque()
        self._out = 0
        self._since = self._until = 0.0
        self._closed, self._pause, self._draw = False, 0.0, random.Random(SEED)
        self._done = asyncio.Event()
        self.taken: list[float] = []
        self.statuses: Counter[int] = Counter()

    async def run(self, seconds: float, rate: float, callers: int, pause: float = 0.0, seed: int = SEED) -> None:
        """Ask for so long, and wait for what is on its way.

        `pause`: seconds from an answer to its caller's next request, on average; they are drawn as the arrivals of `rate` are.
        """
        self._closed, self._pause, self._draw, began = not rate, pause, random.Random(seed), time.perf_counter()
        self._since = began + LEAD_S
        self._until = self._since + seconds
        for _ in range(callers):
            self._ask(await self._connected(), time.perf_counter())
        if rate:
            await self._arrive(began, rate)
        await asyncio.sleep(max(0.0, self._until - time.perf_counter()))
        if self._out:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._done.wait(), _PATIENCE_S)
        for line in self._lines:
            line.transport.close()
        await asyncio.sleep(0)  # so that they are gone

    async def _arrive(self, began: float, rate: float) -> None:
        due = began
        while (due := due + self._draw.expovariate(rate)) < self._until:
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            self._ask(self._idle.popleft() if self._idle else await self._connected(), due)

    async def _connected(self) -> _Line:
        loop = asyncio.get_running_loop()
        _, line = await loop.create_connection(lambda: _Line(self._answered), "127.0.0.1", self._port)
        self._lines.append(line)
        return line

    def _ask(self, line: _Line, due: float) -> None:
        self._out += 1
        line.ask(next(self._requests), due)

    def _ask_again(self, line: _Line) -> None:
        self._ask(line, time.perf_counter())

    def _answered(self, line: _Line, status: int) -> None:
        now = time.perf_counter()
        if not status and line in self._idle:  # it was closed while nothing was asked
            self._idle.remove(line)
            return
        self._out -= 1
        self.statuses[status] += 1
        if status == 200 and self._since <= now <= self._until:
            self.taken.append(now - line.due)
        pause = self._draw.expovariate(1 / self._pause) if self._pause else 0.0
        if self._closed and status and now + pause < self._until:
            if pause:
                asyncio.get_running_loop().call_later(pause, self._ask_again, line)
            else:
                self._ask(line, now)
        elif status:
            self._idle.append(line)
        if not self._out and now >= self._until:
            self._done.set()


def requests(port: int, model: str, limit: int, seed: int, file: Path | None = None) -> Iterator[bytes]:
    """Whole requests, as they go over the wire."""
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n"
    for body in bodies(texts(seed, file), model, limit):
        yield f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def part(ordered: list[float], share: float) -> float:
    """The value below which this share of all lies."""
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


async def _main(asked: argparse.Namespace) -> None:
    load = Load(asked.port, requests(asked.port, asked.model, asked.tokens, asked.seed, asked.texts))
    used = time.process_time()
    await load.run(asked.seconds, asked.rate, asked.callers, asked.pause, asked.seed)
    used = time.process_time() - used
    ordered = sorted(load.taken)
    found = {
        "per_s": len(ordered) / asked.seconds,
        "answers": sum(load.statuses.values()),
        "p50_ms": 1e3 * part(ordered, 0.5),
        "p99_ms": 1e3 * part(ordered, 0.99),
        "mean_ms": 1e3 * sum(ordered) / max(1, len(ordered)),
        "statuses": {str(status): count for status, count in sorted(load.statuses.items())},
        "core_share": used / (asked.seconds + LEAD_S),
    }
    print(json.dumps(found))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("port", type=int)
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--callers", type=int, default=0)
    parser.add_argument("--pause", type=float, default=0.0, help="seconds before a caller asks again, on average")
    parser.add_argument("--rate", type=float, default=0.0, help="requests a second")
    parser.add_argument("--model", default="echo")
    parser.add_argument("--tokens", type=int, default=0)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--texts", type=Path, help="messages, one a line")
    asyncio.run(_main(parser.parse_args()))
