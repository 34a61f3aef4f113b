"""Lays the words of a label out on an image, and draws them: grey text on an opaque plate that stands out from its ground.

Plate and text are greys that do not depend on the image but for one choice, light or dark, so a drawn label can be recognised
again pixel by pixel. All lengths are pixels.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from guard.imaging import eight_bits
from guard.marks import font

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image
    from PIL.ImageFont import FreeTypeFont

    Coverage = NDArray[np.float64]

PLACES = ("top-left", "top", "top-right", "bottom-left", "bottom", "bottom-right")
LEAST_CAPITAL = 8
"""Height of a capital letter below which nobody reads it."""
LEAST_EM = 12
"""Size below which Chinese characters fill up."""
MOST_HEIGHT = 0.4
"""Share of the image's height that a label may cover."""
MOST_LINES = 3
TONES = ((24, 255), (248, 16))
"""(plate, text): dark, then light."""
_SMOOTH = 4
_CAPITAL = 0.7
"""Capital height of a font in ems, about; `_sized` measures it."""
_BREAK = re.compile(r"(?<=[\s-])|(?<=[\u2e80-\u9fff\uf900-\ufaff\uff00-\uffef])|(?=[\u2e80-\u9fff\uf900-\ufaff])")


@dataclass(frozen=True, slots=True)
class Plate:
    """A label laid out: where its plate is, and how far plate and text cover each of its pixels (0 to 1)."""

    left: int
    top: int
    lines: tuple[str, ...]
    shape: Coverage
    ink: Coverage

    @property
    def box(self) -> tuple[int, int, int, int]:
        """Left, top, right and bottom."""
        height, width = self.shape.shape
        return self.left, self.top, self.left + width, self.top + height


def lay_out(size: tuple[int, int], ladder: tuple[str, ...], place: str, share: float, file: Path) -> Plate | None:
    """The first wording of a ladder that fits on one line, else the first that fits on several; None when none does.

    `size`: of the image. `share`: least height of a capital, of the shortest side. Raises OSError for an unreadable font.
    """
    width, height = size
    used = _sized(file, max(LEAST_CAPITAL, math.ceil(share * min(size))))
    if used is None:
        return None
    em = int(used.size)
    margin, side, edge = max(2, round(0.35 * em)), max(3, round(0.5 * em)), max(2, round(0.28 * em))
    room = width - 2 * (margin + side)
    for most in (1, MOST_LINES):
        for words in ladder:
            lines = _wrapped(words, used, room)
            if lines and len(lines) <= most:
                ink = _ink(lines, used, side, edge)
                if ink.shape[0] + 2 * margin <= max(height * MOST_HEIGHT, em * 2 + 2 * margin) and ink.shape[0] <= height:
                    return _placed(ink, lines, size, place, margin, em)
    return None


def draw(image: Image, plate: Plate) -> Image:
    """A copy of the image with the plate on it, in the tone that differs more from what is under it."""
    import numpy as np
    from PIL import Image

    canvas = _canvas(image)
    under = np.asarray(canvas.crop(plate.box), dtype=np.float64)
    full = _full(canvas)
    plane = under[..., None] if under.ndim == 2 else under
    alpha = plane[..., -1:] / full if canvas.mode in {"LA", "RGBA"} else np.ones_like(plane[..., :1])
    colours = plane[..., : -1 if canvas.mode in {"LA", "RGBA"} else None]
    seen = float(np.mean(colours * alpha + full * (1 - alpha))) / full * 255
    dark = seen >= sum(tone[0] for tone in TONES) / 2
    painted, shape = _painted(plate, TONES[0 if dark else 1], full)[..., None], plate.shape[..., None]
    opaque = shape + alpha * (1 - shape)
    mixed = (painted * shape + colours * alpha * (1 - shape)) / np.maximum(opaque, 1e-9)
    planes = [mixed, opaque * full] if canvas.mode in {"LA", "RGBA"} else [mixed]
    kind = np.uint16 if full > 255 else np.uint8
    area = np.rint(np.concatenate(planes, axis=2)).astype(kind)
    canvas.paste(Image.fromarray(area[..., 0] if area.shape[2] == 1 else area), plate.box[:2])
    return canvas


def shows(image: Image, plate: Plate) -> bool:
    """Whether an image has this label, pixel by pixel where the plate is opaque."""
    import numpy as np

    if plate.box[2] > image.width or plate.box[3] > image.height:
        return False
    found = np.asarray(image.crop(plate.box), dtype=np.float64)
    inside = plate.shape >= 1
    planes = found[inside] if found.ndim == 3 else found[inside][:, None]
    full = _full(image)
    if image.mode in {"LA", "RGBA"} and (planes[:, -1] != full).any():
        return False
    colours = planes[:, :-1] if image.mode in {"LA", "RGBA"} else planes
    return any(bool((np.rint(_painted(plate, tone, full))[inside][:, None] == colours).all()) for tone in TONES)


def _painted(plate: Plate, tone: tuple[int, int], full: float) -> Coverage:
    """The grey of every pixel of the plate."""
    back, text = (grey * full / 255 for grey in tone)
    painted: Coverage = back + (text - back) * plate.ink
    return painted


def _full(image: Image) -> float:
    return 65535.0 if image.mode.startswith("I;16") else 255.0


def _canvas(image: Image) -> Image:
    """A copy in a mode that has greys: L, LA, I;16, RGB or RGBA."""
    if image.mode == "I;16" and "transparency" not in image.info:
        return image.copy()
    plain = eight_bits(image)
    grey = plain.mode in {"1", "L", "LA"}
    wanted = ("LA" if grey else "RGBA") if plain.has_transparency_data else ("L" if grey else "RGB")
    if plain.mode == wanted:
        return plain.copy()
    canvas = plain.convert(wanted)
    canvas.info.pop("transparency", None)
    return canvas


def _sized(file: Path, capital: int) -> FreeTypeFont | None:
    """The font at the least size whose capitals are at least `capital` high; None for a font that has none of such a height."""
    start = max(LEAST_EM, math.floor(capital / _CAPITAL * 0.85))
    sizes = (font.load(file, em) for em in range(start, max(start, 2 * capital) + LEAST_EM))
    return next((used for used in sizes if _rows(used) >= capital), None)


def _rows(used: FreeTypeFont) -> int:
    """Rows of a capital letter that are at least half covered: the soft edges above and below are not height."""
    mask = used.getmask("E")
    width, height = mask.size
    drawn = bytes(mask)
    return sum(max(drawn[row * width : (row + 1) * width]) >= 128 for row in range(height))


def _wrapped(words: str, used: FreeTypeFont, room: int) -> tuple[str, ...]:
    """Lines of at most `room` pixels; empty when a piece that cannot be parted is longer."""
    lines: list[str] = []
    line = ""
    for piece in _BREAK.split(words):
        if used.getlength((line + piece).rstrip()) <= room:
            line += piece
            continue
        if line.strip():
            lines.append(line.strip())
        line = piece
        if used.getlength(line.rstrip()) > room:
            return ()
    return (*lines, line.strip()) if line.strip() else tuple(lines)


def _ink(lines: tuple[str, ...], used: FreeTypeFont, side: int, edge: int) -> Coverage:
    """The text's coverage on a plate with room around it."""
    import numpy as np
    from PIL import Image, ImageDraw

    em = int(used.size)
    # Chinese characters reach from 0.88 em above the base line to 0.12 em below, descenders of Latin 0.25 em below.
    above, below, step = math.ceil(0.88 * em), math.ceil(0.24 * em), round(1.3 * em)
    width = math.ceil(max(used.getlength(line) for line in lines)) + 2 * side
    height = above + below + step * (len(lines) - 1) + 2 * edge
    picture = Image.new("L", (width, height), 0)
    pen = ImageDraw.Draw(picture)
    for number, line in enumerate(lines):
        pen.text((side, edge + above + step * number), line, fill=255, font=used, anchor="ls")
    return np.asarray(picture, dtype=np.float64) / 255


def _placed(ink: Coverage, lines: tuple[str, ...], size: tuple[int, int], place: str, margin: int, em: int) -> Plate:
    import numpy as np
    from PIL import Image, ImageDraw

    height, width = ink.shape
    big = Image.new("L", (width * _SMOOTH, height * _SMOOTH), 0)
    corner = (big.width - 1, big.height - 1)
    ImageDraw.Draw(big).rounded_rectangle((0, 0, *corner), radius=round(0.3 * em) * _SMOOTH, fill=255)
    shape = np.asarray(big.resize((width, height), Image.Resampling.BOX), dtype=np.float64) / 255
    margin_y = min(margin, (size[1] - height) // 2)
    left = margin if "left" in place else size[0] - width - margin if "right" in place else (size[0] - width) // 2
    top = margin_y if place.startswith("top") else size[1] - height - margin_y
    return Plate(left, top, lines, shape, ink)
