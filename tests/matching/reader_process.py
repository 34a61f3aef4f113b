"""A process that serves snapshots of a bank while others change it: python -m tests.matching.reader_process FOLDER SIZE.

Ends with 0 once it has seen a bank of SIZE works, every one of which was found in every snapshot that held it.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from guard.matching.bank import Bank
from guard.matching.hamming import HammingIndex
from tests.matching.works import print_of


def main(folder: str, size: str) -> int:
    bank = Bank.open(Path(folder))
    until = time.monotonic() + 60
    seen = 0
    print("ready", flush=True)
    while time.monotonic() < until:
        snapshot = bank.snapshot()
        assert snapshot.size >= seen
        seen = snapshot.size
        index = snapshot.indexes.get("pdq")
        if seen:
            assert isinstance(index, HammingIndex)
            assert len(index) == seen == len(snapshot.works)
            (hit,) = index.search([print_of(seen - 1)], 0)
            assert snapshot.works[hit.number].id == f"w{seen - 1}"
        if seen >= int(size):
            return 0
    return 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
