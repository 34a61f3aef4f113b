"""Finds protected works in images, against a bank of registered works.

Two stages (`guard.matching.images`): hashes of the whole picture settle re-encoding, scaling, colour, noise, turns by 90
degrees, mirroring and plain borders; where they find nothing, local features find a work that was cropped, turned, framed or
is one part of a picture. How close a match has to be follows from the bank's size and the wanted rate of false matches
(`guard.matching.chance`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from types import MappingProxyType

from guard.errors import InputError, ModelError, RegistryError
from guard.imaging import decode, identify
from guard.matching import bank as banks
from guard.matching.chance import LEAST_DETAILS, RATE
from guard.matching.hashes import BITS
from guard.matching.images import GLOBAL, LOCAL, Found, ImageMatcher, Settings, look
from guard.matching.snapshot import Snapshot
from guard.matching.works import is_territory
from guard.protocols import Check
from guard.registry import checks
from guard.types import CALLER, Content, Examples, Finding, Modality, Region, Request, Scan, Stage

BUNDLED_BANK = "protected-works"
MATCHED = "matched"
CLEARED = "cleared"
NOT_MATCHABLE = "not_matchable"
CATEGORY = "intellectual_property"
MAX_FINDINGS = 20
"""The surest works that are reported of one image."""
OVERLAP = 0.5
"""Share of a match's area that has to lie on a cleared work for the match to be of the cleared work."""


class ImageMatch:
    """A `guard.protocols.Check` over one bank, and over another of cleared works."""

    version = "2"
    modalities = frozenset({Modality.IMAGE})
    labels: Mapping[str, str] = MappingProxyType({MATCHED: CATEGORY, CLEARED: CATEGORY, NOT_MATCHABLE: CATEGORY})
    blocking = True

    def __init__(self, bank: str, cleared: str, settings: Settings, territory: str) -> None:
        """`cleared`: the name of the bank of cleared works, or empty. `territory`: where matches count, or empty: anywhere."""
        self._names = (bank, *([cleared] if cleared else ()))
        self._settings = settings
        self._territory = territory
        self._banks: tuple[banks.Bank, ...] = ()
        self._digest = ""

    @property
    def digest(self) -> str:
        """Digest of the banks as they were loaded; empty before `load`."""
        return self._digest

    @property
    def examples(self) -> Examples:
        """A turned copy of a work of the bundled bank, and a drawing that is in no bank; none for other banks."""
        if self._names != (BUNDLED_BANK,):
            return Examples((), ())
        return Examples((_example("flagged.jpg"),), (_example("clean.jpg"),))

    def load(self) -> None:
        """Load the banks. Raises ModelError when one is missing, malformed, or holds nothing that a method in use can find."""
        loaded = tuple(banks.load(name) for name in self._names)
        snapshots = [bank.snapshot() for bank in loaded]
        methods = {*self._settings.methods, *([LOCAL] if self._settings.local else ())}
        for snapshot in snapshots:
            if methods.isdisjoint(snapshot.indexes):
                raise ModelError(
                    f"no work of bank {snapshot.bank!r} has a fingerprint by {' or '.join(sorted(methods))}",
                    advice="Name a method that they have, or build the bank again with these methods.",
                )
        self._banks, self._digest = loaded, _digest(snapshots)

    def __call__(self, batch: Sequence[Content], /) -> Sequence[Scan]:
        """Match each image. Raises InputError for a damaged file, ModelError before `load`."""
        if not self._banks:
            raise ModelError("the bank is not loaded", advice="Call load() before the first batch.")
        snapshots = [bank.snapshot() for bank in self._banks]
        settings = (self._settings, _lenient(self._settings))
        matchers = [ImageMatcher(snapshot, one) for snapshot, one in zip(snapshots, settings, strict=False)]
        digest, today = _digest(snapshots), datetime.now(UTC).date()
        return [self._scan(content, matchers, digest, today) for content in batch]

    def _scan(self, content: Content, matchers: Sequence[ImageMatcher], digest: str, today: date) -> Scan:
        image = decode(content)
        whole = Region(0, 0, image.width, image.height)
        try:
            picture = look(image)
        except InputError as error:
            return Scan((Finding(CATEGORY, NOT_MATCHABLE, 1000, whole, None, str(error)),), whole, digest)
        matched: list[Found] = []
        cleared: list[Found] = []
        for stage in (ImageMatcher.by_hashes, ImageMatcher.by_details):
            if matched or (stage is ImageMatcher.by_details and not self._settings.local):
                break
            works = matchers[0].snapshot.works
            found = [one for one in stage(matchers[0], picture) if works[one.number].counts(today, self._territory)]
            excused = _excused(stage(matchers[1], picture), found) if found and matchers[1:] else []
            matched += [one for one in found if one not in excused]
            cleared += [one for one in excused if one.number not in {known.number for known in cleared}]
        findings = [_finding(one, MATCHED) for one in matched[:MAX_FINDINGS]]
        findings += [_finding(one, CLEARED) for one in cleared if one.number not in {known.number for known in matched}]
        return Scan(tuple(findings[:MAX_FINDINGS]), whole, digest)


def _lenient(settings: Settings) -> Settings:
    """For cleared works, which only have to be as close as the protected ones."""
    return replace(settings, limits={**dict.fromkeys(settings.methods, 99), LOCAL: LEAST_DETAILS}, quality=0)


def _excused(cleared: Sequence[Found], found: Sequence[Found]) -> list[Found]:
    """Which matches are rather of a cleared work: at least as near to one by every hash, or lying on one that shows more."""
    return [one for one in found if any(_covers(other, one) for other in cleared)]


def _covers(cleared: Found, found: Found) -> bool:
    if found.inliers:
        return cleared.inliers >= found.inliers and _overlap(cleared.where, found.where) >= OVERLAP
    shared = set(cleared.distances) & set(found.distances)
    return bool(shared) and all(
        method in shared and cleared.distances[method] <= distance for method, distance in found.distances.items()
    )


def _overlap(cleared: Region, found: Region) -> float:
    """The share of a match's box that lies in the cleared work's."""
    across = min(cleared.right, found.right) - max(cleared.left, found.left)
    down = min(cleared.bottom, found.bottom) - max(cleared.top, found.top)
    return max(across, 0) * max(down, 0) / ((found.right - found.left) * (found.bottom - found.top))


def _finding(one: Found, label: str) -> Finding:
    reason = one.reason if label == MATCHED else f"{one.reason}, and at least as close to a cleared work"
    return Finding(CATEGORY, label, one.score, one.where, one.match, reason)


def _digest(snapshots: Sequence[Snapshot]) -> str:
    """The bank's digest, followed by that of the cleared works if there are any."""
    return " ".join(snapshot.digest for snapshot in snapshots)


def _example(name: str) -> Content:
    data = (banks.BUNDLED / "examples" / name).read_bytes()
    return Content(Modality.IMAGE, data, identify(data)[0], Stage.OUTPUT, CALLER, Request("example"))


@checks.register("image_match")
def image_match(
    *,
    bank: str = BUNDLED_BANK,
    cleared: str = "",
    methods: Sequence[str] = ("pdq", "phash"),
    local: bool = True,
    false_match_rate: float = RATE,
    territory: str = "",
    pdq_limit: int | None = None,
    phash_limit: int | None = None,
    dhash_limit: int | None = None,
    whash_limit: int | None = None,
    crop_resistant_limit: int | None = None,
    details: int | None = None,
    pdq_quality: int = 50,
) -> Check:
    """Match images against a bank: a bundled one by name, or a file by its path.

    `cleared`: a bank of look-alikes that are allowed. `methods`: hashes of the first stage; `local`: whether the second runs
    where they find nothing. `false_match_rate`: wanted chance matches a picture, from which the limits follow unless they are
    given: bits of 256 for hashes, `details` that must agree for local features. `territory`: works that are not protected there
    do not match. `pdq_quality`: below this quality (0 to 100), PDQ's limit is halved.

    Raises RegistryError for no or unknown methods, limits at which everything matches, a rate or a territory that is none.
    """
    given = {
        "pdq": pdq_limit,
        "phash": phash_limit,
        "dhash": dhash_limit,
        "whash": whash_limit,
        "crop_resistant": crop_resistant_limit,
    }
    chosen = [methods] if isinstance(methods, str) else list(methods)
    if not chosen or not set(chosen) <= set(GLOBAL):
        raise RegistryError(f"image_match: found methods {chosen}, expected at least one of: {', '.join(GLOBAL)}")
    limits = {method: limit for method, limit in given.items() if limit is not None}
    for method, limit in limits.items():
        if not 0 <= limit < 100:
            raise RegistryError(
                f"image_match: found {method}_limit {limit}, expected 0 to 99 bits",
                advice=f"Unrelated pictures differ in about {BITS // 2} bits, and some in 100.",
            )
    if details is not None and details < 6:
        raise RegistryError(f"image_match: found details {details}, expected 6 or more", advice="Any two pictures share some.")
    if not 0 < false_match_rate <= 0.1:
        raise RegistryError(f"image_match: found false_match_rate {false_match_rate}, expected more than 0, at most 0.1")
    if territory and not is_territory(territory):
        raise RegistryError(f"image_match: found territory {territory!r}, expected a code of ISO 3166-1 such as DE, or none")
    if details is not None:
        limits[LOCAL] = details
    return ImageMatch(bank, cleared, Settings(tuple(chosen), local, false_match_rate, limits, pdq_quality), territory)
