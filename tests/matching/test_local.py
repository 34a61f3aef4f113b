"""Details of pictures, their bytes, and the index that finds them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from guard.errors import ModelError
from guard.matching import local, local_index
from guard.matching.local import Details, details, query
from guard.matching.local_index import LocalIndex
from tests.matching.photos import photo


def made(count: int, seed: int) -> bytes:
    """A fingerprint of random details."""
    dice = np.random.default_rng(seed)
    codes = dice.integers(0, 1 << 63, (count, 2), dtype=np.uint64)
    x, y = dice.uniform(0, 400, (2, count)).astype(np.float32)
    size, angle = dice.uniform(2, 50, count).astype(np.float32), dice.uniform(0, 6, count).astype(np.float32)
    return Details(400, 400, codes, x, y, size, angle).to_bytes()


def flipped(code: np.ndarray, bits: int, seed: int) -> np.ndarray:
    """A code with so many bits the other way."""
    raw = np.unpackbits(np.ascontiguousarray(code).view(np.uint8))
    raw[np.random.default_rng(seed).choice(128, bits, replace=False)] ^= 1
    return np.packbits(raw).view(np.uint64)


def test_bytes_come_back() -> None:
    """Codes exactly, places to a thousandth, sizes and directions to their steps."""
    before = details(photo("kitchen"))
    after = Details.from_bytes(before.to_bytes())
    assert (320, 320, len(before)) == (after.width, after.height, len(after))
    assert (before.codes == after.codes).all()
    assert np.abs(before.x - after.x).max() < 0.4
    assert np.abs(before.y - after.y).max() < 0.4
    assert np.abs(before.size / after.size - 1).max() < 0.03
    assert np.cos(before.angle - after.angle).min() > 0.999
    assert after.to_bytes() == before.to_bytes()


@pytest.mark.parametrize(
    "change", [lambda b: b[:7], lambda b: b[:-1], lambda b: b + b"x", lambda b: b"XX" + b[2:], lambda b: b"GL\2" + b[3:]]
)
def test_other_bytes_are_refused(change) -> None:  # type: ignore[no-untyped-def]
    """Cut, padded, of another kind or another version."""
    with pytest.raises(ModelError, match="local features"):
        Details.from_bytes(change(made(20, 1)))


def test_details_are_spread_and_bounded() -> None:
    """No more than are kept, and some in every quarter of a picture that has them everywhere."""
    kept = details(photo("pebbles"))
    assert local.WORK_DETAILS >= len(kept) > 100
    for across in (kept.x < 160, kept.x >= 160):
        for down in (kept.y < 160, kept.y >= 160):
            assert (across & down).sum() >= 15


def test_a_mirrored_query_equals_the_mirror_image() -> None:
    """Permuting histograms gives nearly the codes that detection in the mirror image gives."""
    straight = query(photo("chapel"))
    turned = query(photo("chapel").transpose(Image.Transpose.FLIP_LEFT_RIGHT))
    index = LocalIndex.empty("local").extended([(1, turned.upright.to_bytes())])
    near = index.search(straight.mirrored.codes, radius=16, neighbours=1)
    apart = np.hypot(
        straight.mirrored.x[near.query] - turned.upright.x[near.point],
        straight.mirrored.y[near.query] - turned.upright.y[near.point],
    )
    assert (apart < 2).sum() > 0.8 * len(straight.upright)


def test_a_picture_without_details_is_searched_without_answer() -> None:
    """A gradient has none."""
    ramp = Image.fromarray(np.tile(np.arange(256, dtype=np.uint8), (256, 1)))
    assert len(details(ramp)) == 0
    near = LocalIndex.empty("local").extended([(1, made(9, 1))]).search(query(ramp).upright.codes)
    assert len(near.query) == 0


def test_a_search_finds_what_comparing_one_by_one_finds() -> None:
    """Small indexes are exact: the same neighbours and distances, nearest first, at most as many as asked for."""
    prints = [(number, made(40, number)) for number in (3, 5, 9)]
    index = LocalIndex.empty("local").extended(prints[:2]).compacted().extended(prints[2:])
    codes = np.concatenate([Details.from_bytes(data).codes for _, data in prints])
    asked = np.stack([flipped(codes[row], row % 40, row) for row in range(0, 120, 7)])
    near = index.search(asked, radius=60, neighbours=3)
    for row, code in enumerate(asked):
        distances = np.bitwise_count(codes ^ code).sum(axis=1)
        expected = np.sort(distances[distances <= 60])[:3]
        mine = near.query == row
        assert list(near.distance[mine]) == list(expected)
        assert all(
            distances[slot * 40 + point] == d
            for slot, point, d in zip(near.slot[mine], near.point[mine], near.distance[mine], strict=True)
        )
    assert [index.number(slot) for slot in range(3)] == [3, 5, 9]


def test_lists_find_nearly_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    """Codes of a large index lie in lists; codes a few bits off are still found."""
    monkeypatch.setattr(local_index, "_FEW", 1000)
    prints = [(number, made(200, number)) for number in range(1, 41)]
    index = LocalIndex.empty("local").extended(prints).compacted()
    codes = np.concatenate([Details.from_bytes(data).codes for _, data in prints])
    asked = np.stack([flipped(codes[row], 5, row) for row in range(0, 8000, 40)])
    near = index.search(asked, neighbours=1)
    assert (near.slot * 200 + near.point == np.arange(0, 8000, 40)[near.query]).all()
    assert len(near.query) >= 0.9 * len(asked)
    again = LocalIndex.empty("local").extended(prints).compacted().search(asked, neighbours=1)
    assert (again.query == near.query).all()


def test_works_come_and_go() -> None:
    """Dropped works are not found, added ones are, in every order; compacting changes no answer."""
    index = LocalIndex.empty("local").extended([(1, made(30, 1)), (2, made(30, 2))]).compacted()
    code = Details.from_bytes(made(30, 1)).codes[:1]
    assert index.number(int(index.search(code).slot[0])) == 1
    without = index.without([1])
    assert len(without.search(code).slot) == 0
    assert (len(without), without.pending) == (1, 1)
    again = without.extended([(1, made(30, 1))])
    for one in (again, again.compacted()):
        assert one.number(int(one.search(code).slot[0])) == 1
        assert len(one) == 2
    assert again.compacted().pending == 0
    assert len(again.without([1, 2])) == 0
    assert len(index.search(code).slot) == 1


def test_an_index_is_mapped_from_its_folder(tmp_path: Path) -> None:
    """The same answers, with what was added and dropped."""
    index = (
        LocalIndex.empty("local")
        .extended([(k, made(30, k)) for k in range(1, 5)])
        .compacted()
        .without([2])
        .extended([(7, made(9, 7))])
    )
    index.save(tmp_path / "local")
    opened = LocalIndex.open("local", tmp_path / "local")
    asked = np.concatenate([Details.from_bytes(made(30, k)).codes for k in range(1, 5)])
    for column in ("query", "slot", "point", "distance"):
        assert (getattr(index.search(asked), column) == getattr(opened.search(asked), column)).all()
    assert (len(index), index.pending) == (len(opened), opened.pending)
    assert [tmp_path / "local"] == list(tmp_path.iterdir())
    empty = LocalIndex.empty("local")
    empty.save(tmp_path / "empty")
    assert len(LocalIndex.open("local", tmp_path / "empty")) == 0


@pytest.mark.parametrize("damage", ["missing", "facts", "numbers", "cut"])
def test_a_damaged_index_is_refused(tmp_path: Path, damage: str) -> None:
    """It is never searched as if it were whole."""
    LocalIndex.empty("local").extended([(1, made(30, 1))]).compacted().save(tmp_path / "local")
    file = tmp_path / "local" / "base-numbers.npy"
    if damage == "missing":
        file.unlink()
    elif damage == "facts":
        (tmp_path / "local" / "facts.json").write_text("{}")
    elif damage == "numbers":
        np.save(file, np.arange(3, dtype=np.int32))
    else:
        file.write_bytes(file.read_bytes()[:40])
    with pytest.raises(ModelError, match="index of local"):
        LocalIndex.open("local", tmp_path / "local")


def test_a_malformed_fingerprint_names_its_work() -> None:
    """A bank's entry that is no fingerprint is refused."""
    with pytest.raises(ModelError, match="work 12: found 3 bytes"):
        LocalIndex.empty("local").extended([(12, b"abc")])
