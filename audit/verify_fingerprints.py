"""The verifier's part for fingerprints of released images: each has its entry, opens for it, and fits the stored image."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection, Mapping
from typing import Any
from uuid import UUID

from audit.vault import SealError, open_fingerprint
from audit.verify_payloads import PayloadChecker, Problems, Tally

Fits = Callable[[bytes, bytes], bool]
"""Whether a fingerprint (the second) is one of this image file; what knows how to make them says so."""


class FingerprintChecker:
    """Checks fingerprint rows chunk by chunk. A released image without one is sound: they may be deleted at any time."""

    def __init__(
        self, connection: sqlite3.Connection, payloads: PayloadChecker, problem: Problems, tally: Tally, fits: Fits | None
    ) -> None:
        """`fits`: None to leave images alone."""
        self._connection, self._payloads, self._problem, self._tally, self._fits = connection, payloads, problem, tally, fits

    def chunk(self, start: int, stop: int, bodies: Mapping[int, Mapping[str, Any]], present: Collection[int]) -> None:
        """The fingerprints of entries `start` to `stop`; `bodies` and `present` as for payloads."""
        statement = "SELECT idx, decision, key, sealed FROM fingerprint WHERE idx >= ? AND idx < ? ORDER BY idx"
        try:
            for idx, *row in self._connection.execute(statement, (start, stop)):
                self._tally("fingerprints")
                if idx in bodies:
                    self._row(idx, row, bodies[idx])
                elif idx not in present:
                    self._problem(idx, "fingerprint", "a fingerprint without its entry", "none")
        except (sqlite3.Error, OverflowError) as error:
            self._problem(
                None,
                "fingerprint",
                f"fingerprints of entries {start} to {stop - 1} cannot all be read ({error})",
                "readable rows",
            )

    def _row(self, idx: int, row: list[Any], body: Mapping[str, Any]) -> None:
        decision, key, sealed = row
        named = str(body.get("id", ""))
        if "released" not in body or body["context"]["modality"] != "image":
            self._problem(idx, "fingerprint", "a fingerprint of an entry that released no image", "none", named)
        elif decision != named or not isinstance(key, str) or not key.isascii() or not isinstance(sealed, bytes):
            self._problem(idx, "fingerprint", f"a fingerprint of decision {decision!r}", "the entry's own, sealed", named)
        else:
            self._sealed(idx, key, sealed, body)

    def _sealed(self, idx: int, key: str, sealed: bytes, body: Mapping[str, Any]) -> None:
        named, request = str(body["id"]), body["request"]
        stored = self._connection.execute("SELECT tenant, subject, wrapped FROM subject_key WHERE id = ?", (key,)).fetchone()
        if stored is None:
            self._problem(idx, "fingerprint", f"a fingerprint under subject key {key}, which is gone", "none", named)
            return
        if stored[:2] != (request["tenant"], request["subject"]):
            self._problem(idx, "fingerprint", "a fingerprint under another subject's key", "its own subject's", named)
            return
        cipher = self._payloads.cipher(key, *stored)
        if cipher is None:
            return
        try:
            fingerprint = open_fingerprint(cipher, UUID(named).bytes, sealed)
        except SealError as error:
            self._problem(idx, "fingerprint", f"a stored {error}", "one that opens", named)
            return
        self._tally("fingerprints_opened")
        image = self._payloads.released(idx, body) if self._fits else None
        if self._fits is None or image is None:
            return
        self._tally("fingerprints_compared")
        if not self._fits(image, fingerprint):
            self._problem(idx, "fingerprint", "a fingerprint of another image", "that of the stored one", named)
