"""One row, one hash over the row before, one commit."""

import tempfile
from pathlib import Path

from ledger_genguard import KIND, SECONDS, told
from playing import Work, at_once, play

from audit.ledger import open_ledger
from benchmarks.ledger import DOCUMENT, REVISION, Run, naive


def prepare(case: str, folder: Path) -> Work | None:
    """One writer; the ledger prepares rows and stays empty."""
    if case != "1":
        return None
    scratch = tempfile.TemporaryDirectory(dir=folder)
    place = Path(scratch.name)
    ledger = open_ledger(f"sqlite:///{place}/ledger.db", key_file=f"{place}/key")
    ledger.activate_sync("benchmark", 1, REVISION, DOCUMENT)
    runs: list[Run] = []

    def call(_kept: object = scratch) -> None:
        runs.append(naive(place / f"{len(runs)}.db", ledger, SECONDS, KIND))

    return Work(at_once(call), 1, None, lambda: told(runs[-1]))


play(prepare)
