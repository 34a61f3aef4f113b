"""How long pages, facets, series and completions take over a large ledger.

    python benchmarks/query.py [--entries 5000000] [--folder /tmp] [--keep FILE]

The ledger is made for this: rows as the writer's, with columns, terms and small bodies, inserted in bulk and not signed. Needs
about 1.2 kB of disk an entry. `--keep`: leave it there, or take it from there when it exists. Each figure is the median and
the slowest of several runs, each on a connection of its own, as one command or one request has.
"""

from __future__ import annotations

import argparse
import os
import platform
import random
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import UUID

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from sqlalchemy.dialects import sqlite
from sqlalchemy.schema import CreateIndex, CreateTable

from audit.body import time_string
from audit.canonical import dumps
from audit.completion import complete
from audit.facets import facets, series, top
from audit.models import metadata
from audit.projected import ENTRY_COLUMNS
from audit.query import query

END = datetime(2026, 11, 27, tzinfo=UTC)
YEAR_S = 365 * 86_400
_ACTIONS = (("allow", 860), ("redact", 70), ("label", 30), ("review", 25), ("block", 15))
_RULES = ("card-number", "threat", "insult", "registered-work", "secret", "self-harm", "weapon", "address")
_CATEGORIES = ("privacy", "violence", "harassment", "intellectual_property", "secrets", "self_harm", "weapons", "privacy")
_GENERATORS = (("language", 80), ("diffusion", 15), ("gan", 4), ("echo", 1))
PAGES = (
    "", "action:block", "tenant:tenant-0 action:block,review", "tenant:tenant-11 action:block", "category:violence",
    "action:block category:privacy tenant:tenant-0 -generator:echo", "generator:echo action:block rule:weapon",
    "subject:subject-77", "request:req-777", "kind:review", "created:2026-11-01..2026-11-07", "created:2026-01-10 action:block",
    "since:2026-11-20 tenant:tenant-9", "until:2025-12-10", "until:2026-05-27", "version:3", "actor:nobody", '"secret 13"',
    "nowhere",
)  # fmt: skip
COUNTED = ("", "action:block", "tenant:tenant-11", "created:2026-11-01..2026-11-07")
RUNS = 5
_INSERT = f"INSERT INTO entry VALUES ({', '.join('?' * len(ENTRY_COLUMNS))})"
_CHUNK = 50_000


def make(path: Path, entries: int) -> None:
    """A ledger of a year's decisions, the newest at `END`; every tenth tenant is a tenth of the size of the one before."""
    connection = sqlite3.connect(path, isolation_level=None)
    for pragma in ("page_size=8192", "journal_mode=WAL", "synchronous=OFF", "cache_size=-200000"):
        connection.execute(f"PRAGMA {pragma}")
    dialect = sqlite.dialect()
    for table in metadata.sorted_tables:
        connection.execute(str(CreateTable(table).compile(dialect=dialect)))
    for start in range(0, entries, _CHUNK):
        rows, terms = [], []
        for row, found in _rows(start, min(start + _CHUNK, entries), entries):
            rows.append(row)
            terms += found
        connection.execute("BEGIN")
        connection.executemany(_INSERT, rows)
        connection.executemany("INSERT INTO term VALUES (?, ?, ?)", terms)
        connection.execute("COMMIT")
    connection.execute("INSERT INTO head VALUES (1, ?, x'')", (entries,))
    connection.execute("INSERT INTO ledger VALUES (1, 'benchmark', 1, '')")
    for table in metadata.sorted_tables:
        for index in sorted(table.indexes, key=lambda one: str(one.name)):
            connection.execute(str(CreateIndex(index).compile(dialect=dialect)))
    connection.execute(
        "INSERT INTO moment SELECT idx / 4096, min(time), max(time) FROM entry GROUP BY idx / 4096 HAVING count(*) = 4096"
    )
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()


def _rows(start: int, stop: int, entries: int) -> Iterator[tuple[tuple[Any, ...], list[tuple[int, str, str]]]]:
    """Rows of `entry` with their rows of `term`."""
    chance = random.Random(start)
    tenants, weights = [f"tenant-{number}" for number in range(12)], [0.55**number for number in range(12)]
    span = stop - start
    actions = chance.choices([name for name, _ in _ACTIONS], [weight for _, weight in _ACTIONS], k=span)
    generators = chance.choices([name for name, _ in _GENERATORS], [weight for _, weight in _GENERATORS], k=span)
    owners = chance.choices(tenants, weights, k=span)
    for idx, action, generator, tenant in zip(range(start, stop), actions, generators, owners, strict=True):
        yield _row(idx, entries, action, generator, tenant, chance.getrandbits(122), chance.randrange(len(_RULES)))


def _row(
    idx: int, entries: int, action: str, generator: str, tenant: str, bits: int, rule: int
) -> tuple[tuple[Any, ...], list[tuple[int, str, str]]]:
    ago = YEAR_S * (entries - idx) / entries + bits % 30  # several processes: not quite in order
    moment = time_string(END - timedelta(seconds=ago))
    decision = str(UUID(int=(idx << 80) | (bits & ((1 << 80) - 1))))
    stage = "prompt" if idx % 2 else "output"
    modality = "image" if generator in {"diffusion", "gan"} and stage == "output" else "text"
    subject = f"subject-{bits % 100_003}"
    revision = sha256(f"{idx * 20 // entries}".encode()).hexdigest()
    fired = [] if action == "allow" else [(_RULES[rule], _CATEGORIES[rule])]
    request = f"req-{idx // 2}"
    body = dumps(
        {
            "schema": 1,
            "kind": "decision",
            "id": decision,
            "time": moment,
            "request": {"id": request, "tenant": tenant, "actor": "key-1", "subject": subject, "language": "en"},
            "verdict": {
                "action": action,
                "explanation": f"{action} by rule" if fired else "no rule fired",
                "fired": [
                    {
                        "rule": name, "title": f"About {name}", "action": action, "category": kind, "basis": "",
                        "because": f"pii found {name} {bits % 977}",
                    }
                    for name, kind in fired
                ],
            },
            "results": [],
            "marks": [],
        }
    )  # fmt: skip
    terms = [term for name, kind in fired for term in ((idx, "rule", name), (idx, "category", kind))]
    columns = (
        idx, sha256(b"\0" + body).digest(), "decision", body, moment, decision, request, tenant, "key-1", subject, stage,
        modality, generator, f"{generator}-small", action, "enterprise", idx * 20 // entries, revision, None,
    )  # fmt: skip
    return columns, terms


def measure(name: str, work: Callable[[], Any]) -> None:
    """One line: median and slowest of several runs, the median of a core's time, how many were found, which bound ended it."""
    taken, used = [], []
    for _ in range(RUNS):
        begun, before = time.perf_counter(), time.process_time()
        found = work()
        taken.append(1000 * (time.perf_counter() - begun))
        used.append(1000 * (time.process_time() - before))
    bound = getattr(found, "partial", "") or getattr(found, "why", "")
    number = getattr(found, "rows", None) or getattr(found, "points", None) or ()
    times = f"{statistics.median(taken):>8.1f} {max(taken):>8.1f} {statistics.median(used):>8.1f}"
    print(f"{name:<78} {times} {len(number):>5}  {bound}", flush=True)


def main() -> None:
    """Make the ledger, unless it is there, and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entries", type=int, default=5_000_000)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--keep", type=Path, default=None)
    given = parser.parse_args()
    load = " ".join(f"{one:.1f}" for one in os.getloadavg())
    print(f"{platform.machine()}, {os.cpu_count()} cores, load {load}, SQLite {sqlite3.sqlite_version}")
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        path = given.keep or Path(folder) / "ledger.db"
        if not path.exists():
            begun = time.perf_counter()
            make(path, given.entries)
            print(f"made in {time.perf_counter() - begun:.0f} s")
        url = f"sqlite:///{path}"
        print(f"{query(url, limit=1).size:,} entries, {path.stat().st_size / 1e9:.1f} GB")
        print(f"{'what (times in ms)':<78} {'median':>8} {'slowest':>8} {'of core':>8} {'found':>5}")
        for text in PAGES:
            measure(f"page of 50: {text or '(all)'}", lambda text=text: query(url, text))  # type: ignore[misc]
        measure("page of 50 from the middle: action:block", lambda: query(url, "action:block", before=given.entries // 2))
        for text in COUNTED:
            measure(f"facets: {text or '(all)'}", lambda text=text: facets(url, text))  # type: ignore[misc]
        measure("series: by hour, 2 days", lambda: series(url, "hour", "created:2026-11-25.."))
        measure("series: by day, 30 days", lambda: series(url, "day", "created:2026-10-28.."))
        measure("series: by month, all", lambda: series(url, "month"))
        measure("top: rules of action:block, all", lambda: top(url, "rule", "action:block"))
        measure("completion: tenant:t", lambda: complete(url, "tenant:t"))
        measure("completion: rule:", lambda: complete(url, "rule:"))


if __name__ == "__main__":
    main()
