"""What handing entries over to a committer costs, beside committing them by oneself: CPU of both sides, an entry.

    python benchmarks/relay.py [--entries 10240] [--callers 512] [--rounds 3]

The same decisions, by turns: once with `open_ledger`, once with `open_relayed` and a committer in a process of its own. Prints
the median of the rounds. On a busy machine all figures are larger, by about the same factor.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "audit")]

from ledger_examples import DOCUMENT, REVISION, decision

from audit.ledger import SqlLedger, open_ledger
from audit.relay.ledger import open_relayed

PROGRAM = """
import sys
from pathlib import Path
from audit.relay.desk import Desk, open_committing
Desk(open_committing(sys.argv[1]), Path(sys.argv[2])).serve()
"""


def main() -> None:
    """Measure, and print microseconds of CPU an entry."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--entries", type=int, default=10_240)
    parser.add_argument("--callers", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    alone, handing, committing = [], [], []
    for _ in range(asked.rounds):
        with tempfile.TemporaryDirectory(prefix="gg-") as folder:
            with closing(open_ledger(f"sqlite:///{folder}/alone.db")) as ledger:
                alone.append(spent(ledger, asked.entries, asked.callers))
            mine, theirs = relayed(Path(folder), asked.entries, asked.callers)
            handing.append(mine)
            committing.append(theirs)
    print(f"{asked.entries} entries, {asked.callers} callers, median of {asked.rounds}: CPU an entry")
    print(f"  by oneself     {statistics.median(alone):6.0f} us")
    print(f"  handing over   {statistics.median(handing):6.0f} us  and the committer {statistics.median(committing):.0f} us")


def relayed(folder: Path, entries: int, callers: int) -> tuple[float, float]:
    """Microseconds an entry of who hands over, and of who commits."""
    url, door = f"sqlite:///{folder}/relayed.db", folder / "door.sock"
    process = subprocess.Popen([sys.executable, "-c", PROGRAM, url, str(door)], env={**os.environ, "PYTHONPATH": str(ROOT)})
    try:
        while not door.exists() and process.poll() is None:
            time.sleep(0.02)
        with closing(open_relayed(url, door)) as ledger:
            before = cpu(process.pid)
            mine = spent(ledger, entries, callers)
            return mine, (cpu(process.pid) - before) / entries * 1e6
    finally:
        process.terminate()
        process.wait(60)


def spent(ledger: SqlLedger, entries: int, callers: int) -> float:
    """Microseconds of this process's CPU an entry."""
    ledger.activate_sync("enterprise", 4, REVISION, DOCUMENT)
    made = [decision(number=number, subject=f"subject-{number % 50}") for number in range(entries)]

    async def caller(first: int) -> None:
        for number in range(first, entries, callers):
            await ledger.append(made[number])

    async def all_of_them() -> float:
        since = time.process_time()
        await asyncio.gather(*(caller(number) for number in range(callers)))
        return time.process_time() - since

    return asyncio.run(all_of_them()) / entries * 1e6


def cpu(pid: int) -> float:
    """Seconds of CPU that a process has taken."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main()
