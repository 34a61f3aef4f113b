"""Finds how an image with a tile watermark was changed by the pilots' phases: fainter marks than their lattice shows.

The phases of a pattern add up, where magnitudes do not: a mark that drowns on the lattice stands ten deviations high here. The
price is that every orientation has to be tried by itself, so only what happens most is looked through: cuts and scalings in
each of the eight, small turns, and stretches of upright images, some 25,000 maps. The transform of the whole image is
read at the points where a map puts the pilots, and one short inverse transform tells how well they agree wherever the tile may
begin.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from guard.marks.tile_pattern import Pattern

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Plane = NDArray[np.float32]
    Waves = NDArray[np.complex64]
    Matrix = NDArray[np.float64]

_LONGEST = 1024
"""Pixels each way; longer images are reduced first."""
_SURROUNDINGS = 41
"""Points each way over which the transform is brought to the same power everywhere."""
_GRID = 64
"""Places each way at which a tile may begin: every second pixel of the large layout."""
_BATCH = 128
_SCALE_STEP, _TURN_STEP = 0.008, 0.33
"""Ratio and degrees between neighbours for an image of 512 pixels."""
_SCALES, _CUTS, _UNCUT = (0.8, 1.8), (0.22, 2.3), (0.984, 1.02)
"""Scales against the canonical size: of what was turned or stretched, of what was cut, of what was turned askew."""
_MOST_TURN, _MOST_STRETCH = 16.0, 0.4
"""Degrees; natural logarithm of width's scale over height's."""
_KEPT = 4
"""Maps of one image that are looked at closely."""
_APART = 0.02
"""Largest difference of two maps, as a share, at which the better one stands for both."""
_STEPS = (0.003, 0.0015, 0.0008)
"""Shares by which a map is changed to find its better neighbours."""
_WAYS = (((1, 0), (0, 1)), ((0, -1), (1, 0)), ((1, 0), (0, -1)), ((0, 1), (1, 0)))
"""Scaling, turning, stretching, stretching askew; with the first two alone noise leads less far astray."""


@dataclass(frozen=True, slots=True)
class Spectrum:
    """An image's transform, its origin in the middle, of much the same power everywhere."""

    transform: Waves
    reduced: float
    """Pixels of the image a pixel of what was transformed."""


def spectrum(even: Plane) -> Spectrum:
    """Prepare the look-ups for a plane of even detail."""
    import cv2
    import numpy as np
    from scipy import fft

    reduced = max(1.0, max(even.shape) / _LONGEST)
    if reduced > 1:
        even = cv2.resize(even, None, fx=1 / reduced, fy=1 / reduced, interpolation=cv2.INTER_AREA)
    height, width = even.shape
    side = 1024 if max(even.shape) <= 640 else 2048
    page = np.zeros((side, side), dtype=np.float32)
    page[:height, :width] = even
    page = np.roll(page, (-(height // 2), -(width // 2)), axis=(0, 1))  # so that neighbouring points have similar phases
    whole = fft.fftshift(fft.fft2(page, workers=1))
    power = cv2.blur(whole.real**2 + whole.imag**2, (_SURROUNDINGS, _SURROUNDINGS))
    return Spectrum(np.ascontiguousarray(whole / np.sqrt(power + 1e-12), dtype=np.complex64), reduced)


def likely(found: Spectrum, one: Pattern, *, coarse: bool = False) -> Iterator[tuple[float, Matrix]]:
    """What the pilots find likely, the likeliest first: surety and map, (2, 2), from canonical pixels to the image's.

    `coarse`: of a small part of an image, for which wider steps do.
    """
    import numpy as np

    maps = _maps(2 if coarse else 1)
    sureties = _sureties(found, one, maps, _GRID)
    chosen: list[Matrix] = []
    for place in np.argsort(-sureties)[:400]:
        matrix = maps[place]
        if all(np.abs(matrix - other).max() > _APART * np.abs(matrix).max() for other in chosen):
            chosen.append(matrix)
            if len(chosen) == _KEPT:
                break
    climbed = [_climbed(found, one, matrix, ways) for matrix in chosen for ways in (_WAYS[:2], _WAYS)]
    for surety, matrix in sorted(climbed, key=lambda item: -item[0]):
        yield surety, matrix * found.reduced


def _climbed(found: Spectrum, one: Pattern, matrix: Matrix, ways: Sequence[object]) -> tuple[float, Matrix]:
    """The surety and the map at the local maximum that is reached by ever smaller steps."""
    import numpy as np

    best = float(_sureties(found, one, matrix[None], one.layout.tile)[0])
    for step in _STEPS:
        moves = np.eye(2) + step * np.array([*ways, *(-np.array(ways))])
        for _ in range(3):
            near = moves @ matrix
            values = _sureties(found, one, near, one.layout.tile)
            if values.max() <= best:
                break
            best, matrix = float(values.max()), near[values.argmax()]
    return best, matrix


def _sureties(found: Spectrum, one: Pattern, maps: NDArray[np.float64], grid: int) -> Plane:
    """How far the pilots' correlation stands above its deviation under each map, (maps,)."""
    import numpy as np
    from scipy import fft

    from guard.marks.tile_kernels import gathered

    x, y, phases = one.pilot_points()
    size, side = min(grid, one.layout.tile), found.transform.shape[0]
    inverse = np.linalg.inv(maps).transpose(0, 2, 1).reshape(-1, 4) * (side / one.layout.tile)
    sureties = np.empty(len(maps), dtype=np.float32)
    for first in range(0, len(maps), _BATCH):
        batch = np.ascontiguousarray(inverse[first : first + _BATCH], dtype=np.float32)
        spectra = gathered(found.transform, x, y, phases, batch, size)
        power = (spectra.real**2 + spectra.imag**2).sum(axis=(1, 2)) * 2  # of all places together, but for a few waves
        likeness = fft.irfft2(spectra, s=(size, size), axes=(1, 2), workers=1, overwrite_x=True)
        highest = likeness.reshape(len(batch), -1).max(axis=1) * size**2
        sureties[first : first + _BATCH] = highest / np.sqrt(np.maximum(power, 1e-12))
    return sureties


@cache
def _maps(wider: int) -> NDArray[np.float64]:
    """From canonical pixels to the image's, (maps, 2, 2)."""
    import numpy as np

    from guard.marks.tile_search import turn

    def scales(bounds: tuple[float, float], step: float) -> NDArray[np.float64]:
        found: NDArray[np.float64] = np.exp(np.arange(np.log(bounds[0]), np.log(bounds[1]), step * wider))
        return found

    some = scales(_SCALES, _SCALE_STEP)
    turned = [size * turn(degrees) for size in some for degrees in np.arange(-_MOST_TURN, _MOST_TURN, _TURN_STEP * wider)]
    wide, high = (part.ravel() for part in np.meshgrid(some, some))
    close = np.abs(np.log(wide / high)) < _MOST_STRETCH
    stretched = [np.diag(pair) for pair in zip(wide[close], high[close], strict=True)]
    eight = [turn(degrees) @ np.diag([1.0, side]) for degrees in (0, 90, 180, 270) for side in (1.0, -1.0)]
    cut = [size * way for way in eight for size in scales(_CUTS, _SCALE_STEP / 2)]
    whole = scales(_UNCUT, _SCALE_STEP)
    angles = np.arange(-_MOST_TURN, _MOST_TURN, _TURN_STEP * wider)
    askew = [size * turn(degrees) @ way for way in eight[1:] for size in whole for degrees in angles]
    maps: NDArray[np.float64] = np.array([*turned, *stretched, *cut, *askew])
    return maps
