"""Measures peers and genguard side by side: checks that do nothing, start-up, memory.

    python -m benchmarks.peers [--folder build/peers] [--runs 7] [--only NAME]... [--raw FILE] [--page docs/benchmarks.md]

Makes an environment for each peer from the package index (minutes, gigabytes, once), starts all of them, and then asks one
after the other, round by round, so that whatever else the machine does falls on all alike. Computing time is that of the
player's process.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.peers.environments import home_of, python_of
from benchmarks.peers.roster import ROSTER, Peer
from benchmarks.peers.station import Station
from benchmarks.peers.table import put, rendered

CHECKS = (1, 10, 50)
ENOUGH_US = 150_000
"""Of computing, in one run: so many calls are made at once."""


def machine() -> str:
    """The processor, its cores and the Python, in words."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text("utf-8").splitlines() if info.is_file() else []
    model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
    return f"{model}, {os.cpu_count()} cores, Python {platform.python_version()}"


def measure(peers: list[Peer], folder: Path, runs: int) -> dict[str, Any]:
    """Raw figures of all runs. Peers that cannot be installed or started are named, and left out."""
    home = home_of(folder)
    stations: list[Station] = []
    for peer in peers:
        try:
            stations.append(Station(peer, python_of(peer, folder), home))
        except (RuntimeError, subprocess.CalledProcessError) as error:
            print(f"{peer.name}: left out: {error}", file=sys.stderr)
    found: dict[str, Any] = {one.peer.name: {"start": one.start, "runs": {}} for one in stations}
    for count in CHECKS:
        calls = {}
        for one in stations:
            answer = one.measure(count, 3)
            if "error" in answer:
                found[one.peer.name].setdefault("errors", {})[str(count)] = answer["error"]
            else:
                calls[one.peer.name] = max(1, min(3000, int(ENOUGH_US / answer["cpu_us"])))
        for _ in range(runs):
            for one in (station for station in stations if station.peer.name in calls):
                answer = one.measure(count, calls[one.peer.name])
                found[one.peer.name]["runs"].setdefault(str(count), []).append(answer)
                found[one.peer.name]["resident_mib"] = answer["resident_mib"]
    for one in stations:
        one.close()
    return {
        "machine": machine(),
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "runs": runs,
        "checks": list(CHECKS),
        "peers": found,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--folder", type=Path, default=Path("build/peers"), help="environments of the peers")
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--only", action="append", default=[], help="a name of the roster; may be given several times")
    parser.add_argument("--raw", type=Path, help="a file for the raw figures, as JSON")
    parser.add_argument("--page", type=Path, help="a page with the marks between which the table is put")
    asked = parser.parse_args()
    raw = measure([peer for peer in ROSTER if not asked.only or peer.name in asked.only], asked.folder.resolve(), asked.runs)
    text = rendered(raw, ROSTER)
    print(text)
    if asked.raw:
        asked.raw.parent.mkdir(parents=True, exist_ok=True)
        asked.raw.write_text(json.dumps(raw, indent=1) + "\n", "utf-8")
    if asked.page:
        put(asked.page, text)


if __name__ == "__main__":
    main()
