"""XMP packets in PNG, JPEG and WebP files, read and written without touching a pixel: chunks are copied byte for byte.

Written after the specifications of PNG (third edition), JPEG (ITU-T T.81 annex B), WebP (RFC 9649) and XMP (part 3). A C2PA
manifest does not outlive a change of its file, so it is left out: kept, it would call the file tampered.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from guard.errors import InputError

T = TypeVar("T")
_PNG = b"\x89PNG\r\n\x1a\n"
_PNG_KEY = b"XML:com.adobe.xmp"
_JPEG_KEY = b"http://ns.adobe.com/xap/1.0/\x00"
_JPEG_ROOM = 65_533 - len(_JPEG_KEY)
MAX_PACKET = 4_000_000
"""Bytes of the largest packet that is read."""
_XMP_FLAG, _ALPHA_FLAG = 0x04, 0x10


def media_type(data: bytes) -> str:
    """The media type that a file's first bytes say. Raises InputError for none of the three."""
    return f"image/{_kind(data)}"


def read_xmp(data: bytes) -> bytes | None:
    """The XMP packet of an image file; None when it has none. Raises InputError for a file that is not put together well."""
    kind = _kind(data)
    return _whole(kind, lambda: {"png": _png_xmp, "jpeg": _jpeg_xmp, "webp": _webp_xmp}[kind](data))


def write_xmp(data: bytes, packet: bytes) -> bytes:
    """The file with this packet as its only one, and without a C2PA manifest. Raises InputError as `read_xmp` does."""
    kind = _kind(data)
    writers: dict[str, Callable[[bytes, bytes], bytes]] = {"png": _png_with, "jpeg": _jpeg_with, "webp": _webp_with}
    return _whole(kind, lambda: writers[kind](data, packet))


def _whole(kind: str, work: Callable[[], T]) -> T:
    try:
        return work()
    except (struct.error, IndexError, zlib.error):
        raise InputError(f"found a damaged {kind.upper()} file, expected whole chunks") from None


def _kind(data: bytes) -> str:
    if data.startswith(_PNG):
        return "png"
    if data.startswith(b"\xff\xd8"):
        return "jpeg"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "webp"
    raise InputError("found bytes that are no PNG, JPEG or WebP file")


# --- PNG -------------------------------------------------------------------------------------------------------------


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """(type, whole chunk) up to IEND; what follows it is not part of the picture."""
    at = len(_PNG)
    while True:
        size, kind = struct.unpack_from(">I4s", data, at)
        chunk = data[at : at + 12 + size]
        if len(chunk) < 12 + size:
            raise IndexError("cut off")
        yield kind, chunk
        at += len(chunk)
        if kind == b"IEND":
            return


def _is_xmp(kind: bytes, chunk: bytes) -> bool:
    return kind == b"iTXt" and chunk[8:-4].partition(b"\x00")[0] == _PNG_KEY


def _png_xmp(data: bytes) -> bytes | None:
    for kind, chunk in _png_chunks(data):
        if _is_xmp(kind, chunk):
            body = chunk[8 + len(_PNG_KEY) + 1 : -4]
            text = body[2:].split(b"\x00", 2)[2]
            return _inflated(text) if body[0] else text
    return None


def _inflated(data: bytes) -> bytes:
    reader = zlib.decompressobj()
    text = reader.decompress(data, MAX_PACKET + 1)
    if len(text) > MAX_PACKET:
        raise InputError(f"found an XMP packet of more than {MAX_PACKET} bytes")
    return text


def _png_with(data: bytes, packet: bytes) -> bytes:
    body = b"iTXt" + _PNG_KEY + b"\x00\x00\x00\x00\x00" + packet
    new = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    parts = [_PNG]
    for number, (kind, chunk) in enumerate(_png_chunks(data)):
        if not _is_xmp(kind, chunk) and kind != b"caBX":
            parts.append(chunk)
        if number == 0:  # right after the header: readers look for it before the pixels
            parts.append(new)
    return b"".join(parts)


# --- JPEG ------------------------------------------------------------------------------------------------------------


def _jpeg_segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    """(marker, whole segment) up to the first scan, which comes with the whole rest of the file."""
    at = 2
    while True:
        while data[at] == 0xFF and data[at + 1] == 0xFF:
            at += 1  # fill bytes
        if data[at] != 0xFF:
            raise IndexError("no marker")
        marker = data[at + 1]
        if marker in {0xDA, 0xD9}:
            yield marker, data[at:]
            return
        size = struct.unpack_from(">H", data, at + 2)[0]
        segment = data[at : at + 2 + size]
        if size < 2 or len(segment) < 2 + size:
            raise IndexError("cut off")
        yield marker, segment
        at += len(segment)


def _is_jpeg_xmp(marker: int, segment: bytes) -> bool:
    return marker == 0xE1 and segment[4:].startswith(_JPEG_KEY)


def _jpeg_xmp(data: bytes) -> bytes | None:
    found = (segment for marker, segment in _jpeg_segments(data) if _is_jpeg_xmp(marker, segment))
    return next((segment[4 + len(_JPEG_KEY) :] for segment in found), None)


def _jpeg_with(data: bytes, packet: bytes) -> bytes:
    if len(packet) > _JPEG_ROOM:
        raise InputError(f"found {len(packet)} bytes of XMP for a JPEG file, expected at most {_JPEG_ROOM}")
    new = b"\xff\xe1" + struct.pack(">H", 2 + len(_JPEG_KEY) + len(packet)) + _JPEG_KEY + packet
    kept = [
        (marker, segment)
        for marker, segment in _jpeg_segments(data)
        if not _is_jpeg_xmp(marker, segment) and not _is_manifest(marker, segment)
    ]
    # JFIF and Exif want to be first.
    head = next((n for n, (marker, segment) in enumerate(kept) if marker != 0xE0 and segment[4:8] != b"Exif"), len(kept))
    return b"".join((data[:2], *(one for _, one in kept[:head]), new, *(one for _, one in kept[head:])))


def _is_manifest(marker: int, segment: bytes) -> bool:
    """A JUMBF box of C2PA in APP11: `JP`, box and packet numbers, then the box's length, type and the start of its label."""
    return marker == 0xEB and segment[4:6] == b"JP" and segment[16:20] == b"jumb"


# --- WebP ------------------------------------------------------------------------------------------------------------


def _webp_chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    """(type, content) of every chunk that the file's header counts."""
    end = 8 + struct.unpack_from("<I", data, 4)[0]
    if end > len(data):
        raise IndexError("cut off")
    at, found = 12, []
    while at + 8 <= end:
        kind, size = struct.unpack_from("<4sI", data, at)
        if at + 8 + size > end:
            raise IndexError("cut off")
        found.append((kind, data[at + 8 : at + 8 + size]))
        at += 8 + size + size % 2
    if not found:
        raise IndexError("no chunk")
    return found


def _webp_xmp(data: bytes) -> bytes | None:
    packet: bytes | None = next((body for kind, body in _webp_chunks(data) if kind == b"XMP "), None)
    return packet


def _webp_with(data: bytes, packet: bytes) -> bytes:
    chunks = [(kind, body) for kind, body in _webp_chunks(data) if kind not in {b"XMP ", b"C2PA"}]
    if chunks[0][0] == b"VP8X":
        head = bytes((chunks[0][1][0] | _XMP_FLAG, *chunks[0][1][1:]))
        chunks = chunks[1:]
    else:
        head = _extended(chunks)
    return _riff([(b"VP8X", head), *chunks, (b"XMP ", packet)])


def _extended(chunks: Sequence[tuple[bytes, bytes]]) -> bytes:
    """The VP8X chunk that a simple file lacks: flags, then width and height less one."""
    kind, body = chunks[0]
    width, height, alpha = 0, 0, 0
    if kind == b"VP8L":
        bits: int = struct.unpack_from("<I", body, 1)[0]
        width, height, alpha = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1, bits >> 28 & 1
    elif kind == b"VP8 ":
        width, height = (side & 0x3FFF for side in struct.unpack_from("<HH", body, 6))
    if not width or not height:
        raise IndexError("no picture")
    flags = _XMP_FLAG | (_ALPHA_FLAG if alpha else 0)
    return struct.pack("<I", flags) + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")


def _riff(chunks: Sequence[tuple[bytes, bytes]]) -> bytes:
    body = b"".join(kind + struct.pack("<I", len(one)) + one + b"\x00" * (len(one) % 2) for kind, one in chunks)
    return b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WEBP" + body
