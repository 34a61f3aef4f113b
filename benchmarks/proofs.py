"""What a proof costs in a long log, with the stored hashes of its tree and without.

    python benchmarks/proofs.py [--entries 1000000] [--folder DIR]

A log of entries of 600 bytes is made in one transaction. Timed are proofs of entries drawn with a fixed seed, each by a
connection of its own, as the service and the terminal make them; then the same in the same log without its table of tiles.
Hashes read: how many the database handed over for one proof.
"""

from __future__ import annotations

import argparse
import platform
import random
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from sqlalchemy import insert, select, update

from audit import merkle
from audit.database import reader_engine, writer_engine
from audit.ledger import open_ledger
from audit.models import metadata
from audit.prove import Leaves
from audit.tile_rows import fill_tiles
from audit.tiles import Tree

BATCH = 50_000


class Counted:
    """Hashes that are counted as they are read."""

    def __init__(self, source: Leaves) -> None:
        self.source, self.rows = source, 0

    def read(self, level: int, start: int, stop: int, /) -> Sequence[bytes]:
        """See `audit.tiles.Hashes`."""
        found = self.source.read(level, start, stop)
        self.rows += len(found)
        return found


def make(path: Path, count: int) -> float:
    """A log of that many entries; seconds that its tiles took."""
    open_ledger(f"sqlite:///{path}").close()
    entry, head = metadata.tables["entry"], metadata.tables["head"]
    engine = writer_engine(path, 5000)
    with engine.connect() as connection, connection.begin():
        size, frontier = connection.execute(select(head.c.size, head.c.frontier)).one()
        peaks = merkle.unpack(frontier, size)
        while size < count:
            stop = min(count, size + BATCH)
            bodies = [f'{{"entry":{idx},"text":"{"x" * 570}"}}'.encode() for idx in range(size, stop)]
            leaves = [merkle.leaf_hash(body) for body in bodies]
            rows = [
                {"idx": size + place, "leaf": leaf, "body": body, "kind": "hold", "time": "2026-11-28T00:00:00.000000Z"}
                for place, (leaf, body) in enumerate(zip(leaves, bodies, strict=True))
            ]
            connection.execute(insert(entry), rows)
            peaks, size = merkle.extend(peaks, size, leaves)
        connection.execute(update(head).values(size=size, frontier=merkle.pack(peaks)))
        started = time.perf_counter()
        fill_tiles(connection)
        return time.perf_counter() - started


def measure(path: Path, count: int, times: int) -> tuple[list[float], list[float], int]:
    """Seconds of proofs of inclusion and of consistency, and the most hashes that one read."""
    chance, inclusion, consistency, most = random.Random(7), [], [], 0
    for _ in range(times):
        with reader_engine(path).connect() as connection, connection.begin():
            counted = Counted(Leaves(connection))
            started = time.perf_counter()
            Tree(counted).inclusion(chance.randrange(count), count)
            inclusion.append(time.perf_counter() - started)
            most = max(most, counted.rows)
        with reader_engine(path).connect() as connection, connection.begin():
            counted = Counted(Leaves(connection))
            started = time.perf_counter()
            Tree(counted).consistency(chance.randrange(1, count), count)
            consistency.append(time.perf_counter() - started)
            most = max(most, counted.rows)
    return inclusion, consistency, most


def tell(what: str, measured: tuple[list[float], list[float], int]) -> None:
    """One line."""
    inclusion, consistency, most = measured
    told = ", ".join(
        f"{name} median {statistics.median(found) * 1000:,.1f} ms, worst {max(found) * 1000:,.1f} ms"
        for name, found in (("inclusion", inclusion), ("consistency", consistency))
    )
    print(f"{what}: {told}; at most {most:,} hashes read")


def main() -> None:
    """Make the log, measure, drop the table, measure again."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--entries", type=int, default=1_000_000)
    parser.add_argument("--folder", type=Path, default=None)
    options = parser.parse_args()
    print(f"{platform.machine()}, Python {platform.python_version()}, {options.entries:,} entries")
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        path = Path(folder) / "ledger.db"
        seconds = make(path, options.entries)
        with closing(sqlite3.connect(path)) as connection:
            rows = connection.execute("SELECT count(*) FROM tile").fetchone()[0]
        print(f"filling in the {rows:,} hashes of a ledger of before: {seconds:.1f} s, once")
        tell("with stored hashes", measure(path, options.entries, 200))
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("DROP TABLE tile")
        tell("from the leaves alone", measure(path, options.entries, 2))


if __name__ == "__main__":
    main()
