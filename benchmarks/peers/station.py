"""One player: its process, and the orders to it."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

from benchmarks.peers.environments import QUIET, ROOT
from benchmarks.peers.roster import Peer

PLAYERS = Path(__file__).parent / "players"


class Station:
    """A process that measures one peer when it is told to."""

    def __init__(self, peer: Peer, python: Path, home: Path) -> None:
        """Start it, and wait until it has imported what it plays. Raises RuntimeError with the end of what it printed."""
        self.peer = peer
        self._errors = home / f"{peer.player}.log"
        path = os.pathsep.join([str(PLAYERS), *([] if peer.requirements else [str(ROOT)])])
        environment = {"PATH": os.environ["PATH"], "HOME": str(home), "PYTHONPATH": path, **QUIET}
        with self._errors.open("w") as errors:
            self._process = subprocess.Popen(
                [str(python), "-P", str(PLAYERS / f"{peer.player}.py")],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env=environment,
            )
        self.start = self._answer()

    def measure(self, checks: int, calls: int) -> dict[str, Any]:
        """Microseconds a call (`cpu_us`, `wall_us`), and the most memory it has held so far; or the `error` of the peer.

        Raises RuntimeError when the process is gone.
        """
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"checks": checks, "calls": calls}) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def close(self) -> None:
        """End it."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process.wait(60)
        if self._process.stdout is not None:
            self._process.stdout.close()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            tail = self._errors.read_text("utf-8", "replace")[-2000:]
            raise RuntimeError(f"{self.peer.name} gave no answer; it printed last:\n{tail}")
        answer: dict[str, Any] = json.loads(line)
        return answer
