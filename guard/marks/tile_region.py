"""Finds the pictures within a picture: the parts of a page or of a bordered image where hardly anything is plain.

A marked picture is nowhere quite plain, for the mark itself is there; pages and borders are. So the rectangle is looked for
that holds the most pixels which are not plain and the fewest which are, by Kadane's sum over every band of rows (Bentley,
"Programming pearls: algorithm design techniques", Comm. ACM 27, 1984), and its sides are then moved to where the page ends.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Plane = NDArray[np.float32]

_FLAT = 2.0
"""Levels between the darkest and the brightest of 5 x 5 pixels, up to which they are flat."""
_COMMON = 0.01
"""Share of an image that has to be flat at one level, give or take one, for that level to count as plain."""
_PRICE = 3.0
"""What a plain pixel costs against one that is not."""
_CELLS = 192
"""Cells along the longer side among which rectangles are looked for."""
_ENOUGH = 2048
"""Pixels along the longer side by which plain ones are told; of longer images only every so many are looked at."""
_MOST = 3
"""Rectangles of one image."""
_LEAST_SIDE, _LEAST_SHARE = 48, 0.01
"""Pixels each way, and share of the image, that a picture within has at least."""
_OTHER = (8.0, 2.0)
"""Levels by which a pixel has to differ from the surroundings of a picture; the second where compression left no ringing."""
_LONG = 0.6
"""Share of a side along which a picture has to differ for the first to be enough."""
_INWARDS = 0.12
"""Share of a picture's side within which its edge is looked for: captions may stand close to it."""
_LEFT_OVER = 0.2
"""Rectangles with a smaller share of the largest are what it left over of one picture."""
_WHOLE = 0.97
"""A rectangle with a larger share of the image is the image."""


def regions(luma: Plane) -> list[Plane]:
    """The pictures within an image by its luma (0 to 255), largest evidence first; none where it is one picture itself."""
    import cv2
    import numpy as np

    from guard.marks.tile_kernels import densest

    height, width = luma.shape
    cell = -(-max(luma.shape) // _CELLS)
    rows, columns = height // cell, width // cell
    every = max(1, cell * _CELLS // _ENOUGH)
    plain = _plain(np.ascontiguousarray(luma[: rows * cell : every, : columns * cell : every]))
    worth = 1 - np.float32(1 + _PRICE) * cv2.resize(plain, (columns, rows), interpolation=cv2.INTER_AREA)
    upright = rows > columns
    worth = np.ascontiguousarray(worth.T if upright else worth, dtype=np.float32)
    found = []
    for _ in range(_MOST):
        top, left, bottom, right = (int(edge) for edge in densest(worth))
        if bottom <= top:
            break
        worth[top:bottom, left:right] = -_PRICE
        if upright:
            top, left, bottom, right = left, top, right, bottom
        top, bottom = _sides(luma[:, left * cell : right * cell], top * cell, bottom * cell, cell)
        left, right = _sides(luma[top:bottom].T, left * cell, right * cell, cell)
        share = (bottom - top) * (right - left) / luma.size
        if min(bottom - top, right - left) >= _LEAST_SIDE and _LEAST_SHARE <= share < _WHOLE:
            found.append(luma[top:bottom, left:right])
    largest = max((part.size for part in found), default=0)
    return [part for part in found if part.size >= _LEFT_OVER * largest]


def _plain(luma: Plane) -> Plane:
    """1 where an image is flat at a level that is common in it and along its edges, else 0."""
    import cv2
    import numpy as np

    box = np.ones((5, 5), dtype=np.uint8)
    flat = cv2.dilate(luma, box) - cv2.erode(luma, box) <= _FLAT
    levels = np.clip(np.rint(luma), 0, 255).astype(np.uint8)
    frame = np.concatenate([levels[0], levels[-1], levels[:, 0], levels[:, -1]])

    def held(values: NDArray[np.uint8]) -> NDArray[np.float64]:
        return np.convolve(np.bincount(values, minlength=256), np.ones(3), "same")

    common = (held(levels[flat]) >= _COMMON * luma.size) & (held(frame) >= _COMMON * len(frame))
    plain: Plane = (flat & common[levels]).astype(np.float32)
    return plain


def _sides(band: Plane, first: int, last: int, cell: int) -> tuple[int, int]:
    """First row and the row after the last of a picture, moved to where the level of its surroundings ends."""
    out, inwards = 2 * cell + 3, 2 * cell + 3 + round(_INWARDS * (last - first))
    top = 0 if first < cell else _side(band, first, out, inwards)
    bottom = len(band) - (0 if last > len(band) - 2 * cell else _side(band[::-1], len(band) - last, out, inwards))
    return (top, bottom) if bottom > top else (first, last)


def _side(band: Plane, near: int, out: int, inwards: int) -> int:
    """The row from which on a band is another one than outside."""
    import numpy as np

    low, high = max(near - out, 0), min(near + inwards, len(band))
    if high - low < 2:
        return near
    strange = np.abs(band[low:high] - np.median(band[low : low + max(out // 2, 1)]))
    jumps = [np.diff((strange > least).mean(axis=1)) for least in _OTHER]
    clear = jumps[0] if jumps[0].max() >= _LONG else max(jumps, key=lambda one: float(one.max()))
    return low + 1 + int(clear.argmax())
