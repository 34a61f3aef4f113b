"""Asks a check on a cluster in ways that only a real one shows, and prints what came of it: run by test_on_ray_slow.py."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

from guard.chain import Chain
from guard.errors import BusyError
from guard.rules import Policy
from guard.types import CALLER, CheckResult, Content, Modality, Request, Stage
from policies import loads
from serving.cluster.engine import RayEngine
from serving.cluster.section import Cluster, Placement

POLICY = """policy: waiting
version: 1
status: live
checks:
  words: {{use: plug, folder: "{folder}", deadline_ms: {deadline}}}
rules:
  - {{id: word, when: {{words: any}}, action: block, category: privacy}}
"""


def content(text: str) -> Content:
    return Content(Modality.TEXT, text, "text/plain", Stage.OUTPUT, CALLER, Request(text))


async def main(folder: Path) -> dict[str, object]:
    engine = RayEngine.start(Cluster(checks={"plug": Placement(cpus=0.1, ongoing=1, queued=1)}))
    told: dict[str, object] = {}
    try:
        patient = Chain(_policy(folder, 60_000), make=engine.instrument)
        told["loaded"] = await patient.load()
        hasty = Chain(_policy(folder, 500), make=engine.instrument)
        told["late"] = _told((await hasty.run([content("please wait, hasty")]))[0])
        told["same"] = type(hasty.instruments["words"]).__name__
        told["full"] = await _fill(patient)
        (folder / "go").touch()
        told["after"] = _told((await patient.run([content("a secret")]))[0])
    finally:
        engine.close()
    return told


async def _fill(chain: Chain) -> list[str]:
    """Ask until there is no room; then go, which cancels all that was asked."""
    tasks = [asyncio.create_task(chain.run([content(f"please wait, {at}")])) for at in range(6)]
    done, waiting = await asyncio.wait(tasks, timeout=60, return_when=asyncio.FIRST_COMPLETED)
    for one in waiting:
        one.cancel()
    ends = await asyncio.gather(*tasks, return_exceptions=True)
    return sorted(
        {type(end).__name__ for one, end in zip(tasks, ends, strict=True) if one in done or isinstance(end, BusyError)}
    )


def _policy(folder: Path, deadline: int) -> Policy:
    return loads(POLICY.format(folder=folder, deadline=deadline))


def _told(results: tuple[CheckResult, ...]) -> list[str]:
    return [f"{one.status.value} {len(one.findings)}" for one in results]


if __name__ == "__main__":
    print(json.dumps(asyncio.run(main(Path(sys.argv[1])))))
