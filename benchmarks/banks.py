"""How fast a bank takes works, gives snapshots and opens, on this machine.

    python benchmarks/banks.py [--works 100000] [--folder DIR]

Works have one random hash each. The import is run twice: the second time it passes over what is there.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from guard.matching.bank import Bank
from guard.matching.imports import import_works
from guard.matching.records import header, record
from guard.matching.works import Fingerprint, Work

CALLS = 2000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--works", type=int, default=100_000)
    parser.add_argument("--folder", type=Path, default=None, help="where the bank is made and removed again")
    asked = parser.parse_args()
    print(f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, Python {platform.python_version()}")
    with tempfile.TemporaryDirectory(dir=asked.folder) as made:
        measure(Path(made), asked.works)


def measure(folder: Path, count: int) -> None:
    dice = np.random.default_rng(7)
    works = (work(number, dice.bytes(32)) for number in range(count))
    with (folder / "list.jsonl").open("w") as stream:
        stream.write(json.dumps(header("protected")) + "\n")
        stream.writelines(json.dumps(record(one)) + "\n" for one in works)
    bank = Bank.open(folder / "bank", kind="protected")
    for what in ("import", "the same import again"):
        seconds, summary = timed(lambda: import_works(bank, folder / "list.jsonl"))
        print(f"{what}: {seconds:.1f} s, {count / seconds:,.0f} works/s ({summary.added} added, {summary.same} there)")
    bank.snapshot()
    seconds, _ = timed(lambda: [bank.snapshot() for _ in range(CALLS)])
    print(f"snapshot, nothing changed: {seconds / CALLS * 1e6:.0f} us")
    seconds, other = timed(lambda: opened(folder))
    print(f"open with a saved index, first snapshot: {seconds * 1e3:.1f} ms")
    seconds, _ = timed(lambda: bank.add([work(count, dice.bytes(32))]))
    print(f"add one work: {seconds * 1e3:.1f} ms")
    seconds, _ = timed(other.snapshot)
    print(f"snapshot after one change elsewhere: {seconds * 1e3:.1f} ms")
    shutil.rmtree(folder / "bank" / "indexes")
    seconds, _ = timed(lambda: opened(folder))
    print(f"open without, index built and saved: {seconds * 1e3:.0f} ms")
    seconds, _ = timed(bank.catalogue.rehash)
    print(f"whole history hashed again: {seconds:.1f} s")
    seconds, _ = timed(lambda: bank.write(folder / "out.jsonl"))
    print(f"export: {seconds:.1f} s")
    size = sum(file.stat().st_size for file in (folder / "bank").rglob("*") if file.is_file())
    print(f"{size / 1e6:.0f} MB on disk, {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB of memory at most")


def work(number: int, data: bytes) -> Work:
    return Work(f"w{number}", f"Work {number}", owner="Owner", licence="L", fingerprints=(Fingerprint("pdq", data, "whole"),))


def opened(folder: Path) -> Bank:
    bank = Bank.open(folder / "bank")
    bank.snapshot()
    return bank


def timed(action: Callable[[], Any]) -> tuple[float, Any]:
    started = time.perf_counter()
    answer = action()
    return time.perf_counter() - started, answer


if __name__ == "__main__":
    main()
