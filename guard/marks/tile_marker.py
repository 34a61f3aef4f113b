"""Puts the tile watermark on released images and reads it from files: 64 bits that lead from a file back to its decision.

The payload is the last eight bytes of the decision's UUIDv7, 62 of whose bits are random: of a billion decisions two share one
once in nine times, so it is looked up together with what else is known, and it is proven by the ledger.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any
from uuid import UUID

from guard.errors import SettingsError
from guard.imaging import decode, eight_bits, encode_png, open_picture
from guard.marks.tile import Reading, read
from guard.marks.tile_code import PAYLOAD_BYTES
from guard.marks.tile_pattern import LEAST_SIDE
from guard.marks.tile_search import Budget
from guard.types import Content, Mark, Marking, Modality

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

KIND, METHOD = "watermark", "tile"
LOUDER_DB = (0.0, 2.0, 4.0, 6.0)
"""How much beyond the usual bound, in dB, is tried in turn until the mark can be read back."""
_DEEP = ("I;16", "I;16L", "I;16B", "I;16N")
_SCALE = 257
"""From 8 to 16 bits a sample."""
_LARGE = 1 << 24
"""Pixels of an image from which on each two by two are looked at as one."""
_STRIP = 1 << 20
"""Pixels that are worked on at once, about, which bounds memory."""


def payload_of(decision: UUID) -> bytes:
    """The eight bytes that mark an output of this decision: the last of its id."""
    return decision.bytes[-PAYLOAD_BYTES:]


def read_tile(data: bytes, key: bytes, *, thorough: bool = True, budget: Budget | None = None) -> Reading | None:
    """The mark in an image file; None when there is none for this key.

    `thorough`: also search for cuts, turns and stretches, which takes some seconds where there is no mark, or as long as
    `budget` says. Raises InputError for a damaged file.
    """
    return read(_seen(open_picture(data)), key, thorough=thorough, budget=budget)


class TileWatermark:
    """A `guard.protocols.Marker`. Keeps no state between calls, so threads may share it."""

    kind = KIND
    modality = Modality.IMAGE

    def __init__(self, key: bytes | None) -> None:
        """`key`: 32 secret bytes; None while a policy is only being compiled."""
        self._key = key

    def load(self) -> None:
        """Compile the loops, once a machine."""
        from guard.marks import tile_kernels

        tile_kernels.viterbi  # noqa: B018 - importing it is what takes time

    def __call__(self, content: Content, marking: Marking, /) -> tuple[Content, Mark]:
        """Mark an image, encode it as PNG and read the mark back from those bytes.

        Mode, depth (8 or 16 bits), transparency and colour profile stay; palettes become colours; other metadata goes. Raises
        InputError for a damaged file. An image that is too small, or that keeps no mark, comes back unchanged, with `verified`
        false.
        """
        key = self._need()
        image = decode(content)
        if min(image.size) < LEAST_SIDE:
            found = f"found an image of {image.width} x {image.height} pixels"
            return content, _failed(f"{found}, the watermark needs at least {LEAST_SIDE} each way")
        payload = payload_of(marking.decision)
        for louder in LOUDER_DB:
            file = encode_png(_marked(image, payload, key, louder), quick=True)
            found_back = read_tile(file, key, thorough=False)
            if found_back is not None and found_back.payload == payload:
                marked = Content(Modality.IMAGE, file, "image/png", content.stage, content.origin, content.request)
                return marked, Mark(KIND, METHOD, payload.hex(), verified=True)
        return content, _failed("the mark could not be read back: the image is too small or too busy to carry it unseen")

    def reread(self, content: Content, mark: Mark, /) -> str:
        """Read the file once more."""
        found = read_tile(content.file, self._need(), thorough=False)
        return "" if found and found.payload.hex() == mark.payload else "the mark can no longer be read from the file"

    def _need(self) -> bytes:
        if self._key is None:
            raise SettingsError("found no watermark key, expected the operator's")
        return self._key


def _failed(error: str) -> Mark:
    return Mark(KIND, METHOD, "", verified=False, error=error)


def _marked(image: Image, payload: bytes, key: bytes, louder_db: float) -> Image:
    import numpy as np
    from PIL import Image as Images

    from guard.marks.tile_embed import embed

    samples = _samples(image)
    top = 65535 if samples.dtype == np.uint16 else 255
    scale = np.float32(_SCALE if top == 65535 else 1)
    added = embed(_luma(samples), payload, key, louder_db=louder_db) * scale
    colours = 3 if samples.shape[2] >= 3 else 1  # the rest is transparency
    result = samples.copy()
    for first, last in _strips(*samples.shape[:2]):
        louder = result[first:last, :, :colours] + added[first:last, :, None]
        result[first:last, :, :colours] = np.clip(np.rint(louder, out=louder), 0, top, out=louder).astype(samples.dtype)
    marked = Images.fromarray(result[..., 0] if result.shape[2] == 1 else result)
    profile = image.info.get("icc_profile")
    if profile and (colours == 1) == (image.mode in {"1", "L", "LA", *_DEEP}):
        marked.info["icc_profile"] = profile
    return marked


def _samples(image: Image) -> NDArray[Any]:
    """Samples, (height, width, 1 to 4): grey, grey and alpha, RGB, RGBA; of 8 bits, or 16 where greys have them."""
    import numpy as np

    if image.mode in _DEEP:
        return np.asarray(image, dtype=np.uint16)[..., None]
    plain = eight_bits(image)
    clear = plain.has_transparency_data
    grey = plain.mode in {"1", "L", "LA"}
    wanted = ("LA" if clear else "L") if grey else ("RGBA" if clear else "RGB")
    samples = np.asarray(plain if plain.mode == wanted else plain.convert(wanted))
    return samples if samples.ndim == 3 else samples[..., None]


def _seen(image: Image) -> NDArray[np.float32]:
    """The luma of an image, of half the size where it is a large one; strip by strip, beside which the image alone is held."""
    import cv2
    import numpy as np

    width, height = image.size
    half = 2 if width * height > _LARGE and min(width, height) > 1 else 1
    rows, columns = height // half, width // half
    luma = np.empty((rows, columns), dtype=np.float32)
    for top, bottom in _strips(rows, columns * half * half):
        strip = _luma(_samples(image.crop((0, top * half, columns * half, bottom * half))))
        small = cv2.resize(strip, (columns, bottom - top), interpolation=cv2.INTER_AREA) if half > 1 else strip
        luma[top:bottom] = small
    return luma


def _strips(rows: int, columns: int) -> Iterator[tuple[int, int]]:
    """First rows of strips, and the rows after their last."""
    step = max(1, _STRIP // columns)
    return ((top, min(top + step, rows)) for top in range(0, rows, step))


def _luma(samples: NDArray[Any]) -> NDArray[np.float32]:
    """Brightness from 0 to 255, (height, width), by ITU-R BT.601."""
    import cv2
    import numpy as np

    if samples.shape[2] >= 3:
        return cv2.cvtColor(np.ascontiguousarray(samples[..., :3]), cv2.COLOR_RGB2GRAY).astype(np.float32)  # type: ignore[no-any-return]
    scale = _SCALE if samples.dtype == np.uint16 else 1
    return np.asarray(samples[..., 0], dtype=np.float32) / np.float32(scale)
