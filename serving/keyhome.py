"""Where a secret key of the operator comes from: a file that is named, the environment, or a file beside the ledger."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from audit.body import ACTIVATION
from audit.database import database_path
from audit.query import policy_document, query
from guard.errors import PolicyError
from guard.rules import Policy
from policies import from_document

Key = TypeVar("Key")
_LOOKED_AT = 1000
"""Policy revisions of a ledger that are looked at for whether they needed the key, the newest first."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class KeyHome(Generic[Key]):
    """One kind of key: what it is called, where it lies, how it is read, and which policies need it."""

    name: str
    environment: str
    """Holds the key itself, as base64."""
    suffix: str
    """Of the file beside the ledger."""
    parse: Callable[[str, str], Key]
    read: Callable[[Path], Key]
    make: Callable[[Path], Key]
    needed_by: Callable[[Policy], bool]
    loss: str
    """What is not possible without it."""

    def find(self, ledger_url: str, key_file: Path | None = None) -> Key:
        """The key: of `key_file` if given, else of the environment, else of the file beside the ledger.

        Raises SettingsError when there is none, or one that cannot be used.
        """
        if key_file is None and self.environment in os.environ:
            return self.parse(os.environ[self.environment], f"the environment variable {self.environment}")
        return self.read(key_file or self.beside(ledger_url))

    def need(self, ledger_url: str, key_file: Path | None = None) -> Key:
        """The key for a ledger that is there, made beside it when no policy of its past needed one.

        Otherwise raises SettingsError as `find` does: a new key would be no use for what the old one made.
        """
        file = self.beside(ledger_url)
        if key_file is None and self.environment not in os.environ and not file.exists() and not self._was_needed(ledger_url):
            key = self.make(file)
            _log.warning("made the %s %s: keep a copy, for without it %s", self.name, file, self.loss)
            return key
        return self.find(ledger_url, key_file)

    def beside(self, ledger_url: str) -> Path:
        """The file beside a ledger that holds its key."""
        database = database_path(ledger_url)
        return database.with_name(database.name + self.suffix)

    def _was_needed(self, ledger_url: str) -> bool:
        """Whether anything was decided under a policy that needs it: a document alone used no key."""
        for row in query(ledger_url, kind=ACTIVATION, limit=_LOOKED_AT).rows:
            with suppress(PolicyError):  # a document of another format says nothing here
                needed = self.needed_by(from_document(policy_document(ledger_url, row.revision)))
                if needed and query(ledger_url, policy=row.policy, revision=row.revision, limit=1).rows:
                    return True
        return False
