"""Batches of changes of banks in a ledger that several machines write to: what carries a bank from one to the others.

    a change at one gateway ─> entry `bank_change` and rows of `bank_batch`, in one transaction ─> made at every other

The entry states the bank's digests before and after, and the SHA-256 of the rows' data, put together in the order of pieces;
what the data mean is `guard.matching.batches`' business. Batches of a bank follow one another: each begins where the one
before it ended, which the transaction that adds it looks at under the write lock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Engine, func, insert, select

from audit.body import bank_change_from
from audit.canonical import loads
from audit.ledger import SqlLedger
from audit.models import BANK_BATCHES as _ROWS
from audit.models import tables
from audit.query import reading
from guard.errors import LedgerError
from guard.types import BankChange

LISTED = 100
"""Batches that are told at once."""
_ENTRY, _, _HEAD, _, _, _ = tables()


@dataclass(frozen=True, slots=True)
class Batch:
    """One batch, without its data."""

    idx: int
    """Of its entry."""
    change: BankChange
    """What the entry says."""


def heads(source: Engine, after: int = -1) -> dict[str, tuple[int, str]]:
    """By bank: the entry of its last batch and the digest that it led to, of banks with one past an entry.

    Raises LedgerError when the ledger cannot be read.
    """
    last = select(func.max(_ROWS.c.idx)).where(_ROWS.c.idx > after).group_by(_ROWS.c.bank)
    found = select(_ROWS.c.bank, _ROWS.c.idx, _ROWS.c.digest).where(_ROWS.c.idx.in_(last), _ROWS.c.piece == 0)
    with reading(source) as connection:
        return {bank: (idx, digest) for bank, idx, digest in connection.execute(found)}


def head(source: Engine, bank: str) -> tuple[int, str] | None:
    """`heads` of one bank; None when there is no batch of it."""
    with reading(source) as connection:
        return _head(connection, bank)


def place(source: Engine, bank: str, digest: str) -> int | None:
    """The entry of the batch that led to a digest; None when none did. Raises LedgerError."""
    found = select(_ROWS.c.idx).where(_ROWS.c.bank == bank, _ROWS.c.digest == digest, _ROWS.c.piece == 0)
    with reading(source) as connection:
        return connection.execute(found.order_by(_ROWS.c.idx).limit(1)).scalar_one_or_none()


def following(source: Engine, bank: str, after: int) -> list[Batch]:
    """The next batches past an entry, in order, LISTED at most. Raises LedgerError, also for one that its entry denies."""
    rows = select(_ROWS.c.idx, _ROWS.c.digest, _ENTRY.c.body).join(_ENTRY, _ENTRY.c.idx == _ROWS.c.idx, isouter=True)
    rows = rows.where(_ROWS.c.bank == bank, _ROWS.c.idx > after, _ROWS.c.piece == 0).order_by(_ROWS.c.idx).limit(LISTED)
    with reading(source) as connection:
        return [_batch(bank, *row) for row in connection.execute(rows)]


def left(source: Engine, bank: str, after: int) -> int:
    """How many batches there are past an entry. Raises LedgerError."""
    counted = select(func.count()).where(_ROWS.c.bank == bank, _ROWS.c.idx > after, _ROWS.c.piece == 0)
    with reading(source) as connection:
        found: int = connection.execute(counted).scalar_one()
        return found


def pieces(source: Engine, idx: int) -> Iterator[bytes]:
    """The data of a batch, a piece in memory at a time. Raises LedgerError."""
    number = 0
    while True:
        with reading(source) as connection:
            found = select(_ROWS.c.data).where(_ROWS.c.idx == idx, _ROWS.c.piece == number)
            data = connection.execute(found).scalar_one_or_none()
        if data is None:
            return
        yield bytes(data)
        number += 1


def publish(ledger: SqlLedger, change: BankChange, data: Callable[[], Iterator[bytes]], *, first: bool) -> None:
    """Record a change and add its rows, in one transaction. `data`: the pieces, each time anew; `first`: of this bank.

    Raises RefusedError when the bank is not what the change begins with, and LedgerError.
    """

    def unless(connection: Connection) -> str:
        found = _head(connection, change.bank)
        if (found is None and first) or (found is not None and found[1] == change.before):
            return ""
        if found is None:
            return f"the ledger has nothing of bank {change.bank!r}, and the change begins at {change.before[:16]}"
        stands = found[1][:16]
        return f"bank {change.bank!r} is at {stands}, the change begins at {change.before[:16]}: others changed it meanwhile"

    def effect(connection: Connection) -> None:
        idx = connection.execute(select(_HEAD.c.size)).scalar_one()
        known: dict[str, Any] = {"idx": idx, "bank": change.bank, "digest": change.after}
        for number, piece in enumerate(data()):
            connection.execute(insert(_ROWS), {**known, "piece": number, "data": piece})

    ledger.register_sync(change, unless=unless, effect=effect)


def _head(connection: Connection, bank: str) -> tuple[int, str] | None:
    found = select(_ROWS.c.idx, _ROWS.c.digest).where(_ROWS.c.bank == bank).order_by(_ROWS.c.idx.desc()).limit(1)
    row = connection.execute(found).one_or_none()
    return None if row is None else (row.idx, row.digest)


def _batch(bank: str, idx: int, digest: str, body: bytes | None) -> Batch:
    if body is None:
        raise LedgerError(
            f"a batch of bank {bank!r} is of entry {idx}, which is not there", advice="Run `genguard audit verify`."
        )
    change = bank_change_from(loads(body))
    if (change.bank, change.after) != (bank, digest) or not change.rows:
        raise LedgerError(f"a batch of bank {bank!r} is not what entry {idx} says", advice="Run `genguard audit verify`.")
    return Batch(idx, change)
