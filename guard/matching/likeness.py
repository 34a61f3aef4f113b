"""Finds the released image that a picture looks like: a fingerprint of each is kept, and the nearest are searched.

A fingerprint is PDQ and pHash of some views of the upright image, reduced to `SIDE` pixels: of the whole, of what a cut of
`_CUT` on one side or `_FRAME` on all sides would leave, and of the picture inside a plain border. Two views are as far apart as
by the worse of the two hashes, which for plain pictures says far more than either. A picture that is looked up is hashed in
eight orientations, so that mirrored and turned copies are found. Nothing else is: what was cut further, turned by some degrees
or made part of another picture is for watermarks, and for banks with their local features.

The bytes: version (1), PDQ's quality (0 to 100), how many views; for each, in the order of `VIEWS`, its PDQ and its pHash.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from guard.errors import InputError, ModelError
from guard.imaging import flatten, open_picture
from guard.matching import chance
from guard.matching.hashes import BITS, PDQ, TURNS, PHash, turned
from guard.matching.images import Picture, look

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image

    Array = np.ndarray[Any, Any]

METHOD = chance.BOTH
SIDE = 256
"""Longer side, in pixels, to which images are reduced first: PDQ, which averages over 64 x 64 fields, then takes a fourth of
the time."""
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
PLAIN_LIMIT = 28
"""Never exceeded for plain pictures: of 1,400 logos looked up among 1,400 others, two were nearer to one (both of them its
sisters), and six within 32."""
VERSION = 1
_CUT, _FRAME = 0.08, 0.05
"""Shares of width and height."""
_SAME = 24
"""Bits by which hashes of one file may differ between versions of what decodes and hashes it; other pictures differ in more."""
_HEAD = 3
_BYTES = BITS // 8
_WORDS = BITS // 64


@dataclass(frozen=True, slots=True)
class Near:
    """A released image that a picture looks like."""

    entry: int
    distance: int
    """Differing bits of 256, by the worse of the two hashes."""
    transform: str
    """What seems to have been done to it, in words; empty for nothing."""


@dataclass(frozen=True, slots=True)
class Looked:
    """A picture that is looked up."""

    pdq: tuple[bytes, ...] = field(repr=False)
    """Of eight orientations, and of eight more of the picture inside its border, if it has one."""
    phash: tuple[bytes, ...] = field(repr=False)
    plain: bool
    """Whether it is of few details, so that hashes have to be closer to mean anything."""

    def limit(self, views: int) -> int:
        """The largest distance that counts among so many views of released images."""
        limit = chance.limit(METHOD, plain=self.plain, works=views, rate=chance.RATE)
        return min(limit, PLAIN_LIMIT) if self.plain else limit

    def odds(self, distance: int, views: int) -> float:
        """How many of so many views of unrelated images would be at least as close."""
        share = chance.curve(METHOD, "plain" if self.plain else "rich").log_share(distance)
        return float(views * 10.0**share)


def fingerprint(data: bytes) -> bytes:
    """The fingerprint of an image file; empty for one too small or of too little detail to be recognised again.

    Raises InputError for a file that cannot be read.
    """
    small = _small(open_picture(data))
    try:
        picture = look(small)
    except InputError:
        return b""
    whole = PDQ()(small)
    if whole.quality < MIN_QUALITY:
        return b""
    views = _views(small, picture)
    pairs = (PDQ()(view).orientations[0] + PHash().upright(view) for view in views)
    return bytes([VERSION, whole.quality, len(views)]) + b"".join(pairs)


def fits(data: bytes, print_: bytes) -> bool:
    """Whether a fingerprint is one of this image file, whichever version of the libraries below made it."""
    try:
        made, known = hashes_of(fingerprint(data)), hashes_of(print_)
    except (InputError, ModelError):
        return False
    return len(made) == len(known) and max(map(_apart, made, known)) <= _SAME


def hashes_of(print_: bytes) -> tuple[bytes, ...]:
    """The hashes of a fingerprint, two a view. Raises ModelError for bytes of another form."""
    views = print_[2] if len(print_) >= _HEAD else 0
    if not views or print_[0] != VERSION or views > len(VIEWS) or len(print_) != _HEAD + 2 * views * _BYTES:
        raise ModelError(f"found {len(print_)} bytes that are no fingerprint of version {VERSION}")
    return tuple(print_[at : at + _BYTES] for at in range(_HEAD, len(print_), _BYTES))


def looked(data: bytes) -> Looked:
    """Prepare an image file to be looked up. Raises InputError for one that cannot be read, or that has too little detail."""
    small = _small(open_picture(data))
    picture = look(small)
    # Turning a picture and hashing it is slower than turning its hash, and exact: PDQ's own shortcut costs about 25 bits here.
    turns = [one for view in [small, *_inside(small, picture)] for one in turned(view)]
    hashes = [PDQ()(one) for one in turns]
    if hashes[0].quality < MIN_QUALITY:
        raise InputError("not matchable: the picture has too little detail to be told from others")
    return Looked(tuple(one.orientations[0] for one in hashes), tuple(map(PHash().upright, turns)), picture.plain)


class Released:
    """Fingerprints in memory, 64 bytes a view. Every view is compared. Safe to use from several threads."""

    def __init__(self) -> None:
        self._blocks: tuple[_Block, ...] = ()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        """Views, six or seven an image."""
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

        wanted = np.fromiter(entries, np.int64, len(entries))
        with self._lock:
            self._blocks = tuple(kept for block in self._blocks if len((kept := block.only(wanted)).entries))

    def nearest(self, picture: Looked) -> tuple[list[Near], int, int]:
        """The images within the limit, nearest first and each once; the limit; and how many views were compared."""
        blocks = self._blocks
        views = sum(len(block.entries) for block in blocks)
        limit = picture.limit(views)
        found: dict[int, Near] = {}
        for block in blocks:
            for near in block.near(picture, limit):
                if near.entry not in found or near.distance < found[near.entry].distance:
                    found[near.entry] = near
        return sorted(found.values(), key=lambda one: (one.distance, one.entry)), limit, views


@dataclass(frozen=True, slots=True)
class _Block:
    """Views, each with its two hashes and the entry that it belongs to."""

    pdq: Array
    phash: Array
    entries: Array
    views: Array

    @classmethod
    def of(cls, prints: Iterable[tuple[int, bytes]]) -> _Block:
        import numpy as np

        hashes, entries, seen = bytearray(), [], bytearray()
        for entry, print_ in prints:
            try:
                mine = hashes_of(print_)
            except ModelError:
                continue
            hashes += b"".join(mine)
            entries += [entry] * (len(mine) // 2)
            seen += bytes(range(len(mine) // 2))
        pairs = np.frombuffer(bytes(hashes), np.uint64).reshape(-1, 2, _WORDS)
        first, second = (np.ascontiguousarray(pairs[:, which]) for which in (0, 1))
        return cls(first, second, np.array(entries, np.int64), np.frombuffer(bytes(seen), np.uint8))

    def near(self, picture: Looked, limit: int) -> Iterable[Near]:
        """Views within the limit by both hashes: by PDQ first, then in the orientation that is nearest by it."""
        import numpy as np

        from guard.matching.hash_tables import compare

        found = compare(self.pdq, _words(picture.pdq), limit)
        other = np.bitwise_count(self.phash[found.where] ^ _words(picture.phash)[found.queries]).sum(axis=1, dtype=np.int64)
        apart = np.maximum(found.distances, other)
        for row, distance, query in zip(found.where.tolist(), apart.tolist(), found.queries.tolist(), strict=True):
            if distance <= limit:
                done = (VIEWS[self.views[row]], TURNS[query % len(TURNS)])
                yield Near(int(self.entries[row]), distance, ", ".join(part for part in done if part))

    def joined(self, other: _Block) -> _Block:
        import numpy as np

        return _Block(*(np.concatenate(pair) for pair in zip(self._columns, other._columns, strict=True)))

    def only(self, wanted: Array) -> _Block:
        import numpy as np

        kept = np.isin(self.entries, wanted)
        return self if kept.all() else _Block(*(column[kept] for column in self._columns))

    @property
    def _columns(self) -> tuple[Array, ...]:
        return self.pdq, self.phash, self.entries, self.views


def _small(image: Image) -> Image:
    """As RGB, at most `SIDE` a side."""
    rgb = flatten(image)
    if max(rgb.size) > SIDE:
        rgb = rgb.copy()
        rgb.thumbnail((SIDE, SIDE))
    return rgb


def _views(small: Image, picture: Picture) -> list[Image]:
    """What is hashed of a released image, in the order of `VIEWS`."""
    width, height = small.size
    boxes = [(_FRAME,) * 4, (_CUT, 0, 0, 0), (0, 0, _CUT, 0), (0, _CUT, 0, 0), (0, 0, 0, _CUT)]
    cuts = [
        small.crop((round(width * left), round(height * top), round(width * (1 - right)), round(height * (1 - bottom))))
        for left, top, right, bottom in boxes
    ]
    return [small, *cuts, *_inside(small, picture)]


def _inside(small: Image, picture: Picture) -> list[Image]:
    """The picture inside its plain border, if it has one."""
    inner = picture.views["trimmed"]
    return [inner] if inner.size != small.size else []


def _words(hashes: tuple[bytes, ...]) -> Array:
    import numpy as np

    return np.frombuffer(b"".join(hashes), np.uint64).reshape(-1, _WORDS)


def _apart(one: bytes, other: bytes) -> int:
    return (int.from_bytes(one) ^ int.from_bytes(other)).bit_count()
