"""The tile watermark: eight keyed bytes in an image, still readable when it was recompressed, scaled, cut, turned or mirrored.

    embed:  luma -> canonical size -> waves that say the payload, as loud as eyes allow -> added to all channels alike
    read:   luma -> canonical size -> even detail -> tiles laid on one another -> pilots (place, orientation, strength)
            -> soft signs -> Viterbi, Reed-Solomon -> payload, or nothing

A reader without the key finds nothing; an image without the mark gives nothing, but less than once in 10**6: at most MOST_TRIES
decodings of an image look at PATHS + 1 words each, and noise is a payload once in 2**32.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from guard.marks import tile_pilots, tile_region, tile_search
from guard.marks.tile_code import decode, likeliest
from guard.marks.tile_pattern import LARGE, LEAST_SIDE, SMALL, SMALL_BELOW, Layout, Pattern, pattern
from guard.marks.tile_search import Budget, Lattice
from guard.marks.tile_spectrum import LOUDNESS, SMOOTH, canonical, detail, fold, fold_with_noise, layout_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Plane = NDArray[np.float32]
    Matrix = NDArray[np.float64]

ORIENTATIONS = (
    ((1, 0), (0, 1)), ((0, -1), (1, 0)), ((-1, 0), (0, -1)), ((0, 1), (-1, 0)),
    ((-1, 0), (0, 1)), ((0, 1), (1, 0)), ((1, 0), (0, -1)), ((0, -1), (-1, 0)),
)  # fmt: skip
"""The eight ways a tile may lie in the image, as maps of its axes: turned by right angles, then mirrored and turned."""
SEEN = 5.0
"""Surety from which decoding is tried: of all eight orientations of an unmarked image one in some hundred gets there."""
CERTAIN = 7.5
"""Surety from which one wrong byte is mended: noise does not get there."""
PATHS = 16
"""Words that are looked at in one decoding where an image was changed."""
MOST_TRIES = 200
"""Decodings of one image at most, which is what bounds how often an unmarked one is taken for marked."""
_LONGEST = 16
"""How many times as long as wide an image is looked at."""
_MOST_SMALL = 1 << 22
"""Pixels up to which an image is looked at in its own size: more has none that was small, however far it was enlarged."""
_HALF = 0.5
"""Share of an image below which a picture on it is searched before the whole."""
_TRIED = 2
"""Orientations of one candidate that are decoded at most."""


@dataclass(frozen=True, slots=True)
class Reading:
    """A payload that was read."""

    payload: bytes
    surety: float
    """Height of the pilots' correlation over its standard deviation; noise stays below 5."""
    transform: str
    """How the image was changed since it was marked, in words; empty for not noticeably."""


def read(luma: Plane, key: bytes, *, thorough: bool = True, budget: Budget | None = None) -> Reading | None:
    """The payload in an image by the luma (0 to 255) of its pixels, (height, width); None when there is none for this key.

    `thorough`: also read what is faint, and search for changes of geometry and for pictures within the image, which takes up to
    some seconds where there is no mark. `budget`: for that search; it tells afterwards whether it was spent.
    """
    import numpy as np

    if min(luma.shape) < LEAST_SIDE // 2:
        return None
    luma = _middle(luma)
    first = layout_of(luma.shape[1], luma.shape[0])
    layouts = (first, SMALL if first is LARGE else LARGE)
    planes = {layout.name: detail(canonical(luma, layout))[0] for layout in layouts if _fits(luma, layout)}
    budget = budget or Budget()
    for layout in (one for one in layouts if one.name in planes):
        found = _decoded(planes[layout.name], layout, key, np.eye(2), budget, paths=1)
        if found:
            return found
    if not thorough:
        return None
    parts = [_middle(part) for part in tile_region.regions(luma)]
    for part in parts:
        for layout in (one for one in layouts if _fits(part, one)):
            found = _decoded(detail(canonical(part, layout))[0], layout, key, np.eye(2), budget, paths=1)
            if found:
                return _within(found)
    for part in (luma, *parts):
        found = _faint(part, key, budget)
        if found:
            return found if part is luma else _within(found)
    # Small images are marked at their own size, so that cuts are found above already; the large layout is the likelier one.
    whole = planes[LARGE.name]
    # Of a page the picture on it is likelier than the whole; of a turned picture the whole than what its black corners leave.
    ranked = sorted((luma, *parts), key=lambda part: _HALF if part is luma else part.size / luma.size)
    views = [whole if part is luma else detail(canonical(part, LARGE))[0] for part in ranked]
    found = _searched(views, whole, LARGE, key, budget)
    small = planes.get(SMALL.name)
    return _found(small, tile_search.lattice(small), SMALL, key, budget) if found is None and small is not None else found


def _middle(luma: Plane) -> Plane:
    """The middle of an image that is much longer than wide, which would grow large where the shorter side is given."""
    high, wide = (min(side, _LONGEST * min(luma.shape)) for side in luma.shape)
    top, left = (luma.shape[0] - high) // 2, (luma.shape[1] - wide) // 2
    return luma[top : top + high, left : left + wide]


def _fits(luma: Plane, layout: Layout) -> bool:
    """Whether an image can be of a layout: none of many pixels is one of the small ones, however far it was enlarged."""
    return bool(layout.canonical) or luma.size <= _MOST_SMALL


def _faint(luma: Plane, key: bytes, budget: Budget) -> Reading | None:
    """What an image says that lies as it was marked, listened to more closely: also to its smooth parts above all."""
    import numpy as np

    for layout in (LARGE, SMALL) if min(luma.shape) < 2 * SMALL_BELOW else (LARGE,):
        plane = canonical(luma, layout)
        for loudness in (LOUDNESS, SMOOTH):
            found = _decoded(detail(plane, loudness)[0], layout, key, np.eye(2), budget)
            if found:
                return found
    return None


def _decoded(even: Plane, layout: Layout, key: bytes, matrix: Matrix, budget: Budget, *, paths: int = PATHS) -> Reading | None:
    """What a plane says that lies as it was marked, up to a shift and the eight orientations.

    `matrix`: (2, 2), how the image was changed that the plane was straightened from. `paths`: 1 for the likeliest word alone.
    """
    import numpy as np

    one = pattern(key, layout)
    folded = fold_with_noise(even, layout)
    down, across = _axes(one)
    noises = folded.noise[down, across]
    ranked = sorted(
        zip(one.shifts(folded.waves[down, across]), ORIENTATIONS, noises, strict=True), key=lambda item: -item[0][1]
    )
    for (waves, surety), lies, noise in ranked[:_TRIED]:
        if surety < SEEN or budget.tries >= MOST_TRIES:
            break
        budget.tries += 1
        power = noise.astype(np.float64)
        soft = one.soft(waves, power)
        payload = decode(soft, mend=surety >= CERTAIN)
        if payload is None and paths > 1:
            payload = decode(one.soft(waves, power, likeliest(soft)), paths=paths)
        if payload is not None:
            return Reading(payload, round(surety, 1), _words(matrix @ np.array(lies, dtype=np.float64)))
    return None


def _searched(views: Sequence[Plane], whole: Plane, layout: Layout, key: bytes, budget: Budget) -> Reading | None:
    """What is found in any of several planes of even detail, the likeliest first and `whole` among them, or in a part of it."""
    lattices = [tile_search.lattice(view) for view in views]
    for view, lattice in zip(views, lattices, strict=True):
        found = _found(view, lattice, layout, key, budget, cuts=True)
        if found:
            return found if view is whole else _within(found)
    for view in views:
        found = _heard(view, layout, key, budget)
        if found:
            return found if view is whole else _within(found)
    found = _found(views[0], lattices[0], layout, key, budget, cuts=False)
    if found:
        return found if views[0] is whole else _within(found)
    for window in tile_search.windows(whole):
        found = _heard(window, layout, key, budget, coarse=True)
        if found:
            return _within(found)
    return None


def _heard(even: Plane, layout: Layout, key: bytes, budget: Budget, *, coarse: bool = False) -> Reading | None:
    """What a plane says where the pilots are heard best."""
    if not budget.left():
        return None
    for surety, matrix in tile_pilots.likely(tile_pilots.spectrum(even), pattern(key, layout), coarse=coarse):
        if surety < SEEN or not budget.left():
            break
        found = _decoded(tile_search.straightened(even, matrix), layout, key, matrix, budget)
        if found:
            return found
    return None


def _found(
    even: Plane, lattice: Lattice, layout: Layout, key: bytes, budget: Budget, *, cuts: bool | None = None
) -> Reading | None:
    """What the candidates of the lattice say. `cuts`: those of what was cut or scaled, or the others; None for all."""
    one = pattern(key, layout)
    for matrix in tile_search.candidates(lattice, one, cuts=cuts):
        if not budget.left():
            return None
        plane = tile_search.straightened(even, matrix)
        if _surety(plane, layout, key) >= SEEN:
            found = _decoded(plane, layout, key, matrix, budget)
            if found:
                return found
    return None


def _within(found: Reading) -> Reading:
    """The same, read from a part of the image."""
    return replace(found, transform=", ".join(filter(None, (found.transform, "put into a larger picture"))))


def _surety(even: Plane, layout: Layout, key: bytes) -> float:
    """The pilots' best correlation in any orientation."""
    one = pattern(key, layout)
    down, across = _axes(one)
    return max(surety for _, surety in one.shifts(fold(even, layout)[down, across]))


def _axes(one: Pattern) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Where the waves stand in the spectrum of a tile that lies in each of the orientations, (orientations, waves) twice."""
    import numpy as np

    maps = np.array(ORIENTATIONS)
    across = maps[:, 0, :1] * one.x + maps[:, 0, 1:] * one.y
    down = maps[:, 1, :1] * one.x + maps[:, 1, 1:] * one.y
    return down % one.layout.tile, across % one.layout.tile


def _words(matrix: Matrix) -> str:
    """A change in words. Cutting alone shows as a size too: it changes what an image is scaled to before it is read."""
    import numpy as np

    words = []
    if np.linalg.det(matrix) < 0:
        words.append("mirrored")
        matrix = matrix @ np.diag([-1.0, 1.0])
    degrees = float(np.rad2deg(np.arctan2(matrix[1, 0] - matrix[0, 1], matrix[0, 0] + matrix[1, 1])))
    if abs(degrees) > 0.2:
        words.append(f"turned by {degrees:.4g} degrees clockwise")
    wide, high = (float(np.hypot(*column)) for column in matrix.T)
    if abs(wide / high - 1) > 0.01:
        words.append(f"stretched by {wide / high:.2f}")
    size = (wide * high) ** 0.5
    if abs(size - 1) > 0.01:
        words.append(f"cut or scaled by {size:.2f}")
    return ", ".join(words)
