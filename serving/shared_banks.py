"""Banks that every machine has which writes to one ledger: the folder follows the ledger, and a change goes there first.

A bank of the banks folder is the ledger's bank of that name. Its catalogue here is a copy that checks match against:

    change   the bank's turn ─> what others changed ─> rows and entry committed ─> the catalogue's commit
    follow   rows that the catalogue lacks ─> each batch in a transaction of its own, if it leads to the digest of its entry

A process that dies anywhere leaves a catalogue that is behind, and the next look brings it on. A catalogue of before, which the
ledger does not have or has the beginning of, is taken in: its history becomes rows. One that went another way is left as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from functools import partial
from time import monotonic

from audit import banks as rows
from audit.ledger import SqlLedger
from audit.stores import PostgresStore
from guard.errors import GenguardError, LedgerError, ModelError, RefusedError, describe
from guard.matching import bank as banks
from guard.matching.bank import CATALOGUE, NAME, Bank
from guard.matching.batches import Opened, Parcel, Signed
from guard.matching.changing import Changed, Sharing
from guard.matching.outbox import NAMED, alone
from guard.types import BankChange

TURN_S = 30.0
"""Seconds that a change waits for others of the same bank."""
TIDIED = 1000
"""Works after which a bank that followed saves its indexes."""
_TURNS = "bank:"
_ASIDE = (
    "Export the bank here (genguard bank export), move its folder away, so that the ledger's is built in its place, and "
    "import again what that lacks."
)
Leaving = Callable[[], bool]
"""Says that there is no time left at all."""


class BehindError(LedgerError):
    """There was no time to follow to the end."""


class SharedBanks:
    """The banks of a folder, through one ledger. Safe to use from several threads and processes."""

    def __init__(self, ledger: SqlLedger, store: PostgresStore) -> None:
        """Use `shared_banks`."""
        self._ledger, self._store, self._source = ledger, store, ledger.reader
        self._kept: dict[str, Bank] = {}
        """Open ones: whether there is something new costs microseconds then."""

    # --- following ----------------------------------------------------------------------------------------------------

    def names(self) -> set[str]:
        """Banks that the ledger has, or this folder."""
        here = {name for name, where in banks.names().items() if where == "live"}
        return here | rows.heads(self._source).keys()

    def follow(self, name: str, until: float = float("inf")) -> None:
        """Bring a bank here to where the ledger has it. `until`: by `monotonic`.

        Raises BehindError when that takes longer, LedgerError, and ModelError for a bank that cannot follow.
        """
        self._check_name(name)
        head = rows.head(self._source, name)
        if head is None:
            if (found := self._here(name)) is not None and found.catalogue.shared():
                raise _lost(name)
            return
        bank = self._here(name)
        if bank is None or bank.digest != head[1] or not bank.catalogue.shared():
            self._follow(name, head, until)

    def take_in(self, name: str, until: float = float("inf")) -> None:
        """Make rows of what a bank here has that the ledger lacks. Raises as `follow`, and RefusedError."""
        bank = self._here(name)
        while bank is not None and self._lacks(bank):
            if monotonic() > until:
                raise BehindError(f"bank {name!r} is being taken into the ledger")
            with self._store.turn(f"{_TURNS}{name}", TURN_S):
                self.follow(name, until)
                self._take_in(bank, 1)

    def _here(self, name: str) -> Bank | None:
        folder = banks.folder_of(name)
        if not (folder / CATALOGUE).is_file():
            return None
        self._kept[name] = bank = banks.live(folder)
        return bank

    def _follow(self, name: str, head: tuple[int, str], until: float) -> None:
        folder = banks.folder_of(name)
        with ExitStack() as held:
            try:
                folder.mkdir(parents=True, exist_ok=True, mode=0o700)
                held.enter_context(alone(folder))
            except OSError as error:
                raise ModelError(
                    f"bank {name!r} cannot follow the ledger: {error.strerror}",
                    advice="Name a folder that can be written to with GENGUARD_BANKS.",
                ) from None
            place = -1
            if (bank := self._here(name)) is not None:
                found = self._place(bank, head[1])
                if found is None:
                    return  # it is ahead: what it has more is to be taken in
                place = found
            count = 0
            while batches := rows.following(self._source, name, place):
                bank = bank or banks.live(folder, kind=batches[0].change.kind)
                for batch in batches:
                    if monotonic() > until:
                        raise BehindError(f"bank {name!r} lacks {rows.left(self._source, name, place)} batches of changes")
                    self._make(bank, batch)
                    place, count = batch.idx, count + batch.change.added + batch.change.retired
            if bank is None or place < head[0]:
                raise ModelError(
                    f"the rows of bank {name!r} beside entry {head[0]} are not whole", advice="Run `genguard audit verify`."
                )
            if not bank.catalogue.shared():
                bank.catalogue.share(self._ledger.identity)
        if count >= TIDIED:
            bank.tidy()

    def _place(self, bank: Bank, head: str) -> int | None:
        """The entry up to which a bank here has followed, -1 for one that is empty; None for one that is ahead of the ledger.

        Raises ModelError for one that went another way.
        """
        catalogue = bank.catalogue
        ledger = catalogue.shared()
        if ledger and ledger != self._ledger.identity:
            raise ModelError(
                f"bank {bank.name!r} is shared through another ledger, {ledger}",
                advice="Name another folder with GENGUARD_BANKS.",
            )
        state = catalogue.state()
        first = next(iter(rows.following(self._source, bank.name, -1)), None)
        if first is not None and first.change.before == catalogue.state(0).head.hex():
            if not state.seq:
                return -1
            if (place := rows.place(self._source, bank.name, state.head.hex())) is not None:
                return place
            if catalogue.state_of(bytes.fromhex(head)) is not None:
                if not ledger:
                    return None
                raise _lost(bank.name)
        raise ModelError(
            f"bank {bank.name!r} has another history here, at {state.head.hex()[:16]}, than in the ledger, at {head[:16]}",
            advice=_ASIDE,
        )

    def _make(self, bank: Bank, batch: rows.Batch) -> None:
        """Make the changes of a batch here. Raises ModelError for rows that are not what the entry says."""
        change = batch.change
        before, after = bytes.fromhex(change.before), bytes.fromhex(change.after)
        try:
            opened = Opened(rows.pieces(self._source, batch.idx))
            bank.catalogue.follow(before, after, opened, self._ledger.identity, change.rows)
        except ModelError as error:
            raise ModelError(
                f"the changes of bank {bank.name!r} beside entry {batch.idx} cannot be made here: {error}",
                advice=error.advice or "Run `genguard audit verify`: rows that were changed are named there.",
            ) from None

    # --- changing -----------------------------------------------------------------------------------------------------

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

    def _lacks(self, bank: Bank) -> bool:
        """Whether the ledger lacks what a bank here has."""
        head, state = rows.head(self._source, bank.name), bank.catalogue.state()
        return bool(state.seq) and (head is None or head[1] != state.head.hex())

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

    def _check_name(self, name: str) -> None:
        if not NAME.fullmatch(name):
            raise ModelError(f"found bank name {name[:80]!r} in the ledger, expected letters, digits, - and _")


def shared_banks(ledger: SqlLedger) -> SharedBanks | None:
    """The banks of the banks folder through a ledger; None for one in a file, whose banks are its machine's."""
    return SharedBanks(ledger, ledger.store) if isinstance(ledger.store, PostgresStore) else None


def follow_all(
    shared: SharedBanks, *, seconds: float = float("inf"), slice_s: float = float("inf"), leaving: Leaving = lambda: False
) -> tuple[dict[str, str], dict[str, str]]:
    """Bring all banks on, each for `slice_s` at most; return what is missing of some, and why others cannot follow."""
    end = monotonic() + seconds
    return _each(shared, lambda name: shared.follow(name, min(end, monotonic() + slice_s)), leaving)


def take_in_all(
    shared: SharedBanks, *, slice_s: float = float("inf"), leaving: Leaving = lambda: False
) -> tuple[dict[str, str], dict[str, str]]:
    """Give the ledger what only this folder has, of each bank for `slice_s` at most. Returns as `follow_all`."""
    return _each(shared, lambda name: shared.take_in(name, monotonic() + slice_s), leaving)


def _each(shared: SharedBanks, action: Callable[[str], None], leaving: Leaving) -> tuple[dict[str, str], dict[str, str]]:
    behind: dict[str, str] = {}
    troubles: dict[str, str] = {}
    for name in sorted(shared.names()):
        if leaving():
            break
        try:
            action(name)
        except BehindError as error:
            behind[name] = str(error)
        except GenguardError as error:
            troubles[name] = describe(error)
    return behind, troubles


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


def _lost(name: str) -> ModelError:
    return ModelError(
        f"the ledger has fewer changes of bank {name!r} than were made through it: it was restored from an older copy, or the "
        "bank was dropped from it",
        advice=_ASIDE,
    )
