"""Embeds for `invisible-watermark`'s method dwtDctSvd, so that its decoder reads the mark even from drawings and plain areas.

The method: one level of a Haar wavelet on the U channel; every 4 x 4 block of the low band carries one bit, repeated over the
image, in the remainder of its largest singular value modulo 36 (below half: 0). A DCT before the decomposition, which the
library does, leaves singular values as they are, so it is left out here. Against the library's own embedding:

- only the low band's change is added to the pixels. The library puts the whole picture together again with the horizontal
  and vertical bands exchanged and without clipping, which costs about 5 dB and leaves pixels 100 levels off.
- the singular value moves to the nearest value that says the bit, not up within its own interval: half the change.
- each block is read back as it will be stored. Where rounding, or clipping at white, black and full colours, lost the bit, the
  block moves to the value on the other side, then further out, and keeps the first that holds. White paper, which the
  library cannot mark at all, is marked this way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]
    Values = NDArray[np.float64]

SCALE = 36.0
"""The library's default step for U; its decoder has to use the same."""
BLOCK = 4
CELL = 2 * BLOCK
"""Side of a block in pixels: the low band has half the resolution."""
_STRIP = 16_384
"""Blocks worked on at once (a megapixel), which bounds memory."""
_U_TO_BGR = (2.032, -0.395, 0.0)
"""What one level of U is in blue, green and red (OpenCV's COLOR_YUV2BGR)."""


def embed(bgr: Pixels, payload: bytes) -> Pixels:
    """Marked copy of an image, shape (height, width, 3), channels in OpenCV's order.

    Bit i of the payload goes into every block whose number, row by row, is i modulo the payload's length in bits, as the
    library's decoder counts them. Rows and columns beyond the last whole block stay as they are.
    """
    import numpy as np

    rows, columns = bgr.shape[0] // CELL, bgr.shape[1] // CELL
    bits = np.unpackbits(np.frombuffer(payload, dtype=np.uint8)).astype(np.int64)
    # The decoder walks over as many blocks as fit, which are these: it crops to multiples of four first, and halves.
    wanted = np.resize(bits, (rows, columns))
    result = bgr.copy()
    step = max(1, _STRIP // max(1, columns))
    for top in range(0, rows if columns else 0, step):
        strip = result[top * CELL : min(top + step, rows) * CELL, : columns * CELL]
        strip[:] = _embed_blocks(strip, wanted[top : top + step])
    return result


def _embed_blocks(area: Pixels, wanted: NDArray[np.int64]) -> Pixels:
    """Embed one bit a block; `area` has exactly `wanted.shape` blocks."""
    import numpy as np

    rows, columns = wanted.shape
    bits = wanted.ravel()
    left, values, right = np.linalg.svd(_blocks(area))
    largest = values[:, 0]
    direction = left[:, :, :1] * right[:, :1, :]
    marked = area
    lost = np.ones(bits.size, dtype=bool)
    for attempt, target in enumerate(_targets(largest, bits)):
        change = (target - largest)[:, None, None] * direction
        # Half of a low-band coefficient is its share in each of the four pixels under it.
        shift = np.kron(_grid(change, rows, columns), np.full((2, 2), 0.5))
        trial = np.clip(np.rint(area + shift[..., None] * np.asarray(_U_TO_BGR)), 0, 255).astype(np.uint8)
        holds = _read(trial) == bits
        # A block that no target suits keeps the first: the others of the same bit outvote it.
        taken = lost & holds if attempt else lost
        marked = np.where(np.kron(taken.reshape(rows, columns), np.ones((CELL, CELL), dtype=bool))[..., None], trial, marked)
        lost = lost & ~holds
        if not lost.any():
            break
    return marked


def _targets(largest: Values, bits: NDArray[np.int64]) -> list[Values]:
    """Values that say the bits, nearest first: (n + 1/4) steps for 0, (n + 3/4) for 1, never below the lowest step."""
    import numpy as np

    phase = 0.25 + 0.5 * bits
    nearest = np.maximum(np.rint(largest / SCALE - phase), 0.0)
    away = np.where((nearest + phase) * SCALE > largest, -1.0, 1.0)
    # Near white, rounding takes back up to half a level of U: one of the tries goes a little beyond the middle.
    steps = (nearest, nearest + away, nearest + away * 1.15, nearest - away)
    return [(np.maximum(step, 0.0) + phase) * SCALE for step in steps]


def _blocks(area: Pixels) -> Values:
    """Low-band blocks of the U channel, shape (blocks, 4, 4), from the 8-bit U that the decoder will see."""
    import cv2
    import numpy as np

    u = cv2.cvtColor(np.ascontiguousarray(area), cv2.COLOR_BGR2YUV)[..., 1].astype(np.float64)
    low = (u[0::2, 0::2] + u[0::2, 1::2] + u[1::2, 0::2] + u[1::2, 1::2]) / 2
    rows, columns = low.shape[0] // BLOCK, low.shape[1] // BLOCK
    blocks: Values = low.reshape(rows, BLOCK, columns, BLOCK).swapaxes(1, 2).reshape(-1, BLOCK, BLOCK)
    return blocks


def _grid(blocks: Values, rows: int, columns: int) -> Values:
    """Blocks put together again, shape (4 rows, 4 columns)."""
    return blocks.reshape(rows, columns, BLOCK, BLOCK).swapaxes(1, 2).reshape(rows * BLOCK, columns * BLOCK)


def _read(area: Pixels) -> NDArray[np.int64]:
    """The bit of each block, as the library's decoder decides it."""
    import numpy as np

    largest = np.linalg.svd(_blocks(area), compute_uv=False)[:, 0]
    bits: NDArray[np.int64] = (np.mod(largest, SCALE) > SCALE / 2).astype(np.int64)
    return bits
