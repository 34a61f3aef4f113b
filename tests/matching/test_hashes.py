"""Hashes of pictures."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter

from guard.matching.hashes import HASHES, trim, views


def drawing(seed: int, size: int = 256) -> Image.Image:
    """Coloured shapes on light paper, different for each seed."""
    dice = np.random.default_rng(seed)
    picture = Image.new("RGB", (size * 2, size * 2), tuple(int(v) for v in dice.integers(225, 250, 3)))
    pen = ImageDraw.Draw(picture)
    for _ in range(7):
        colour = tuple(int(v) for v in dice.integers(10, 190, 3))
        x, y = dice.uniform(0.2, 0.8, 2) * size * 2
        a, b = dice.uniform(0.06, 0.2, 2) * size * 2
        if dice.random() < 0.5:
            pen.ellipse((x - a, y - b, x + a, y + b), fill=colour)
        else:
            pen.polygon([(x, y - b), (x + a, y + b), (x - a, y + b / 2)], fill=colour)
    return picture.resize((size, size), Image.Resampling.LANCZOS)


def hashed(method: str, picture: Image.Image) -> dict[str, tuple[int, ...]]:
    """By view, all orientations as integers, the upright one first."""
    return {
        view: tuple(int.from_bytes(turn) for turn in HASHES[method](seen).orientations) for view, seen in views(picture).items()
    }


def least(known: dict[str, tuple[int, ...]], asked: dict[str, tuple[int, ...]]) -> int:
    """The least distance over views and orientations, as the check compares."""
    return min((known[view][0] ^ turn).bit_count() for view in known for turn in asked[view])


def distances(method: str, one: Image.Image, other: Image.Image) -> int:
    return least(hashed(method, one), hashed(method, other))


def jpeg(picture: Image.Image, quality: int) -> Image.Image:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=quality)
    return Image.open(io.BytesIO(buffer.getvalue())).convert("RGB")


def noisy(picture: Image.Image) -> Image.Image:
    noise = np.random.default_rng(0).normal(0, 10, (*picture.size[::-1], 3))
    return Image.fromarray(np.clip(np.asarray(picture) + noise, 0, 255).astype(np.uint8))


def redrawn(picture: Image.Image) -> Image.Image:
    """Coarse and a little off, as a small generative model draws what it has learned by heart."""
    width, height = picture.size
    bent = picture.transform(
        picture.size, Image.Transform.QUAD, (2, 1, -2, height, width + 1, height - 2, width - 1, 2), Image.Resampling.BICUBIC
    )
    return noisy(bent.resize((48, 48))).resize(picture.size, Image.Resampling.BICUBIC)


def bordered(picture: Image.Image) -> Image.Image:
    page = Image.new("RGB", (picture.width + 120, picture.height + 80), "white")
    page.paste(picture, (50, 30))
    return page


COPIES = {
    "jpeg": lambda p: jpeg(p, 40),
    "half": lambda p: p.resize((128, 128), Image.Resampling.LANCZOS),
    "double": lambda p: p.resize((512, 512), Image.Resampling.BICUBIC),
    "noisy": noisy,
    "blurred": lambda p: p.filter(ImageFilter.GaussianBlur(2)),
    "grey": lambda p: p.convert("L"),
    "darker": lambda p: p.point(lambda v: int(v * 0.8)),
    "redrawn": redrawn,
    "turned": lambda p: p.transpose(Image.Transpose.ROTATE_90),
    "mirrored": lambda p: p.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
    "transparent": lambda p: p.convert("RGBA"),
}


@pytest.mark.parametrize("copy", COPIES)
def test_a_copy_stays_near_its_work(copy: str) -> None:
    """pHash keeps every usual copy of a drawing within its limit; PDQ keeps those that are not mirrored or turned."""
    for seed in range(5):
        work = drawing(seed)
        assert distances("phash", work, COPIES[copy](work)) <= 48
        if copy not in {"turned", "mirrored"}:
            assert distances("pdq", work, COPIES[copy](work)) <= 48


def test_different_drawings_stay_apart() -> None:
    """No two of 40 drawings come near any limit."""
    for method in ("pdq", "phash"):
        works = [hashed(method, drawing(seed)) for seed in range(40)]
        assert min(least(a, b) for k, a in enumerate(works) for b in works[k + 1 :]) > 60


@pytest.mark.parametrize("method", list(HASHES))
def test_a_hash_has_eight_orientations_of_256_bits(method: str) -> None:
    """The upright one first; a mirrored picture has the same eight in another order."""
    picture = drawing(3)
    mine = HASHES[method](picture)
    assert [len(turn) for turn in mine.orientations] == [32] * 8
    assert len(set(mine.orientations)) == 8
    if method != "pdq":  # PDQ derives its orientations from one transform, up to a few bits
        other = HASHES[method](picture.transpose(Image.Transpose.FLIP_TOP_BOTTOM))
        assert set(mine.orientations) == set(other.orientations)


def test_pdq_tells_poor_pictures_from_rich_ones() -> None:
    """Quality is low where there is little gradient."""
    faint = Image.new("RGB", (256, 256), (230, 230, 230))
    ImageDraw.Draw(faint).ellipse((60, 60, 200, 200), fill=(205, 205, 205))
    assert HASHES["pdq"](faint).quality < 50
    assert HASHES["pdq"](drawing(1)).quality > 90


def test_a_flat_picture_has_nothing_to_hash() -> None:
    """One colour, or noise too faint to see, is not fingerprinted."""
    assert views(Image.new("RGB", (256, 256), "white")) == {}
    assert views(Image.fromarray(np.random.default_rng(0).integers(126, 130, (64, 64, 3), dtype=np.uint8))) == {}


def test_a_plain_border_is_cut() -> None:
    """What is left is the picture, within the coarseness of the search; a picture without border is left alone."""
    work = Image.fromarray(np.random.default_rng(0).integers(0, 256, (200, 300, 3), dtype=np.uint8)).resize((300, 200))
    cut = trim(bordered(work))
    assert abs(cut.width - 300) <= 6
    assert abs(cut.height - 200) <= 6
    assert work.size == trim(work).size


def test_a_picture_in_a_border_is_near_the_picture() -> None:
    """Works that fill their frame are found on a page, through the trimmed view."""
    for seed in range(3):
        rough = np.random.default_rng(seed).integers(0, 200, (9, 9, 3), dtype=np.uint8)
        work = Image.fromarray(rough).resize((240, 240), Image.Resampling.BICUBIC)
        assert distances("phash", work, bordered(work)) <= 48
