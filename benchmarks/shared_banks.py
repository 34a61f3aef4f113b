"""How fast a bank gets from one machine to another through a ledger in PostgreSQL, on this machine.

    python benchmarks/shared_banks.py [--works 100000] [--bytes 0]

A private server is started. Works have one random hash each, and with `--bytes` a thumbnail of that many random bytes. They are
imported at one folder; another, which is empty, follows. Seconds are of CPU of this process and wall; the server is another.
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

sys.path[:0] = [str(Path(__file__).resolve().parents[1]), str(Path(__file__).resolve().parents[1] / "tests")]

from audit.ledger import SqlLedger, open_ledger
from audit.verify import verify
from guard.matching.bank import Bank, live
from guard.matching.exchange import Item
from guard.matching.imports import Options, import_items
from guard.matching.works import Fingerprint, Work
from serving.followed_banks import follow_all
from serving.shared_banks import shared_banks
from serving.works import changing


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--works", type=int, default=100_000)
    parser.add_argument("--bytes", type=int, default=0, help="of a thumbnail of each work")
    asked = parser.parse_args()
    from postgres import Server, fresh

    print(f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, Python {platform.python_version()}")
    server = Server.start()
    try:
        with tempfile.TemporaryDirectory() as made:
            os.environ["GENGUARD_KEY_FOLDER"] = made
            measure(Path(made), fresh(server.url("postgres")), asked.works, asked.bytes)
    finally:
        server.close()


def measure(folder: Path, url: str, count: int, size: int) -> None:
    with open_ledger(url) as ledger:
        commits: list[float] = []
        ledger.on_commit(lambda _entries, seconds, _refused: commits.append(seconds))
        told("imported at one", count, lambda: imported(ledger, folder / "one", works(count, size)))
        print(f"  commits: {len(commits)}, median {np.median(commits) * 1e3:.0f} ms, longest {max(commits) * 1e3:.0f} ms")
        told("followed at another", count, lambda: followed(ledger, folder / "two"))
        told("  once more, nothing new", 1, lambda: followed(ledger, folder / "two"))
        told("one work registered", 1, lambda: imported(ledger, folder / "one", works(1, size, count)))
        told("  and followed", 1, lambda: followed(ledger, folder / "two"))
        one, two = (live(folder / name / "works") for name in ("one", "two"))
        assert one.digest == two.digest
        assert len(two) == count + 1
    told("verified", count, lambda: verified(url))
    print(
        f"{disk(one) / 1e6:.0f} MB of catalogue, "
        f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB of memory at most"
    )


def imported(ledger: SqlLedger, folder: Path, found: Iterator[Work]) -> None:
    os.environ["GENGUARD_BANKS"] = str(folder)
    with changing("works", ledger) as (bank, _):
        import_items(bank, "list", (Item(number, work) for number, work in enumerate(found)), Options("ann"))


def followed(ledger: SqlLedger, folder: Path) -> None:
    os.environ["GENGUARD_BANKS"] = str(folder)
    shared = shared_banks(ledger)
    assert shared is not None
    assert follow_all(shared) == ({}, {})


def verified(url: str) -> None:
    report = verify(url, jobs=1)
    assert report.ok, report.problems[:3]


def works(count: int, size: int, start: int = 0) -> Iterator[Work]:
    dice = np.random.default_rng(7 + start)
    for number in range(start, start + count):
        thumbnail = b"\xff\xd8\xff" + dice.bytes(size - 3) if size > 3 else b""
        prints = (Fingerprint("pdq", dice.bytes(32), "whole"),)
        yield Work(f"w{number}", f"Work {number}", owner="Owner", licence="L", thumbnail=thumbnail, fingerprints=prints)


def disk(bank: Bank) -> int:
    assert bank.folder is not None
    return sum(file.stat().st_size for file in bank.folder.glob("catalogue.db*"))


def told(what: str, count: int, action: Callable[[], Any]) -> None:
    wall, cpu = time.perf_counter(), time.process_time()
    action()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    print(f"{what}: {wall:.2f} s, CPU {cpu:.2f} s; {count / wall:,.0f} works/s")


if __name__ == "__main__":
    main()
