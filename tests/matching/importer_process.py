"""An import that is meant to be killed: python -m tests.matching.importer_process BANK SOURCE."""

from __future__ import annotations

import sys
from pathlib import Path

from guard.matching import imports
from guard.matching.bank import Bank


def main(folder: str, source: str) -> None:
    imports.BATCH = 50
    bank = Bank.open(Path(folder), kind="protected")
    print("ready", flush=True)
    print(imports.import_works(bank, Path(source)).added, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
