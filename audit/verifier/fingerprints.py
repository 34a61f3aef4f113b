"""The verifier's part for fingerprints of released images: each has its entry, opens for it, and fits the stored image."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any
from uuid import UUID

from audit.vault import SealError, open_fingerprint
from audit.verifier.payloads import Bodies, PayloadChecker, Released
from audit.verifier.report import Problems, Tally
from audit.verifier.source import Source, SourceError

Fits = Callable[[bytes, bytes], bool]
"""Whether a fingerprint (the second) is one of this image file; what knows how to make them says so."""

_READ = "SELECT idx, decision, key, sealed FROM fingerprint WHERE idx >= ? AND idx < ? ORDER BY idx"


class FingerprintChecker:
    """Checks fingerprint rows chunk by chunk. A released image without one is sound: they may be deleted at any time."""

    def __init__(self, source: Source, payloads: PayloadChecker, fits: Fits | None) -> None:
        """`fits`: None to leave images alone."""
        self._source, self._payloads, self._fits = source, payloads, fits

    def chunk(self, start: int, stop: int, bodies: Bodies, present: Collection[int], problem: Problems, tally: Tally) -> None:
        """The fingerprints of entries `start` to `stop`; `bodies` and `present` as for payloads."""
        try:
            for idx, *row in self._source.rows(_READ, (start, stop)):
                tally("fingerprints")
                if idx in bodies.named:
                    self._row(idx, row, bodies.named[idx], bodies.images.get(idx), problem, tally)
                elif idx not in present:
                    problem(idx, "fingerprint", "a fingerprint without its entry", "none")
        except SourceError as error:
            found = f"fingerprints of entries {start} to {stop - 1} cannot all be read ({error})"
            problem(None, "fingerprint", found, "readable rows")

    def _row(self, idx: int, row: list[Any], named: str, image: Released | None, problem: Problems, tally: Tally) -> None:
        decision, key, sealed = row
        if image is None:
            problem(idx, "fingerprint", "a fingerprint of an entry that released no image", "none", named)
        elif decision != named or not isinstance(key, str) or not key.isascii() or not isinstance(sealed, bytes):
            problem(idx, "fingerprint", f"a fingerprint of decision {decision!r}", "the entry's own, sealed", named)
        else:
            self._sealed(idx, key, sealed, image, problem, tally)

    def _sealed(self, idx: int, key: str, sealed: bytes, image: Released, problem: Problems, tally: Tally) -> None:
        tenant, subject, cipher = self._payloads.owner(key)
        if tenant is None:
            found = f"a fingerprint under subject key {key}, which is gone"
            problem(idx, "fingerprint", found, "none", image.decision)
            return
        if (tenant, subject) != (image.tenant, image.subject):
            found = "a fingerprint under another subject's key"
            problem(idx, "fingerprint", found, "its own subject's", image.decision)
            return
        if cipher is None:
            return
        try:
            fingerprint = open_fingerprint(cipher, UUID(image.decision).bytes, sealed)
        except SealError as error:
            problem(idx, "fingerprint", f"a stored {error}", "one that opens", image.decision)
            return
        tally("fingerprints_opened")
        file = self._payloads.released(idx, image) if self._fits else None
        if self._fits is None or file is None:
            return
        tally("fingerprints_compared")
        if not self._fits(file, fingerprint):
            problem(idx, "fingerprint", "a fingerprint of another image", "that of the stored one", image.decision)
