"""From pixels to the waves of a tile: luma, canonical size, flattened detail, the tiles laid on one another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from guard.marks.tile_pattern import LARGE, SMALL, SMALL_BELOW, Layout

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Plane = NDArray[np.float32]
    Waves = NDArray[np.complex128]

_COARSE, _NEAR = 3.0, 3.0
"""Standard deviations, in pixels: what is coarser than the first is no detail; the second is how far "around here" goes."""
_QUIET = 1.5
"""Deviation, in levels, that is added to that of the detail: plain areas are not blown up to nothing but noise."""
LOUDNESS, SMOOTH = 1.3, 2.0
"""Power of the deviation that detail is divided by. Above one, busy areas count for less: they hide the mark best. The
second reads images whose plain parts were lost, such as drawings on white paper that was brightened.
"""
_CLIP = 3.0


@dataclass(frozen=True, slots=True)
class Folded:
    """All tiles of an image laid on one another."""

    waves: Waves
    """Fourier transform of the sum, (tile, tile); scaled so that detail of unit power gives unit power."""
    noise: Plane
    """Power of the same waves from tile to tile, smoothed, (tile, tile)."""


def layout_of(width: int, height: int) -> Layout:
    """The layout that an image of that size is marked with."""
    return SMALL if min(width, height) < SMALL_BELOW else LARGE


def canonical(luma: Plane, layout: Layout) -> Plane:
    """Luma with the shorter side that the layout asks for."""
    import cv2

    side = min(luma.shape)
    if not layout.canonical or side == layout.canonical:
        return luma
    scale = layout.canonical / side
    size = (round(luma.shape[1] * scale), round(luma.shape[0] * scale))
    found: Plane = cv2.resize(luma, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    return found


def detail(luma: Plane, loudness: float = LOUDNESS) -> tuple[Plane, Plane]:
    """Detail at much the same strength everywhere, and how strong it was: its local deviation in levels."""
    import numpy as np

    fine = luma - _blurred(luma, _COARSE)
    deviation = np.sqrt(_blurred(fine * fine, _NEAR))
    level = deviation + np.float32(_QUIET)
    even = np.clip(fine / level, -_CLIP, _CLIP) * level ** np.float32(1 - loudness)
    return even, deviation


def fold(even: Plane, layout: Layout) -> Waves:
    """The waves of all tiles together, (tile, tile)."""
    import numpy as np
    from scipy import fft

    height, width, size = *even.shape, layout.tile
    rows, columns = -(-height // size), -(-width // size)
    whole = np.zeros((rows * size, columns * size), dtype=np.float32)
    whole[:height, :width] = even
    tiles = whole.reshape(rows, size, columns, size).sum(axis=(0, 2), dtype=np.float64)
    found: Waves = fft.fft2(tiles, workers=1) / (height * width) ** 0.5
    return found


def fold_with_noise(even: Plane, layout: Layout) -> Folded:
    """The waves of all tiles together, and how much they differ from tile to tile."""
    import cv2
    import numpy as np
    from scipy import fft

    height, width, size = *even.shape, layout.tile
    rows, columns = -(-height // size), -(-width // size)
    whole = np.zeros((rows * size, columns * size), dtype=np.float32)
    whole[:height, :width] = even
    tiles = whole.reshape(rows, size, columns, size).swapaxes(1, 2).reshape(-1, size, size)
    spectra = fft.fft2(tiles, axes=(1, 2), workers=1)
    area = height * width
    power = (np.abs(spectra) ** 2).sum(axis=0) / area
    smooth = cv2.blur(fft.fftshift(power).astype(np.float32), (5, 5), borderType=cv2.BORDER_REPLICATE)
    return Folded(spectra.sum(axis=0).astype(np.complex128) / area**0.5, fft.ifftshift(smooth))


def _blurred(plane: Plane, deviation: float) -> Plane:
    import cv2

    found: Plane = cv2.GaussianBlur(plane, (0, 0), deviation, borderType=cv2.BORDER_REFLECT_101)
    return found
