"""Compares what carries banks from one machine to another with what the entries say of it."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from itertools import groupby
from typing import Any

from audit.body import BANK_CHANGE
from audit.canonical import loads
from audit.verifier.report import Problems, Tally
from audit.verifier.source import Row, Source
from guard.errors import LedgerError

_ENTRIES = f"SELECT idx, body FROM entry WHERE kind = '{BANK_CHANGE}' ORDER BY idx"  # noqa: S608 - our own word
_ROWS = "SELECT idx, piece, bank, digest, data FROM bank_batch ORDER BY idx, piece"


def compare_banks(source: Source, problem: Problems, tally: Tally) -> list[str]:
    """Tell of rows that are not as their entries say, and of some that are gone. Returns banks of which all are gone.

    A bank may be dropped from the database as a whole: who does that owes an explanation outside of it.
    """
    left = dict(_said(source))
    kept: set[str] = set()
    for idx, rows in groupby(source.each(_ROWS), key=lambda row: row[0]):
        tally("bank_batches")
        expected = left.pop(idx, None)
        if expected is None:
            problem(idx if isinstance(idx, int) else None, "bank", "a batch of changes of a bank without its entry", "none")
            continue
        kept.add(expected[0])
        _compare(idx, rows, expected, problem)
    for idx, (bank, _, _) in left.items():
        if bank in kept:
            problem(idx, "bank", f"no batch of changes of bank {bank!r}", "the one that the entry names")
    return sorted({bank for bank, _, _ in left.values()} - kept)


def _compare(idx: int, rows: Iterator[Row], expected: tuple[str, str, str], problem: Problems) -> None:
    """One batch, piece by piece."""
    bank, digest, hashed = expected
    found = sha256()
    for number, (_, piece, *names, data) in enumerate(rows):
        if (piece, *names) != (number, bank, digest) or not isinstance(data, bytes):
            problem(
                idx,
                "bank",
                f"piece {piece!r} of bank {names[0]!r} at {names[1]!r}",
                f"piece {number} of bank {bank!r} at {digest!r}",
            )
            return
        found.update(data)
    if found.hexdigest() != hashed:
        problem(idx, "bank", f"changes of bank {bank!r} with SHA-256 {found.hexdigest()}", hashed)


def _said(source: Source) -> Iterator[tuple[int, tuple[str, str, str]]]:
    """Entries that name rows. What cannot be read was told already."""
    for idx, data in source.rows(_ENTRIES):
        try:
            body: Any = loads(data)
            if isinstance(hashed := body.get("rows"), str):
                yield idx, (body["bank"], body["to"], hashed)
        except (LedgerError, KeyError, TypeError, AttributeError):
            continue
