"""A small Ray cluster for tests: one at a time on a machine, in a folder of its own, and gone afterwards."""

from __future__ import annotations

import fcntl
import importlib.util
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HOLDER = Path(__file__).with_name("holder.py")
PATIENCE_S = 600
MISSING = "Ray is not installed: pip install 'genguard[ray]'"


@dataclass
class Cluster:
    """Where it is, and with which variables programs join it."""

    folder: Path
    environment: dict[str, str]
    holder: subprocess.Popen[str]

    def order(self, what: str) -> None:
        """Of several nodes: lose a `node` or the `head`, as if their machine had gone, or start all of it `again`."""
        assert self.holder.stdin is not None
        assert self.holder.stdout is not None
        self.holder.stdin.write(f"{what}\n")
        self.holder.stdin.flush()
        assert self.holder.stdout.readline() == "done\n", (self.folder / "holder.err").read_text("utf-8")

    def genguard(self, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
        """Run a command that joins it."""
        return self.python("-m", "cli", *arguments, cwd=cwd)

    def python(self, *arguments: str, cwd: Path, patience_s: float = PATIENCE_S) -> subprocess.CompletedProcess[str]:
        """The same of any program."""
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=cwd, env=self.environment, capture_output=True, text=True, timeout=patience_s, check=False,
        )  # fmt: skip


@pytest.fixture
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """Of four processors in name, which say how many replicas fit. Raylets and all replicas end with it.

    One node; or as many as the parameter says, with sixteen each.
    """
    if importlib.util.find_spec("ray") is None:
        pytest.skip(MISSING)
    with _alone(), _folder() as folder:
        _install(folder / "site")
        environment = _environment(folder)
        nodes = [str(request.param)] if hasattr(request, "param") else []
        with _held(folder, environment, nodes) as (holder, address):
            yield Cluster(folder, environment | {"RAY_ADDRESS": address}, holder)


@contextmanager
def _alone() -> Iterator[None]:
    """No two clusters at once, whichever process tests run in: each takes a GB."""
    with (Path(tempfile.gettempdir()) / f"genguard-ray-{os.getuid()}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def _folder() -> Iterator[Path]:
    """With a short name: paths of sockets have at most 107 bytes."""
    made = Path(tempfile.mkdtemp(prefix="gr", dir="/tmp"))
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _install(folder: Path) -> None:
    """A folder that, on the path of a Python, has the check `plug` as a package would. It is not imported here."""
    facts = folder / "plug-1.0.dist-info"
    facts.mkdir(parents=True)
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: plug\nVersion: 1.0\n", "utf-8")
    (facts / "entry_points.txt").write_text("[genguard.checks]\nplug = plug\n", "utf-8")
    shutil.copy(Path(__file__).with_name("plug.py"), folder / "plug.py")


def _environment(folder: Path) -> dict[str, str]:
    (folder / "home").mkdir()
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(folder / "home"),
        "PYTHONPATH": f"{ROOT}{os.pathsep}{folder / 'site'}",
        "OMP_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_memory_monitor_refresh_ms": "0",
        "RAY_worker_niceness": "0",
        "RAY_prestart_worker_first_driver": "0",
        "RAY_enable_worker_prestart": "0",
    }


@contextmanager
def _held(folder: Path, environment: dict[str, str], nodes: list[str]) -> Iterator[tuple[subprocess.Popen[str], str]]:
    with (folder / "holder.err").open("w") as errors:
        holder = subprocess.Popen(
            [sys.executable, str(HOLDER), str(folder / "t"), "16" if nodes else "4", *nodes],
            env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True, start_new_session=True,
        )  # fmt: skip
    assert holder.stdin is not None
    assert holder.stdout is not None
    try:
        address = holder.stdout.readline().strip()
        assert address, (folder / "holder.err").read_text("utf-8")
        yield holder, address
    finally:
        holder.stdin.close()
        with suppress(subprocess.TimeoutExpired):
            holder.wait(60)
        with suppress(ProcessLookupError):
            os.killpg(holder.pid, signal.SIGKILL)
        holder.wait()
        holder.stdout.close()
