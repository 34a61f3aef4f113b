"""`genguard serve` as a process: how it is started, and whether it is ready."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import httpx
from service_client import POLICY

ROOT = Path(__file__).parents[1]


def command(folder: Path, port: int, *more: str, policy: str = "") -> list[str]:
    if not policy:
        (folder / "desk.yaml").write_text(POLICY, "utf-8")
    known = [
        "--policy",
        policy or str(folder / "desk.yaml"),
        "--ledger",
        f"sqlite:///{folder / 'ledger.db'}",
        "--port",
        str(port),
    ]
    return [sys.executable, "-m", "cli", "serve", *known, *more]


def environment(**given: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GENGUARD_")}
    return {**kept, "PYTHONPATH": str(ROOT), **{f"GENGUARD_{name.upper()}": value for name, value in given.items()}}


def ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz", timeout=10).status_code == 200
    except httpx.TransportError:
        return False
