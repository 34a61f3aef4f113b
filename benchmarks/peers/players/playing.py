"""The part that all players share: reads orders from standard input, one JSON a line, and answers each in a line.

It runs in the environments of others, so it needs nothing but the standard library. `{"checks": 10, "calls": 300}` asks for so
many calls with so many checks that do nothing over the same 100 words; the answer holds microseconds a call.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import resource
import sys
import time
from collections.abc import Awaitable, Callable

TEXT = "word " * 100
Call = Callable[[], Awaitable[object]]


def play(prepare: Callable[[int], Call]) -> None:
    """Answer orders until the input ends. `prepare`: what one call is, for a number of checks."""
    out = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what libraries print goes where errors go
    started = {"import_s": time.clock_gettime(time.CLOCK_PROCESS_CPUTIME_ID), "resident_mib": _resident()}
    out.write(json.dumps(started) + "\n")
    with asyncio.Runner() as runner:
        calls: dict[int, Call] = {}
        for line in sys.stdin:
            order = json.loads(line)
            count = order["checks"]
            answer: dict[str, object]
            try:
                if count not in calls:
                    calls[count] = prepare(count)
                answer = dict(runner.run(_measured(calls[count], order["calls"])))
            except Exception as error:  # noqa: BLE001 - what it cannot do is told
                answer = {"error": f"{type(error).__name__}: {error}"[:200]}
            out.write(json.dumps(answer) + "\n")


async def _measured(call: Call, times: int) -> dict[str, float]:
    await call()
    gc.collect()
    wall, computed = time.perf_counter(), time.process_time()
    for _ in range(times):
        await call()
    computed, wall = time.process_time() - computed, time.perf_counter() - wall
    return {"cpu_us": computed / times * 1e6, "wall_us": wall / times * 1e6, "resident_mib": _resident()}


def _resident() -> float:
    """The most memory that the process has held, in MiB (Linux counts in KiB)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
