"""Where the watermark key comes from: a file that is named, the environment, or a file beside the ledger."""

from __future__ import annotations

import logging
import os
from contextlib import suppress
from pathlib import Path

from audit.body import ACTIVATION
from audit.database import database_path
from audit.query import policy_document, query
from guard.errors import PolicyError
from guard.marks.key import make_watermark_key, parse_watermark_key, read_watermark_key
from guard.marks.watermark import keyed
from policies import from_document

ENVIRONMENT = "GENGUARD_WATERMARK_KEY"
"""Holds the key itself, as base64."""
_LOOKED_AT = 1000
"""Policy revisions of a ledger that are looked at for keyed marks, the newest first."""
_log = logging.getLogger(__name__)


def find_watermark_key(ledger_url: str, key_file: Path | None = None) -> bytes:
    """The watermark key: of `key_file` if given, else of the environment, else of `<ledger>.watermark.key`.

    Raises SettingsError when there is none, or one that cannot be used.
    """
    if key_file is None and ENVIRONMENT in os.environ:
        return parse_watermark_key(os.environ[ENVIRONMENT], f"the environment variable {ENVIRONMENT}")
    return read_watermark_key(key_file or beside(ledger_url))


def need_watermark_key(ledger_url: str, key_file: Path | None = None) -> bytes:
    """The watermark key for a ledger that is there, made beside it when no policy of its past needed one.

    Otherwise raises SettingsError as `find_watermark_key` does: a new key would read none of the marks that are out.
    """
    file = beside(ledger_url)
    if key_file is None and ENVIRONMENT not in os.environ and not file.exists() and not _was_keyed(ledger_url):
        key = make_watermark_key(file)
        _log.warning("made the watermark key %s: keep a copy, for without it no released image can be recognised", file)
        return key
    return find_watermark_key(ledger_url, key_file)


def beside(ledger_url: str) -> Path:
    """The file beside a ledger that holds its watermark key."""
    database = database_path(ledger_url)
    return database.with_name(database.name + ".watermark.key")


def _was_keyed(ledger_url: str) -> bool:
    for row in query(ledger_url, kind=ACTIVATION, limit=_LOOKED_AT).rows:
        with suppress(PolicyError):  # a document of another format says nothing here
            if keyed(from_document(policy_document(ledger_url, row.revision)).marks):
                return True
    return False
