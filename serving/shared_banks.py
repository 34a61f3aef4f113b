"""Banks that every machine has which writes to one ledger: the folder follows the ledger, and a change goes there first.

A bank of the banks folder is the ledger's bank of that name. Its catalogue here is a copy that checks match against:

    change   the bank's turn ─> what others changed ─> rows and entry committed ─> the catalogue's commit
    follow   see `serving.followed_banks`

A catalogue of before, which the ledger does not have or has the beginning of, is taken in: its history becomes rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from time import monotonic

from audit import banks as rows
from audit.ledger import SqlLedger
from audit.stores import PostgresStore
from guard.errors import ModelError, RefusedError
from guard.matching import bank as banks
from guard.matching.bank import Bank
from guard.matching.batches import Parcel, Signed
from guard.matching.changing import Changed, Sharing
from guard.matching.outbox import NAMED
from guard.types import BankChange
from serving.followed_banks import BehindError, FollowedBanks

TURN_S = 30.0
"""Seconds that a change waits for others of the same bank."""
_TURNS = "bank:"


class SharedBanks(FollowedBanks):
    """The banks of a folder, through one ledger that is written to, too."""

    def __init__(self, ledger: SqlLedger, store: PostgresStore) -> None:
        """Use `shared_banks`."""
        super().__init__(ledger.reader, ledger.identity)
        self._ledger, self._store = ledger, store

    def take_in(self, name: str, until: float = float("inf")) -> None:
        """Make rows of what a bank here has that the ledger lacks. Raises as `follow`, and RefusedError."""
        bank = self._here(name)
        while bank is not None and self._lacks(bank):
            if monotonic() > until:
                raise BehindError(f"bank {name!r} is being taken into the ledger")
            with self._store.turn(f"{_TURNS}{name}", TURN_S):
                self.follow(name, until)
                self._take_in(bank, 1)

    @contextmanager
    def turn(self, bank: Bank) -> Iterator[Sharing]:
        """See `guard.matching.bank.Shares`. Raises LedgerError, RefusedError and ModelError: then the bank is as it was."""
        with self._store.turn(f"{_TURNS}{bank.name}", TURN_S):
            self.prepare(bank.name)
            self._take_in(bank)
            yield Sharing(self._ledger.identity, partial(self._carry, bank))

    def prepare(self, name: str) -> None:
        """Before a bank is changed, or begun: bring it to where the ledger has it. Raises LedgerError and RefusedError."""
        try:
            self.follow(name)
        except ModelError as error:
            raise RefusedError(f"nothing was changed: {error}", advice=error.advice) from None

    def _take_in(self, bank: Bank, most: int | None = None) -> None:
        """In the bank's turn: make rows of batches that the ledger lacks, `most` of them."""
        catalogue, head = bank.catalogue, rows.head(self._source, bank.name)
        base = catalogue.state(0) if head is None else catalogue.state_of(bytes.fromhex(head[1]))
        assert base is not None, "it has followed"
        ends = catalogue.batches(base.seq)
        for end in ends[:most]:
            self._carry(bank, Changed(base, end, ()))
            base = end
        if ends and base == ends[-1]:
            catalogue.share(self._ledger.identity)

    def _carry(self, bank: Bank, changed: Changed) -> None:
        """Commit a change in the ledger, with its rows."""
        before, after = changed.before, changed.after
        changes = changed.changes or bank.catalogue.changes(before, after)
        with Parcel(Signed(after.time, after.actor, after.source), changes) as parcel:
            change = _recorded(bank, changed, parcel.digest)
            rows.publish(self._ledger, change, parcel.pieces, first=not before.seq)


def shared_banks(ledger: SqlLedger) -> SharedBanks | None:
    """The banks of the banks folder through a ledger; None for one in a file, whose banks are its machine's."""
    return SharedBanks(ledger, ledger.store) if isinstance(ledger.store, PostgresStore) else None


def is_shared(name: str) -> bool:
    """Whether a bank, by name or path, is one of the banks folder."""
    return banks.folder_of(name).parent == banks.banks_folder()


def _recorded(bank: Bank, changed: Changed, digest: str) -> BankChange:
    before, after = changed.before, changed.after
    retired = (after.number - before.number) - (after.size - before.size)
    return BankChange(
        bank.name,
        bank.kind,
        before.head.hex(),
        after.head.hex(),
        after.number - before.number,
        retired,
        _named(bank, changed),
        after.actor or "genguard",
        after.source,
        datetime.fromisoformat(after.time) if after.time else datetime.now(UTC),
        digest,
    )


def _named(bank: Bank, changed: Changed) -> tuple[str, ...]:
    """Ids of the first works that were changed."""
    if not changed.changes:
        return bank.catalogue.tally(changed.before, changed.after, NAMED)[2]
    return tuple(one if isinstance(one, str) else one[0].id for one in changed.changes[:NAMED])
