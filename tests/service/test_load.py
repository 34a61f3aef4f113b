"""Ten minutes of mixed load at 80 % of what the service can do: no errors, no lost decisions, memory as before.

`GENGUARD_LOAD_S` says how many seconds; `pytest -m slow -s` shows the figures.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import create_engine, text

from tests.service.test_stopping import environment, process, whole

LOAD_S = float(os.environ.get("GENGUARD_LOAD_S", "600"))
"""Seconds of the load itself."""
SHARE = 0.8
WARM_S = min(120.0, max(20.0, LOAD_S / 5))
"""Seconds of load before memory is looked at: pools, caches and allocators have their size by then."""
CALIBRATE_S = min(20.0, max(8.0, LOAD_S / 10))
LANES = 8
FLAT = 1.05
TEXTS = (
    "Good morning. The train leaves at nine, and we stay for a week.",
    "Write to ann.miller@example.org about the invoice of March. ",
    "The report is long. " * 60,
    "Call me at +49 30 901820 when the parcel is there, please.",
)


def chat(client: httpx.Client, number: int, *, stream: bool, **more: Any) -> str:
    """One conversation; its decision."""
    turns = [{"role": "user", "content": f"{TEXTS[number % len(TEXTS)]} Number {number}."}]
    answer = client.post("/v1/chat/completions", json={"model": "echo", "messages": turns, "stream": stream, **more})
    assert answer.status_code == 200, f"{answer.status_code} {answer.text[:300]}"
    decision = whole(answer.text, stream=stream)
    assert decision, answer.text[-300:]
    return decision


def check(client: httpx.Client, number: int) -> str:
    answer = client.post("/v1/check", json={"text": f"{TEXTS[number % len(TEXTS)]} Number {number}."})
    assert answer.status_code == 200, f"{answer.status_code} {answer.text[:300]}"
    return str(answer.json()["genguard"]["decision"])


def moderate(client: httpx.Client, number: int) -> str:
    answer = client.post("/v1/moderations", json={"input": [f"Input {number}.", TEXTS[number % len(TEXTS)]]})
    assert answer.status_code == 200, f"{answer.status_code} {answer.text[:300]}"
    return str(answer.json()["genguard"][-1]["decision"])


def leave(client: httpx.Client, number: int) -> str:
    """Read the beginning of a stream, and go."""
    turns = [{"role": "user", "content": f"{TEXTS[2]} Number {number}."}]
    with client.stream("POST", "/v1/chat/completions", json={"model": "echo", "messages": turns, "stream": True}) as answer:
        assert answer.status_code == 200
        next(answer.iter_lines())
    return ""


MIX: tuple[tuple[int, Callable[[httpx.Client, int], str]], ...] = (
    (30, lambda client, number: chat(client, number, stream=False)),
    (25, lambda client, number: chat(client, number, stream=True)),
    (25, check),
    (8, moderate),
    (6, lambda client, number: chat(client, 4 * number, stream=number % 2 == 0, model="language", max_tokens=8)),
    (6, leave),
)


@dataclass
class Load:
    """Requests of several lanes, each in turn; together at a rate, or as fast as they can."""

    url: str
    decisions: list[str] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)
    done: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def run(self, seconds: float, rate: float = 0.0) -> float:
        """Requests a second that were done. `rate`: how many a second are begun; 0: as many as go."""
        began, before = time.monotonic(), self.done
        with ThreadPoolExecutor(LANES) as pool:
            for one in [pool.submit(self._lane, lane, began + seconds, rate / LANES) for lane in range(LANES)]:
                one.result()
        return (self.done - before) / (time.monotonic() - began)

    def _lane(self, lane: int, until: float, rate: float) -> None:
        draw = random.Random(f"{lane} {until if rate == 0 else 0}")
        due, weights, kinds = time.monotonic(), [weight for weight, _ in MIX], [kind for _, kind in MIX]
        with httpx.Client(base_url=self.url, timeout=120) as client:
            while time.monotonic() < until:
                if rate:
                    due += draw.expovariate(rate)
                    time.sleep(max(0.0, due - time.monotonic()))
                self._one(client, draw.choices(kinds, weights)[0], draw.randrange(1_000_000))

    def _one(self, client: httpx.Client, kind: Callable[[httpx.Client, int], str], number: int) -> None:
        try:
            decision = kind(client, number)
        except (AssertionError, httpx.HTTPError, ValueError, LookupError) as error:
            with self.lock:
                self.errors[f"{type(error).__name__}: {error}"[:300]] += 1
            return
        with self.lock:
            self.done += 1
            if decision:
                self.decisions.append(decision)


class Memory:
    """Resident memory of a process, looked at each second."""

    def __init__(self, pid: int) -> None:
        self._pid, self._over = pid, threading.Event()
        self.seen: list[tuple[float, float]] = []
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def _look(self) -> None:
        while not self._over.wait(1.0):
            fields = Path(f"/proc/{self._pid}/statm").read_text().split()
            self.seen.append((time.monotonic(), int(fields[1]) * os.sysconf("SC_PAGESIZE") / 1e6))

    def stop(self) -> None:
        """Look no more."""
        self._over.set()
        self._thread.join()


def median(values: list[float]) -> float:
    return sorted(values)[len(values) // 2]


@pytest.mark.slow
@pytest.mark.timeout(LOAD_S * 2 + 600)
def test_mixed_load_leaves_nothing_behind(tmp_path: Path) -> None:
    """With the bundled policy `enterprise`, as `genguard serve` has it."""
    log = tmp_path / "log"
    with process(tmp_path, "--generators", "echo", "--generators", "language", policy="enterprise") as (running, url):
        load = Load(url)
        load.run(CALIBRATE_S)  # models, pools and caches
        capacity = load.run(CALIBRATE_S)
        memory = Memory(running.pid)
        load.run(WARM_S, SHARE * capacity)
        began = time.monotonic()
        rate = load.run(LOAD_S, SHARE * capacity)
        memory.stop()
        running.send_signal(signal.SIGTERM)
        assert running.wait(120) == 0, log.read_text()[-3000:]
    seen = [size for at, size in memory.seen if at >= began]
    part = max(1, len(seen) // 5)
    first, last = median(seen[:part]), median(seen[-part:])
    print(json.dumps({"capacity": round(capacity, 1), "rate": round(rate, 1), "done": load.done, "seconds": LOAD_S,
                      "first_mb": round(first, 1), "last_mb": round(last, 1), "most_mb": round(max(seen), 1)}))  # fmt: skip
    assert not load.errors, dict(load.errors)
    assert last <= first * FLAT, [round(size, 1) for size in seen[:: max(1, len(seen) // 40)]]
    ledger = tmp_path / "ledger.db"
    with create_engine(f"sqlite:///{ledger}").connect() as connection:
        known = set(connection.execute(text("SELECT decision FROM entry WHERE decision IS NOT NULL")).scalars())
    assert not [one for one in load.decisions if one not in known]
    verified = subprocess.run(
        [sys.executable, "-m", "cli", "audit", "verify", "--ledger", f"sqlite:///{ledger}"],
        env=environment(),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert verified.returncode == 0, verified.stdout + verified.stderr
