"""Laying a work into a picture by pairs of details."""

from __future__ import annotations

import numpy as np
import pytest

from guard.matching.geometry import Placement, place, words
from guard.matching.local import Details
from guard.types import Region

COUNT = 40


def scattered(seed: int, count: int = COUNT, width: int = 400, height: int = 300) -> Details:
    dice = np.random.default_rng(seed)
    x, y = dice.uniform(0, width, count), dice.uniform(0, height, count)
    size, angle = dice.uniform(3, 30, count), dice.uniform(-3, 3, count)
    return Details(width, height, np.zeros((count, 2), np.uint64), *(a.astype(np.float32) for a in (x, y, size, angle)))


def moved(work: Details, scale: float, turn: float, shift: tuple[float, float], noise: float = 1.0) -> Details:
    """The details as a picture shows them that is turned by so many radians and scaled."""
    dice = np.random.default_rng(5)
    x = scale * (np.cos(turn) * work.x - np.sin(turn) * work.y) + shift[0] + dice.normal(0, noise, len(work))
    y = scale * (np.sin(turn) * work.x + np.cos(turn) * work.y) + shift[1] + dice.normal(0, noise, len(work))
    return Details(1200, 1200, work.codes, *(a.astype(np.float32) for a in (x, y, work.size * scale, work.angle + turn)))


def paired(count: int) -> tuple[np.ndarray, np.ndarray]:
    return np.arange(count), np.arange(count)


@pytest.mark.parametrize(
    ("scale", "turn", "said"),
    [
        (1.0, 0.0, ""),
        (0.5, 0.0, "scaled to 50 %"),
        (1.2, np.pi / 2, "turned by 90 degrees, scaled to 120 %"),
        (1.0, np.pi, "turned by 180 degrees"),
        (1.0, -np.pi / 6, "turned by 330 degrees"),
    ],
)
def test_a_similarity_is_found_and_said(scale: float, turn: float, said: str) -> None:
    """Pairs that agree with it all count; what was done is put in words."""
    work = scattered(1)
    found = place(work, moved(work, scale, turn, (500, 500), noise=0.3), paired(COUNT), mirrored=False)
    assert found is not None
    assert found.inliers >= COUNT - 6
    assert (said, scale) == (words(found, work), pytest.approx(found.scale, rel=0.02))
    assert not found.mirrored


def test_a_mirrored_picture_is_laid_in_its_own_pixels() -> None:
    """Details of the mirror image agree; place and words are those of the picture itself."""
    work = scattered(2)
    image = moved(work, 1.0, 0.0, (100, 50), noise=0.2)
    found = place(work, image, paired(COUNT), mirrored=True)
    assert found is not None
    assert found.mirrored
    assert words(found, work) == "mirrored"
    assert [found.where.left, found.where.right] == pytest.approx([1200 - 500, 1200 - 100], abs=6)


def test_wrong_pairs_do_not_disturb() -> None:
    """Two thirds that point anywhere leave the others' transform as it is."""
    work = scattered(3, 90)
    picture = moved(work, 0.8, 0.4, (200, 200), noise=0.3)
    dice = np.random.default_rng(6)
    wrong = np.arange(30, 90)
    of_picture = np.arange(90)
    of_picture[wrong] = dice.permutation(wrong)
    found = place(work, picture, (np.arange(90), of_picture), mirrored=False)
    assert found is not None
    assert 26 <= found.inliers <= 34
    assert found.scale == pytest.approx(0.8, rel=0.02)


def test_pairs_that_agree_on_nothing_give_nothing() -> None:
    """Few of many random pairs agree by chance."""
    best = 0
    for seed in range(20):
        found = place(scattered(seed, 60), scattered(seed + 100, 60, 800, 800), paired(60), mirrored=False)
        best = max(best, found.inliers if found else 0)
    assert best < 8


def test_one_place_counts_once() -> None:
    """Details on top of one another are one witness."""
    work = scattered(4, 12)
    stacked = Details(
        work.width,
        work.height,
        np.zeros((48, 2), np.uint64),
        *(np.repeat(a, 4) for a in (work.x, work.y, work.size, work.angle)),
    )
    found = place(stacked, moved(stacked, 1.0, 0.0, (50, 50), noise=0.0), paired(48), mirrored=False)
    assert found is not None
    assert found.inliers <= 12


@pytest.mark.parametrize("count", [0, 3])
def test_too_few_pairs_propose_nothing(count: int) -> None:
    """Any three agree on something."""
    work = scattered(7)
    assert place(work, work, paired(count), mirrored=False) is None


def test_a_part_is_said_with_its_box() -> None:
    """Where the details end that could have been found."""
    work = scattered(8, 200)
    rows = np.flatnonzero(work.x < 200)
    picture = moved(work, 1.0, 0.0, (0, 0), noise=0.2)
    picture = Details(200, 300, picture.codes, picture.x, picture.y, picture.size, picture.angle)
    found = place(work, picture, (rows, rows), mirrored=False)
    assert found is not None
    assert [found.source.right, found.source.bottom] == pytest.approx([200, 300], abs=4)
    assert words(found, work).startswith("cropped to 0,0-")
    assert Region(0, 0, 200, 300) == found.where


def test_placements_tell_turn_and_mirror_from_their_matrix() -> None:
    """Turned clockwise on the screen, after mirroring left to right."""
    region = Region(0, 0, 9, 9)
    assert Placement(9, (0, -1, 0, 1, 0, 0), region, region, whole=True).turn == pytest.approx(90)
    assert Placement(9, (-1, 0, 9, 0, 1, 0), region, region, whole=True).turn == pytest.approx(0)
    assert Placement(9, (1, 0, 0, 0, -1, 9), region, region, whole=True).mirrored
    assert abs(Placement(9, (1, 0, 0, 0, -1, 9), region, region, whole=True).turn) == pytest.approx(180)
