"""Appends to genguard's ledger, as `benchmarks/ledger.py` makes them."""

import tempfile
from pathlib import Path

from playing import Work, play

from audit.ledger import SqlLedger, open_ledger
from benchmarks.ledger import DOCUMENT, REVISION, Load, Run, check, closed, prepared

SECONDS, KIND = 1.5, "typical"


def told(run: Run) -> dict[str, float]:
    """Of a run, for each row."""
    taken = {"cpu_us": 1e6 * run.cpu, "wall_us": 1e6 / run.rate}
    return {**taken, "rows": run.count, "p50_ms": run.part(0.5), "p99_ms": run.part(0.99)}


class Appending:
    """A new ledger for each run."""

    def __init__(self, callers: int, folder: Path) -> None:
        self.load, self.folder = Load("", callers, SECONDS, KIND), folder
        self.runs: list[Run] = []

    def ready(self, _calls: int) -> None:
        """Begin it, and make the decisions."""
        self.place = Path(tempfile.mkdtemp(dir=self.folder))
        self.url, self.key_file = f"sqlite:///{self.place}/ledger.db", f"{self.place}/key"
        self.ledger: SqlLedger = open_ledger(self.url, key_file=self.key_file, queue_size=65_536)
        self.ledger.activate_sync("benchmark", 1, REVISION, DOCUMENT)
        self.decisions = prepared(self.load, 0)

    async def call(self) -> None:
        """All callers append until the time is over."""
        self.runs.append(await closed(self.ledger, self.load, self.decisions))

    def figures(self) -> dict[str, float]:
        """Compare the ledger with what was acknowledged, and remove it."""
        self.ledger.close()
        check(self.url, self.key_file, self.runs[-1].count + 2)
        for file in self.place.iterdir():
            file.unlink()
        self.place.rmdir()
        return told(self.runs[-1])


def prepare(case: str, folder: Path) -> Work:
    """So many callers."""
    one = Appending(int(case), folder)
    return Work(one.call, 1, None, one.figures, one.ready)


if __name__ == "__main__":
    play(prepare)
