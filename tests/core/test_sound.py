"""WAV files: what is read is what the header says, and nothing else is let in."""

from __future__ import annotations

import io
import random
import struct
import wave

import pytest

from guard import sound
from guard.admission import Limits, admit, modality_of
from guard.errors import GenguardError, InputError, TooLargeError
from guard.types import CALLER, Content, Modality, Request, Stage
from tests.sounds import RATE, header, riff, samples, wav


def admitted(data: str | bytes | Content, media_type: str = "", limits: Limits | None = None) -> Content:
    told = {"request": Request("r"), "stage": Stage.OUTPUT, "origin": CALLER}
    return admit(data, media_type=media_type, limits=limits or Limits(), **told)


@pytest.mark.parametrize(("channels", "bits", "frames"), [(1, 8, 5), (1, 16, 7), (2, 16, 3), (2, 24, 4), (6, 32, 2)])
def test_it_reads_what_the_standard_library_writes(channels: int, bits: int, frames: int) -> None:
    """Channels, rate, bits and frames; an odd number of bytes at the end has no padding there."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as writer:
        writer.setparams((channels, bits // 8, RATE, 0, "NONE", ""))
        writer.writeframes(bytes(frames * channels * bits // 8))
    assert sound.identify(buffer.getvalue()) == sound.Sound(channels, RATE, bits, frames)


def test_the_standard_library_reads_what_it_writes() -> None:
    """Also with a chunk more, of an odd size, which is there once however often it is written."""
    data = sound.with_chunk(sound.with_chunk(wav(), b"AIGC", b"{}"), b"AIGC", b"odd")
    with wave.open(io.BytesIO(data)) as reader:
        assert (reader.getnchannels(), reader.getsampwidth(), reader.getframerate()) == (1, 2, RATE)
        assert reader.readframes(10_000) == samples() == sound.samples_of(data)
    assert sound.chunk_of(data, b"AIGC") == b"odd"
    assert sound.chunk_of(wav(), b"AIGC") is None
    assert sound.identify(data).seconds == 0.1


def test_an_extensible_header_may_say_pcm() -> None:
    """As many programs write for 24 bits; any other coding under it is refused."""
    known = bytes.fromhex("0100000000001000800000aa00389b71")
    head = header(coding=0xFFFE, bits=24) + struct.pack("<HHI", 22, 24, 4)
    assert sound.identify(riff((b"fmt ", head + known), (b"data", bytes(6)))).bits == 24
    with pytest.raises(InputError, match="coding 65534"):
        sound.identify(riff((b"fmt ", head + b"\x03" + known[1:]), (b"data", bytes(6))))


FMT, DATA = (b"fmt ", header()), (b"data", bytes(4))


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"RIFF", "no WAV file"),
        (wav()[:-3], "cut off"),
        (wav() + b"more", "bytes behind its end"),
        (riff(DATA), "0 formats and 1 sounds"),
        (riff(FMT, DATA, DATA), "1 formats and 2 sounds"),
        (riff(DATA, FMT), "sound comes before its format"),
        (riff((b"fmt ", b"\x01\x00"), DATA), "format of 2 bytes"),
        (riff((b"fmt ", header(coding=3, bits=32)), DATA), "coding 3, expected PCM"),
        (riff((b"fmt ", header(channels=0)), DATA), "0 channels"),
        (riff((b"fmt ", header(bits=12)), DATA), "12 bits"),
        (riff((b"fmt ", header(rate=0)), DATA), "at 0 Hz"),
        (riff((b"fmt ", header(block=7)), DATA), "frames of 7 bytes"),
        (riff(FMT, (b"data", b"")), "0 bytes of sound"),
        (riff(FMT, (b"data", bytes(3))), "3 bytes of sound in frames of 2"),
        (riff(FMT, DATA, *[(b"LIST", b"")] * 70), "more than 64 chunks"),
        (riff(FMT, (b"data", bytes(4)))[:36] + struct.pack("<4sI", b"data", 2**32 - 1) + bytes(4), "cut off"),
    ],
)
def test_a_file_that_is_not_one_whole_sound_is_refused(data: bytes, told: str) -> None:
    """With what is wrong about it: what a check has not heard must not leave with what it has."""
    with pytest.raises(InputError, match=told):
        sound.identify(data)


def test_a_broken_file_never_raises_anything_else() -> None:
    """Bytes changed and cut at random."""
    rng, whole = random.Random(5), sound.with_chunk(wav(0.01), b"AIGC", b'{"Label":"1"}')
    for _ in range(3000):
        data = bytearray(whole[: rng.randrange(len(whole) + 1)])
        for _ in range(rng.randrange(4)):
            if data:
                data[rng.randrange(min(len(data), 60))] = rng.randrange(256)
        try:
            sound.identify(bytes(data))
        except GenguardError:
            continue


def test_a_wav_file_is_admitted_as_audio() -> None:
    """By its bytes, whatever of its names the sender calls it."""
    for said in ("", "audio/wav", "audio/x-wav", "audio/wave"):
        content = admitted(wav(), said)
        assert (content.modality, content.media_type, content.length) == (Modality.AUDIO, "audio/wav", len(wav()))
    assert admitted(content) is content
    assert modality_of(b"\x89PNG") is Modality.IMAGE
    assert modality_of("RIFF") is Modality.TEXT


@pytest.mark.parametrize(
    ("data", "said", "told"),
    [
        (b"ID3\x04 mp3", "audio/mpeg", "no WAV file"),
        (wav(), "audio/mpeg", "type audio/wav, expected audio/mpeg"),
        (wav(), "image/png", "type audio/wav, expected image/png"),
    ],
)
def test_audio_that_is_called_something_else_is_refused(data: bytes, said: str, told: str) -> None:
    """As images are."""
    with pytest.raises(InputError, match=told):
        admitted(data, said)


def test_long_and_large_audio_is_refused() -> None:
    """By bytes before it is read, and by how long it plays."""
    with pytest.raises(TooLargeError, match=r"audio file of \d+ bytes, expected at most 100"):
        admitted(wav(), limits=Limits(audio=100))
    with pytest.raises(TooLargeError, match=r"2\.0 s, expected at most 1\.5 s"):
        admitted(wav(2.0), limits=Limits(audio_seconds=1.5))
