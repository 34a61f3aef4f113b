"""What may become a Content: size, encoding and file type are checked before any check or decoder sees the data."""

from __future__ import annotations

from dataclasses import dataclass, replace

from guard.errors import InputError, TooLargeError
from guard.sound import ALIASES, MEDIA_TYPE, identify, is_wav, require_short
from guard.types import Content, Modality, Origin, Request, Stage


@dataclass(frozen=True, slots=True)
class Limits:
    """What is refused before any check sees it, and how much is judged at once."""

    text: int = 50_000
    """Code points of one text."""
    image: int = 20_000_000
    """Bytes of one image file."""
    pixels: int = 40_000_000
    """Pixels of one image, by its header; `guard.imaging.MAX_PIXELS` at most."""
    audio: int = 50_000_000
    """Bytes of one audio file."""
    audio_seconds: float = 600.0
    """Seconds that one audio may play."""
    outputs: int = 64
    """Outputs judged in one batch."""


def admit(
    data: str | bytes | Content, *, request: Request, stage: Stage, origin: Origin, media_type: str, limits: Limits
) -> Content:
    """Make a Content of a text, an image or an audio file, or take one as it is when it keeps the limits.

    A Content keeps its own request and origin, and takes the given stage. `media_type`: what the sender calls a file; empty
    when it does not say. Raises TooLargeError over a limit, InputError for a text that is no Unicode or a file whose bytes are
    not what it says, TypeError for what is neither text, bytes nor a Content.
    """
    if isinstance(data, Content):
        ready = admit(
            data.data, request=data.request, stage=stage, origin=data.origin, media_type=data.media_type, limits=limits
        )
        if data.modality is not ready.modality:
            raise InputError(f"found a content of modality {data.modality.value} that holds {ready.modality.value}")
        same = (data.stage, data.media_type) == (ready.stage, ready.media_type)
        return data if same else replace(data, stage=ready.stage, media_type=ready.media_type)
    if isinstance(data, str):
        return Content(Modality.TEXT, _text(data, limits.text), media_type or "text/plain", stage, origin, request)
    if not isinstance(data, bytes):
        raise TypeError(f"found {type(data).__name__}, expected str, bytes or Content")
    modality = modality_of(data, media_type)
    found = _audio_type(data, media_type, limits) if modality is Modality.AUDIO else _image_type(data, media_type, limits)
    return Content(modality, data, found, stage, origin, request)


def modality_of(data: str | bytes | Content, media_type: str = "") -> Modality:
    """What something is, or is meant to be: of bytes, as they begin or as their sender calls them."""
    if isinstance(data, Content):
        return data.modality
    if isinstance(data, str):
        return Modality.TEXT
    return Modality.AUDIO if is_wav(data) or media_type.startswith("audio/") else Modality.IMAGE


def _text(text: str, limit: int) -> str:
    if len(text) > limit:
        raise TooLargeError(
            f"found a text of {len(text)} characters, expected at most {limit}",
            advice="Send it in parts, or raise the limit in the settings.",
        )
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise InputError(
            f"found an unpaired surrogate at character {error.start}, expected Unicode text",
            advice="The text was cut inside a character or decoded wrongly before it was sent.",
        ) from None
    return text


def _audio_type(data: bytes, said: str, limits: Limits) -> str:
    if len(data) > limits.audio:
        raise TooLargeError(f"found an audio file of {len(data)} bytes, expected at most {limits.audio}")
    require_short(identify(data), limits.audio_seconds)
    if said and said not in ALIASES:
        raise _mistold(MEDIA_TYPE, said)
    return MEDIA_TYPE


def _mistold(found: str, said: str) -> InputError:
    return InputError(
        f"found a file of type {found}, expected {said} as its sender says", advice="Send the type that the bytes have."
    )


def _image_type(data: bytes, said: str, limits: Limits) -> str:
    from guard.imaging import identify as identify_image

    if len(data) > limits.image:
        raise TooLargeError(f"found an image file of {len(data)} bytes, expected at most {limits.image}")
    found, width, height = identify_image(data)
    if width * height > limits.pixels:
        raise TooLargeError(
            f"found an image of {width} x {height} pixels, expected at most {limits.pixels} in all",
            advice="Send it smaller, or raise the limit in the settings.",
        )
    if said and said.replace("image/jpg", "image/jpeg") != found:
        raise _mistold(found, said)
    return found
