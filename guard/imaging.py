"""Encoded image files to pixels and back; sizes are checked before anything is decoded.

A file has to hold exactly one picture: animations and multi-picture JPEGs are refused, because what a check has not seen
must not leave with what it has.
"""

from __future__ import annotations

import io
import struct
import threading
import weakref
from typing import TYPE_CHECKING

from guard.errors import InputError, TooLargeError
from guard.types import Content, Making, Modality, Origin, Request, Stage

if TYPE_CHECKING:
    from PIL.Image import Image

MAX_PIXELS = 40_000_000
"""The largest image that is decoded, in pixels (about 120 MB as RGB)."""
_STRIP = 1 << 20
"""Pixels that are laid over a ground at once, about."""
FORMATS = {"PNG": "image/png", "JPEG": "image/jpeg", "WEBP": "image/webp"}
"""Formats that are read, with their media types. Files whose bytes say another format are refused."""

_DAMAGE = (
    OSError,
    ValueError,
    SyntaxError,
    EOFError,
    struct.error,
    KeyError,
    IndexError,
    TypeError,
    OverflowError,
    MemoryError,
    UserWarning,
)
"""What Pillow's readers raise on broken files (found by mutating files); warnings only where they are errors."""

_decoded: weakref.WeakKeyDictionary[Content, Image] = weakref.WeakKeyDictionary()
_lock = threading.Lock()


def identify(data: bytes) -> tuple[str, int, int]:
    """Read (media type, width, height) from the file's header alone.

    Raises InputError for bytes that are no PNG, JPEG or WebP, or that hold several pictures, TooLargeError for more than
    MAX_PIXELS.
    """
    with _open(data) as image:
        return FORMATS[str(image.format)], image.width, image.height


def _open(data: bytes) -> Image:
    """Open without decoding: Pillow reads the header only."""
    from PIL import Image

    try:
        image = Image.open(io.BytesIO(data), formats=tuple(FORMATS))
    # Pillow warns over its own limit and refuses over twice that; both are above ours. Where warnings are not errors, the
    # size test below refuses instead (filters are not changed here: they are global, and checks run on threads).
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise TooLargeError(f"the image's header names more pixels than the limit of {MAX_PIXELS}") from None
    except _DAMAGE:
        raise InputError(
            f"found {len(data)} bytes that are no readable image, expected PNG, JPEG or WebP",
            advice="Send the file's bytes as they are; other formats have to be converted first.",
        ) from None
    if image.width * image.height > MAX_PIXELS:
        raise TooLargeError(f"found an image of {image.width} x {image.height} pixels, expected at most {MAX_PIXELS} in all")
    # Pillow calls a JPEG with several pictures MPO.
    if image.format not in FORMATS or getattr(image, "n_frames", 1) != 1:
        raise InputError(
            f"found an image file of format {image.format} with {getattr(image, 'n_frames', 1)} pictures, expected one picture",
            advice="Send each picture of an animation or multi-picture file on its own.",
        )
    return image


def decode(content: Content) -> Image:
    """The pixels of an image content, upright per EXIF, mode as in the file. Decoded once a content; do not change it in place.

    Raises InputError when the file breaks off or is damaged.
    """
    with _lock:
        image = _decoded.get(content)
    if image is None:
        image = open_picture(content.file)
        with _lock:
            _decoded[content] = image
    return image


def open_picture(data: bytes) -> Image:
    """The pixels of an image file, upright per EXIF, mode as in the file.

    Raises InputError when the file is none, breaks off, is damaged or holds several pictures, TooLargeError as `identify`.
    """
    from PIL import ImageOps

    image = _loaded(data)
    try:
        ImageOps.exif_transpose(image, in_place=True)
    except _DAMAGE:  # the EXIF block is damaged, so no viewer turns the picture either
        return _loaded(data)
    return image


def _loaded(data: bytes) -> Image:
    """The pixels as they are in the file: of a large image there is not room for many copies."""
    image = _open(data)
    try:
        image.load()
    except _DAMAGE:
        raise InputError(
            f"found a damaged image file of {len(data)} bytes",
            advice="The header is readable, the pixels are not: send it again.",
        ) from None
    return image


def flatten(image: Image, *, paper: int = 255) -> Image:
    """The picture as RGB, 8 bits a channel, transparency laid over a grey of `paper`: what a person sees on a page."""
    from PIL import Image

    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    opaque = eight_bits(image)
    if not opaque.has_transparency_data:
        return opaque.convert("RGB")
    flat = Image.new("RGB", opaque.size)
    step = max(1, _STRIP // opaque.width)
    for top in range(0, opaque.height, step):  # of a large image there is not room for many copies
        pixels = opaque.crop((0, top, opaque.width, min(top + step, opaque.height))).convert("RGBA")
        under = Image.new("RGBA", pixels.size, (paper, paper, paper, 255))
        flat.paste(Image.alpha_composite(under, pixels).convert("RGB"), (0, top))
    return flat


def encode_png(image: Image, *, quick: bool = False) -> bytes:
    """Encode as PNG, losslessly but for modes PNG does not know (CMYK, floating point), which become 8-bit ones.

    `quick`: in a quarter of the time, a photograph by a tenth larger.
    """
    buffer = io.BytesIO()
    if image.mode not in {"1", "L", "LA", "I;16", "P", "RGB", "RGBA"}:
        image = eight_bits(image)
    image.save(buffer, "PNG", compress_level=1 if quick else 6)
    return buffer.getvalue()


def eight_bits(image: Image) -> Image:
    """The picture in a mode of at most 8 bits a channel that PNG knows. Pillow clips deeper samples instead of scaling them."""
    if image.mode.startswith(("I", "F")):
        import numpy as np
        from PIL import Image

        samples = np.asarray(image, dtype=np.float64)
        top = 65535.0 if image.mode.startswith("I") else 255.0
        return Image.fromarray(np.clip(np.rint(samples * (255.0 / top)), 0, 255).astype(np.uint8))
    if image.mode in {"PA", "La", "RGBa"}:
        return image.convert("LA" if image.mode == "La" else "RGBA")
    if image.mode in {"1", "L", "LA", "P", "RGB", "RGBA"}:
        return image
    converted = image.convert("RGB")
    converted.info.pop("icc_profile", None)  # it describes the other colour space
    return converted


def image_content(image: Image, *, stage: Stage, origin: Origin, request: Request, making: Making | None = None) -> Content:
    """Wrap pixels as a PNG content. The pixels are decoded again when asked for, so that checks see what the file holds."""
    return Content(Modality.IMAGE, encode_png(image), "image/png", stage, origin, request, making)
