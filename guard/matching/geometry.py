"""Whether pairs of look-alike details agree on one way to lay a work into a picture, and which way that is.

Each pair proposes a similarity (shift, turn, scale) from the places, sizes and directions of its two details. The proposal
that most pairs agree with is refined to an affine transform by least squares, with the tolerance narrowing each round.
Nothing is drawn at random: the same pairs give the same answer.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from guard.matching.local import Details
from guard.types import Region

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

MIN_PAIRS = 4
"""Fewer pairs propose nothing."""
_FIRST = 0.07
"""How far, as a share of the work's longer side as it lies in the picture, a pair may be from the proposal of another."""
_TOLERANCES = (0.045, 0.03, 0.02)
"""The same in each round of refinement."""
_SIZES = 0.6
"""Most octaves, and `_TURN` most radians, by which the size and the direction of a pair may be off."""
_TURN = math.radians(25)
_MOST = 400
"""Pairs of one work that are looked at, nearest codes first: self-similar works have thousands."""
_STRETCH = 2.5
"""Most stretch: a work laid in a picture with one axis so much longer than the other is a coincidence."""
_SNAP = 0.12
"""How far from the work's edge, as a share of its side, the details may end where all of the work is shown."""


@dataclass(frozen=True, slots=True)
class Placement:
    """How a picture shows a work."""

    inliers: int
    """Distinct details that agree."""
    matrix: tuple[float, float, float, float, float, float]
    """x' = a x + b y + c, y' = d x + e y + f: from pixels of the work to pixels of the picture."""
    source: Region
    """The part of the work that is shown, in its pixels."""
    where: Region
    """Where in the picture."""
    whole: bool
    """Whether all of the work is shown, as far as its details tell."""

    @property
    def mirrored(self) -> bool:
        """Whether the work is shown mirrored."""
        a, b, _, d, e, _ = self.matrix
        return a * e - b * d < 0

    @property
    def scale(self) -> float:
        """Length in the picture of one pixel of the work."""
        a, b, _, d, e, _ = self.matrix
        return math.sqrt(abs(a * e - b * d))

    @property
    def turn(self) -> float:
        """Degrees, clockwise, -180 to 180, by which the work is turned, after it was mirrored left to right if it was."""
        a, b, _, d, e, _ = self.matrix
        if self.mirrored:
            a, d = -a, -d
        return math.degrees(math.atan2(d - b, a + e))


def place(work: Details, picture: Details, pairs: tuple[Array, Array], *, mirrored: bool) -> Placement | None:
    """Lay a work into a picture by pairs (details of the work, details of the picture), nearest codes first.

    `picture` is the mirror image of the picture if `mirrored`. None where fewer than `MIN_PAIRS` agree.
    """
    import numpy as np

    of_work, of_picture = (rows[:_MOST] for rows in pairs)
    if len(of_work) < MIN_PAIRS:
        return None
    source = np.stack([work.x, work.y], axis=1)[of_work].astype(np.float64)
    target = np.stack([picture.x, picture.y], axis=1)[of_picture].astype(np.float64)
    scale = picture.size[of_picture] / work.size[of_work]
    turn = picture.angle[of_picture] - work.angle[of_work]
    side = max(work.width, work.height)
    agreeing = _proposal(source, target, scale, turn, side)
    matrix, inliers = _refined(source, target, np.log2(scale), turn, agreeing, side)
    if matrix is None or inliers.sum() < MIN_PAIRS:
        return None
    seen = _distinct(source[inliers], target[inliers], side * _scale(matrix) * _TOLERANCES[-1] / 2, side * _TOLERANCES[-1] / 2)
    if mirrored:
        matrix = np.array([[-1.0, 0, picture.width], [0, 1, 0]]) @ np.vstack([matrix, [0, 0, 1]])
    shown, whole = _shown(work, picture, matrix, source[inliers])
    return Placement(seen, tuple(map(float, matrix.ravel())), shown, _laid(matrix, shown, picture), whole)  # type: ignore[arg-type]


def words(placement: Placement, work: Details) -> str:
    """The transformation in words: `mirrored, turned by 90 degrees, scaled to 50 %, cropped to 0,0-300,512 of 512 x 512`."""
    said = ["mirrored"] if placement.mirrored else []
    turn = round(placement.turn)
    if abs(turn) >= 2:
        said.append(f"turned by {turn % 360} degrees")
    if not 0.95 <= placement.scale <= 1.05:
        said.append(f"scaled to {round(placement.scale * 100)} %")
    if not placement.whole:
        box = placement.source
        said.append(f"cropped to {box.left},{box.top}-{box.right},{box.bottom} of {work.width} x {work.height}")
    return ", ".join(said)


def _proposal(source: Array, target: Array, scale: Array, turn: Array, side: int) -> Array:
    """The pairs that agree with the proposal that most agree with, as booleans."""
    import numpy as np

    cosine, sine = scale * np.cos(turn), scale * np.sin(turn)
    shift = source[None] - source[:, None]  # from the proposing pair to every other
    across = cosine[:, None] * shift[..., 0] - sine[:, None] * shift[..., 1] + target[:, None, 0] - target[None, :, 0]
    down = sine[:, None] * shift[..., 0] + cosine[:, None] * shift[..., 1] + target[:, None, 1] - target[None, :, 1]
    near = across**2 + down**2 <= (scale[:, None] * (side * _FIRST)) ** 2
    octaves = np.log2(scale)
    near &= np.abs(octaves[:, None] - octaves) <= _SIZES
    near &= np.cos(turn[:, None] - turn) >= math.cos(_TURN)
    # Many details of one place are one witness: count places of the work, coarsely.
    cells = np.unique(np.floor(source / (side * _TOLERANCES[-1])), axis=0, return_inverse=True)[1].ravel()
    witnesses = np.zeros((len(source), cells.max() + 1), np.bool_)
    rows, columns = np.nonzero(near)
    witnesses[rows, cells[columns]] = True
    return np.asarray(near[np.argmax(witnesses.sum(axis=1))])


def _refined(
    source: Array, target: Array, octaves: Array, turn: Array, agreeing: Array, side: int
) -> tuple[Array | None, Array]:
    """The transform by least squares, and the pairs within the last tolerance of it whose size and direction follow it too."""
    import numpy as np

    matrix = None
    for tolerance in _TOLERANCES:
        if agreeing.sum() < MIN_PAIRS:
            return None, agreeing
        fitted = _affine if agreeing.sum() >= 8 else _similarity
        matrix = fitted(source[agreeing], target[agreeing])
        if not _sane(matrix):
            matrix = _similarity(source[agreeing], target[agreeing])
        if not _sane(matrix):
            return None, agreeing
        away = np.linalg.norm(source @ matrix[:, :2].T + matrix[:, 2] - target, axis=1)
        agreeing = away <= max(1.5, side * _scale(matrix) * tolerance)
        agreeing &= np.abs(octaves - math.log2(_scale(matrix))) <= _SIZES
        agreeing &= np.cos(turn - math.atan2(matrix[1, 0] - matrix[0, 1], matrix[0, 0] + matrix[1, 1])) >= math.cos(_TURN)
    return matrix, agreeing


def _affine(source: Array, target: Array) -> Array:
    import numpy as np

    known = np.column_stack([source, np.ones(len(source))])
    return np.asarray(np.linalg.lstsq(known, target, rcond=None)[0].T)


def _similarity(source: Array, target: Array) -> Array:
    """Least squares over shift, turn and scale, as complex numbers: target = z source + shift."""
    import numpy as np

    one, other = source @ (1, 1j), target @ (1, 1j)
    centre, image = one.mean(), other.mean()
    power = float((np.abs(one - centre) ** 2).sum())
    z = complex(((one - centre).conj() * (other - image)).sum() / max(power, 1e-9))
    shift = image - z * centre
    return np.array([[z.real, -z.imag, shift.real], [z.imag, z.real, shift.imag]])


def _sane(matrix: Array) -> bool:
    """Not mirrored, not stretched beyond recognition, not shrunk to a point."""
    import numpy as np

    long, short = np.linalg.svd(matrix[:, :2], compute_uv=False)
    return bool(np.linalg.det(matrix[:, :2]) > 0 and short > 0.02 and long < 50 and long / short <= _STRETCH)


def _scale(matrix: Array) -> float:
    import numpy as np

    return math.sqrt(abs(float(np.linalg.det(matrix[:, :2]))))


def _distinct(source: Array, target: Array, coarse: float, fine: float) -> int:
    """Places of the work that were found at as many places of the picture: repeated patterns count once."""
    import numpy as np

    here = len(np.unique(np.floor(source / fine), axis=0))
    return min(here, len(np.unique(np.floor(target / max(coarse, 1e-6)), axis=0)))


def _shown(work: Details, picture: Details, matrix: Array, source: Array) -> tuple[Region, bool]:
    """The part of a work that a picture shows: where its details were found, up to the picture's or the work's edge if near."""
    import numpy as np

    back = np.linalg.inv(np.vstack([matrix, [0, 0, 1]]))
    corners = np.array([[0, 0, 1], [picture.width, 0, 1], [0, picture.height, 1], [picture.width, picture.height, 1]]) @ back.T
    size = np.array([work.width, work.height])
    every = np.stack([work.x, work.y], axis=1)
    low, high = corners[:, :2].min(axis=0).clip(0, size), corners[:, :2].max(axis=0).clip(0, size)
    found_low, found_high = source.min(axis=0), source.max(axis=0)
    margin = size * _SNAP
    # Where the work itself has no details further out, nothing more could have been found.
    far_low, far_high = every.min(axis=0), every.max(axis=0)
    low = np.where(found_low <= np.maximum(low, far_low) + margin, low, found_low - margin / 2)
    high = np.where(found_high >= np.minimum(high, far_high) - margin, high, found_high + margin / 2)
    box = [*np.floor(low.clip(0, size)).astype(int), *np.ceil(high.clip(0, size)).astype(int)]
    whole = bool((low <= size * 0.03).all() and (high >= size * 0.97).all())
    return (Region(0, 0, work.width, work.height) if whole else Region(*map(int, box))), whole


def _laid(matrix: Array, box: Region, picture: Details) -> Region:
    """The box around a part of the work as it lies in the picture."""
    import numpy as np

    corners = np.array([[x, y, 1] for x in (box.left, box.right) for y in (box.top, box.bottom)]) @ matrix.T
    limit = np.array([picture.width, picture.height])
    low = np.floor(corners.min(axis=0)).clip(0, limit - 1).astype(int)
    high = np.maximum(np.ceil(corners.max(axis=0)).clip(0, limit).astype(int), low + 1)
    return Region(int(low[0]), int(low[1]), int(high[0]), int(high[1]))
