"""What people and programs do to pictures before they pass them on: the edits that the matching benchmark measures.

Each edit takes an RGB picture and a generator of random numbers and gives an RGB picture. A crop of N % removes N % of the
width and of the height, at a random place: 40 % leaves 36 % of the area. Rotations keep the picture's size and fill the
corners black.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from types import MappingProxyType

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageFont

Edit = Callable[[Image.Image, np.random.Generator], Image.Image]


def _file(picture: Image.Image, form: str, quality: int) -> Image.Image:
    buffer = io.BytesIO()
    picture.save(buffer, form, quality=quality)
    return Image.open(io.BytesIO(buffer.getvalue())).convert("RGB")


def encoded(form: str, quality: int) -> Edit:
    return lambda picture, _: _file(picture, form, quality)


def scaled(across: float, down: float | None = None) -> Edit:
    def edit(picture: Image.Image, _dice: np.random.Generator) -> Image.Image:
        size = (round(picture.width * across), round(picture.height * (down or across)))
        return picture.resize(size, Image.Resampling.LANCZOS)

    return edit


def levels(change: Callable[[np.ndarray], np.ndarray]) -> Edit:
    """`change`: of samples from 0 to 1."""

    def edit(picture: Image.Image, _dice: np.random.Generator) -> Image.Image:
        samples = change(np.asarray(picture, np.float32) / 255)
        return Image.fromarray((np.clip(samples, 0, 1) * 255 + 0.5).astype(np.uint8))

    return edit


def recoloured(picture: Image.Image, _dice: np.random.Generator) -> Image.Image:
    """Hue by 25 degrees, saturation by 1.5."""
    hsv = np.array(picture.convert("HSV")).astype(np.int16)
    hsv[..., 0] = (hsv[..., 0] + 18) % 256
    hsv[..., 1] = np.clip(hsv[..., 1] * 1.5, 0, 255)
    return Image.fromarray(hsv.astype(np.uint8), "HSV").convert("RGB")


def noisy(sigma: float) -> Edit:
    def edit(picture: Image.Image, dice: np.random.Generator) -> Image.Image:
        samples = np.asarray(picture, np.float32) + dice.normal(0, sigma, (picture.height, picture.width, 3))
        return Image.fromarray(np.clip(samples, 0, 255).astype(np.uint8))

    return edit


def filtered(kind: ImageFilter.Filter) -> Edit:
    return lambda picture, _: picture.filter(kind)


def cropped(share: float) -> Edit:
    def edit(picture: Image.Image, dice: np.random.Generator) -> Image.Image:
        width, height = round(picture.width * (1 - share)), round(picture.height * (1 - share))
        left, top = dice.integers(0, picture.width - width + 1), dice.integers(0, picture.height - height + 1)
        return picture.crop((int(left), int(top), int(left) + width, int(top) + height))

    return edit


def turned(degrees: float) -> Edit:
    def edit(picture: Image.Image, dice: np.random.Generator) -> Image.Image:
        sign = 1 if dice.random() < 0.5 else -1
        return picture.rotate(sign * degrees, Image.Resampling.BICUBIC)

    return edit


def transposed(how: Image.Transpose) -> Edit:
    return lambda picture, _: picture.transpose(how)


def _font(size: float) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size=max(8, size))


def meme(picture: Image.Image, _dice: np.random.Generator) -> Image.Image:
    """White capitals with a black rim at the top and the bottom."""
    copy = picture.copy()
    pen, size = ImageDraw.Draw(copy), picture.height / 10
    for text, y in (("WHEN THE BUILD PASSES", 0.07), ("AND NOBODY KNOWS WHY", 0.93)):
        place = (picture.width / 2, picture.height * y)
        pen.text(place, text, "white", _font(min(size, picture.width / 14)), "mm", stroke_width=2, stroke_fill="black")
    return copy


def stock_mark(picture: Image.Image, _dice: np.random.Generator) -> Image.Image:
    """A translucent word all over, slanted."""
    side = 2 * max(picture.size)
    layer = Image.new("L", (side, side))
    pen = ImageDraw.Draw(layer)
    for y in range(0, side, max(1, side // 12)):
        for x in range(0, side, max(1, side // 6)):
            pen.text((x, y), "SAMPLE", 90, _font(side / 28))
    layer = layer.rotate(30)
    left, top = (side - picture.width) // 2, (side - picture.height) // 2
    mask = layer.crop((left, top, left + picture.width, top + picture.height))
    return Image.composite(Image.new("RGB", picture.size, "white"), picture, mask)


def sticker(picture: Image.Image, dice: np.random.Generator) -> Image.Image:
    """An opaque disc with a face over a tenth of the area."""
    copy, radius = picture.copy(), (0.1 * picture.width * picture.height / np.pi) ** 0.5
    x, y = dice.uniform(radius, picture.width - radius), dice.uniform(radius, picture.height - radius)
    pen = ImageDraw.Draw(copy)
    pen.ellipse((x - radius, y - radius, x + radius, y + radius), (255, 205, 40), (60, 40, 0), 3)
    for side in (-1, 1):
        pen.ellipse(
            (x + side * radius * 0.4 - 5, y - radius * 0.4 - 5, x + side * radius * 0.4 + 5, y - radius * 0.4 + 5), "black"
        )
    pen.arc((x - radius * 0.6, y - radius * 0.6, x + radius * 0.6, y + radius * 0.6), 20, 160, "black", 5)
    return copy


def bordered(left: float, top: float, right: float, bottom: float, colour: str) -> Edit:
    """Borders as shares of the picture's sides."""

    def edit(picture: Image.Image, _dice: np.random.Generator) -> Image.Image:
        width, height = picture.size
        page = Image.new("RGB", (round(width * (1 + left + right)), round(height * (1 + top + bottom))), colour)
        page.paste(picture, (round(width * left), round(height * top)))
        return page

    return edit


def captioned(picture: Image.Image, _dice: np.random.Generator) -> Image.Image:
    """A white bar of a fifth of the height above, with two lines of text."""
    bar = picture.height // 5
    page = Image.new("RGB", (picture.width, picture.height + bar), "white")
    page.paste(picture, (0, bar))
    pen = ImageDraw.Draw(page)
    for line, text in enumerate(("nobody:", "absolutely nobody at 3 in the morning:")):
        pen.text((bar * 0.15, bar * (0.12 + 0.42 * line)), text, "black", _font(bar * 0.26))
    return page


def perspective(share: float) -> Edit:
    """Corners moved inwards by up to that share of the side."""

    def edit(picture: Image.Image, dice: np.random.Generator) -> Image.Image:
        width, height = picture.size
        box = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
        inwards = (
            np.sign(np.array([width, height]) / 2 - box) * dice.uniform(0.3, 1, (4, 2)) * share * np.array([width, height])
        )
        matrix = cv2.getPerspectiveTransform(box, (box + inwards).astype(np.float32))
        return Image.fromarray(cv2.warpPerspective(np.asarray(picture), matrix, (width, height), flags=cv2.INTER_LINEAR))

    return edit


def screenshot(picture: Image.Image, _dice: np.random.Generator) -> Image.Image:
    """A page of 1280 x 800 with bars, text and the picture at 0.8 of its size."""
    page = Image.new("RGB", (1280, 800), (245, 246, 248))
    pen = ImageDraw.Draw(page)
    pen.rectangle((0, 0, 1280, 56), (32, 36, 44))
    pen.text((24, 18), "Home     Search     Messages     Profile", "white", _font(18))
    pen.rectangle((0, 56, 220, 800), (228, 231, 236))
    for row in range(12):
        pen.text((24, 90 + row * 52), f"Entry number {row + 1}", (60, 64, 72), _font(16))
    scale = min(0.8, 600 / picture.height, 700 / picture.width)
    small = picture.resize((round(picture.width * scale), round(picture.height * scale)), Image.Resampling.LANCZOS)
    page.paste(small, (300, 110))
    pen.text((300, 120 + small.height), "A caption under the picture, and what people said about it.", (30, 30, 30), _font(18))
    return page


def hard_screenshot(picture: Image.Image, dice: np.random.Generator) -> Image.Image:
    """The same with the picture at half its size, a play button over it, as a JPEG of quality 50 at 0.75."""
    half = picture.resize((picture.width // 2, picture.height // 2), Image.Resampling.LANCZOS)
    pen, x, y = ImageDraw.Draw(half), half.width / 2, half.height / 2
    pen.ellipse((x - 28, y - 28, x + 28, y + 28), (20, 20, 20))
    pen.polygon([(x - 9, y - 14), (x - 9, y + 14), (x + 16, y)], "white")
    double = half.resize((round(half.width / 0.8), round(half.height / 0.8)), Image.Resampling.BICUBIC)
    return _file(scaled(0.75)(screenshot(double, dice), dice), "JPEG", 50)


def after(*steps: Edit) -> Edit:
    """One edit after another."""

    def edit(picture: Image.Image, dice: np.random.Generator) -> Image.Image:
        for step in steps:
            picture = step(picture, dice)
        return picture

    return edit


def collage(tiles: list[Image.Image]) -> Image.Image:
    """Four pictures, each a quarter of 512 x 512."""
    page = Image.new("RGB", (512, 512))
    for place, tile in enumerate(tiles):
        page.paste(tile.resize((256, 256), Image.Resampling.LANCZOS), (place % 2 * 256, place // 2 * 256))
    return page


def collage_of_quarters(tiles: list[Image.Image]) -> Image.Image:
    """One quarter each of four pictures, at full size."""
    page = Image.new("RGB", (512, 512))
    for place, tile in enumerate(tiles):
        whole = tile.resize((512, 512))
        left, top = place % 2 * 256, place // 2 * 256
        page.paste(whole.crop((left, top, left + 256, top + 256)), (left, top))
    return page


_brighter = levels(lambda v: v * 1.3)
_social = after(cropped(0.05), scaled(0.6), encoded("JPEG", 50), levels(lambda v: (v - 0.5) * 1.15 + 0.52))
_hard = after(cropped(0.2), turned(5), _brighter, noisy(10), encoded("JPEG", 30))
_flip = transposed(Image.Transpose.FLIP_LEFT_RIGHT)
_border = bordered(0.1, 0.1, 0.1, 0.1, "white")

EDITS: Mapping[str, Mapping[str, Edit]] = MappingProxyType(
    {
        "re-encoding, scale": {
            "none": lambda picture, _: picture,
            **{f"JPEG {quality}": encoded("JPEG", quality) for quality in (75, 50, 30, 10)},
            "WebP 40": encoded("WEBP", 40),
            "scale 2": scaled(2),
            "scale 0.5": scaled(0.5),
            "scale 0.25": scaled(0.25),
            "aspect 1.25": scaled(1.25, 1),
        },
        "colour": {
            "brightness 1.3": _brighter,
            "brightness 0.6": levels(lambda v: v * 0.6),
            "contrast 1.5": levels(lambda v: (v - 0.5) * 1.5 + 0.5),
            "contrast 0.6": levels(lambda v: (v - 0.5) * 0.6 + 0.5),
            "gamma 0.6": levels(lambda v: v**0.6),
            "gamma 1.6": levels(lambda v: v**1.6),
            "grey": lambda picture, _: picture.convert("L").convert("RGB"),
            "hue and saturation": recoloured,
        },
        "blur, noise": {
            "blur 1": filtered(ImageFilter.GaussianBlur(1)),
            "blur 3": filtered(ImageFilter.GaussianBlur(3)),
            "sharpen": lambda picture, _: ImageEnhance.Sharpness(picture).enhance(4),
            "noise 10": noisy(10),
            "noise 25": noisy(25),
            "median 5": filtered(ImageFilter.MedianFilter(5)),
        },
        "overlays": {"meme text": meme, "stock mark": stock_mark, "sticker over 10 %": sticker},
        "crops": {f"crop {share} %": cropped(share / 100) for share in (5, 10, 20, 40)},
        "rotations": {f"rotation {degrees}": turned(degrees) for degrees in (2, 5, 15)},
        "right angles, flips": {
            "rotation 90": transposed(Image.Transpose.ROTATE_90),
            "rotation 180": transposed(Image.Transpose.ROTATE_180),
            "rotation 270": transposed(Image.Transpose.ROTATE_270),
            "flip left-right": _flip,
            "flip top-bottom": transposed(Image.Transpose.FLIP_TOP_BOTTOM),
        },
        "borders, captions": {
            "border 5 % black": bordered(0.05, 0.05, 0.05, 0.05, "black"),
            "border 10 % white": _border,
            "letterbox": bordered(0, 0.15, 0, 0.15, "black"),
            "caption bar": captioned,
        },
        "perspective, screenshots": {
            "perspective 5 %": perspective(0.05),
            "screenshot in a page": screenshot,
            "hard screenshot": hard_screenshot,
        },
        "combined": {
            "social upload": _social,
            "hard": _hard,
            "flip, crop 10, caption, JPEG 50": after(_flip, cropped(0.1), captioned, encoded("JPEG", 50)),
            "crop 20, border 10": after(cropped(0.2), _border),
            "crop 40, JPEG 30": after(cropped(0.4), encoded("JPEG", 30)),
            "rotation 90, crop 10": after(transposed(Image.Transpose.ROTATE_90), cropped(0.1)),
            "flip, rotation 5": after(_flip, turned(5)),
            "scale 0.5, noise 10": after(scaled(0.5), noisy(10)),
            "scale 0.5, caption": after(scaled(0.5), captioned),
            "meme text, crop 20": after(meme, cropped(0.2)),
            "sticker, rotation 15": after(sticker, turned(15)),
            "grey, perspective 5 %": after(lambda picture, _: picture.convert("L").convert("RGB"), perspective(0.05)),
            "screenshot, JPEG 30": after(screenshot, encoded("JPEG", 30)),
            "blur 1, crop 20, gamma 1.6": after(filtered(ImageFilter.GaussianBlur(1)), cropped(0.2), levels(lambda v: v**1.6)),
        },
    }
)
"""Every edit of one picture by group; collages, of four, are apart."""
