"""The tile watermark: what it carries, what it survives, and who can read it."""

from __future__ import annotations

import io
from collections.abc import Callable

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from guard.marks import tile, tile_code, tile_embed
from guard.marks.tile_pattern import LARGE, SMALL, pattern
from guard.marks.tile_search import Budget, turn

KEY, OTHER = b"k" * 32, b"o" * 32
PAYLOAD = bytes.fromhex("8b1f00c7a9d34e52")


def photograph(seed: int = 0, width: int = 512, height: int = 512) -> np.ndarray:
    """Smooth colours, edges and grain, as photographs have; (height, width, 3), RGB."""
    dice = np.random.default_rng(seed)
    rough = dice.integers(20, 236, (8, 10, 3), dtype=np.uint8)
    smooth = cv2.resize(rough, (width, height), interpolation=cv2.INTER_CUBIC).astype(float)
    page = Image.fromarray(np.clip(smooth, 0, 255).astype(np.uint8))
    pen = ImageDraw.Draw(page)
    for _ in range(12):
        x, y, r = dice.integers(0, width), dice.integers(0, height), dice.integers(10, max(11, min(width, height) // 6))
        pen.ellipse((x - r, y - r, x + r, y + r), tuple(int(value) for value in dice.integers(0, 256, 3)))
    return np.clip(np.asarray(page) + dice.normal(0, 4, (height, width, 1)), 0, 255).astype(np.uint8)


def luma(pixels: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(np.ascontiguousarray(pixels), cv2.COLOR_RGB2GRAY).astype(np.float32)


def marked(pixels: np.ndarray, payload: bytes = PAYLOAD, key: bytes = KEY) -> np.ndarray:
    added = tile_embed.embed(luma(pixels), payload, key)
    return np.clip(np.rint(pixels + added[..., None]), 0, 255).astype(np.uint8)


def recoded(pixels: np.ndarray, form: str, quality: int) -> np.ndarray:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, form, quality=quality)
    return np.asarray(Image.open(io.BytesIO(buffer.getvalue())).convert("RGB"))


def scaled(pixels: np.ndarray, across: float, down: float | None = None) -> np.ndarray:
    return cv2.resize(
        pixels, None, fx=across, fy=down or across, interpolation=cv2.INTER_AREA if across < 1 else cv2.INTER_CUBIC
    )


def rotated(pixels: np.ndarray, degrees: float) -> np.ndarray:
    height, width = pixels.shape[:2]
    return cv2.warpAffine(pixels, cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1), (width, height))


def cut(pixels: np.ndarray, share: float) -> np.ndarray:
    height, width = pixels.shape[:2]
    high, wide = round(height * (1 - share)), round(width * (1 - share))
    return pixels[(height - high) // 3 :, (width - wide) // 2 :][:high, :wide].copy()


@pytest.fixture(scope="module")
def copy() -> np.ndarray:
    return marked(photograph())


# --- the code --------------------------------------------------------------------------------------------------------


@given(st.binary(min_size=8, max_size=8))
def test_what_is_encoded_is_decoded(payload: bytes) -> None:
    assert tile_code.decode(tile_code.encode(payload)) == payload


def test_the_code_corrects_noise_and_refuses_what_is_none() -> None:
    """At the noise that the code is made for it reads every payload; pure noise is never a payload."""
    dice = np.random.default_rng(1)
    sent = [dice.bytes(8) for _ in range(50)]
    heard = [tile_code.decode(tile_code.encode(one) + 0.9 * dice.standard_normal(tile_code.SIGNS)) for one in sent]
    assert heard == sent
    assert not any(tile_code.decode(dice.standard_normal(tile_code.SIGNS)) for _ in range(300))


def test_a_list_of_words_reads_more() -> None:
    """At a noise that leaves the likeliest word wrong now and then, the right one is often among the next."""
    dice = np.random.default_rng(2)
    sent = [dice.bytes(8) for _ in range(60)]
    heard = [tile_code.encode(one) + 1.55 * dice.standard_normal(tile_code.SIGNS) for one in sent]
    alone = [tile_code.decode(soft) for soft in heard]
    listed = [tile_code.decode(soft, paths=16) for soft in heard]
    assert all(found in (None, right) for found, right in zip(listed, sent, strict=True))
    assert sum(found is not None for found in listed) > sum(found is not None for found in alone) > 0


def test_the_likeliest_signs_are_those_that_were_sent() -> None:
    soft = tile_code.encode(PAYLOAD) + 0.9 * np.random.default_rng(3).standard_normal(tile_code.SIGNS)
    assert np.array_equal(tile_code.likeliest(soft), tile_code.encode(PAYLOAD))


def test_one_wrong_byte_is_mended_only_when_asked() -> None:
    """Reed-Solomon's two uses: to tell, and to mend."""
    good = bytes(tile_code._reed_solomon().encode(PAYLOAD))
    bits = np.unpackbits(np.frombuffer(good, np.uint8))
    bits[8:16] ^= 1
    state, signs = 0, []
    for bit in [*bits, *[0] * 8]:
        signs.append(tile_code._branches()[state, bit])
        state = (int(bit) << 8 | state) >> 1
    soft = np.concatenate(signs)
    assert tile_code.decode(soft) is None
    assert tile_code.decode(soft, mend=True) == PAYLOAD


def test_other_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="7 bytes, expected 8"):
        tile_code.encode(b"1234567")


# --- the pattern -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", [LARGE, SMALL])
def test_the_pattern_is_the_keys_and_stays(layout: object) -> None:
    """Another key, another pattern; the same key gives the same one in every version, or marks made before were lost."""
    one, other = pattern(KEY, layout), pattern(OTHER, layout)
    assert not np.array_equal(one.x, other.x)
    signs = tile_code.encode(PAYLOAD)
    likeness = abs(np.vdot(one.tile(one.symbols(signs)), other.tile(other.symbols(signs)))) / (2 * one.count)
    assert likeness < 0.2
    first = {"large": (-16, 10), "small": (17, 8)}[layout.name]
    assert (int(one.x[0]), int(one.y[0])) == first


@pytest.mark.parametrize("layout", [LARGE, SMALL])
def test_a_tile_that_is_shifted_says_the_same(layout: object) -> None:
    one, signs = pattern(KEY, layout), tile_code.encode(PAYLOAD)
    moved = np.roll(one.tile(one.symbols(signs)), (5, 17), axis=(0, 1))
    waves = np.fft.fft2(moved)[one.y % layout.tile, one.x % layout.tile]
    ((turned, surety),) = one.shifts(waves[None])
    assert surety > 10
    assert tile_code.decode(one.soft(turned, np.ones(one.count))) == PAYLOAD


# --- images ----------------------------------------------------------------------------------------------------------


def test_an_image_says_its_payload_and_hardly_changes(copy: np.ndarray) -> None:
    before = photograph()
    found = tile.read(luma(copy), KEY)
    assert found is not None
    assert found.payload == PAYLOAD
    assert found.transform == ""
    assert found.surety > 10
    noise = np.mean((copy.astype(float) - before) ** 2)
    assert 10 * np.log10(255**2 / noise) >= tile_embed.STRONGEST_DB - 0.5


EDITS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "JPEG 50": lambda pixels: recoded(pixels, "JPEG", 50),
    "JPEG 30": lambda pixels: recoded(pixels, "JPEG", 30),
    "WebP 40": lambda pixels: recoded(pixels, "WEBP", 40),
    "half size": lambda pixels: scaled(pixels, 0.5),
    "double size": lambda pixels: scaled(pixels, 2),
    "grey": lambda pixels: np.repeat(luma(pixels)[..., None].astype(np.uint8), 3, axis=2),
    "darker": lambda pixels: (pixels * 0.6).astype(np.uint8),
    "blurred": lambda pixels: cv2.GaussianBlur(pixels, (0, 0), 2),
    "noisy": lambda pixels: np.clip(pixels + np.random.default_rng(1).normal(0, 20, pixels.shape), 0, 255).astype(np.uint8),
    "JPEG 75 and a cut of 10 %": lambda pixels: recoded(cut(pixels, 0.1), "JPEG", 75),
    "JPEG 75, scaled by 0.7, cut by 10 %": lambda pixels: cut(scaled(recoded(pixels, "JPEG", 75), 0.7), 0.1),
}


@pytest.mark.parametrize("edit", EDITS)
def test_it_survives(copy: np.ndarray, edit: str) -> None:
    found = tile.read(luma(EDITS[edit](copy)), KEY)
    assert found is not None
    assert found.payload == PAYLOAD


GEOMETRY: dict[str, tuple[Callable[[np.ndarray], np.ndarray], str]] = {
    "turned": (lambda pixels: np.rot90(pixels, -1).copy(), "turned by 90 degrees clockwise"),
    "upside down": (lambda pixels: pixels[::-1, ::-1].copy(), "turned by 180 degrees clockwise"),
    "mirrored": (lambda pixels: pixels[:, ::-1].copy(), "mirrored"),
    "cut by 20 %": (lambda pixels: cut(pixels, 0.2), "cut or scaled by 1.25"),
    "cut by 40 %": (lambda pixels: cut(pixels, 0.4), "cut or scaled by 1.67"),
    "rotated": (lambda pixels: rotated(pixels, -5), "turned by 5 degrees clockwise"),
    "stretched": (lambda pixels: scaled(pixels, 1.25, 1), "stretched by 1.25"),
}


@pytest.mark.parametrize("edit", GEOMETRY)
def test_it_is_found_wherever_it_went_and_the_way_is_told(copy: np.ndarray, edit: str) -> None:
    change, words = GEOMETRY[edit]
    found = tile.read(luma(change(copy)), KEY)
    assert found is not None
    assert found.payload == PAYLOAD
    if words.startswith("turned by 5 "):
        assert abs(float(found.transform.split()[2]) - 5) < 0.3
        assert found.transform.endswith("clockwise")
    else:
        assert words.split()[0] in found.transform
        assert len(found.transform.split(",")) <= 2


def test_what_drowns_on_the_lattice_is_heard_by_its_pilots(copy: np.ndarray) -> None:
    """Cut, turned, brightened, noisy and compressed at once."""
    noise = np.random.default_rng(1).normal(0, 10, (410, 410, 3))
    bright = np.clip(rotated(cut(copy, 0.2), 5) * 1.3 + noise, 0, 255).astype(np.uint8)
    found = tile.read(luma(recoded(bright, "JPEG", 30)), KEY)
    assert found is not None
    assert found.payload == PAYLOAD


def test_decodings_of_one_image_are_counted_and_bounded() -> None:
    """Their number is what the chance of a payload in an unmarked image rests on."""
    pixels, budget = marked(photograph(12, 300, 300)), Budget()
    assert tile.read(luma(pixels), KEY, thorough=False, budget=budget) is not None
    assert budget.tries == 1
    spent = Budget(tries=tile.MOST_TRIES)
    assert tile.read(luma(pixels), KEY, thorough=False, budget=spent) is None
    assert spent.tries == tile.MOST_TRIES


def test_geometry_is_looked_for_only_when_asked(copy: np.ndarray) -> None:
    assert tile.read(luma(cut(copy, 0.3)), KEY, thorough=False) is None


@pytest.mark.parametrize("size", [(300, 400), (700, 520), (1300, 1000), (640, 2000), (200, 330)])
def test_other_sizes(size: tuple[int, int]) -> None:
    pixels = marked(photograph(3, *size))
    for other in (pixels, recoded(pixels, "JPEG", 80)):
        found = tile.read(luma(other), KEY, thorough=False)
        assert found is not None
        assert found.payload == PAYLOAD


@pytest.mark.parametrize("paper", [255, 0, 128])
def test_drawings_on_plain_paper(paper: int) -> None:
    """White and black have room in one direction only; the mark moves away from the edge."""
    page = Image.new("RGB", (320, 320), (paper, paper, paper))
    ImageDraw.Draw(page).ellipse((60, 80, 220, 260), fill="#1f4fa0")
    pixels = marked(np.asarray(page))
    for other in (pixels, recoded(pixels, "JPEG", 75), recoded(cut(pixels, 0.1), "JPEG", 75)):
        found = tile.read(luma(other), KEY)
        assert found is not None
        assert found.payload == PAYLOAD


# --- who reads what --------------------------------------------------------------------------------------------------


def test_without_the_key_there_is_nothing_to_read(copy: np.ndarray) -> None:
    assert tile.read(luma(copy), OTHER) is None


def test_an_unmarked_image_says_nothing() -> None:
    assert tile.read(luma(photograph(7)), KEY) is None
    assert tile.read(np.zeros((300, 300), np.float32), KEY, thorough=False) is None
    assert tile.read(np.full((16, 16), 9, np.float32), KEY) is None


def test_two_payloads_are_told_apart() -> None:
    """The payload is what differs between two marks of one key on one image."""
    pixels = photograph(2)
    payloads = [bytes([one] * 8) for one in (0, 1, 255)]
    found = [tile.read(luma(marked(pixels, payload)), KEY, thorough=False) for payload in payloads]
    assert [one.payload for one in found if one] == payloads


def test_the_same_image_is_marked_alike_twice() -> None:
    pixels = photograph(4, 300, 300)
    assert np.array_equal(marked(pixels), marked(pixels))


def test_turning_is_clockwise() -> None:
    assert np.allclose(turn(90) @ [1, 0], [0, 1])


def test_an_image_on_a_page_is_found(copy: np.ndarray) -> None:
    """In a plain border, and as one part of something larger."""
    framed = cv2.copyMakeBorder(copy, 60, 60, 60, 60, cv2.BORDER_CONSTANT, value=(255, 255, 255))
    page = photograph(9, 1100, 760)
    page[40:552, 60:572] = copy
    for picture in (framed, page):
        found = tile.read(luma(picture), KEY)
        assert found is not None
        assert found.payload == PAYLOAD
