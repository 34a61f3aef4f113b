"""Finds protected works in images by their perceptual hashes, against a bank of registered works.

Both views of a picture (whole, and without its plain border) are compared in all eight orientations. This settles re-encoding,
scaling, colour, noise, turns by 90 degrees, mirroring and plain borders, and the slightly wobbly copies that a generative model
makes of its training data. It does not see a work that was cropped by more than about 5 %, or that is one part of a picture.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from guard.errors import ModelError, RegistryError
from guard.imaging import decode, identify
from guard.matching import bank as banks
from guard.matching.hamming import HammingIndex
from guard.matching.hashes import BITS, HASHES, views
from guard.matching.snapshot import Snapshot
from guard.registry import checks
from guard.types import CALLER, Check, Content, Examples, Finding, Match, Modality, Region, Request, Scan, Stage

BUNDLED_BANK = "protected-works"
MATCHED = "matched"
MAX_FINDINGS = 20
"""The nearest works that are reported of one image."""


class ImageMatch:
    """A `guard.types.Check` over one bank."""

    version = "1"
    modalities = frozenset({Modality.IMAGE})
    labels: Mapping[str, str] = MappingProxyType({MATCHED: "intellectual_property"})
    blocking = True

    def __init__(self, bank: str, limits: Mapping[str, int], quality: int) -> None:
        """`limits`: the methods in use, with the largest distance that still counts."""
        self._name = bank
        self._limits = dict(limits)
        self._quality = quality
        self._bank: banks.Bank | None = None
        self._digest = ""

    @property
    def digest(self) -> str:
        """Digest of the bank; empty before `load`."""
        return self._digest

    @property
    def examples(self) -> Examples:
        """A turned copy of a work of the bundled bank, and a drawing that is in no bank; none for other banks."""
        if self._name != BUNDLED_BANK:
            return Examples((), ())
        return Examples((_example("flagged.jpg"),), (_example("clean.jpg"),))

    def load(self) -> None:
        """Load the bank. Raises ModelError when it is missing, malformed, or has works that no method in use can find."""
        bank = banks.load(self._name)
        snapshot = bank.snapshot()
        if not set(snapshot.indexes) & set(self._limits):
            raise ModelError(
                f"no work of bank {self._name!r} has a hash by {' or '.join(self._limits)}",
                advice="Name a method that they have, or build the bank again with these methods.",
            )
        self._bank, self._digest = bank, snapshot.digest

    def __call__(self, batch: Sequence[Content], /) -> Sequence[Scan]:
        """Match each image. Raises InputError for a damaged file, ModelError before `load`."""
        if self._bank is None:
            raise ModelError("the bank is not loaded", advice="Call load() before the first batch.")
        snapshot = self._bank.snapshot()
        return [self._scan(content, snapshot) for content in batch]

    def _scan(self, content: Content, bank: Snapshot) -> Scan:
        image = decode(content)
        whole = Region(0, 0, image.width, image.height)
        nearest: dict[str, Finding] = {}
        for picture in views(image).values():
            for method, asked in self._limits.items():
                hashed = HASHES[method](picture)
                # Little gradient makes PDQ's bits a matter of chance, so it has to be twice as sure.
                poor = hashed.quality < self._quality
                limit = asked // 2 if poor else asked
                index = bank.indexes.get(method)
                for near in index.search(hashed.orientations, limit) if isinstance(index, HammingIndex) else ():
                    work = bank.works[near.number]
                    note = f" (low detail: quality {hashed.quality} of {self._quality}, limit halved)" if poor else ""
                    reason = f"{method} distance {near.distance} of at most {limit} to '{work.title}'{note}"
                    match = Match(bank.bank, work.id, work.title, method, near.distance, limit)
                    finding = Finding(self.labels[MATCHED], MATCHED, score(near.distance), whole, match, reason)
                    known = nearest.get(work.id)
                    if known is None or known.score < finding.score:
                        nearest[work.id] = finding
        findings = sorted(nearest.values(), key=lambda finding: -finding.score)[:MAX_FINDINGS]
        return Scan(tuple(findings), whole, bank.digest)


def _example(name: str) -> Content:
    data = (banks.BUNDLED / "examples" / name).read_bytes()
    return Content(Modality.IMAGE, data, identify(data)[0], Stage.OUTPUT, CALLER, Request("example"))


def score(distance: int) -> int:
    """Per mille: 1000 for identical hashes, 0 for as many differing bits as unrelated pictures have (half of all)."""
    return max(0, round(1000 * (1 - distance / (BITS / 2))))


@checks.register("image_match")
def image_match(
    *,
    bank: str = BUNDLED_BANK,
    methods: Sequence[str] = ("pdq", "phash"),
    pdq_limit: int = 31,
    phash_limit: int = 48,
    dhash_limit: int = 31,
    pdq_quality: int = 50,
) -> Check:
    """Match images against a bank: a bundled one by name, or a file by its path.

    Limits are in bits of 256, by these measurements. Copies of the drawn works, re-encoded, scaled to a quarter, noisy, blurred
    or bordered, stay within 26 (PDQ) and 18 (pHash); coarse wobbly redrawings within 50 and 56, half of them within 30 and 29.
    The nearest of 1,200 other drawings is at 92 and 86, of two photographs (209) at 90 and 82. Plain logos on white are the
    hardest to tell apart: of 800, one pair in 10,000 is within 72 and 70, the nearest at 46 and 38. PDQ keeps the limit it is
    published with; pHash, which is exact under turns and mirroring, gets the wider one. dHash follows noise on plain paper and
    is not used unless asked for. `pdq_quality`: below this quality (0 to 100), PDQ's limit is halved.

    Raises RegistryError for no or unknown methods, or limits at which everything matches.
    """
    limits = {"pdq": pdq_limit, "phash": phash_limit, "dhash": dhash_limit}
    chosen = [methods] if isinstance(methods, str) else list(methods)
    if not chosen or not set(chosen) <= set(limits):
        raise RegistryError(f"image_match: found methods {chosen}, expected at least one of: {', '.join(limits)}")
    for method in chosen:
        if not 0 <= limits[method] < 100:
            raise RegistryError(
                f"image_match: found {method}_limit {limits[method]}, expected 0 to 99 bits",
                advice=f"Unrelated pictures differ in about {BITS // 2} bits, and some in 100.",
            )
    return ImageMatch(bank, {method: limits[method] for method in chosen}, pdq_quality)
