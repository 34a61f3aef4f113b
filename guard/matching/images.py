"""Pictures against a bank in two stages.

Global hashes settle most copies in milliseconds; local features find what hashes are blind to: crops, turns, borders, captions,
screenshots, collages.

    picture ─> views ─> pdq, phash in eight orientations ─> near works ─┬─> found
                                                     nothing near: details ─> geometry ─> found
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from guard.errors import InputError, ModelError
from guard.imaging import flatten
from guard.matching import chance, local, lookup
from guard.matching.geometry import words
from guard.matching.hamming import HammingIndex, Hit
from guard.matching.hashes import (
    ALL_HASHES,
    BITS,
    CROP_RESISTANT,
    PDQ_TURNS,
    TURNS,
    Hash,
    plainness,
    segments,
    views,
)
from guard.matching.local_index import LocalIndex
from guard.matching.snapshot import Snapshot
from guard.matching.works import Fingerprint
from guard.types import Match, Region

if TYPE_CHECKING:
    from PIL.Image import Image

MIN_SIDE = 32
"""Shorter side, in pixels, below which a picture is not matchable: icons and specks all look alike."""
LOCAL = "local"
GLOBAL = (*ALL_HASHES, CROP_RESISTANT)
"""Methods of the first stage."""
REGISTERED = ("pdq", "phash", LOCAL)
"""Methods that a work is registered by unless others are asked for: the two hashes that measured best, and local features."""
UNMEASURED = {"whash": 6, CROP_RESISTANT: 12}
"""Bits within which hashes match whose chance was not measured, where nothing else is asked for."""


@dataclass(slots=True)
class Picture:
    """One picture that is looked up. What was computed of it is kept for the next bank."""

    image: Image = field(repr=False)
    """As RGB."""
    views: Mapping[str, Image] = field(repr=False)
    plain: bool
    _hashes: dict[str, tuple[Hash, ...]] = field(default_factory=dict, repr=False)
    _query: local.Query | None = field(default=None, repr=False)

    @property
    def whole(self) -> Region:
        """All of it."""
        return Region(0, 0, self.image.width, self.image.height)

    def hashes(self, method: str) -> tuple[Hash, ...]:
        """Its hashes by a method, of each view or segment."""
        if method not in self._hashes:
            self._hashes[method] = tuple(hash_ for _, hash_ in _hashes(self.views, method))
        return self._hashes[method]

    @property
    def query(self) -> local.Query:
        """Its details."""
        if self._query is None:
            self._query = local.query(self.image)
        return self._query


@dataclass(frozen=True, slots=True)
class Found:
    """A work that a picture reproduces."""

    number: int
    """In the snapshot."""
    match: Match
    where: Region
    """Where in the picture."""
    score: int
    """Per mille, how sure."""
    reason: str
    inliers: int = 0
    """Details that agree; 0 for hashes."""
    distances: Mapping[str, int] = field(default_factory=dict)
    """By method, every hash that came near: within its limit, or that of both hashes together."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How close a match has to be."""

    methods: tuple[str, ...] = ("pdq", "phash")
    """Hashes of the first stage, in use where the bank has them."""
    local: bool = True
    """Whether the second stage runs where the first finds nothing."""
    rate: float = chance.RATE
    """Wanted chance matches a picture."""
    limits: Mapping[str, int] = field(default_factory=dict)
    """Distances by method that take the place of the computed ones."""
    quality: int = 50
    """Below this quality (0 to 100) PDQ's limit is halved: with little gradient, its bits are a matter of chance."""

    @property
    def share(self) -> float:
        """The rate that each method may have."""
        return self.rate / (len(self.methods) + self.local + set(self.methods).issuperset(chance.PAIR))


def look(image: Image) -> Picture:
    """Prepare a picture to be looked up. Raises InputError for one that is not matchable: tiny or flat."""
    if min(image.size) < MIN_SIDE:
        raise InputError(
            f"not matchable: the picture has {image.width} x {image.height} pixels, expected at least {MIN_SIDE} a side",
            advice="Use the picture in a larger version.",
        )
    rgb = flatten(image)
    seen = views(rgb)
    if not seen:
        raise InputError(
            "not matchable: the picture is flat, expected something to recognise",
            advice="Register the work as it is published, not an empty area of it.",
        )
    return Picture(rgb, seen, plainness(seen["trimmed"]) >= chance.PLAIN)


def fingerprints(image: Image, methods: Sequence[str] = REGISTERED) -> tuple[Fingerprint, ...]:
    """What a bank keeps of a work. A picture with hardly a detail, such as a disc on white, has none by the method `local`.

    Raises InputError for a picture that is not matchable (tiny or flat), ModelError for an unknown method.
    """
    unknown = sorted(set(methods) - {*GLOBAL, LOCAL})
    if unknown:
        raise ModelError(f"unknown fingerprint methods {unknown}, expected some of: {', '.join((*GLOBAL, LOCAL))}")
    picture = look(image)
    found = []
    for method in methods:
        if method == LOCAL:
            kept = local.details(picture.image)
            found += [Fingerprint(LOCAL, kept.to_bytes())] if len(kept) >= local.MIN_DETAILS else []
        else:
            found += [Fingerprint(method, hash_.orientations[0], view) for view, hash_ in _hashes(picture.views, method)]
    return tuple(found)


class ImageMatcher:
    """Looks pictures up in one snapshot. Safe to share between threads."""

    def __init__(self, snapshot: Snapshot, settings: Settings = Settings()) -> None:
        self.snapshot = snapshot
        self.settings = settings

    def match(self, picture: Picture) -> list[Found]:
        """What the first stage finds, or else, if the settings ask for it, the second; surest first."""
        return self.by_hashes(picture) or (self.by_details(picture) if self.settings.local else [])

    def by_hashes(self, picture: Picture) -> list[Found]:
        """The first stage."""
        found: dict[int, Found] = {}
        together = self._together(picture)
        hits = self._hits(picture, together)
        for method, (bound, note, near) in hits.items():
            turns = PDQ_TURNS if method == "pdq" else TURNS
            for number, hit in near.items():
                agree = together and all(number in hits[other][2] for other in chance.PAIR)
                agree = agree and max(hits[other][2][number].distance for other in chance.PAIR) <= together
                if hit.distance > bound and not (agree and method in chance.PAIR):
                    continue
                limit, said = (bound, note) if hit.distance <= bound else (together, ", as both hashes agree")
                score = hash_score(hit.distance)
                if number not in found or found[number].score < score:
                    turn = turns[hit.query % len(turns)]
                    match = self._match(number, method, hit.distance, limit, turn, plain=picture.plain)
                    if hit.distance > bound:
                        apart = max(hits[other][2][number].distance for other in chance.PAIR)
                        odds = chance.expected(chance.BOTH, apart, plain=picture.plain, works=self.snapshot.size)
                        match = replace(match, chance=odds)
                    reason = f"{method} distance {hit.distance} of at most {limit} to '{match.title}'{said}"
                    near_by = {other: seen[number].distance for other, (_, _, seen) in hits.items() if number in seen}
                    found[number] = Found(number, match, picture.whole, score, reason, distances=near_by)
        return sorted(found.values(), key=lambda one: (-one.score, one.number))

    def _hits(self, picture: Picture, together: int) -> dict[str, tuple[int, str, dict[int, Hit]]]:
        """By method: its limit, a note on it, and the works within it or within that of both hashes together."""
        found = {}
        for method in self.settings.methods:
            index = self.snapshot.indexes.get(method)
            if isinstance(index, HammingIndex):
                bound, note = self.limit(method, picture)
                radius = max(bound, together) if method in chance.PAIR else bound
                queries = [turn for hash_ in picture.hashes(method) for turn in hash_.orientations]
                found[method] = (bound, note, {hit.number: hit for hit in index.search(queries, radius)})
        return found

    def _together(self, picture: Picture) -> int:
        """Bits within which PDQ and pHash count if both of them are; 0 where not both are in use with computed limits."""
        usable = set(self.settings.methods) & set(self.snapshot.indexes)
        if not usable.issuperset(chance.PAIR) or set(chance.PAIR) & set(self.settings.limits):
            return 0
        return chance.limit(chance.BOTH, plain=picture.plain, works=self.snapshot.size, rate=self.settings.share)

    def by_details(self, picture: Picture) -> list[Found]:
        """The second stage."""
        index = self.snapshot.indexes.get(LOCAL)
        if not isinstance(index, LocalIndex):
            return []
        needed = chance.details_needed(works=self.snapshot.size, rate=self.settings.share)
        needed = self.settings.limits.get(LOCAL, needed)
        return [self._shown(one, needed) for one in lookup.shown(index, picture.query) if one.placement.inliers >= needed]

    def limit(self, method: str, picture: Picture) -> tuple[int, str]:
        """The largest distance that counts for a picture, and a note for the reason."""
        asked = self.settings.limits.get(method)
        if asked is None:
            asked = UNMEASURED.get(method)
        if asked is None:
            asked = chance.limit(method, plain=picture.plain, works=self.snapshot.size, rate=self.settings.share)
        quality = min((hash_.quality for hash_ in picture.hashes(method)), default=100)
        if quality >= self.settings.quality:
            return asked, ""
        return asked // 2, f" (low detail: quality {quality} of {self.settings.quality}, limit halved)"

    def _match(self, number: int, method: str, distance: int, limit: int, transform: str, *, plain: bool) -> Match:
        work = self.snapshot.works[number]
        odds = chance.expected(method, distance, plain=plain, works=self.snapshot.size)
        return Match(self.snapshot.bank, work.id, work.title, method, distance, limit, odds, transform)

    def _shown(self, one: lookup.Shown, needed: int) -> Found:
        inliers, total, registered = one.placement.inliers, len(one.work), self.snapshot.works[one.number]
        transform = words(one.placement, one.work)
        odds = chance.expected(LOCAL, inliers, plain=False, works=self.snapshot.size)
        source = None if one.placement.whole else one.placement.source
        match = Match(
            self.snapshot.bank,
            registered.id,
            registered.title,
            LOCAL,
            total - inliers,
            total - needed,
            odds,
            transform,
            source,
        )
        how = f", {transform}" if transform else ""
        reason = f"{inliers} of {total} details of '{registered.title}' found, at least {needed} needed{how}"
        return Found(one.number, match, one.placement.where, details_score(inliers, needed), reason, inliers)


def hash_score(distance: int) -> int:
    """Per mille: 1000 for identical hashes, 0 for as many differing bits as unrelated pictures have (half of all)."""
    return max(0, round(1000 * (1 - distance / (BITS / 2))))


def details_score(inliers: int, needed: int) -> int:
    """Per mille: 750 for as many details as are needed, 875 for twice as many, towards 1000."""
    return round(1000 * (1 - needed / (4 * max(inliers, 1))))


def _hashes(seen: Mapping[str, Image], method: str) -> list[tuple[str, Hash]]:
    """Hashes with their view; a picture without a border has one view."""
    if method == CROP_RESISTANT:
        return [("segment", hash_) for hash_ in segments(seen["trimmed"])]
    if seen["whole"].size == seen["trimmed"].size:
        return [("whole", ALL_HASHES[method](seen["whole"]))]
    return [(view, ALL_HASHES[method](picture)) for view, picture in seen.items()]
