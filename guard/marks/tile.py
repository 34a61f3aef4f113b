"""The tile watermark: eight keyed bytes in an image that stay readable when it is recompressed, scaled, cut, turned or mirrored.

    embed:  luma -> canonical size -> waves that say the payload, as loud as eyes allow -> added to all channels alike
    read:   luma -> canonical size -> even detail -> tiles laid on one another -> pilots (place, orientation, strength)
            -> soft signs -> Viterbi, Reed-Solomon -> payload, or nothing

A reader without the key finds nothing; an image without the mark gives nothing, but once in about 10**8 (see `Reading.surety`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from guard.marks import tile_search
from guard.marks.tile_code import decode
from guard.marks.tile_pattern import LARGE, LEAST_SIDE, SMALL, Layout, pattern
from guard.marks.tile_spectrum import canonical, detail, fold, fold_with_noise, layout_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Plane = NDArray[np.float32]
    Waves = NDArray[np.complex128]

ORIENTATIONS = {
    "upright": ((1, 0), (0, 1)),
    "turned by 90 degrees": ((0, -1), (1, 0)),
    "turned by 180 degrees": ((-1, 0), (0, -1)),
    "turned by 270 degrees": ((0, 1), (-1, 0)),
    "mirrored": ((-1, 0), (0, 1)),
    "mirrored, turned by 90 degrees": ((0, 1), (1, 0)),
    "mirrored, turned by 180 degrees": ((1, 0), (0, -1)),
    "mirrored, turned by 270 degrees": ((0, -1), (-1, 0)),
}
"""How the tile lies in the image, with the map of its axes."""
SEEN = 5.0
"""Surety from which decoding is tried: of all eight orientations of an unmarked image one in some hundred gets there."""
CERTAIN = 7.5
"""Surety from which one wrong byte is mended: noise does not get there."""
_TRIED = 2
"""Orientations of one candidate that are decoded at most."""
_CLOSE = 3
"""Candidates of the slow search whose neighbours are looked at."""


@dataclass(frozen=True, slots=True)
class Reading:
    """A payload that was read."""

    payload: bytes
    surety: float
    """Height of the pilots' correlation over its standard deviation; noise stays below 5."""
    transform: str
    """How the image was changed since it was marked, in words; empty for not noticeably."""


def read(luma: Plane, key: bytes, *, thorough: bool = True) -> Reading | None:
    """The payload in an image by the luma (0 to 255) of its pixels, (height, width); None when there is none for this key.

    `thorough`: also search for changes of geometry, which takes up to some seconds where there is no mark.
    """
    if min(luma.shape) < LEAST_SIDE // 2:
        return None
    first = layout_of(luma.shape[1], luma.shape[0])
    layouts = (first, SMALL if first is LARGE else LARGE)
    planes = {layout.name: detail(canonical(luma, layout))[0] for layout in layouts}
    for layout in layouts:
        found = _decoded(planes[layout.name], layout, key, SEEN)
        if found:
            return found
    if thorough:
        for layout in layouts:
            found = _searched(planes[layout.name], layout, key)
            if found:
                return found
    return None


def _decoded(even: Plane, layout: Layout, key: bytes, least: float, note: str = "") -> Reading | None:
    """What a plane says that lies as it was marked, up to a shift and the eight orientations."""
    import numpy as np

    one, size = pattern(key, layout), layout.tile
    folded = fold_with_noise(even, layout)
    tried = []
    for name, ((a, b), (c, d)) in ORIENTATIONS.items():
        across, down = (a * one.x + b * one.y) % size, (c * one.x + d * one.y) % size
        waves, surety = one.shift(folded.waves[down, across])
        tried.append((surety, name, waves, folded.noise[down, across]))
    tried.sort(key=lambda item: -item[0])
    for surety, name, waves, noise in tried[:_TRIED]:
        if surety < least:
            break
        payload = decode(one.soft(waves, np.asarray(noise, dtype=np.float64)), mend=surety >= CERTAIN)
        if payload is not None:
            words = [*([] if name == "upright" else [name]), *([note] if note else [])]
            return Reading(payload, round(surety, 1), ", ".join(words))
    return None


def _searched(even: Plane, layout: Layout, key: bytes) -> Reading | None:
    one = pattern(key, layout)
    for matrix in tile_search.candidates(tile_search.lattice(even), one):
        plane = tile_search.straightened(even, matrix)
        if _surety(plane, layout, key) >= SEEN:
            found = _decoded(plane, layout, key, SEEN, _words(matrix))
            if found:
                return found
    ranked = sorted(
        ((_surety(tile_search.straightened(even, matrix), layout, key), place, matrix)
         for place, matrix in enumerate(tile_search.likely())),
        key=lambda item: (-item[0], item[1]),
    )  # fmt: skip
    for surety, _, matrix in ranked[:_CLOSE]:
        if surety < SEEN:
            break
        for close in tile_search.around(matrix):
            found = _decoded(tile_search.straightened(even, close), layout, key, SEEN, _words(close))
            if found:
                return found
    return None


def _surety(even: Plane, layout: Layout, key: bytes) -> float:
    """The pilots' best correlation in any orientation."""
    one, size = pattern(key, layout), layout.tile
    waves = fold(even, layout)
    return max(
        one.shift(waves[(c * one.x + d * one.y) % size, (a * one.x + b * one.y) % size])[1]
        for (a, b), (c, d) in ORIENTATIONS.values()
    )


def _words(matrix: NDArray[np.float64]) -> str:
    """A transformation in words; sizes are relative, since cutting changes what an image is scaled to."""
    import numpy as np

    wide, high = (float(np.hypot(*column)) for column in matrix.T)
    degrees = float(np.rad2deg(np.arctan2(matrix[1, 0] - matrix[0, 1], matrix[0, 0] + matrix[1, 1])))
    words = []
    if abs(wide / high - 1) > 0.01:
        words.append(f"stretched by {wide / high:.2f}")
    if abs(degrees) > 0.2:
        words.append(f"turned by {degrees:.1f} degrees")
    size = (wide * high) ** 0.5
    if abs(size - 1) > 0.01:
        words.append(f"cut or scaled by {size:.2f}")
    return ", ".join(words)
