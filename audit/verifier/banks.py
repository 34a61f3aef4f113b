"""Compares what carries banks from one machine to another with what the entries say of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from hashlib import sha256
from itertools import groupby
from typing import Any, NamedTuple

from audit.canonical import loads
from audit.projected import BANK_DIGEST
from audit.verifier.report import Problems, Tally
from audit.verifier.source import Row, Source
from guard.errors import LedgerError

_ENTRIES = (
    "SELECT entry.idx, entry.body FROM term JOIN entry ON entry.idx = term.idx "
    "WHERE term.name <> 'exact' AND term.name <> 'folded' AND term.name = ? ORDER BY entry.idx"
)
"""Of changes of banks: by their terms, since an index on those is there in every ledger (`audit.models.is_fact`)."""
_ROWS = "SELECT idx, piece, bank, digest, data FROM bank_batch ORDER BY idx, piece"


class _Said(NamedTuple):
    """What an entry says of the rows beside it."""

    idx: int
    bank: str
    before: str
    after: str
    hashed: str


def compare_banks(source: Source, problem: Problems, tally: Tally) -> list[str]:
    """Tell of rows that are not as their entries say, and of some that are gone. Returns banks that were dropped.

    A bank may go from the database as a whole, and be begun anew: who does that owes an explanation outside of it.
    """
    left = {one.idx: one for one in _said(source)}
    begins: dict[str, _Said] = {}
    for idx, rows in groupby(source.each(_ROWS), key=lambda row: row[0]):
        tally("bank_batches")
        said = left.pop(idx, None)
        if said is None:
            problem(idx if isinstance(idx, int) else None, "bank", "a batch of changes of a bank without its entry", "none")
            continue
        begins.setdefault(said.bank, said)
        _compare(said, rows, problem)
    dropped: set[str] = set()
    ends = {(one.bank, one.after) for one in left.values()}
    for one in left.values():
        first = begins.get(one.bank)
        if first is None or (one.idx < first.idx and (one.bank, first.before) not in ends):
            dropped.add(one.bank)
        else:
            problem(one.idx, "bank", f"no batch of changes of bank {one.bank!r}", "the one that the entry names")
    return sorted(dropped)


def _compare(said: _Said, rows: Iterable[Row], problem: Problems) -> None:
    """One batch, piece by piece."""
    found = sha256()
    for number, (_, *names, data) in enumerate(rows):
        if names != [number, said.bank, said.after] or not isinstance(data, bytes):
            told = f"piece {names[0]!r} of bank {names[1]!r} at {names[2]!r}"
            problem(said.idx, "bank", told, f"piece {number} of bank {said.bank!r} at {said.after!r}")
            return
        found.update(data)
    if found.hexdigest() != said.hashed:
        problem(said.idx, "bank", f"changes of bank {said.bank!r} with SHA-256 {found.hexdigest()}", said.hashed)


def _said(source: Source) -> Iterator[_Said]:
    """Of entries that name rows. What cannot be read was told already."""
    for idx, data in source.rows(_ENTRIES, (BANK_DIGEST,)):
        try:
            body: Any = loads(data)
            if isinstance(hashed := body.get("rows"), str):
                yield _Said(idx, str(body["bank"]), str(body["from"]), str(body["to"]), hashed)
        except (LedgerError, KeyError, TypeError, AttributeError):
            continue
