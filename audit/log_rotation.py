"""Which key signs a log, and how another takes its place.

The new key lies as `<key file>.next` before the `key_rotation` entry that names both keys is committed. Then both keys sign
the entries up to that one (`audit.key_chain`), the handover goes to the anchors and to `<key file>.chain`, and the new key
takes the old one's file: nobody can sign with the old one any more. Whoever comes after a crash in between finishes it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, Engine

from audit.anchor import Anchor
from audit.checkpoint import Tenure
from audit.database import clear_errors
from audit.events import KEY_ROTATION, LOG, Event
from audit.key_chain import follow, oldest
from audit.log_key import Change, default_log_key_file, latest_rotation, need_log_key, read_log_key
from audit.notary import Notary
from audit.prove import prove
from guard.errors import LedgerError, SignatureError
from guard.keyfile import sync_folder
from guard.note import SigningKey

if TYPE_CHECKING:
    from audit.ledger import SqlLedger


@dataclass(frozen=True, slots=True)
class LogKeys:
    """Where the key of one log lies, with its chain."""

    engine: Engine
    """For reading the log."""
    database: Path
    identity: str
    file: Path
    anchors: Sequence[Anchor] = ()

    @classmethod
    def of(
        cls, engine: Engine, database: Path, identity: str, key_file: Path | None, anchors: Sequence[Anchor] = ()
    ) -> LogKeys:
        """`key_file`: the key's; beside the database when left out."""
        return cls(engine, database, identity, key_file or default_log_key_file(database), anchors)

    @property
    def waiting(self) -> Path:
        """Where a key lies that is to take the place."""
        return self.file.with_name(self.file.name + ".next")

    @property
    def chain_file(self) -> Path:
        """Where the handovers are kept."""
        return self.file.with_name(self.file.name + ".chain")

    def key(self) -> SigningKey:
        """The key, made when there is none; a change that was interrupted is brought to its end. Raises LedgerError."""
        if self.waiting.exists():
            with self._alone():
                self._finish()
        return need_log_key(self.database, self.identity, self.file)

    def chain(self) -> str:
        """All handovers, oldest first; empty when the key never changed. Raises LedgerError."""
        try:
            return self.chain_file.read_text("utf-8")
        except FileNotFoundError:
            return ""
        except (OSError, UnicodeDecodeError) as error:
            raise LedgerError(f"cannot read the chain of keys {self.chain_file}: {type(error).__name__}") from None

    def tenures(self) -> tuple[Tenure, ...]:
        """The key and those before it, each with the sizes that it signs. Raises LedgerError."""
        return self._tenures(self.key())

    def rotate(self, ledger: SqlLedger, *, actor: str, reason: str = "") -> Change:
        """Put a new key in the place of the one that signs, and destroy that.

        Raises RefusedError when another process was faster, RollbackError when the log is not what was signed of it,
        LedgerError when a file cannot be written; before the entry is there, the old key stays in force.
        """
        old = self.key()
        with self._alone():
            self._notary(old).sign()  # or it says why nothing may be signed
            new = SigningKey.make(old.name)
            with clear_errors("write the new log key", self.waiting):
                self.waiting.unlink(missing_ok=True)  # of an attempt that came to nothing
                new.write(self.waiting)
                _sync(self.waiting)
            before, after = str(old.public), str(new.public)

            def unless(connection: Connection) -> str:
                known = latest_rotation(connection)
                return "" if known is None or known.after == before else "the log's key was changed meanwhile"

            fields = {"what": LOG, "before": before, "after": after}
            index = ledger.record_sync(Event(KEY_ROTATION, actor, fields, reason=reason), unless=unless)
            self._finish()
        return Change(index, before, after)

    def _notary(self, key: SigningKey) -> Notary:
        return Notary(self.engine, self.database, key, self.anchors, self._tenures(key))

    def _tenures(self, key: SigningKey) -> tuple[Tenure, ...]:
        chain = self.chain()
        try:
            return follow([*oldest(chain), key.public], chain)
        except SignatureError as error:
            raise LedgerError(
                f"the chain of keys {self.chain_file} does not hold: {error}", advice="Put it back from its backup."
            ) from None

    def _finish(self) -> None:
        """Sign the handover, keep it, and let the new key take its place, if the log says that it follows the one here."""
        with self.engine.connect() as connection:
            change = latest_rotation(connection)
        if change is None or not self.waiting.exists():
            return
        old, new = read_log_key(self.file, self.identity), read_log_key(self.waiting, self.identity)
        if (str(old.public), str(new.public)) != (change.before, change.after):
            return
        note = self._notary(old).hand_over(change.index + 1, new)
        longer = self.chain() + str(prove(self.engine, change.index, note))
        follow([*oldest(longer)], longer)  # nothing is kept that does not hold
        with clear_errors("write the chain of keys", self.chain_file):
            part = self.chain_file.with_name(f".{self.chain_file.name}.part")
            part.write_text(longer, "utf-8")
            _sync(part)
            part.replace(self.chain_file)
            sync_folder(self.file.absolute().parent)
            self.waiting.replace(self.file)
            sync_folder(self.file.absolute().parent)

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Keep other processes from changing the key at the same time."""
        with clear_errors("lock the log key", self.file):
            descriptor = os.open(self.file.absolute().parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            with clear_errors("lock the log key", self.file):
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
