"""Pictures within a picture: where they are found, and that the watermark is read from them."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from guard.marks import tile
from guard.marks.tile_kernels import densest
from guard.marks.tile_region import regions
from tests.marks.test_tile import KEY, PAYLOAD, luma, marked, photograph, recoded, scaled


@pytest.fixture(scope="module")
def copy() -> np.ndarray:
    return marked(photograph(5))


def framed(pixels: np.ndarray, left: int, top: int, right: int, bottom: int, level: int) -> np.ndarray:
    return np.pad(pixels, ((top, bottom), (left, right), (0, 0)), constant_values=level)


def page(pixels: np.ndarray, left: int = 300, top: int = 110) -> np.ndarray:
    """1280 x 800 with a dark bar, a grey column with entries, and a caption close under the picture."""
    sheet = Image.new("RGB", (1280, 800), (245, 246, 248))
    pen = ImageDraw.Draw(sheet)
    pen.rectangle((0, 0, 1280, 56), (32, 36, 44))
    pen.rectangle((0, 56, 220, 800), (228, 231, 236))
    for row in range(12):
        pen.text((24, 90 + row * 52), f"Line {row} of a list", (60, 64, 72), ImageFont.load_default(16))
    sheet.paste(Image.fromarray(pixels), (left, top))
    below = (left, top + pixels.shape[0] + 9)
    pen.text(below, "What people said about the picture above", (30, 30, 30), ImageFont.load_default(18))
    return np.asarray(sheet)


def boxes(image: np.ndarray) -> list[tuple[int, int, int, int]]:
    """Left, top, width and height of the regions, from where they lie in memory."""
    found = []
    for part in regions(image):
        down, across = divmod((part.ctypes.data - image.ctypes.data) // image.itemsize, image.shape[1])
        found.append((across, down, part.shape[1], part.shape[0]))
    return found


def test_the_densest_rectangle_is_the_one_of_the_largest_sum() -> None:
    worth = np.full((9, 14), -3, np.float32)
    worth[2:6, 3:11] = 1
    worth[4, 5] = -3
    assert densest(worth).tolist() == [2, 3, 6, 11]
    assert densest(np.full((4, 4), -1, np.float32)).tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize("level", [0, 255])
def test_a_border_is_cut_off_to_the_pixel(level: int) -> None:
    """Also a black one of a picture that is itself dark: the mark keeps it apart."""
    dark = marked((photograph(6) * 0.12).astype(np.uint8))
    image = luma(framed(dark, 40, 26, 40, 70, level))
    assert boxes(image)[0] == (40, 26, 512, 512)
    found = tile.read(image, KEY)
    assert found is not None
    assert found.payload == PAYLOAD
    assert "put into a larger picture" in found.transform


def test_a_picture_itself_is_no_part(copy: np.ndarray) -> None:
    assert regions(luma(copy)) == []
    assert regions(np.full((300, 400), 200, np.float32)) == []


@pytest.mark.parametrize("quality", [0, 50])
def test_a_picture_on_a_page_is_found_and_read(copy: np.ndarray, quality: int) -> None:
    sheet = page(scaled(copy, 0.8))
    image = luma(recoded(sheet, "JPEG", quality) if quality else sheet)
    left, top, width, height = boxes(image)[0]
    assert max(abs(left - 300), abs(top - 110), abs(width - 410), abs(height - 410)) <= 1
    found = tile.read(image, KEY)
    assert found is not None
    assert found.payload == PAYLOAD
    assert found.transform.endswith("put into a larger picture")


def test_a_small_picture_on_a_large_page_is_read() -> None:
    """In the layout of small pictures, and in the large one at a third of its size."""
    small = marked(photograph(8, 200, 200))
    found = tile.read(luma(page(small, 700, 420)), KEY)
    assert found is not None
    assert found.payload == PAYLOAD
    found = tile.read(luma(page(scaled(marked(photograph(8)), 0.36), 700, 420)), KEY)
    assert found is not None
    assert found.payload == PAYLOAD


def test_two_pictures_on_a_page_are_both_found(copy: np.ndarray) -> None:
    sheet = page(photograph(11, 400, 300), 300, 110).copy()
    sheet[470 : 470 + 300, 800 : 800 + 300] = scaled(copy, 300 / 512)
    found = boxes(luma(sheet))
    assert sorted((width, height) for _, _, width, height in found) == [(300, 300), (400, 300)]
    read = tile.read(luma(sheet), KEY)
    assert read is not None
    assert read.payload == PAYLOAD


def test_a_very_large_page_is_looked_at_in_steps(copy: np.ndarray) -> None:
    """Of 5,000 pixels a side every second or third; the edges are still found to the pixel."""
    image = np.full((3000, 5000), 240, np.float32)
    image[700 : 700 + 512, 1501 : 1501 + 512] = luma(copy)
    assert boxes(image) == [(1501, 700, 512, 512)]
