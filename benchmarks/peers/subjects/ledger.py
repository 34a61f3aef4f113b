"""Durable, tamper-evident rows: genguard's ledger beside a hash chain with one commit a row."""

from __future__ import annotations

from benchmarks.peers.subject import Cell, Player, Subject

CALLERS = ("1", "64", "1024")
NAMES = {"1": "1 caller", "64": "64", "1024": "1,024"}

SUBJECT = Subject(
    "ledger",
    CALLERS,
    (
        Player(
            "genguard",
            "ledger_genguard",
            notes="`SqlLedger.append` from so many tasks: facts to search for, a Merkle tree; rows that wait share a commit",
        ),
        Player(
            "one commit a row",
            "ledger_naive",
            notes="the same prepared rows without facts and tree, each hashed with the row before; more callers would wait for "
            "one another",
        ),
    ),
    (
        *(Cell(f"{NAMES[case]}: rows/s", "{rate_s:,.0f}", case) for case in CALLERS),
        *(Cell(f"{NAMES[case]}: CPU a row, us", "{cpu_us:,.0f}", case) for case in CALLERS),
        *(Cell(f"{NAMES[case]}: p50 / p99, ms", "{p50_ms:.1f} / {p99_ms:.1f}", case) for case in CALLERS),
    ),
    "SQLite, WAL, synchronous=FULL; decisions of `benchmarks/ledger.py`, an answer comes when its row is on disk",
)
