"""How long pages, facets, series and completions take over a large ledger.

    python benchmarks/query.py [--entries 5000000] [--folder /tmp] [--keep FILE]

The ledger is made for this: rows as the writer's, with columns, terms and small bodies, inserted in bulk and not signed. Needs
about 1.2 kB of disk an entry. `--keep`: leave it there, or take it from there when it exists. Each figure is the median and
the slowest of several runs, each on a connection of its own, as one command or one request has.
"""

from __future__ import annotations

import random
import sqlite3
import sys
from collections.abc import Iterator
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
from audit.models import ENTRY_COLUMNS, metadata

END = datetime(2026, 11, 27, tzinfo=UTC)
YEAR_S = 365 * 86_400
_ACTIONS = (("allow", 860), ("redact", 70), ("label", 30), ("review", 25), ("block", 15))
_RULES = ("card-number", "threat", "insult", "registered-work", "secret", "self-harm", "weapon", "address")
_CATEGORIES = ("privacy", "violence", "harassment", "intellectual_property", "secrets", "self_harm", "weapons", "privacy")
_GENERATORS = (("language", 80), ("diffusion", 15), ("gan", 4), ("echo", 1))
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
    moment = time_string(END - timedelta(seconds=YEAR_S * (entries - idx) / entries))
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
