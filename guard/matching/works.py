"""A registered work: who owns what, on which terms, and the fingerprints it is recognised by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date

from guard.types import Modality


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What one method keeps of a work. A work may have several of one method."""

    method: str
    """A key of `guard.matching.methods.METHODS`."""
    data: bytes = field(repr=False)
    """The method's own form: 32 bytes for the 256-bit hashes."""
    view: str = ""
    """What of the work it was taken from: `whole`, `trimmed` of its border; empty where there is one view."""


@dataclass(frozen=True, slots=True)
class Work:
    """One registered work. The work itself need not be handed over: its fingerprints are enough."""

    id: str
    """Unique in its bank."""
    title: str
    modality: Modality = Modality.IMAGE
    owner: str = ""
    licence: str = ""
    terms: str = ""
    """What the owner allows or asks for, in words."""
    contact: str = ""
    valid_from: date | None = None
    valid_until: date | None = None
    """The last day on which it counts. None: no end."""
    territory: tuple[str, ...] = ()
    """ISO 3166-1 alpha-2 codes of where it counts. Empty: everywhere."""
    thumbnail: bytes = field(default=b"", repr=False)
    """A small JPEG or PNG, only if the owner allows it to be shown."""
    fingerprints: tuple[Fingerprint, ...] = field(default=(), repr=False)

    def counts(self, day: date, territory: str = "") -> bool:
        """Whether a match would count on that day and, if one is named, in that territory."""
        begun = self.valid_from is None or self.valid_from <= day
        ended = self.valid_until is not None and day > self.valid_until
        return begun and not ended and (not territory or not self.territory or territory in self.territory)


Works = Mapping[int, Work]
"""Works by their number in the bank; how they are kept is the bank's business."""


def is_territory(code: str) -> bool:
    """Whether a text has the form of an ISO 3166-1 alpha-2 code, such as DE."""
    return len(code) == 2 and code.isascii() and code.isupper()
