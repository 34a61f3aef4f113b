"""Where the redaction key comes from: a file that is named, the environment, or a file beside the ledger."""

from __future__ import annotations

import logging
import os
from contextlib import suppress
from pathlib import Path

from audit.body import ACTIVATION
from audit.database import database_path
from audit.query import policy_document, query
from guard.errors import PolicyError
from guard.redact import keyed_rules
from guard.redaction_key import RedactionKey
from policies import from_document

ENVIRONMENT = "GENGUARD_REDACTION_KEY"
"""Holds the key itself, as base64."""
_LOOKED_AT = 1000
"""Policy revisions of a ledger that are looked at for keyed rules, the newest first."""
_log = logging.getLogger(__name__)


def find_redaction_key(ledger_url: str, key_file: Path | None = None) -> RedactionKey:
    """The redaction key: of `key_file` if given, else of the environment, else of `<ledger>.redaction.key`.

    Raises SettingsError when there is none, or one that cannot be used.
    """
    if key_file is None and ENVIRONMENT in os.environ:
        return RedactionKey.parse(os.environ[ENVIRONMENT], f"the environment variable {ENVIRONMENT}")
    return RedactionKey.read(key_file or _beside(ledger_url))


def need_redaction_key(ledger_url: str, key_file: Path | None = None) -> RedactionKey:
    """The redaction key for a ledger that is there, made beside it when no policy of its past needed one.

    Otherwise raises SettingsError as `find_redaction_key` does: a new key would open nothing, and no hash would be the same.
    """
    beside = _beside(ledger_url)
    if key_file is None and ENVIRONMENT not in os.environ and not beside.exists() and not _was_keyed(ledger_url):
        key = RedactionKey.make(beside)
        _log.warning("made the redaction key %s: keep a copy, for without it nothing encrypted can be read again", beside)
        return key
    return find_redaction_key(ledger_url, key_file)


def _beside(ledger_url: str) -> Path:
    database = database_path(ledger_url)
    return database.with_name(database.name + ".redaction.key")


def _was_keyed(ledger_url: str) -> bool:
    for row in query(ledger_url, kind=ACTIVATION, limit=_LOOKED_AT).rows:
        with suppress(PolicyError):  # a document of another format says nothing here
            if keyed_rules(from_document(policy_document(ledger_url, row.revision))):
                return True
    return False
