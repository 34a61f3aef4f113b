"""The released image that a picture looks like, as evidence: of what it shows, never of where it comes from.

A picture that looks like a released image may be a changed copy of it. It may as well be what the released image was made of,
as when a photograph was checked here, or a third picture that shows the same; and pictures can be made to fit a fingerprint. So
this proves nothing, overrules nothing, and the answer stays what it would be without it.
"""

from __future__ import annotations

from collections.abc import Collection

from guard.errors import InputError
from guard.marks.reading import Standing
from guard.matching.likeness import METHOD, Near, looked
from serving.book import Book, Entry
from serving.evidence import Leads, Trace, named

KIND = "nearest"
BUT = "It may be a changed copy of that, or what that was made of: looks alone prove neither."
SURE = 1e-6
"""Chance of one such match among all released images below which two pictures show the same as good as surely."""
_MISSED = "one that was cut or changed much is not found, nor one of little detail or of before fingerprints were kept"
_BLIND = "released images that look alike could not be looked up"
_TRIED = 20
"""Images that are looked at, the nearest first, until one has its entry."""


def nearest(data: bytes, book: Book, led: Collection[int]) -> tuple[Trace | None, str]:
    """What the ledger's fingerprints say of an image file, or in a note why they say nothing.

    `led`: entries that other marks lead to; one of them is named before others that are alike as well.
    """
    try:
        picture = looked(data)
    except InputError as error:
        return None, f"{_BLIND}: {error}"
    found = book.alike(picture)
    if found is None:
        return None, _BLIND
    tried = sorted(found.near, key=lambda one: one.entry not in led)[:_TRIED]
    for near in tried:
        entry = book.entry(near.entry)
        if entry is not None and entry.released:
            chance = picture.odds(near.distance, found.views)
            return _trace(near, entry, len(found.near), found.limit, chance), ""
    says = "No image that was released here looks like it." if found.views else "No released image has a fingerprint."
    return Trace(KIND, Standing.ABSENT, says, _MISSED, method=METHOD), ""


def _trace(near: Near, entry: Entry, count: int, limit: int, chance: float) -> Trace:
    far = f"at a distance of {near.distance} bits, where up to {limit} count as alike"
    done = f"; since then it seems to have been {near.transform}" if near.transform else ""
    others = f" {count} released images are alike." if count > 1 else ""
    return Trace(
        KIND,
        Standing.CANDIDATE,
        f"The nearest released image is that of {named(entry)}, {far}{done}.{others}",
        f"{'very high' if chance < SURE else 'high'} that they show the same, but that proves no origin",
        Leads.NEAR,
        entry,
        method=METHOD,
        chance=chance,
        facts={"distance": near.distance, "limit": limit, "transform": near.transform, "count": count},
    )
