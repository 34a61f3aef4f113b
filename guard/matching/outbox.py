"""Changes of a bank that the ledger does not have yet.

The bank commits first and remembers the last change that was recorded; whatever came after it is recorded by the next who
writes. A process that dies between the two loses nothing, and the ledger takes each digest once: nothing is there twice.
"""

from __future__ import annotations

import fcntl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path

from guard.matching.bank import Bank, banks_folder, load, names
from guard.types import BankChange

NAMED = 20
"""Ids that one record names."""


def record(bank: Bank, register: Callable[[BankChange], object]) -> int:
    """Hand over what is not recorded, one record a command; return how many there were.

    `register`: records one change, durably, and raises when it cannot; then the rest waits for the next time.
    """
    if bank.folder is None:
        return 0
    with alone(bank.folder):
        changes = list(unrecorded(bank))
        for seq, change in changes:
            register(change)
            bank.catalogue.set_recorded(seq)
        return len(changes)


def record_all(register: Callable[[BankChange], object]) -> int:
    """`record` for every live bank in the banks folder."""
    return sum(
        record(load(str(banks_folder() / name), empty=True), register) for name, where in names().items() if where == "live"
    )


def unrecorded(bank: Bank) -> Iterator[tuple[int, BankChange]]:
    """(last change, record) of what the ledger does not have: batches of one actor and source are one record."""
    catalogue = bank.catalogue
    before = catalogue.state(catalogue.recorded())
    for (actor, source), group in groupby(catalogue.batches(before.seq), key=lambda one: (one.actor, one.source)):
        end = list(group)[-1]
        added, retired, works = catalogue.tally(before, end, NAMED)
        changed = datetime.fromisoformat(end.time) if end.time else datetime.now(UTC)
        yield (
            end.seq,
            BankChange(
                bank.name,
                bank.kind,
                before.head.hex(),
                end.head.hex(),
                added,
                retired,
                works,
                actor or "genguard",
                source,
                changed,
            ),
        )
        before = end


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """One process of a machine at a time: no two record overlapping stretches, or make the same changes."""
    with (folder / "outbox.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
