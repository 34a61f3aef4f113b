"""Finds the released image that a picture looks like: a fingerprint of each is kept, and the nearest are searched.

A fingerprint is some PDQ hashes of the upright image, reduced to `SIDE` pixels: of the whole, of what a cut of `_CUT` on one
side or `_FRAME` on all sides would leave, and of the picture inside a plain border. A picture that is looked up is hashed in
eight orientations, so that mirrored and turned copies are found. Nothing else is: what was cut further, turned by some degrees,
or made part of another picture, is for watermarks, and for banks with their local features.

The bytes: version (1), PDQ's quality (0 to 100), how many hashes, the hashes of 32 bytes each, in the order of `VIEWS`.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from guard.errors import InputError, ModelError
from guard.imaging import open_picture
from guard.matching import chance
from guard.matching.hashes import BITS, PDQ, PDQ_TURNS
from guard.matching.images import look

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image

METHOD = PDQ.name
SIDE = 256
"""Longer side, in pixels, to which images are reduced first: PDQ, which averages over 64 x 64 fields, then takes a
fourth of the time."""
MIN_QUALITY = 50
"""PDQ's quality (0 to 100) from which its bits tell pictures apart, as its authors advise."""
VIEWS = (
    "",
    "cut on all sides",
    "cut on the left",
    "cut on the right",
    "cut at the top",
    "cut at the bottom",
    "taken out of its border",
)
"""What was done to an image whose copy equals this view of it."""
VERSION = 1
_CUT, _FRAME = 0.08, 0.05
"""Shares of width and height."""
_SAME = 24
"""Bits by which hashes of one file may differ between versions of what decodes and hashes it; other pictures differ in more."""
_HEAD = 3
_BYTES = BITS // 8


@dataclass(frozen=True, slots=True)
class Near:
    """A released image that a picture looks like."""

    entry: int
    distance: int
    """Differing bits of 256."""
    transform: str
    """What seems to have been done to it, in words; empty for nothing."""


@dataclass(frozen=True, slots=True)
class Looked:
    """A picture that is looked up."""

    codes: tuple[bytes, ...] = field(repr=False)
    """Eight orientations of it, and eight more of the picture inside its border, if it has one."""
    plain: bool
    """Whether it is of few details, so that hashes have to be closer to mean anything."""

    def limit(self, hashes: int) -> int:
        """The largest distance that counts among so many hashes."""
        return chance.limit(METHOD, plain=self.plain, works=hashes, rate=chance.RATE)

    def odds(self, distance: int, hashes: int) -> float:
        """How many of so many hashes of unrelated pictures would be at least as close."""
        share = chance.curve(METHOD, "plain" if self.plain else "rich").log_share(distance)
        return float(hashes * 10.0**share)


def fingerprint(data: bytes) -> bytes:
    """The fingerprint of an image file; empty for one too small or of too little detail to be recognised again.

    Raises InputError for a file that cannot be read.
    """
    parts = _parts(open_picture(data))
    hashes = [PDQ()(part) for part in parts]
    if not hashes or hashes[0].quality < MIN_QUALITY:
        return b""
    return bytes([VERSION, hashes[0].quality, len(hashes)]) + b"".join(one.orientations[0] for one in hashes)


def fits(data: bytes, print_: bytes) -> bool:
    """Whether a fingerprint is one of this image file, whichever version of the libraries below made it."""
    try:
        made, known = codes_of(fingerprint(data)), codes_of(print_)
    except (InputError, ModelError):
        return False
    return len(made) == len(known) and max(map(_apart, made, known)) <= _SAME


def codes_of(print_: bytes) -> tuple[bytes, ...]:
    """The hashes of a fingerprint. Raises ModelError for bytes of another form."""
    count = print_[2] if len(print_) >= _HEAD else 0
    if not count or print_[0] != VERSION or count > len(VIEWS) or len(print_) != _HEAD + count * _BYTES:
        raise ModelError(f"found {len(print_)} bytes that are no fingerprint of version {VERSION}")
    return tuple(print_[at : at + _BYTES] for at in range(_HEAD, len(print_), _BYTES))


def looked(data: bytes) -> Looked:
    """Prepare an image file to be looked up. Raises InputError for one that cannot be read, or that has too little detail."""
    picture = look(_small(open_picture(data)))
    hashes = picture.hashes(METHOD)
    if hashes[0].quality < MIN_QUALITY:
        raise InputError("not matchable: the picture has too little detail to be told from others")
    return Looked(tuple(turn for hash_ in hashes for turn in hash_.orientations), picture.plain)


class Released:
    """Fingerprints in memory, 32 bytes a hash. Every hash is compared. Safe to use from several threads."""

    def __init__(self) -> None:
        self._blocks: tuple[_Block, ...] = ()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        """Hashes, six or seven an image."""
        return sum(len(block.entries) for block in self._blocks)

    def add(self, prints: Iterable[tuple[int, bytes]]) -> None:
        """Take in fingerprints by the number of their entry; those of another form are left out."""
        block = _Block.of(prints)
        if not len(block.entries):
            return
        with self._lock:
            blocks = [*self._blocks, block]
            while len(blocks) > 1 and len(blocks[-2].entries) <= 2 * len(blocks[-1].entries):
                blocks[-2:] = [blocks[-2].joined(blocks[-1])]
            self._blocks = tuple(blocks)

    def keep(self, entries: Collection[int]) -> None:
        """Drop what belongs to no entry of these."""
        import numpy as np

        wanted = np.sort(np.fromiter(entries, np.int64, len(entries)))
        with self._lock:
            self._blocks = tuple(kept for block in self._blocks if len((kept := block.only(wanted)).entries))

    def nearest(self, picture: Looked) -> tuple[list[Near], int, int]:
        """The images within the limit, nearest first and each once; the limit; and how many hashes were compared."""
        import numpy as np

        from guard.matching.hash_tables import compare

        blocks = self._blocks
        hashes = sum(len(block.entries) for block in blocks)
        limit = picture.limit(hashes)
        queries = np.frombuffer(b"".join(picture.codes), np.uint64).reshape(-1, _BYTES // 8)
        found: dict[int, Near] = {}
        for block in blocks:
            near = compare(block.codes, queries, limit)
            for row, distance, query in zip(*(part.tolist() for part in near), strict=True):
                entry = int(block.entries[row])
                if entry not in found or distance < found[entry].distance:
                    done = (VIEWS[block.views[row]], PDQ_TURNS[query % len(PDQ_TURNS)])
                    found[entry] = Near(entry, distance, ", ".join(part for part in done if part))
        return sorted(found.values(), key=lambda one: (one.distance, one.entry)), limit, hashes


@dataclass(frozen=True, slots=True)
class _Block:
    """Hashes with the entry and the view that each belongs to."""

    codes: np.ndarray[Any, Any]
    entries: np.ndarray[Any, Any]
    views: np.ndarray[Any, Any]

    @classmethod
    def of(cls, prints: Iterable[tuple[int, bytes]]) -> _Block:
        import numpy as np

        codes, entries, seen = bytearray(), [], bytearray()
        for entry, print_ in prints:
            try:
                mine = codes_of(print_)
            except ModelError:
                continue
            codes += b"".join(mine)
            entries += [entry] * len(mine)
            seen += bytes(range(len(mine)))
        rows = np.frombuffer(bytes(codes), np.uint64).reshape(-1, _BYTES // 8)
        return cls(rows, np.array(entries, np.int64), np.frombuffer(bytes(seen), np.uint8))

    def joined(self, other: _Block) -> _Block:
        import numpy as np

        pairs = ((self.codes, other.codes), (self.entries, other.entries), (self.views, other.views))
        return _Block(*(np.concatenate(pair) for pair in pairs))

    def only(self, wanted: np.ndarray[Any, Any]) -> _Block:
        import numpy as np

        kept = np.isin(self.entries, wanted)
        return self if kept.all() else _Block(self.codes[kept], self.entries[kept], self.views[kept])


def _small(image: Image) -> Image:
    """As RGB or what can become it, at most `SIDE` a side."""
    from guard.imaging import flatten

    rgb = flatten(image)
    if max(rgb.size) > SIDE:
        rgb = rgb.copy()
        rgb.thumbnail((SIDE, SIDE))
    return rgb


def _parts(image: Image) -> list[Image]:
    """What is hashed, in the order of `VIEWS`; nothing of a picture that is not matchable."""
    small = _small(image)
    try:
        seen = look(small).views
    except InputError:
        return []
    width, height = small.size
    boxes = [(_FRAME,) * 4, (_CUT, 0, 0, 0), (0, 0, _CUT, 0), (0, _CUT, 0, 0), (0, 0, 0, _CUT)]
    cuts = [
        small.crop((round(width * left), round(height * top), round(width * (1 - right)), round(height * (1 - bottom))))
        for left, top, right, bottom in boxes
    ]
    return [small, *cuts, *([seen["trimmed"]] if seen["trimmed"].size != small.size else [])]


def _apart(one: bytes, other: bytes) -> int:
    return (int.from_bytes(one) ^ int.from_bytes(other)).bit_count()
