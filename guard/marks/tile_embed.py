"""Embeds the tile watermark: as strong as eyes allow, and most where the image itself speaks against it.

The image is known, so it need not be noise to the mark: what the reader would see is computed, and waves that the image drowns
are made louder, those that it carries already quieter ("informed embedding": Malvar and Florencio, "Improved spread spectrum",
IEEE Trans. Signal Processing 51, 2003, for a single wave). The strength of all follows from a bound on structural similarity.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from guard.marks.tile_code import encode
from guard.marks.tile_pattern import Pattern, pattern
from guard.marks.tile_spectrum import canonical, detail, fold, layout_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Plane = NDArray[np.float32]

SIMILARITY = 0.982
"""Mean structural similarity (SSIM) that is aimed at, within the two bounds below."""
STRONGEST_DB, WEAKEST_DB = 40.0, 43.2
"""Bounds of the peak signal-to-noise ratio, in dB: no image is changed more, and none marked less."""
_ROUNDS = 4
_STEP, _LOUDEST = 0.7, 3.0
_TEXTURE = 0.15
"""Power of the local deviation that the mark follows; a little, since the reader levels the deviation out again."""
_C2 = (0.03 * 255) ** 2
"""SSIM's second constant (Wang et al., 2004)."""


def embed(luma: Plane, payload: bytes, key: bytes, *, louder_db: float = 0.0) -> Plane:
    """What has to be added to the luma (0 to 255) of an image, (height, width), so that it says the payload.

    `louder_db`: how much stronger than the bounds allow, for an image that could not be read back. Raises ValueError for a
    payload that is not eight bytes.
    """
    import cv2
    import numpy as np

    layout = layout_of(luma.shape[1], luma.shape[0])
    plane = canonical(luma, layout)
    added = _added(plane, pattern(key, layout), encode(payload), 10 ** (louder_db / 20))
    if added.shape != luma.shape:
        shrinks = added.shape[0] > luma.shape[0]
        interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
        added = cv2.resize(added, (luma.shape[1], luma.shape[0]), interpolation=interpolation)
    return added.astype(np.float32, copy=False)


def _added(plane: Plane, one: Pattern, signs: NDArray[np.float64], louder: float) -> Plane:
    import numpy as np

    symbols = one.symbols(signs)
    wanted = np.concatenate([np.sign(symbols.real), np.sign(symbols.imag)])
    _, deviation = detail(plane)
    shape = (deviation + np.float32(2.0)) ** np.float32(_TEXTURE)
    loud = np.ones(2 * one.count)
    added = plane
    for turn in range(_ROUNDS):
        parts = loud * wanted
        added = _fitted(_laid(one, parts[: one.count] + 1j * parts[one.count :], shape), plane, louder)
        if turn + 1 < _ROUNDS:
            even, _ = detail(np.clip(np.rint(plane + added), 0, 255).astype(np.float32))
            waves = fold(even, one.layout)[one.y % one.layout.tile, one.x % one.layout.tile]
            said = np.concatenate([waves.real, waves.imag]) * wanted
            mean = max(float(said.mean()), 1e-6)
            loud = np.clip(loud + _STEP * (mean - said) / mean, 0.0, _LOUDEST)
    return added


def _laid(one: Pattern, amplitudes: NDArray[np.complex128], shape: Plane) -> Plane:
    """Tiles side by side over the whole image, louder where the image is busy; of mean power one."""
    import numpy as np

    tile = one.tile(amplitudes).astype(np.float32)
    height, width = shape.shape
    rows, columns = -(-height // tile.shape[0]), -(-width // tile.shape[1])
    laid: Plane = np.tile(tile, (rows, columns))[:height, :width] * shape
    return laid / np.float32(max(float(np.sqrt(np.mean(laid * laid))), 1e-9))


def _fitted(laid: Plane, plane: Plane, louder: float) -> Plane:
    """The mark at its strength, moved away from black and white where it would be cut off."""
    import numpy as np

    strength = np.float32(_strength(laid, plane) * louder)
    added = laid * strength
    reach = np.float32(1.5) * strength
    room = np.maximum(plane + reach - 255, 0) - np.maximum(reach - plane, 0)
    moved: Plane = added - room
    return moved


def _strength(laid: Plane, plane: Plane) -> float:
    """Root mean square of the mark, in levels, that leaves the similarity aimed at.

    A mark that is independent of the image leaves means and covariance as they are, so that SSIM becomes
    (2 v + c) / (2 v + m + c) with v and m the local variances of image and mark.
    """
    import cv2
    import numpy as np

    def local(values: Plane) -> Plane:
        found: Plane = cv2.GaussianBlur(values, (11, 11), 1.5)[::3, ::3]
        return found

    mean = local(plane)
    busy = 2 * np.maximum(local(plane * plane) - mean * mean, 0) + _C2
    mark = local(laid * laid)
    low, high = 255 / 10 ** (WEAKEST_DB / 20), 255 / 10 ** (STRONGEST_DB / 20)
    for _ in range(12):
        middle = (low + high) / 2
        power = middle * middle * mark
        if 1 - float(np.mean(power / (busy + power))) > SIMILARITY:
            low = middle
        else:
            high = middle
    return low
