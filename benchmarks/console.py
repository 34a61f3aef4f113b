"""How long the console's list of decisions takes over a large ledger, and how much it sends.

    python benchmarks/console.py [--entries 1000000] [--folder /tmp] [--keep FILE]

The ledger is that of `benchmarks/query.py`. Each page is made by the console's own routes, as for an officer who sees all
tenants, without the network and without a browser. Median and slowest of several runs, in milliseconds.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from fastapi import FastAPI
from fastapi import Request as HttpRequest
from starlette.testclient import TestClient

from benchmarks.query import make
from console import decisions
from serving.identity.principals import Principal
from serving.identity.roles import Role

LIST = "/console/decisions"
PAGES = (
    ("the list", LIST, {}),
    ("`action:block`", LIST, {"q": "action:block"}),
    ("`action:block category:privacy -generator:echo`", LIST, {"q": "action:block category:privacy -generator:echo"}),
    ("the list, from its middle", LIST, {"before": "HALF"}),
    ("the list, its oldest page", LIST, {"before": "50"}),
    ("what came since (nothing)", f"{LIST}/newer", {"after": "LAST"}),
    ("facets of everything", f"{LIST}/facets", {}),
    ("facets of `action:block`", f"{LIST}/facets", {"q": "action:block"}),
    ("chart of `created:2026-11-20..2026-11-26`", f"{LIST}/chart", {"q": "created:2026-11-20..2026-11-26"}),
    ("chart of everything", f"{LIST}/chart", {}),
)
RUNS = 5


def client(url: str) -> TestClient:
    """The console's routes of the list alone, for an officer."""
    app = FastAPI()
    app.state.wired = SimpleNamespace(ledger_url=url)

    @app.middleware("http")
    async def come(http: HttpRequest, follow: Any) -> Any:
        http.state.principal = Principal("officer", frozenset({Role.OFFICER}))
        http.state.sees = ""
        return await follow(http)

    app.include_router(decisions.router)
    return TestClient(app)


def measure(path: Path, entries: int) -> None:
    """Print a table of all pages."""
    print("| page | median | slowest | kB |")
    print("|---|---|---|---|")
    places = {"HALF": str(entries // 2), "LAST": str(entries - 1)}
    with client(f"sqlite:///{path}") as http:
        http.get(LIST).raise_for_status()  # templates and words are read once
        for name, address, given in PAGES:
            params = {key: places.get(value, value) for key, value in given.items()}
            taken, size = [], 0
            for _ in range(RUNS):
                begun = time.perf_counter()
                answer = http.get(address, params=params).raise_for_status()
                taken.append((time.perf_counter() - begun) * 1000)
                size = len(answer.content)
            print(f"| {name} | {statistics.median(taken):.0f} | {max(taken):.0f} | {size / 1000:.0f} |", flush=True)


def main() -> None:
    """Make a ledger, unless there is one to be kept, and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--entries", type=int, default=1_000_000)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--keep", type=Path)
    asked = parser.parse_args()
    path = asked.keep or asked.folder / f"console-{os.getpid()}.db"
    if not path.exists():
        make(path, asked.entries)
    try:
        measure(path, asked.entries)
    finally:
        if asked.keep is None:
            path.unlink(missing_ok=True)


if __name__ == "__main__":
    main()
