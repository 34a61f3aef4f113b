"""The ledger of a process that hands over: entries are prepared and sealed here, and committed by another.

    append ─> body, leaf hash, sealed payloads ─> queue ─> a message a group ─> the committer's queue ─> commit ─> receipts

What acknowledges is the same as ever: a receipt is made from the committer's answer, which comes after its commit, or never.
When the committer ends before it answers, this waits for the next one, up to RECONNECT_S, and looks into the log: what is in it
is acknowledged, all else handed over again. While there is no committer nothing is acknowledged.
What looks at the log, or changes more than it (`unless`, `effect`, activations, rollouts, banks), is committed from here, for
which this process takes the write lock in its turn.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from time import monotonic, sleep
from typing import Any

from sqlalchemy import select

from audit.ledger import BUSY_MS, GROUP, LINGER_MS, QUEUE, RECONNECT_S, SqlLedger
from audit.models import tables
from audit.relay import wire
from audit.stores import open_store
from audit.transaction import Draft, StaleError, open_database
from guard.errors import LedgerError, RefusedError
from guard.types import Receipt

PIECE = 1 << 26
"""Bytes of one message, roughly: images are large, and a group has up to 512."""
PAUSE_S = 0.05
"""Between attempts to reach a committer that is being started."""
TRIES = 3
"""How often an entry is sealed anew, whose keys are replaced again and again."""
_ADVICE = "It is started again by itself; nothing of this call was released."

_ENTRY, _, _HEAD, _, _, _ = tables()

Answer = Receipt | LedgerError | None


def open_relayed(url: str, committer: Path, *, key_file: str | Path | None = None) -> RelayedLedger:
    """Open a ledger that is there, for entries that the process at the Unix socket `committer` commits.

    Raises LedgerError for a ledger or a key that cannot be used, not for a committer that is away.
    """
    store = open_store(url)
    engine = store.writer(BUSY_MS)
    keyring = open_database(engine, store, Path(key_file) if key_file else None)
    opened = RelayedLedger(committer, engine, store, keyring, QUEUE, GROUP, LINGER_MS / 1000)
    opened.begin()
    return opened


class _LostError(LedgerError):
    """The committer ended before it answered: what it had taken may be in the log."""


class RelayedLedger(SqlLedger):
    """A ledger whose decisions another process commits. Safe to use from several threads and event loops."""

    def __init__(self, committer: Path, *given: Any) -> None:
        """Use `open_relayed`."""
        self._place = committer
        self._wire: socket.socket | None = None
        super().__init__(*given)

    def begin(self) -> None:
        """Note how long the log is: what this process has committed lies beyond. Raises LedgerError."""
        self._seen = self.size

    def close(self, timeout: float = 30.0) -> None:
        """Hand over what waits, and let go of the file. `timeout`: seconds."""
        super().close(timeout)
        self._hang_up()

    def _commit(self, drafts: Sequence[Draft]) -> Sequence[Answer]:
        """Answer a group. Raises LedgerError when all of it failed because nothing can be committed."""
        parts = [
            (plain, piece)
            for plain, part in groupby(drafts, key=lambda draft: draft.plain)
            for piece in (_pieces(part) if plain else [list(part)])
        ]
        if len(parts) == 1:
            return self._handed_over(drafts) if parts[0][0] else super()._commit(drafts)
        answers: list[Answer] = []
        for plain, part in parts:
            try:
                answers += self._handed_over(part) if plain else super()._commit(part)
            except LedgerError as error:  # others of the group may be committed
                answers += [error] * len(part)
        return answers

    def _handed_over(self, drafts: Sequence[Draft]) -> list[Answer]:
        """Hand drafts over until none is stale. Raises LedgerError when nothing can be committed."""
        answers = self._asked(drafts)
        for _ in range(TRIES):
            stale = [place for place, answer in enumerate(answers) if isinstance(answer, StaleError)]
            if not stale:
                break
            again = [drafts[place] for place in stale]
            self._seal_here(again)
            for place, answer in zip(stale, self._asked(again), strict=True):
                answers[place] = answer
        return answers

    def _asked(self, drafts: Sequence[Draft]) -> list[Answer]:
        """What becomes of drafts, also where the committer ends meanwhile. Raises LedgerError when none can be."""
        try:
            return self._told(drafts)
        except _LostError:
            known, size = self._in_the_log(self._patiently())
        answers: list[Answer] = [
            _receipt(draft, (known[draft.leaf], size)) if draft.leaf in known else None for draft in drafts
        ]
        if left := [place for place, answer in enumerate(answers) if answer is None]:
            try:
                again = self._told([drafts[place] for place in left])
            except LedgerError as error:  # the others are committed
                again = [error] * len(left)
            for place, answer in zip(left, again, strict=True):
                answers[place] = answer
        self._acknowledged(drafts, answers)
        return answers

    def _told(self, drafts: Sequence[Draft]) -> list[Answer]:
        """What the committer answers. Raises _LostError when it ended before, LedgerError when none can be committed."""
        found, trouble = self._ask(wire.packed(drafts), len(drafts))
        answers: list[Answer] = [_receipt(draft, wire.heard(answer)) for draft, answer in zip(drafts, found, strict=True)]
        failed = [one for one in answers if isinstance(one, LedgerError) and not isinstance(one, RefusedError | StaleError)]
        if trouble and len(failed) == len(answers):
            raise failed[0]
        self._acknowledged(drafts, answers)
        return answers

    def _acknowledged(self, drafts: Sequence[Draft], answers: Sequence[Answer]) -> None:
        for draft, answer in zip(drafts, answers, strict=True):
            if isinstance(answer, Receipt):
                self._seen = max(self._seen, answer.tree_size)
                for sealed in draft.sealed:
                    sealed.key.stored = True

    def _in_the_log(self, since: int) -> tuple[dict[bytes, int], int]:
        """Leaves with their indices, from an index on, and the size of the log."""
        with self.store.clear_errors("read the ledger"), self._reader.connect() as connection, connection.begin():
            size: int = connection.execute(select(_HEAD.c.size)).scalar_one()
            rows = connection.execute(select(_ENTRY.c.leaf, _ENTRY.c.idx).where(_ENTRY.c.idx >= since))
            return {bytes(leaf): index for leaf, index in rows}, size

    def _patiently(self) -> int:
        """Wait until there is a committer: what the one before was at is over then. Returns where to look from on.

        Raises LedgerError when there is none for RECONNECT_S.
        """
        until = monotonic() + RECONNECT_S
        while True:
            try:
                self._ask([wire.LOOK], 0)
            except LedgerError:
                if monotonic() >= until:
                    raise
                sleep(PAUSE_S)
            else:
                return self._seen

    def _seal_here(self, drafts: Sequence[Draft]) -> None:
        """Make drafts anew under the keys that are in force. Raises LedgerError when those are not here."""
        with self.store.clear_errors("read the ledger"), self._reader.connect() as connection, connection.begin():
            self.keyring.follow(connection)
        for draft in drafts:
            for sealed in draft.sealed:
                self.keyring.vault.forget(sealed.key)
        for draft in drafts:
            if draft.again is not None:
                draft.take(draft.again())

    def _probe(self) -> None:
        """Raise LedgerError while the committer is away, or its next commit would fail."""
        _, trouble = self._ask([wire.LOOK], 0)
        if trouble:
            raise LedgerError(trouble)

    def _ask(self, message: Any, count: int) -> tuple[Sequence[Any], str]:
        """What the committer answers. Raises LedgerError when it is away, _LostError when it goes away before it answers."""
        self._send(message)
        assert self._wire is not None
        try:
            match wire.receive(self._wire):
                case [list(answers), str(trouble)] if len(answers) == count:
                    return answers, trouble
                case None:
                    raise wire.WireError("it ended")  # noqa: TRY301
                case _:
                    raise wire.WireError("found an answer of another form")  # noqa: TRY301
        except (OSError, wire.WireError) as error:
            raise self._away(error, _LostError) from None

    def _send(self, message: Any) -> None:
        """Send, over a new connection where the one that was there is of a committer that ended: it read no whole message.

        Raises _LostError where there was a committer a moment ago, LedgerError where there was none.
        """
        tries, was_there = (2, True) if self._wire is not None else (1, False)
        for left in reversed(range(tries)):
            try:
                wire.send(self._called(), message)
            except OSError as error:
                away = self._away(error, _LostError if was_there else LedgerError)
                if not left:
                    raise away from None
            else:
                return

    def _away(self, error: Exception, kind: type[LedgerError]) -> LedgerError:
        self._hang_up()
        why = (error.strerror or type(error).__name__) if isinstance(error, OSError) else str(error)
        return kind(f"the process that commits to {self.store.name} does not answer: {why}", advice=_ADVICE)

    def _called(self) -> socket.socket:
        if self._wire is None:
            line = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                line.connect(str(self._place))
            except OSError:
                line.close()
                raise
            self._wire = line
        return self._wire

    def _hang_up(self) -> None:
        line, self._wire = self._wire, None
        if line is not None:
            with contextlib.suppress(OSError):
                line.close()


def _pieces(drafts: Iterable[Draft]) -> Iterator[list[Draft]]:
    """Drafts in as few messages as have fewer than PIECE bytes, or one draft."""
    piece: list[Draft] = []
    size = 0
    for draft in drafts:
        more = len(draft.columns["body"]) + sum(len(one.ciphertext) for one in draft.sealed)
        if piece and size + more > PIECE:
            yield piece
            piece, size = [], 0
        piece.append(draft)
        size += more
    yield piece


def _receipt(draft: Draft, heard: tuple[int, int] | LedgerError) -> Receipt | LedgerError:
    """What acknowledges an entry that is on disk."""
    return heard if isinstance(heard, LedgerError) else Receipt(draft.decision, heard[0], draft.leaf, heard[1])
