"""Entries per second that the verifier checks, alone and in several processes, with the master key and without.

    python benchmarks/verify.py [--entries 150000] [--keep FILE | --url postgresql://...] [--jobs 1 2]

The ledger is made by the writer itself: decisions of about 2 kB with two encrypted payloads each, as in `benchmarks/ledger.py`.
`--keep`: leave the file there, or take it from there when it exists. `--url`: a ledger in a PostgreSQL database, made when it
is empty; its master key is that of GENGUARD_MASTER_KEY or of `--key-file`. Without the key payloads are compared with their
digests and not opened. Each figure is the best of three runs, since others may use the machine; what the first one
read may lie in the page cache.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import resource
import sys
import tempfile
import time
from itertools import count
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from audit.ledger import SqlLedger, open_ledger
from audit.stores import open_store
from audit.verifier.pool import processors
from audit.verify import Report, verify
from benchmarks.ledger import DOCUMENT, REVISION, example

RUNS = 3
_CALLERS = 256


def make(url: str, entries: int, key_file: Path | None) -> None:
    """A ledger of so many decisions."""
    numbers = count()

    async def work(ledger: SqlLedger) -> None:
        while (number := next(numbers)) < entries:
            await ledger.append(example(number))

    async def run(ledger: SqlLedger) -> None:
        await asyncio.gather(*[work(ledger) for _ in range(_CALLERS)])

    with open_ledger(url, key_file=key_file) as ledger:
        ledger.activate_sync("benchmark", 1, REVISION, DOCUMENT)
        asyncio.run(run(ledger))


def used() -> float:
    """Seconds of a core that this process and those that it began have used."""
    return sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


def best(url: str, jobs: int, key_file: Path | None) -> tuple[Report, float]:
    """The quickest of several verifications, and the least microseconds of a core for one entry. Raises SystemExit."""
    found = []
    for _ in range(RUNS):
        before = used()
        report = verify(url, jobs=jobs, key_file=key_file)
        found.append((report, 1e6 * (used() - before) / report.size))
        if not report.ok:
            raise SystemExit(f"not sound: {report.problems[:3]}")
    return min((one for one, _ in found), key=lambda report: report.seconds), min(each for _, each in found)


def main() -> None:
    """Make the ledger, unless it is there, and verify it in each way."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entries", type=int, default=150_000)
    parser.add_argument("--keep", type=Path, default=None)
    parser.add_argument("--url", default="")
    parser.add_argument("--key-file", type=Path, default=None)
    parser.add_argument("--jobs", type=int, nargs="+", default=sorted({1, processors()}))
    given = parser.parse_args()
    load = " ".join(f"{one:.1f}" for one in os.getloadavg())
    print(f"{platform.machine()}, {processors()} cores, load {load}, Python {platform.python_version()}")
    with tempfile.TemporaryDirectory() as folder:
        url = given.url or f"sqlite:///{given.keep or Path(folder) / 'ledger.db'}"
        if not open_store(url).exists():
            begun = time.perf_counter()
            make(url, given.entries, given.key_file)
            print(f"made {given.entries:,} entries in {time.perf_counter() - begun:.0f} s")
        for name, key_file in (("payloads opened", given.key_file), ("payloads not opened", Path(folder) / "no.key")):
            for jobs in given.jobs:
                report, each = best(url, jobs, key_file)
                rate, opened = report.size / report.seconds, report.checked.get("payloads_opened", 0)
                what = f"{name} ({opened:,}), processes: {report.processes}"
                print(
                    f"{what:<50} {report.size:>10,} in {report.seconds:>6.2f} s {rate:>8,.0f}/s {each:>6.1f} us of a core each",
                    flush=True,
                )


if __name__ == "__main__":
    main()
