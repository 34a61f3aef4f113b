"""The font of visible labels: the bundled one, or a file of the policy's."""

from __future__ import annotations

import struct
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.ImageFont import FreeTypeFont

BUNDLED = Path(__file__).parent / "fonts" / "NotoSansSC-label.otf"
"""Noto Sans CJK SC, cut to Latin and the common Chinese characters (see the note beside it)."""
MAX_BYTES = 64_000_000


def font_file(name: str) -> Path:
    """The file behind a policy's `font`; the bundled one for an empty name."""
    return Path(name) if name else BUNDLED


@lru_cache(maxsize=8)
def characters(path: Path) -> frozenset[int]:
    """Code points that a font has glyphs for. Raises ValueError for a file that cannot be read or is no such font."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ValueError(f"found the font {path} with more than {MAX_BYTES} bytes")
        return frozenset(_mapped(path.read_bytes()))
    except OSError as error:
        raise ValueError(f"cannot read the font {path}: {error.strerror or type(error).__name__}") from None
    except (struct.error, IndexError):
        raise ValueError(f"found no font in {path}, expected TrueType or OpenType with a Unicode table") from None


def missing(text: str, path: Path) -> str:
    """The characters of a text that a font lacks; spaces count as there. Raises ValueError as `characters` does."""
    known = characters(path)
    return "".join(letter for letter in dict.fromkeys(text) if ord(letter) not in known and not letter.isspace())


@lru_cache(maxsize=32)
def load(path: Path, size: int) -> FreeTypeFont:
    """The font at a size in pixels an em. Raises OSError for a file that FreeType cannot read."""
    from PIL import ImageFont

    return ImageFont.truetype(str(path), size, layout_engine=ImageFont.Layout.BASIC)


def _mapped(data: bytes) -> set[int]:
    """Code points of the `cmap` table, formats 4 and 12 (OpenType 1.9); of a collection, the first font's."""
    start = struct.unpack_from(">I", data, 12)[0] if data[:4] == b"ttcf" else 0
    for number in range(struct.unpack_from(">H", data, start + 4)[0]):
        tag, _, offset, _ = struct.unpack_from(">4sIII", data, start + 12 + 16 * number)
        if tag == b"cmap":
            return _cmap(data, offset)
    raise IndexError("no cmap")


def _cmap(data: bytes, table: int) -> set[int]:
    found: set[int] = set()
    for number in range(struct.unpack_from(">H", data, table + 2)[0]):
        platform, encoding, offset = struct.unpack_from(">HHI", data, table + 4 + 8 * number)
        if platform == 0 or (platform, encoding) in {(3, 1), (3, 10)}:
            form = struct.unpack_from(">H", data, table + offset)[0]
            if form in (4, 12):
                found |= (_segments if form == 4 else _groups)(data, table + offset)
    return found


def _segments(data: bytes, at: int) -> set[int]:
    """Format 4: segments of the first 65,536 code points."""
    count = struct.unpack_from(">H", data, at + 6)[0] // 2
    ends = struct.unpack_from(f">{count}H", data, at + 14)
    starts = struct.unpack_from(f">{count}H", data, at + 16 + 2 * count)
    deltas = struct.unpack_from(f">{count}H", data, at + 16 + 4 * count)
    ranges = at + 16 + 6 * count
    offsets = struct.unpack_from(f">{count}H", data, ranges)
    found = set()
    for number, (first, last, delta, offset) in enumerate(zip(starts, ends, deltas, offsets, strict=True)):
        for code in range(first, min(last, 0xFFFE) + 1):
            if offset:
                glyph = struct.unpack_from(">H", data, ranges + 2 * number + offset + 2 * (code - first))[0]
            else:
                glyph = code + delta & 0xFFFF
            if glyph:
                found.add(code)
    return found


def _groups(data: bytes, at: int) -> set[int]:
    """Format 12: groups of any code points."""
    found: set[int] = set()
    for number in range(min(struct.unpack_from(">I", data, at + 12)[0], 0x110000)):
        first, last, glyph = struct.unpack_from(">III", data, at + 16 + 12 * number)
        found.update(range(first if glyph else first + 1, min(last, 0x10FFFF) + 1))
    return found
