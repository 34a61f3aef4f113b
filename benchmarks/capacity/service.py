"""`genguard serve` on one core of this machine, and requests to it from another: what it does, and what it takes."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
_START_S = 180.0


@cache
def cores() -> tuple[int, int]:
    """The core of the service, and that of who asks. Raises SystemExit where there is one core alone."""
    usable = sorted(os.sched_getaffinity(0))
    if len(usable) < 2:
        raise SystemExit("found one core, expected two: one for the service, one for the requests")
    return usable[0], usable[-1]


@contextmanager
def on(core: int) -> Iterator[None]:
    """This thread, and what it starts meanwhile, on one core."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@dataclass(frozen=True, slots=True)
class Service:
    """One that runs."""

    pid: int
    port: int

    def asked(self, seconds: float, *, callers: int = 0, rate: float = 0.0, **more: Any) -> dict[str, Any]:
        """What `benchmarks.capacity.load` says, and the service's seconds of CPU an answer (`cpu_us`) and a second."""
        options = {"seconds": seconds, "callers": callers, "rate": rate, **more}
        given = [word for name, value in options.items() if value for word in (f"--{name}", str(value))]
        command = [sys.executable, "-m", "benchmarks.capacity.load", str(self.port), *given]
        with on(cores()[1]):
            asking = subprocess.Popen(command, cwd=ROOT, env=_environment(), stdout=subprocess.PIPE, text=True)
        used, began = self.cpu(), time.monotonic()
        out, _ = asking.communicate(timeout=seconds + 120)
        used, took = self.cpu() - used, time.monotonic() - began
        if asking.returncode:
            raise RuntimeError(f"the load ended with {asking.returncode}")
        found: dict[str, Any] = json.loads(out)
        return {**found, "cpu_us": 1e6 * used / max(1, found["answers"]), "service_share": used / took}

    def cpu(self) -> float:
        """Seconds that it has computed."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def served(policy: str, generator: str = "echo") -> Iterator[Service]:
    """One process on one core, ready, with a ledger in a file of its own. Raises RuntimeError with the end of its log."""
    with tempfile.TemporaryDirectory() as folder:
        port, log = _port(), Path(folder) / "log"
        options = ["--policy", policy, "--ledger", f"sqlite:///{folder}/ledger.db", "--port", str(port)]
        with log.open("w") as file, on(cores()[0]):
            running = subprocess.Popen(
                [sys.executable, "-m", "cli", "serve", *options, "--generators", generator],
                env=_environment(GENGUARD_LOG_LEVEL="error", GENGUARD_KEY_FOLDER=folder),
                cwd=folder,
                stdout=file,
                stderr=file,
            )
        try:
            until = time.monotonic() + _START_S
            while not _ready(port):
                if running.poll() is not None or time.monotonic() > until:
                    raise RuntimeError(f"the service did not start:\n{log.read_text('utf-8')[-2000:]}")
                time.sleep(0.2)
            yield Service(running.pid, port)
        finally:
            running.send_signal(signal.SIGKILL)
            running.wait(60)


def _environment(**more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GENGUARD_")}
    return {**kept, "PYTHONPATH": str(ROOT), **more}


def _ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=10) as answer:
            return bool(answer.status == 200)
    except (OSError, urllib.error.URLError):
        return False


def _port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
