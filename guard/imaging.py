"""Encoded image files to pixels and back; sizes are checked before anything is decoded."""

from __future__ import annotations

import io
import threading
import warnings
import weakref
from typing import TYPE_CHECKING

from guard.errors import InputError, TooLargeError
from guard.types import Content, Modality, Origin, Request, Stage

if TYPE_CHECKING:
    from PIL.Image import Image

MAX_PIXELS = 40_000_000
"""The largest image that is decoded, in pixels (about 120 MB as RGB)."""
FORMATS = {"PNG": "image/png", "JPEG": "image/jpeg", "WEBP": "image/webp"}
"""Formats that are read, with their media types. Files whose bytes say another format are refused."""

_decoded: weakref.WeakKeyDictionary[Content, Image] = weakref.WeakKeyDictionary()
_lock = threading.Lock()


def identify(data: bytes) -> tuple[str, int, int]:
    """Read (media type, width, height) from the file's header alone.

    Raises InputError for bytes that are no PNG, JPEG or WebP, TooLargeError for more than MAX_PIXELS.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(data), formats=tuple(FORMATS)) as image:
                kind, (width, height) = str(image.format), image.size
    except Image.DecompressionBombError:
        raise TooLargeError(f"the image's header names more pixels than the limit of {MAX_PIXELS}") from None
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError):
        raise InputError(
            f"found {len(data)} bytes that are no readable image, expected PNG, JPEG or WebP",
            advice="Send the file's bytes as they are; other formats have to be converted first.",
        ) from None
    if width * height > MAX_PIXELS:
        raise TooLargeError(f"found an image of {width} x {height} pixels, expected at most {MAX_PIXELS} in all")
    return FORMATS[kind], width, height


def decode(content: Content) -> Image:
    """The pixels of an image content, upright per EXIF, mode as in the file. Decoded once a content; do not change it in place.

    Raises InputError when the file breaks off or is damaged.
    """
    with _lock:
        image = _decoded.get(content)
    if image is None:
        image = _load(content.file)
        with _lock:
            _decoded[content] = image
    return image


def _load(data: bytes) -> Image:
    from PIL import Image, ImageOps

    identify(data)
    try:
        with Image.open(io.BytesIO(data), formats=tuple(FORMATS)) as opened:
            opened.load()
            return ImageOps.exif_transpose(opened).copy()
    except (OSError, ValueError, SyntaxError, EOFError):
        raise InputError(
            f"found a damaged image file of {len(data)} bytes",
            advice="The header is readable, the pixels are not: send it again.",
        ) from None


def encode_png(image: Image) -> bytes:
    """Encode as PNG, losslessly."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def image_content(image: Image, *, stage: Stage, origin: Origin, request: Request) -> Content:
    """Wrap pixels as a PNG content."""
    content = Content(Modality.IMAGE, encode_png(image), "image/png", stage, origin, request)
    _decoded[content] = image
    return content
