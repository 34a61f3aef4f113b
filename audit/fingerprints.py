"""Reads the fingerprints of released images, as far as they can still be opened.

A fingerprint lies sealed under its subject's key, for its decision: once the key is destroyed, or the row deleted, it is gone.
What it means is not the ledger's affair: whoever made it compares it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import Connection, Engine, and_, select

from audit.models import FINGERPRINT, tables
from audit.query import open_vault, reading
from audit.stores import store_of
from audit.vault import SealError, Vault, open_fingerprint
from guard.errors import LedgerError

CHUNK = 20_000
"""Rows that are read at once."""
_ASKED = 500
"""Indices in one statement."""
_ENTRY, _, _HEAD, _, _, _KEY = tables()
_READ = select(*FINGERPRINT.c["idx", "decision", "key", "sealed"], *_KEY.c["tenant", "subject", "wrapped"]).join(
    _KEY, _KEY.c.id == FINGERPRINT.c.key
)


@dataclass(frozen=True, slots=True)
class Batch:
    """Some fingerprints, by the index of their entry, ascending."""

    rows: tuple[tuple[int, bytes], ...] = field(repr=False)
    last: int
    """Where to go on: the largest index that was looked at."""
    more: bool
    """Whether there may be others after it."""
    size: int
    """Entries in the ledger."""


def read_fingerprints(
    source: str | Engine, after: int = -1, *, limit: int = CHUNK, key_file: str | Path | None = None
) -> Batch:
    """The next fingerprints after an index, at most `limit`; those that do not open are left out, and the verifier's affair.

    Reads with the key that `open_ledger` would use (an engine needs `key_file`). Raises LedgerError when the ledger cannot be
    read or its key is not here.
    """
    with reading(source) as connection:
        vault = open_vault(connection, key_file)
        if isinstance(vault, str):
            raise LedgerError(
                f"fingerprints cannot be looked up: {vault}", advice="Name the ledger's master key with --key-file."
            )
        size: int = connection.execute(select(_HEAD.c.size)).scalar_one()
        if not _has_table(connection):
            return Batch((), after, more=False, size=size)
        ciphers: dict[str, AESGCM | None] = {}
        rows: list[tuple[int, bytes]] = []
        seen, last = 0, after
        statement = _READ.where(FINGERPRINT.c.idx > after).order_by(FINGERPRINT.c.idx).limit(limit)
        for idx, decision, key, sealed, *owner in connection.execute(statement):
            seen, last = seen + 1, idx
            if key not in ciphers:
                ciphers[key] = _cipher(vault, key, owner)
            if (opened := _open(ciphers[key], decision, sealed)) is not None:
                rows.append((idx, opened))
        return Batch(tuple(rows), last, more=seen == limit, size=size)


def kept_fingerprints(source: str | Engine, among: Iterable[int] | None = None) -> frozenset[int]:
    """Indices whose fingerprint is still there and can be opened by who holds the key, of all or of some.

    Of some, only those that belong to the entry of that index. Raises LedgerError when the ledger cannot be read.
    """
    with reading(source) as connection:
        if not _has_table(connection):
            return frozenset()
        kept = select(FINGERPRINT.c.idx).join(_KEY, _KEY.c.id == FINGERPRINT.c.key)
        if among is None:
            return frozenset(connection.execute(kept).scalars())
        own = and_(_ENTRY.c.idx == FINGERPRINT.c.idx, _ENTRY.c.decision == FINGERPRINT.c.decision)
        kept, asked = kept.join(_ENTRY, own), list(among)
        parts = (asked[start : start + _ASKED] for start in range(0, len(asked), _ASKED))
        return frozenset(idx for part in parts for idx in connection.execute(kept.where(FINGERPRINT.c.idx.in_(part))).scalars())


def _has_table(connection: Connection) -> bool:
    """A ledger of before has none until it is opened for writing."""
    return FINGERPRINT.name in store_of(connection).tables(connection)


def _cipher(vault: Vault, key: str, owner: list[Any]) -> AESGCM | None:
    try:
        return vault.open_key(key, *owner)
    except (SealError, TypeError, ValueError):
        return None


def _open(cipher: AESGCM | None, decision: str, sealed: bytes) -> bytes | None:
    if cipher is None:
        return None
    try:
        return open_fingerprint(cipher, UUID(decision).bytes, sealed)
    except (SealError, TypeError, ValueError, AttributeError):
        return None
