"""Lays the words of a label out on an image, and draws them: grey text on an opaque plate that stands out from its ground.

Plate and text are greys that do not depend on the image but for one choice, light or dark, so a drawn label can be recognised
again pixel by pixel. All lengths are pixels.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
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


@dataclass(frozen=True, slots=True)
class _Wording:
    """The lines that fit on an image of some size, and how large they are."""

    lines: tuple[str, ...]
    used: FreeTypeFont
    em: int
    margin: int
    side: int
    edge: int
    width: int
    height: int

    def corner(self, size: tuple[int, int], place: str) -> tuple[int, int]:
        """Left and top of its plate."""
        margin = min(self.margin, (size[1] - self.height) // 2)
        right, bottom = size[0] - self.width - self.margin, size[1] - self.height - margin
        left = self.margin if "left" in place else right if "right" in place else (size[0] - self.width) // 2
        return left, margin if place.startswith("top") else bottom


def lay_out(size: tuple[int, int], ladder: tuple[str, ...], place: str, share: float, file: Path) -> Plate | None:
    """The first wording of a ladder that fits on one line, else the first that fits on several; None when none does.

    `size`: of the image. `share`: least height of a capital, of the shortest side. Raises OSError for an unreadable font.
    """
    used = _sized(file, max(LEAST_CAPITAL, math.ceil(share * min(size))))
    chosen = _chosen(size, ladder, used) if used is not None else None
    if chosen is None:
        return None
    return Plate(*chosen.corner(size, place), chosen.lines, _shape(chosen), _ink(chosen))


def find(image: Image, ladders: Iterable[tuple[str, ...]], share: float, file: Path) -> tuple[int, str, Plate] | None:
    """Which of several ladders an image shows, where, and as what `lay_out` makes of it; None where it shows none.

    Only where the upper rim is that of a plate is a label drawn to be compared, once for all places.
    """
    used = _sized(file, max(LEAST_CAPITAL, math.ceil(share * min(image.size))))
    if used is None:
        return None
    for number, ladder in enumerate(ladders):
        chosen = _chosen(image.size, ladder, used)
        places = [place for place in PLACES if chosen is not None and _rimmed(image, chosen, place)]
        if chosen is None or not places:
            continue
        shape, ink = _shape(chosen), _ink(chosen)
        for place in places:
            plate = Plate(*chosen.corner(image.size, place), chosen.lines, shape, ink)
            if shows(image, plate):
                return number, place, plate
    return None


def _chosen(size: tuple[int, int], ladder: tuple[str, ...], used: FreeTypeFont) -> _Wording | None:
    width, height = size
    em = int(used.size)
    margin, side, edge = max(2, round(0.35 * em)), max(3, round(0.5 * em)), max(2, round(0.28 * em))
    room = width - 2 * (margin + side)
    for most in (1, MOST_LINES):
        for words in ladder:
            lines = _wrapped(words, used, room)
            if lines and len(lines) <= most:
                wide = math.ceil(max(used.getlength(line) for line in lines)) + 2 * side
                high = sum(_heights(em)) + _step(em) * (len(lines) - 1) + 2 * edge
                if high + 2 * margin <= max(height * MOST_HEIGHT, em * 2 + 2 * margin) and high <= height:
                    return _Wording(lines, used, em, margin, side, edge, wide, high)
    return None


def _rimmed(image: Image, chosen: _Wording, place: str) -> bool:
    """Whether the first row of where the plate would be is that of a plate, between its round corners."""
    left, top = chosen.corner(image.size, place)
    rim = image.crop((left + chosen.side, top, left + chosen.width - chosen.side, top + 1))
    bands = [band.getextrema() for band in rim.split()]
    if image.mode in {"LA", "RGBA"}:
        bands = bands[:-1]
    full = _full(image)
    return any(bands == [(round(back * full / 255),) * 2] * len(bands) for back, _ in TONES)


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
    painted, shape = _painted(plate.ink, TONES[0 if dark else 1], full)[..., None], plate.shape[..., None]
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
    found = np.asarray(image.crop(plate.box))
    inside = plate.shape >= 1
    planes = found[inside] if found.ndim == 3 else found[inside][:, None]
    full = _full(image)
    if image.mode in {"LA", "RGBA"} and (planes[:, -1] != full).any():
        return False
    colours = planes[:, :-1] if image.mode in {"LA", "RGBA"} else planes
    return any(bool((np.rint(_painted(plate.ink[inside], tone, full))[:, None] == colours).all()) for tone in TONES)


def _painted(ink: Coverage, tone: tuple[int, int], full: float) -> Coverage:
    """The grey of pixels that the text covers so far."""
    back, text = (grey * full / 255 for grey in tone)
    painted: Coverage = back + (text - back) * ink
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


def _heights(em: int) -> tuple[int, int]:
    """How far letters reach above and below the base line: Chinese ones 0.88 and 0.12 em, descenders of Latin ones 0.25 em."""
    return math.ceil(0.88 * em), math.ceil(0.24 * em)


def _step(em: int) -> int:
    return round(1.3 * em)


def _ink(chosen: _Wording) -> Coverage:
    """The text's coverage on a plate with room around it."""
    import numpy as np
    from PIL import Image, ImageDraw

    above, step = _heights(chosen.em)[0], _step(chosen.em)
    picture = Image.new("L", (chosen.width, chosen.height), 0)
    pen = ImageDraw.Draw(picture)
    for number, line in enumerate(chosen.lines):
        pen.text((chosen.side, chosen.edge + above + step * number), line, fill=255, font=chosen.used, anchor="ls")
    return np.asarray(picture, dtype=np.float64) / 255


def _shape(chosen: _Wording) -> Coverage:
    """How far the plate, whose corners are round, covers each pixel."""
    import numpy as np
    from PIL import Image, ImageDraw

    big = Image.new("L", (chosen.width * _SMOOTH, chosen.height * _SMOOTH), 0)
    corner = (big.width - 1, big.height - 1)
    ImageDraw.Draw(big).rounded_rectangle((0, 0, *corner), radius=round(0.3 * chosen.em) * _SMOOTH, fill=255)
    return np.asarray(big.resize((chosen.width, chosen.height), Image.Resampling.BOX), dtype=np.float64) / 255
