"""Starts processes that are killed, and holds what they leave against what they had acknowledged."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from ledger_examples import decision
from sqlalchemy import text

from audit.keys import ENVIRONMENT
from audit.ledger import open_ledger
from audit.query import reading
from audit.stores.postgres import KEY_FOLDER
from audit.verify import Report, verify

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
PATIENCE_MS = 90_000


@dataclass
class Child:
    """A process that works on a ledger."""

    pid: int
    out: Path

    def lines(self, first: str = "") -> list[list[str]]:
        """What it has said so far, in whole lines, as words; only lines that begin with `first`."""
        text = self.out.read_text() if self.out.exists() else ""
        return [words for line in text.split("\n")[:-1] if (words := line.split()) and first in {"", words[0]}]

    def kill(self) -> None:
        """-9, unless it has ended."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        self.wait()

    def wait(self) -> None:
        """Until it has ended, however."""
        assert self.over(PATIENCE_MS), (self.pid, self.lines()[-3:])

    def wait_for(self, count: int, first: str = "ack") -> None:
        """Until it has said so many lines that begin so, or has ended."""
        while len(self.lines(first)) < count and not self.over(2):
            pass

    def over(self, within_ms: int) -> bool:
        """Whether it has ended, or does within so many milliseconds."""
        try:
            descriptor = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return True
        try:
            poll = select.poll()
            poll.register(descriptor, select.POLLIN)
            return bool(poll.poll(within_ms))
        finally:
            os.close(descriptor)

    @property
    def ended(self) -> str:
        """The first word of its last line: `ended`, `failed` or `broke`, or another when it was killed."""
        said = self.lines()
        return said[-1][0] if said else ""


@dataclass
class Nursery:
    """Forks children from one process that has everything loaded."""

    folder: Path
    _process: subprocess.Popen = field(init=False)
    _count: int = 0

    def __post_init__(self) -> None:
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(HERE)])}
        command = [sys.executable, str(HERE / "crash_process.py")]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, cwd=self.folder, text=True
        )

    def start(self, job: str, url: str, **order) -> Child:
        """A child with this order."""
        self._count += 1
        out = self.folder / f"child-{self._count}.txt"
        keys = {name: os.environ[name] for name in (ENVIRONMENT, KEY_FOLDER) if name in os.environ}
        order = {"job": job, "url": url, "out": str(out), "environment": keys, **order}
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return Child(int(self._process.stdout.readline()), out)

    def close(self) -> None:
        """End; children go on."""
        self._process.stdin.close()
        self._process.wait(30)
        self._process.stdout.close()


@dataclass
class Record:
    """All that a ledger has ever acknowledged or been seen to hold."""

    url: str
    said: dict[int, tuple[str, str]] = field(default_factory=dict)
    """Index -> (decision, leaf) of each receipt."""
    heads: dict[int, str] = field(default_factory=dict)
    """Roots at the sizes it was seen at, and at those that receipts or signatures name."""

    def note(self, children: Iterable[Child]) -> None:
        """Take down what children acknowledged."""
        for child in children:
            for _, index, name, leaf, size, _ in child.lines("ack"):
                assert int(index) not in self.said, "an index was given out twice"
                assert int(index) < int(size)
                self.said[int(index)] = (name, leaf)

    def check(self, exit_code: int = 0) -> Report:
        """Acknowledged is stored, indices have no gaps, head and old heads fit, the verifier agrees, and writing goes on."""
        self._look()
        with open_ledger(self.url, busy_timeout_ms=60_000) as opened:
            made = decision()
            receipt = opened.append_sync(made)
            self.said[receipt.index] = (str(made.id), receipt.leaf_hash.hex())
        leaves = self._look()
        report = verify(self.url)
        assert (report.problems, report.exit_code) == ((), exit_code)
        assert (report.size, report.root) == (len(leaves), naive_root(leaves).hex())
        self.heads[report.size] = report.root
        return report

    def _look(self) -> list[bytes]:
        with reading(self.url) as connection:
            rows = connection.execute(text("SELECT idx, decision, leaf FROM entry ORDER BY idx")).all()
            size, frontier = connection.execute(text("SELECT size, frontier FROM head")).one()
        assert [idx for idx, _, _ in rows] == list(range(size))
        pruned = {idx for idx, name, _ in rows if name is None}
        for index, (name, leaf) in self.said.items():
            assert bytes(rows[index][2]).hex() == leaf
            assert index in pruned or rows[index][1] == name
        leaves = [bytes(leaf) for _, _, leaf in rows]
        assert bytes(frontier) == b"".join(naive_frontier(leaves))
        for old, root in self.heads.items():
            assert naive_root(leaves[:old]).hex() == root
        return leaves


def naive_root(leaves: list[bytes]) -> bytes:
    """RFC 6962, as it is written there."""
    if len(leaves) < 2:
        return leaves[0] if leaves else sha256(b"").digest()
    half = 1 << ((len(leaves) - 1).bit_length() - 1)
    return sha256(b"\x01" + naive_root(leaves[:half]) + naive_root(leaves[half:])).digest()


def naive_frontier(leaves: list[bytes]) -> list[bytes]:
    """The roots of the perfect trees of the size's binary digits."""
    found = []
    while leaves:
        whole = 1 << (len(leaves).bit_length() - 1)
        found.append(naive_root(leaves[:whole]))
        leaves = leaves[whole:]
    return found
