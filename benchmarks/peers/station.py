"""One player: its process, and the orders to it."""

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path
from typing import Any

from benchmarks.peers.environments import QUIET, ROOT
from benchmarks.peers.subject import Player

PLAYERS = Path(__file__).parent / "players"


class Station:
    """A process that measures one player when it is told to."""

    def __init__(self, player: Player, python: Path, home: Path, material: Path) -> None:
        """Start it, and wait until it has imported what it plays. Raises RuntimeError with the end of what it printed."""
        self.player = player
        self._errors = home / f"{player.script}.log"
        path = os.pathsep.join([str(PLAYERS), *([str(ROOT)] if player.place.ours else [])])
        environment = {"PATH": os.environ["PATH"], "HOME": str(home), "PYTHONPATH": path, **QUIET}
        self._begun = time.perf_counter()
        with self._errors.open("w") as errors:
            self._process = subprocess.Popen(
                [str(python), "-P", str(PLAYERS / f"{player.script}.py"), str(material)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env=environment,
            )
        try:
            self.start = self._answer()
        except RuntimeError:
            self.close()
            raise

    def measure(self, case: str, calls: int) -> dict[str, Any]:
        """Microseconds for each thing a call does (`cpu_us`, `wall_us`), and the most memory the process has held so far.

        Or the `error` of the player, or that the case is `absent`. Raises RuntimeError when the process is gone.
        """
        return self._ordered({"case": case, "calls": calls})

    def found(self, case: str) -> dict[str, Any]:
        """What the player says it `found`; empty when it has nothing to say."""
        return self._ordered({"case": case, "tell": True})

    def versions(self, names: tuple[str, ...]) -> dict[str, Any]:
        """Of those of some packages that are installed in its environment."""
        return self._ordered({"versions": list(names)})

    def since_start(self) -> float:
        """Seconds since the process was started."""
        return time.perf_counter() - self._begun

    def held_mib(self) -> dict[str, float]:
        """What it holds now: all of it, and with its share of what several processes hold together. Linux alone."""
        rollup = Path(f"/proc/{self._process.pid}/smaps_rollup")
        if not rollup.is_file():
            return {}
        lines = dict(line.split(":", 1) for line in rollup.read_text("utf-8").splitlines()[1:])
        return {name: int(lines[field].split()[0]) / 1024 for name, field in (("rss_mib", "Rss"), ("pss_mib", "Pss"))}

    def close(self) -> None:
        """End it."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            self._process.wait(60)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(60)
        if self._process.stdout is not None:
            self._process.stdout.close()

    def _ordered(self, order: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            tail = self._errors.read_text("utf-8", "replace")[-2000:]
            raise RuntimeError(f"{self.player.name} gave no answer; it printed last:\n{tail}")
        answer: dict[str, Any] = json.loads(line)
        return answer
