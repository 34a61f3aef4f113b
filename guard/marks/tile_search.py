"""Finds how an image with a tile watermark was scaled, turned, stretched or cut since it was marked.

A pattern that repeats puts its energy on the points of a lattice in the Fourier transform of the whole image, wherever it was
cut: scaling and turning the image shrinks and turns the lattice. So candidates for the transformation are scored by the
magnitudes at their lattice points, some hundred thousand of them by table look-ups. The best of each family are climbed to
their local maximum and judged by the pilots, whose phases leave no doubt. Images whose own texture hides the lattice get a
search by pilots alone (`tile_pilots`).
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from math import inf
from typing import TYPE_CHECKING

from guard.marks.tile_pattern import Pattern

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Plane = NDArray[np.float32]
    Matrix = NDArray[np.float64]

_SIDE = 1024
"""Points of the transform each way; longer images are reduced first."""
_SMALLEST, _LARGEST = 0.22, 2.3
"""Scales of the image against its canonical size that are looked at."""
_SMALLEST_TURNED = 0.5
"""The same for images that were turned or stretched besides."""
_SCALE_STEP, _TURN_STEP = 0.006, 0.33
"""Ratio and degrees between neighbours: one point of the transform at the ring's outer edge."""
_MOST_STRETCH = 0.5
"""Largest natural logarithm of width's scale over height's."""
_COARSE_SHARE = 0.6
"""Share of the ring's radius that survives strong reduction: each family is also scored by it alone."""
_WINDOW = 0.6
"""Share of the sides that a window has in which an image within a page is looked for."""
_PLAIN, _BUSY_SHARE = 0.05, 0.02
"""Detail below the first is none; rows and columns with a smaller share of detail than the second are border."""
_FEWEST = 60
"""Lattice points that must lie inside the transform."""


@dataclass(slots=True)
class Budget:
    """How long a search may take; whoever searches asks whether there is time left."""

    seconds: float = inf
    spent: bool = False
    """Whether the search ended for want of time: then a mark may be there all the same."""
    tries: int = 0
    """Decodings so far."""
    _until: float = field(init=False)

    def __post_init__(self) -> None:
        self._until = time.monotonic() + self.seconds

    def left(self) -> bool:
        """Whether to go on."""
        self.spent = self.spent or time.monotonic() > self._until
        return not self.spent


@dataclass(frozen=True, slots=True)
class Lattice:
    """Magnitudes of an image's transform against their surroundings, ready for look-ups."""

    magnitudes: Plane
    reduced: float
    """Pixels of the image a pixel of what was transformed."""


def lattice(even: Plane) -> Lattice:
    """Prepare the look-ups for a plane of even detail."""
    import cv2
    import numpy as np
    from scipy import fft

    reduced = max(1.0, max(even.shape) / _SIDE)
    if reduced > 1:
        even = cv2.resize(even, None, fx=1 / reduced, fy=1 / reduced, interpolation=cv2.INTER_AREA)
    height, width = even.shape
    window = np.sqrt(np.outer(np.hanning(height + 2)[1:-1], np.hanning(width + 2)[1:-1])).astype(np.float32)
    half = np.abs(fft.rfft2(even * window, s=(_SIDE, _SIDE), workers=1)).astype(np.float32)
    middle = _SIDE // 2
    whole = np.empty((_SIDE, _SIDE), dtype=np.float32)
    whole[:, : middle + 1] = half
    whole[1:, middle + 1 :] = half[1:, 1:middle][::-1, ::-1]
    whole[0, middle + 1 :] = half[0, 1:middle][::-1]
    whole = fft.fftshift(whole)
    return Lattice(np.minimum(whole / (cv2.blur(whole, (25, 25)) + 1e-6), 4.0) - 1.0, reduced)


def candidates(found: Lattice, one: Pattern, *, cuts: bool | None = None) -> Iterator[Matrix]:
    """Transformations worth a closer look, likely families first: each (2, 2), from canonical pixels to the image's.

    `cuts`: what was cut or scaled, or what was turned or stretched; None for both.
    """
    import numpy as np

    seen: list[Matrix] = []
    coarse = one.layout.outer * _COARSE_SHARE
    cut, turned, stretched = _families(one.layout.tile)
    for family, count, band in (
        (cut, 12, None),
        (cut, 12, coarse),
        (turned, 8, None),
        (turned, 8, coarse),
        (stretched, 8, None),
        (stretched, 4, coarse),
    ):
        if cuts is not None and cuts is not (family is cut):
            continue
        for matrix in _best(found, one, family, count, band):
            if any(np.abs(matrix - other).max() < 0.002 * np.abs(matrix).max() for other in seen):
                continue
            seen.append(matrix)
            yield np.asarray(np.linalg.inv(matrix.reshape(2, 2) * one.layout.tile / _SIDE).T * found.reduced, dtype=np.float64)


def windows(even: Plane) -> Iterator[Plane]:
    """Parts of a plane that may show the image alone: without a plain border, then its middle and its corners."""
    import numpy as np

    busy = np.abs(even) > _PLAIN
    rows, columns = (np.flatnonzero(busy.mean(axis=axis) > _BUSY_SHARE) for axis in (1, 0))
    height, width = even.shape
    if rows.size and columns.size:
        inner = even[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        if inner.size < 0.95 * even.size:
            yield inner
    high, wide = round(height * _WINDOW), round(width * _WINDOW)
    places = [(height - high) // 2, 0, 0, height - high, height - high], [(width - wide) // 2, 0, width - wide, 0, width - wide]
    for top, left in zip(*places, strict=True):
        yield even[top : top + high, left : left + wide]


def turn(degrees: float) -> Matrix:
    """The rotation by an angle, (2, 2)."""
    import numpy as np

    cosine, sine = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    return np.array([[cosine, -sine], [sine, cosine]])


def straightened(even: Plane, matrix: Matrix, limit: int = 1536) -> Plane:
    """The plane as it was before the transformation; zero where it shows nothing. `limit`: most pixels each way."""
    import cv2
    import numpy as np

    height, width = even.shape
    corners = np.linalg.inv(matrix) @ np.array([[0, width, 0, width], [0, 0, height, height]], dtype=float)
    low = corners.min(axis=1)
    size = np.clip(np.ceil(corners.max(axis=1) - low), 1, limit).astype(int)
    full = np.hstack([matrix, (matrix @ low)[:, None]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    found: Plane = cv2.warpAffine(even, full, (int(size[0]), int(size[1])), flags=flags, borderValue=0)
    return found


@cache
def _families(tile: int) -> tuple[Plane, Plane, Plane]:
    """Maps of waves to points of the transform, (maps, 4) each: scaled alone, scaled and turned, stretched."""
    import numpy as np

    unit = _SIDE / tile
    fine = np.exp(np.arange(np.log(_SMALLEST), np.log(_LARGEST), _SCALE_STEP / 2))
    scales = np.exp(np.arange(np.log(_SMALLEST_TURNED), np.log(_LARGEST), _SCALE_STEP))
    zero = np.zeros_like(fine)
    cut = np.stack([1 / fine, zero, zero, 1 / fine], axis=1)
    scale, angle = (part.ravel() for part in np.meshgrid(scales, np.deg2rad(np.arange(0, 90, _TURN_STEP)), indexing="ij"))
    cosine, sine = np.cos(angle) / scale, np.sin(angle) / scale
    turned = np.stack([cosine, -sine, sine, cosine], axis=1)
    wide, high = (part.ravel() for part in np.meshgrid(scales, scales, indexing="ij"))
    close = np.abs(np.log(wide / high)) < _MOST_STRETCH
    zero = np.zeros(int(close.sum()))
    stretched = np.stack([1 / wide[close], zero, zero, 1 / high[close]], axis=1)
    return tuple((part * unit).astype(np.float32) for part in (cut, turned, stretched))  # type: ignore[return-value]


def _best(found: Lattice, one: Pattern, family: Plane, count: int, band: float | None) -> list[Matrix]:
    """The best maps of a family, apart from one another, each climbed to its local maximum; (4,) each."""
    import numpy as np

    kept = one.radius < band if band else np.ones(one.count, dtype=bool)
    x, y = one.x[kept].astype(np.float32), one.y[kept].astype(np.float32)
    from guard.marks.tile_kernels import climb, scan

    scores = scan(found.magnitudes, x, y, np.ascontiguousarray(family), _FEWEST)
    chosen: list[Matrix] = []
    for place in np.argsort(-scores)[:300]:
        matrix = family[place].astype(np.float64)
        if all(np.abs(matrix - other).max() > 0.012 * np.abs(matrix).max() for other in chosen):
            chosen.append(matrix)
            if len(chosen) == count:
                break
    return [climb(found.magnitudes, x, y, matrix, _FEWEST) for matrix in chosen]
