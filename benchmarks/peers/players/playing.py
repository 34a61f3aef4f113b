"""The part that all players share: reads orders from standard input, one JSON a line, and answers each in a line.

It runs in the environments of others, so it needs nothing but the standard library. `{"case": "10", "calls": 300}` asks for so
many calls in that case, and the answer holds microseconds for each thing a call does; `{"case": "10", "tell": true}` asks what
it finds, to be compared with what others find; `{"versions": ["torch"]}` asks what is installed.
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
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

TEXT = "word " * 100
Call = Callable[[], Awaitable[object]]


def no_figures() -> dict[str, float]:
    """For calls that measure nothing themselves."""
    return {}


@dataclass
class Work:
    """What is measured."""

    call: Call
    units: int = 1
    """How many things one call does."""
    tell: Callable[[], object] | None = None
    """What it finds, as JSON."""
    figures: Callable[[], dict[str, float]] = no_figures
    """What else is known after a call; also in place of the times that were taken around it."""
    ready: Callable[[int], None] | None = None
    """Makes what so many calls need, before the clock starts."""
    fixed: dict[str, float] = field(default_factory=dict)
    """Figures that are the same in each run."""


Prepare = Callable[[str, Path], "Work | Call | None"]
"""What one call is, for a case and a folder of material; None where a player has no such thing."""


def at_once(call: Callable[[], object]) -> Call:
    """A plain function as a call."""

    async def done() -> object:
        return call()

    return done


def play(prepare: Prepare) -> None:
    """Answer orders until the input ends. The first argument of the script is the folder of material."""
    out = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what libraries print goes where errors go
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path()
    started = {"import_s": time.process_time(), "resident_mib": _resident()}
    out.write(json.dumps(started) + "\n")
    works: dict[str, Work | None] = {}
    with asyncio.Runner() as runner:
        for line in sys.stdin:
            order = json.loads(line)
            answer: dict[str, object]
            try:
                answer = _versions(order["versions"]) if "versions" in order else _done(order, works, prepare, folder, runner)
            except Exception as error:  # noqa: BLE001 - what it cannot do is told
                answer = {"error": f"{type(error).__name__}: {error}"[:200]}
            out.write(json.dumps(answer) + "\n")


def _done(
    order: dict[str, object], works: dict[str, Work | None], prepare: Prepare, folder: Path, runner: asyncio.Runner
) -> dict[str, object]:
    case = str(order["case"])
    if case not in works:
        made = prepare(case, folder)
        works[case] = made if made is None or isinstance(made, Work) else Work(made)
    work = works[case]
    if work is None:
        return {"absent": True}
    if order.get("tell"):
        return {"found": work.tell()} if work.tell else {}
    return dict(runner.run(_measured(work, int(str(order["calls"])))))


async def _measured(work: Work, times: int) -> dict[str, float]:
    warm = times > 1
    if work.ready:
        work.ready(times + warm)
    if warm:
        await work.call()
    gc.collect()
    wall, computed = time.perf_counter(), time.process_time()
    for _ in range(times):
        await work.call()
    computed, wall = time.process_time() - computed, time.perf_counter() - wall
    each = 1e6 / times / work.units
    taken = {"cpu_us": computed * each, "wall_us": wall * each, "resident_mib": _resident(), "spent_s": time.process_time()}
    return {**taken, **work.fixed, **work.figures(), "call_us": wall / times * 1e6}


def _versions(names: list[str]) -> dict[str, object]:
    found: dict[str, object] = {}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _resident() -> float:
    """The most memory that the process has held, in MiB."""
    status = Path("/proc/self/status")
    if status.is_file():  # the other figure begins with what the process held that started this one
        return int(status.read_text().partition("VmHWM:")[2].split()[0]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
