"""WAV files: sizes are checked before anything is read, and a file has to be exactly what its header says.

Written after Microsoft's "Multimedia Programming Interface and Data Specifications 1.0" (RIFF, WAVE) and its "Multiple Channel
Audio Data and WAVE Files". What is read is PCM of 8, 16, 24 or 32 bits; other codings, second sounds in one file and bytes
behind its end are refused, because what a check has not heard must not leave with what it has. Standard library only.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass

from guard.errors import InputError, TooLargeError
from guard.types import Content, Making, Modality, Origin, Request, Stage

MEDIA_TYPE = "audio/wav"
ALIASES = frozenset({MEDIA_TYPE, "audio/x-wav", "audio/wave", "audio/vnd.wave"})
"""What senders call such a file."""
MAX_CHUNKS = 64
"""Chunks of one file that are read."""
_PCM, _EXTENSIBLE = 1, 0xFFFE
_PCM_KIND = bytes.fromhex("0100000000001000800000aa00389b71")
"""The sub-format by which an extensible header says PCM."""
_ADVICE = "Send PCM in a WAV file; other formats have to be converted first."
_SIGNED = b"C2PA"

Chunk = tuple[bytes, bytes]
"""Id, four bytes, and body of a RIFF chunk."""


@dataclass(frozen=True, slots=True)
class Sound:
    """What a WAV file's header says, and its body keeps."""

    channels: int
    rate: int
    """Frames a second."""
    bits: int
    """Of a sample: 8, 16, 24 or 32."""
    frames: int

    @property
    def seconds(self) -> float:
        """How long it plays."""
        return self.frames / self.rate


def is_wav(data: bytes) -> bool:
    """Whether bytes begin as a WAV file does."""
    return data[:4] == b"RIFF" and data[8:12] == b"WAVE"


def chunks(data: bytes) -> list[Chunk]:
    """The chunks of a WAV file, in order. Raises InputError unless they fill the file exactly."""
    if not is_wav(data):
        raise InputError(f"found {len(data)} bytes that are no WAV file, expected RIFF with WAVE", advice=_ADVICE)
    end = 8 + struct.unpack_from("<I", data, 4)[0]
    if end % 2 and len(data) == end + 1:
        end += 1  # a size that leaves out the last chunk's padding
    if end != len(data):
        cut = "was cut off" if end > len(data) else "has bytes behind its end"
        raise InputError(f"found a WAV file of {len(data)} bytes that says {end}: it {cut}", advice="Send the file as it is.")
    found: list[Chunk] = []
    at = 12
    while at < end:
        if at + 8 > end:
            raise InputError(f"found {end - at} bytes at the end of a WAV file, expected a chunk's header of 8")
        kind, size = struct.unpack_from("<4sI", data, at)
        if at + 8 + size > end:
            raise InputError(f"found a chunk of {size} bytes in a WAV file with {end - at - 8} left: it was cut off")
        if len(found) == MAX_CHUNKS:
            raise InputError(f"found more than {MAX_CHUNKS} chunks in a WAV file, expected at most that")
        found.append((kind, data[at + 8 : at + 8 + size]))
        at += 8 + size + size % 2  # writers leave out the padding of the very last chunk, Python's among them
    return found


def identify(data: bytes) -> Sound:
    """Read and prove the header. Raises InputError for whatever is not one whole sound in PCM."""
    found = chunks(data)
    formats = [body for kind, body in found if kind == b"fmt "]
    sounds = [body for kind, body in found if kind == b"data"]
    if len(formats) != 1 or len(sounds) != 1:
        raise InputError(
            f"found a WAV file with {len(formats)} formats and {len(sounds)} sounds, expected one of each", advice=_ADVICE
        )
    if [kind for kind, _ in found].index(b"fmt ") > [kind for kind, _ in found].index(b"data"):
        raise InputError("found a WAV file whose sound comes before its format, expected the format first")
    return _sound(formats[0], len(sounds[0]))


def _sound(header: bytes, size: int) -> Sound:
    if len(header) < 16:
        raise InputError(f"found a WAV format of {len(header)} bytes, expected at least 16")
    coding, channels, rate, _, block, bits = struct.unpack_from("<HHIIHH", header)
    if coding == _EXTENSIBLE and header[24:40] == _PCM_KIND:
        coding = _PCM
    if coding != _PCM:
        raise InputError(f"found a WAV file of coding {coding}, expected PCM (1)", advice=_ADVICE)
    if bits not in {8, 16, 24, 32} or not 1 <= channels <= 8 or not 1 <= rate <= 768_000:
        found = f"{channels} channels of {bits} bits at {rate} Hz"
        raise InputError(f"found a WAV file of {found}, expected 1 to 8 of 8, 16, 24 or 32 bits", advice=_ADVICE)
    if block != channels * bits // 8:
        raise InputError(f"found a WAV file with frames of {block} bytes, expected {channels * bits // 8}")
    if not size or size % block:
        raise InputError(f"found {size} bytes of sound in frames of {block}, expected one or more whole frames")
    return Sound(channels, rate, bits, size // block)


def require_short(sound: Sound, most: float) -> None:
    """Raise TooLargeError for a sound of more than `most` seconds."""
    if sound.seconds > most:
        raise TooLargeError(f"found a sound of {sound.seconds:.1f} s, expected at most {most:g} s")


def samples_of(data: bytes) -> bytes:
    """The samples of a WAV file as they stand in it. Raises as `identify`."""
    identify(data)
    return next(body for kind, body in chunks(data) if kind == b"data")


def chunk_of(data: bytes, kind: bytes) -> bytes | None:
    """The body of the one chunk of that id; None when there is none. Raises InputError for a second one, and as `chunks`."""
    found = [body for one, body in chunks(data) if one == kind]
    if len(found) > 1:
        raise InputError(f"found {len(found)} chunks {kind.decode('latin-1')!r} in a WAV file, expected at most one")
    return found[0] if found else None


def with_chunk(data: bytes, kind: bytes, body: bytes) -> bytes:
    """The file with this chunk, at its end, as the only one of that id.

    A C2PA manifest does not outlive a change of its file, so it is left out: kept, it would call the file tampered. Raises as
    `chunks`.
    """
    return _riff([*((one, old) for one, old in chunks(data) if one not in {kind, _SIGNED}), (kind, body)])


def encode_wav(samples: bytes, rate: int, channels: int = 1) -> bytes:
    """A WAV file of interleaved 16-bit samples, little-endian."""
    header = struct.pack("<HHIIHH", _PCM, channels, rate, rate * channels * 2, channels * 2, 16)
    return _riff([(b"fmt ", header), (b"data", samples)])


def _riff(parts: Iterable[Chunk]) -> bytes:
    body = b"".join(kind + struct.pack("<I", len(one)) + one + b"\x00" * (len(one) % 2) for kind, one in parts)
    return b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WAVE" + body


def audio_content(
    file: bytes, *, origin: Origin, request: Request, making: Making | None = None, transcript: str = ""
) -> Content:
    """Wrap a WAV file as an output. `transcript`: what it was made to say. Raises InputError as `identify`."""
    identify(file)
    return Content(Modality.AUDIO, file, MEDIA_TYPE, Stage.OUTPUT, origin, request, making, transcript=transcript)
