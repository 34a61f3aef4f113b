"""Banks of works as a ledger has them, in a folder that follows it: what checks of a machine match against.

    look ─> rows that the catalogue lacks ─> each batch in a transaction of its own, if it leads to the digest of its entry

A process that dies anywhere leaves a catalogue that is behind, and the next look brings it on. One that went another way
than the ledger is left as it is. Reading the ledger is all that it takes: `serving.shared_banks` changes banks, too.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from time import monotonic

from sqlalchemy import Engine

from audit import banks as rows
from audit.query import identity
from audit.stores import PostgresStore, open_store
from guard.errors import GenguardError, LedgerError, ModelError, describe
from guard.matching import bank as banks
from guard.matching.bank import CATALOGUE, NAME, Bank
from guard.matching.batches import Opened
from guard.matching.outbox import alone

TIDIED = 1000
"""Works after which a bank that followed saves its indexes."""
_ASIDE = (
    "Export the bank here (genguard bank export), move its folder away, so that the ledger's is built in its place, and "
    "import again what that lacks."
)
Leaving = Callable[[], bool]
"""Says that there is no time left at all."""


class BehindError(LedgerError):
    """There was no time to follow to the end."""


class FollowedBanks:
    """The banks of a folder, after one ledger. Safe to use from several threads and processes."""

    def __init__(self, source: Engine, ledger: str) -> None:
        """`source`: reads the ledger; `ledger`: its identity. Use `followed_banks`."""
        self._source, self._identity = source, ledger
        self._kept: dict[str, Bank] = {}
        """Open ones: whether there is something new costs microseconds then."""

    def names(self) -> set[str]:
        """Banks that the ledger has, or this folder."""
        here = {name for name, where in banks.names().items() if where == "live"}
        return here | rows.heads(self._source).keys()

    def here(self) -> dict[str, Bank]:
        """Those that were looked at and are in the folder."""
        return dict(self._kept)

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

    def take_in(self, name: str, until: float = float("inf")) -> None:  # noqa: ARG002 - who may write needs time
        """Raises ModelError for a bank that has more here than in the ledger: only who writes there can take it in."""
        if (bank := self._here(name)) is not None and self._lacks(bank):
            raise ModelError(
                f"bank {name!r} has changes here that the ledger lacks",
                advice="Start a gateway on this folder: it gives them to the ledger.",
            )

    def _lacks(self, bank: Bank) -> bool:
        """Whether the ledger lacks what a bank here has."""
        head, state = rows.head(self._source, bank.name), bank.catalogue.state()
        return bool(state.seq) and (head is None or head[1] != state.head.hex())

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
            self._kept[name] = bank
            if not bank.catalogue.shared():
                bank.catalogue.share(self._identity)
        if count >= TIDIED:
            bank.tidy()

    def _place(self, bank: Bank, head: str) -> int | None:
        """The entry up to which a bank here has followed, -1 for one that is empty; None for one that is ahead of the ledger.

        Raises ModelError for one that went another way.
        """
        catalogue = bank.catalogue
        ledger = catalogue.shared()
        if ledger and ledger != self._identity:
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
            bank.catalogue.follow(before, after, opened, self._identity, change.rows)
        except ModelError as error:
            raise ModelError(
                f"the changes of bank {bank.name!r} beside entry {batch.idx} cannot be made here: {error}",
                advice=error.advice or "Run `genguard audit verify`: rows that were changed are named there.",
            ) from None

    def _check_name(self, name: str) -> None:
        if not NAME.fullmatch(name):
            raise ModelError(f"found bank name {name[:80]!r} in the ledger, expected letters, digits, - and _")


def followed_banks(url: str) -> FollowedBanks:
    """The banks of the banks folder after the ledger at a URL, which is read alone; no key is needed.

    Raises LedgerError: also for a ledger in a file, whose banks are its machine's.
    """
    store = open_store(url)
    if not isinstance(store, PostgresStore):
        raise LedgerError(
            f"found a ledger in {store.name}, expected one in PostgreSQL: banks of a file's ledger are those of its machine"
        )
    store.need()
    source = store.reader()
    return FollowedBanks(source, identity(source))


def follow_all(
    followed: FollowedBanks, *, seconds: float = float("inf"), slice_s: float = float("inf"), leaving: Leaving = lambda: False
) -> tuple[dict[str, str], dict[str, str]]:
    """Bring all banks on, each for `slice_s` at most; return what is missing of some, and why others cannot follow."""
    end = monotonic() + seconds
    return _each(followed, lambda name: followed.follow(name, min(end, monotonic() + slice_s)), leaving)


def take_in_all(
    followed: FollowedBanks, *, slice_s: float = float("inf"), leaving: Leaving = lambda: False
) -> tuple[dict[str, str], dict[str, str]]:
    """Give the ledger what only this folder has, of each bank for `slice_s` at most. Returns as `follow_all`."""
    return _each(followed, lambda name: followed.take_in(name, monotonic() + slice_s), leaving)


def _each(followed: FollowedBanks, action: Callable[[str], None], leaving: Leaving) -> tuple[dict[str, str], dict[str, str]]:
    behind: dict[str, str] = {}
    troubles: dict[str, str] = {}
    for name in sorted(followed.names()):
        if leaving():
            break
        try:
            action(name)
        except BehindError as error:
            behind[name] = str(error)
        except GenguardError as error:
            troubles[name] = describe(error)
    return behind, troubles


def _lost(name: str) -> ModelError:
    return ModelError(
        f"the ledger has fewer changes of bank {name!r} than were made through it: it was restored from an older copy, or the "
        "bank was dropped from it",
        advice=_ASIDE,
    )
