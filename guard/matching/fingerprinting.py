"""From a file to the fingerprints that a bank keeps of it: pictures by their hashes, everything else as text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from guard.errors import InputError
from guard.imaging import open_picture
from guard.matching.works import Fingerprint
from guard.types import Modality

if TYPE_CHECKING:
    from PIL.Image import Image

IMAGE_SIGNS = (b"\x89PNG", b"\xff\xd8", b"RIFF")
"""How files of PNG, JPEG and WebP begin."""
THUMBNAIL_SIDE = 192
"""Longer side of a thumbnail, in pixels."""


def fingerprints_of(data: bytes, *, keep_text: bool = False) -> tuple[Modality, tuple[Fingerprint, ...]]:
    """What to recognise a picture or a text by. `keep_text`: a text may be kept, so that a match can show its passage.

    Raises InputError for a damaged file, a picture too plain or a text too short to be recognised again, and for what is
    neither a picture nor UTF-8.
    """
    if is_image(data):
        return Modality.IMAGE, of_picture(open_picture(data))
    return Modality.TEXT, of_text(text_from(data), keep_text=keep_text)


def is_image(data: bytes) -> bool:
    """Whether the bytes begin like a picture that is read."""
    return data.startswith(IMAGE_SIGNS)


def text_from(data: bytes) -> str:
    """The text in a file. Raises InputError when it is not UTF-8, or holds zero bytes as no text does."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(
            f"found bytes that are neither UTF-8 text (byte {error.start}) nor a PNG, JPEG or WebP image"
        ) from None
    if "\0" in text:
        raise InputError("found a text with zero bytes, expected UTF-8 text, or a PNG, JPEG or WebP image")
    return text


def of_picture(image: Image) -> tuple[Fingerprint, ...]:
    """Fingerprints of a picture: hashes and details. Raises InputError for one too small or plain to be recognised again."""
    from guard.matching.images import fingerprints

    return fingerprints(image)


def of_text(text: str, *, keep_text: bool = False) -> tuple[Fingerprint, ...]:
    """Fingerprints of a text by every method for texts. Raises InputError for one too short to be recognised again."""
    from guard.matching.passages import fingerprints

    return fingerprints(text, keep_text=keep_text)


def thumbnail_of(data: bytes) -> bytes:
    """A small JPEG of a picture file. Raises InputError for what is no picture."""
    import io

    from guard.imaging import flatten

    image = flatten(open_picture(data))
    image = image.copy()
    image.thumbnail((THUMBNAIL_SIDE, THUMBNAIL_SIDE))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=80)
    return buffer.getvalue()
