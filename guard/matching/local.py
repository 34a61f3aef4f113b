"""Local features: what of a picture is still found when it was cropped, turned, mirrored, framed or pasted into another.

A detail is a SIFT keypoint (Lowe 2004, through OpenCV): place, size, direction and a gradient histogram of 128 numbers. The
histogram is square-rooted (root-SIFT, Arandjelovic and Zisserman 2012), centred, spread by a signed Walsh-Hadamard transform
and cut to its 128 signs, so that details compare by differing bits. A registered work keeps its `WORK_DETAILS` strongest
details, spread over the picture; a picture that is looked up keeps up to `QUERY_DETAILS`. Mirroring permutes the histogram,
so it costs no second detection.

The bytes of a work (method `local`), little-endian: magic `GL`, version, a zero byte, width, height and count of details (16
bits each), then for all details code (16 bytes), x, y (16 bits each, in 65535ths of width and height), size (8 bits,
logarithmic) and direction (8 bits, in 256ths of a turn): 22 bytes a detail.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Self

from guard.errors import ModelError
from guard.imaging import flatten

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image

    Array = np.ndarray[Any, Any]

BITS = 128
WORK_DETAILS = 160
"""Most details that are kept of a work (about 3.5 KB)."""
QUERY_DETAILS = 1200
"""Most details that are kept of a picture that is looked up, so that each part of a collage has its share."""
WORK_SIDE = 512
"""Longer side, in pixels, to which a work is reduced before its details are found."""
QUERY_SIDE = 768
"""The same for a picture that is looked up: a work may be a small part of it."""
MIN_DETAILS = 12
"""A work with fewer is not registered by its details: too few for a match to mean anything."""
_SMALL_SIDE = 256
"""Longer side, in pixels, to which smaller pictures are enlarged first."""
_CONTRAST = 0.02
"""OpenCV's contrast threshold, half its default: soft pictures keep their details, the choice drops the weak ones."""
_GRID = 6
"""Cells a side, each of which keeps its strongest details before the rest go by strength."""
_HEAD = struct.Struct("<2sBxHHH")
_MAGIC, _VERSION = b"GL", 1
_ROW = 22
_OCTAVE = 24.0
"""Steps of the stored size an octave: 256 steps reach from 1 to 1,600 pixels."""


@dataclass(frozen=True, slots=True, eq=False)
class Details:
    """The details of one picture. Places and sizes are in its own pixels, directions in radians, clockwise on the screen."""

    width: int
    height: int
    codes: Array
    """(details, 2) unsigned 64-bit words."""
    x: Array
    y: Array
    size: Array
    angle: Array

    def __len__(self) -> int:
        return len(self.x)

    def to_bytes(self) -> bytes:
        """The bytes that a bank keeps; places are exact to a thousandth, sizes to 3 %, directions to 1 degree."""
        import numpy as np

        across = np.clip(np.rint(self.x / self.width * 65535), 0, 65535).astype("<u2")
        down = np.clip(np.rint(self.y / self.height * 65535), 0, 65535).astype("<u2")
        size = np.clip(np.rint(np.log2(np.maximum(self.size, 1)) * _OCTAVE), 0, 255).astype(np.uint8)
        turn = (np.rint(self.angle / (2 * np.pi) * 256).astype(np.int64) % 256).astype(np.uint8)
        head = _HEAD.pack(_MAGIC, _VERSION, min(self.width, 65535), min(self.height, 65535), len(self))
        parts = (self.codes.astype("<u8"), across, down, size, turn)
        return head + b"".join(part.tobytes() for part in parts)

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Read what `to_bytes` wrote. Raises ModelError for anything else."""
        import numpy as np

        if len(data) < _HEAD.size:
            raise ModelError(f"found {len(data)} bytes of local features, expected at least {_HEAD.size}")
        magic, version, width, height, count = _HEAD.unpack_from(data)
        if magic != _MAGIC or version != _VERSION or not width or not height or len(data) != _HEAD.size + count * _ROW:
            raise ModelError(
                f"found {len(data)} bytes that are no local features of version {_VERSION}",
                advice="Register the work again: features of other versions cannot be compared.",
            )
        at = _HEAD.size
        codes = np.frombuffer(data, "<u8", count * 2, at).reshape(count, 2)
        at += count * 16
        across, down = (np.frombuffer(data, "<u2", count, at + k * count * 2) for k in (0, 1))
        at += count * 4
        size, turn = (np.frombuffer(data, np.uint8, count, at + k * count) for k in (0, 1))
        return cls(
            width,
            height,
            codes,
            (across * np.float32(width / 65535)).astype(np.float32),
            (down * np.float32(height / 65535)).astype(np.float32),
            np.exp2(size / np.float32(_OCTAVE)).astype(np.float32),
            (turn * np.float32(2 * np.pi / 256)).astype(np.float32),
        )


@dataclass(frozen=True, slots=True)
class Query:
    """A picture that is looked up: its details as they are, and as they would be in its mirror image."""

    upright: Details
    mirrored: Details
    """Of the picture mirrored left to right: places, directions and codes."""


def details(image: Image) -> Details:
    """The details that are kept of a work."""
    found, histograms = _found(image, WORK_SIDE, WORK_DETAILS)
    return _coded(found, histograms)


def query(image: Image) -> Query:
    """The details of a picture that is looked up."""
    import numpy as np

    found, histograms = _found(image, QUERY_SIDE, QUERY_DETAILS)
    upright = _coded(found, histograms)
    turned = _coded(found, histograms[:, _mirror()])
    half_turn = np.float32(np.pi)
    flipped = Details(
        found.width, found.height, turned.codes, found.width - found.x, found.y, found.size, half_turn - found.angle
    )
    return Query(upright, flipped)


def _found(image: Image, side: int, most: int) -> tuple[Details, Array]:
    """Chosen details without codes, and their square-rooted histograms."""
    import cv2
    import numpy as np

    grey = np.asarray(flatten(image).convert("L"))
    height, width = grey.shape
    longer = max(width, height)
    scale = side / longer if longer > side else max(1.0, _SMALL_SIDE / longer)
    if scale != 1:
        to = (max(1, round(width * scale)), max(1, round(height * scale)))
        grey = cv2.resize(grey, to, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    points, histograms = cv2.SIFT.create(contrastThreshold=_CONTRAST).detectAndCompute(grey, None)
    rows = np.array([(*point.pt, point.size, point.angle, point.response) for point in points], np.float32).reshape(-1, 5)
    chosen = _strongest(rows, grey.shape, most)
    x, y, size, angle = rows[chosen, :4].T
    across, down = width / grey.shape[1], height / grey.shape[0]
    place = ((x + 0.5) * np.float32(across), (y + 0.5) * np.float32(down))
    kept = Details(width, height, np.empty((0, 2), np.uint64), *place, size * np.float32(across), np.deg2rad(angle))
    if not len(chosen):
        return kept, np.empty((0, BITS), np.float32)
    raw = histograms[chosen]
    return kept, np.sqrt(raw / np.maximum(raw.sum(axis=1, keepdims=True), 1e-6))


def _strongest(rows: Array, shape: tuple[int, ...], most: int) -> Array:
    """Which details to keep: half of them the strongest of each cell of a grid, the rest the strongest that are left.

    Strength is contrast times size: large details are still there when the picture is reduced.
    """
    import numpy as np

    strength = rows[:, 4] * rows[:, 2]
    order = np.lexsort((rows[:, 3], rows[:, 0], rows[:, 1], -strength))
    cell = (rows[:, 1] * _GRID // shape[0]).astype(np.int64) * _GRID + (rows[:, 0] * _GRID // shape[1]).astype(np.int64)
    of_cell = cell[order]
    by_cell = np.argsort(of_cell, kind="stable")
    starts = np.searchsorted(of_cell[by_cell], np.arange(_GRID * _GRID))
    rank = np.empty(len(order), np.int64)
    rank[by_cell] = np.arange(len(order)) - starts[of_cell[by_cell]]
    first = rank < max(1, most // (2 * _GRID * _GRID))
    return np.concatenate([order[first], order[~first]])[:most]


def _coded(found: Details, histograms: Array) -> Details:
    import numpy as np

    signs = (histograms - _mean()) @ _spread() > 0
    codes = np.packbits(signs, axis=1).view("<u8").reshape(-1, 2) if len(histograms) else found.codes
    return Details(found.width, found.height, np.ascontiguousarray(codes), found.x, found.y, found.size, found.angle)


@cache
def _mirror() -> Array:
    """Where each bin of a histogram (4 x 4 cells of 8 directions in the detail's own frame) goes in a mirror image."""
    import numpy as np

    bins = np.arange(BITS).reshape(4, 4, 8)
    return bins[::-1][:, :, (8 - np.arange(8)) % 8].ravel().copy()


@cache
def _spread() -> Array:
    """Walsh-Hadamard matrix with signs from SHA-256 of `genguard local features 1`: every code bit then hears every bin."""
    import hashlib

    import numpy as np

    matrix = np.ones((1, 1), np.float32)
    while len(matrix) < BITS:
        matrix = np.block([[matrix, matrix], [matrix, -matrix]]).astype(np.float32)
    digest = hashlib.sha256(b"genguard local features 1").digest()[: BITS // 8]
    signs = np.unpackbits(np.frombuffer(digest, np.uint8)).astype(np.float32) * 2 - 1
    return signs[:, None] * matrix


_MEANS = (
    *(65, 57, 51, 54, 64, 44, 36, 44, 115, 80, 57, 55, 64, 48, 45, 71),
    *(119, 73, 48, 47, 58, 50, 53, 80, 69, 46, 36, 42, 57, 50, 48, 57),
    *(84, 61, 54, 65, 80, 57, 43, 53, 157, 94, 64, 71, 84, 62, 54, 92),
    *(162, 95, 55, 60, 78, 67, 60, 95, 90, 54, 42, 52, 72, 60, 52, 62),
)
"""Thousandths: what the upper two rows of cells hold on average over 105 photographs (benchmarks/pictures.py, tuning half)."""


@cache
def _mean() -> Array:
    """What a histogram is on average, so that each bit is set as often as not; the lower cells mirror the upper ones."""
    import numpy as np

    both = np.array((*_MEANS, *_MEANS), np.float32) / 1000
    return np.where(np.arange(BITS) < BITS // 2, both, both[_mirror()])
