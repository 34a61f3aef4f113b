"""What it costs to be watched: one content through a guard of ten checks that do nothing, and through the whole application.

    python benchmarks/watching.py

Microseconds of this process's processor time, all threads together: medians of several runs that take turns. The guard's ledger
does nothing; the application is called here, over ASGI without a network, with a ledger in SQLite.
"""

from __future__ import annotations

import asyncio
import platform
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, nullcontext
from pathlib import Path
from typing import Any

from chain import Nothing, policy
from httpx import ASGITransport, AsyncClient
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from guard.chain import Chain
from guard.pipeline import Guard
from guard.types import Decision, Receipt
from guard.watching import watching
from service import create_app
from serving.settings import Settings
from serving.watching import lookout
from serving.watching.metrics import Metrics
from serving.watching.requests import Known, Watcher
from serving.watching.tracing import Tracing

RUNS, CALLS, REQUESTS = 7, 60, 20
TEXT = "word " * 100


class Ledger:
    """Takes everything and keeps nothing."""

    identity = "none"

    async def append(self, decision: Decision, /) -> Receipt:
        return Receipt(decision.id, 0, b"", 1)

    async def activate(self, *_: Any) -> None:
        return


class Nowhere(SpanExporter):
    """Takes spans and forgets them."""

    def export(self, _spans: Sequence[ReadableSpan]) -> SpanExportResult:
        return SpanExportResult.SUCCESS


async def timed(call: Callable[[], Awaitable[object]], calls: int) -> float:
    started = time.process_time()
    for _ in range(calls):
        await call()
    return (time.process_time() - started) / calls * 1e6


async def in_turns(calls: dict[str, Callable[[], Awaitable[object]]], count: int) -> dict[str, float]:
    """The median of each, measured one after the other in each run, so that all meet the same machine."""
    for call in calls.values():
        await timed(call, count // 4)
    runs: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(RUNS):
        for name, call in calls.items():
            runs[name].append(await timed(call, count))
    return {name: statistics.median(found) for name, found in runs.items()}


async def guard_alone() -> dict[str, float]:
    house = policy(10)
    chain = Chain(house, {spec.name: Nothing(blocking=False) for spec in house.checks})
    guard = Guard(house, Ledger(), chains={house.id: chain})  # type: ignore[arg-type]
    tracing, sampled_out = Tracing(Nowhere()), Tracing(Nowhere(), ratio=0.0)
    metrics = Metrics()
    watchers = {
        "nobody watches": None,
        "metrics": Watcher(metrics, None, Known("")),
        "metrics and traces": Watcher(metrics, tracing, Known("")),
        "metrics, traces sampled out": Watcher(metrics, sampled_out, Known("")),
    }

    def call(watch: Watcher | None) -> Callable[[], Awaitable[object]]:
        async def once() -> None:
            with watching(watch) if watch is not None else nullcontext():
                await guard.check(TEXT)

        return once

    found = await in_turns({name: call(watch) for name, watch in watchers.items()}, CALLS)
    tracing.close()
    return found


async def application() -> dict[str, float]:
    document = "policy: desk\nversion: 1\nstatus: live\nchecks:\n  secrets: {use: secrets, deadline_ms: 60000}\nrules:\n"
    document += "  - {id: key, when: {secrets: AWS_ACCESS_KEY}, action: block, category: privacy, basis: House rules 1}\n"
    lookout.exporter = lambda *_: Nowhere()
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        (folder / "desk.yaml").write_text(document, "utf-8")
        calls = {}
        for name, endpoint in (("metrics", ""), ("metrics and traces", "http://127.0.0.1:9/")):
            given = {"policies": (str(folder / "desk.yaml"),), "generators": ("echo",), "otlp_endpoint": endpoint}
            app = create_app(Settings(ledger=f"sqlite:///{folder / (name + '.db')}", **given))
            await stack.enter_async_context(app.router.lifespan_context(app))
            client = await stack.enter_async_context(AsyncClient(transport=ASGITransport(app), base_url="http://bench"))
            calls[f"POST /v1/check, {name}"] = lambda client=client: client.post("/v1/check", json={"text": TEXT})
            calls[f"GET /metrics, {name}"] = lambda client=client: client.get("/metrics")
        return await in_turns(calls, REQUESTS)


async def main() -> None:
    print(f"{platform.machine()}, Python {platform.python_version()}, {RUNS} runs in turns; median us of processor time a call")
    for name, figure in {**await guard_alone(), **await application()}.items():
        print(f"{name:<42} {figure:>9.1f}")


if __name__ == "__main__":
    asyncio.run(main())
