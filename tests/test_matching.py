"""Hashes and banks of protected works."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter

from guard.errors import InputError, ModelError
from guard.matching import bank as banks
from guard.matching.bank import Bank, Work
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


def made_bank(count: int = 4) -> Bank:
    bank = Bank("test")
    for seed in range(count):
        bank.add_image(drawing(seed), id=f"w{seed}", title=f"Work {seed}", owner="O", licence="L")
    return bank


def test_a_bank_comes_back_from_its_file(tmp_path: Path) -> None:
    """Works, hashes and digest survive; the pictures are not needed."""
    bank = made_bank()
    bank.write(tmp_path / "test.jsonl")
    again = banks.load(str(tmp_path / "test.jsonl"))
    assert bank.works == again.works
    assert bank.digest == again.digest
    assert again.name == "test"
    assert [tmp_path / "test.jsonl"] == list(tmp_path.iterdir())


def test_the_digest_is_of_the_works_not_of_their_order() -> None:
    """The same works in another order have the same digest, other works another."""
    bank = made_bank()
    assert bank.digest == Bank("other", reversed(bank.works)).digest
    assert bank.digest != Bank("test", bank.works[1:]).digest


def test_a_search_agrees_with_comparing_one_by_one() -> None:
    """The index is exact: the same works and distances as big-integer arithmetic over random hashes."""
    dice = np.random.default_rng(4)
    base = dice.bytes(32)

    def near(count: int) -> bytes:
        value = int.from_bytes(base)
        for bit in dice.choice(256, count, replace=False):
            value ^= 1 << int(bit)
        return value.to_bytes(32)

    hashes = [near(k) for k in range(0, 120, 2)]
    bank = Bank("b", [Work(f"w{k:03}", "t", hashes={"pdq": {"whole": value.hex()}}) for k, value in enumerate(hashes)])
    queries = [base, near(5)]
    expected = {
        f"w{k:03}": min((int.from_bytes(value) ^ int.from_bytes(query)).bit_count() for query in queries)
        for k, value in enumerate(hashes)
    }
    found = bank.search("pdq", "whole", queries, 40)
    assert {key: distance for key, distance in expected.items() if distance <= 40} == {n.work.id: n.distance for n in found}
    assert sorted(n.distance for n in found) == [n.distance for n in found]
    assert bank.search("phash", "whole", queries, 40) == []
    assert bank.search("pdq", "trimmed", queries, 40) == []


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("{", "no JSON"),
        ("[1]", "other fields"),
        ('{"id": "a", "title": "t"}', "other fields"),
        ('{"id": "a", "title": "t", "hashes": {}, "more": 1}', "other fields"),
        ('{"id": "a", "title": "t", "hashes": []}', "another type"),
        ('{"id": 3, "title": "t", "hashes": {"pdq": {"whole": "00"}}}', "another type"),
        ('{"id": "a", "title": "t", "hashes": {}}', "no hash"),
        ('{"id": "a", "title": "t", "hashes": {"pdq": {"whole": "00"}}}', "malformed hash"),
        ('{"id": "a", "title": "t", "hashes": {"pdq": {"whole": "' + "zz" * 32 + '"}}}', "malformed hash"),
        ('{"id": "a", "title": "t", "hashes": {"md5": {"whole": "' + "00" * 32 + '"}}}', "a hash 'md5'"),
        ('{"id": "a", "title": "t", "hashes": {"pdq": {"left": "' + "00" * 32 + '"}}}', "views"),
        ('{"id": "a", "title": "t", "hashes": {"pdq": {}}}', "views"),
    ],
)
def test_a_malformed_line_is_named(tmp_path: Path, line: str, found: str) -> None:
    """Every mistake in a bank is refused with its file and line."""
    path = tmp_path / "bad.jsonl"
    path.write_text(json.dumps(banks.FORMAT) + "\n" + line + "\n")
    with pytest.raises(ModelError, match=rf"bad\.jsonl:2: .*{found}"):
        banks.load(str(path))


def test_a_bank_without_works_format_or_file_is_refused(tmp_path: Path) -> None:
    """A bank that could never match anything is an error, not a quiet check."""
    path = tmp_path / "b.jsonl"
    path.write_text(json.dumps(banks.FORMAT) + "\n")
    with pytest.raises(ModelError, match="no works"):
        banks.load(str(path))
    path.write_text('{"format": "genguard-bank", "version": 2}\n')
    with pytest.raises(ModelError, match=r"b\.jsonl:1: found another format"):
        banks.load(str(path))
    path.write_text("")
    with pytest.raises(ModelError):
        banks.load(str(path))
    for name in ("nowhere", str(tmp_path / "nowhere.jsonl")):
        with pytest.raises(ModelError, match="no bank") as caught:
            banks.load(name)
        assert "protected-works" in caught.value.diagnostics()


def test_two_works_of_one_id_are_refused() -> None:
    """An id stands for one work."""
    with pytest.raises(ModelError, match="twice"):
        Bank("b", made_bank(1).works * 2)


def test_a_flat_work_is_refused() -> None:
    """It would match every other flat picture."""
    with pytest.raises(InputError, match="flat"):
        Bank("b").add_image(Image.new("RGB", (300, 300), "red"), id="red", title="Red")


@pytest.mark.parametrize("kind", ["json", "csv"])
def test_a_bank_is_built_from_a_folder_and_a_list(tmp_path: Path, kind: str) -> None:
    """Titles come from CSV or JSON, pictures from the folder."""
    rows = [{"id": f"w{k}", "title": f"Work, {k}", "owner": "O", "licence": "L", "file": f"{k}.png"} for k in range(2)]
    for k in range(2):
        drawing(k).save(tmp_path / f"{k}.png")
    titles = tmp_path / f"works.{kind}"
    if kind == "json":
        titles.write_text(json.dumps(rows))
    else:
        titles.write_text("id,title,owner,licence,file\n" + "".join(f'w{k},"Work, {k}",O,L,{k}.png\n' for k in range(2)))
    built = banks.build("b", tmp_path, titles)
    assert [(work.id, work.title) for work in built.works] == [("w0", "Work, 0"), ("w1", "Work, 1")]
    assert made_bank(2).works[0].hashes == built.works[0].hashes


@pytest.mark.parametrize("row", [{"id": "a", "title": "t"}, {"id": "", "title": "t", "file": "0.png"}, "a"])
def test_a_list_that_lacks_a_field_is_refused(tmp_path: Path, row: object) -> None:
    """The entry is named by its number."""
    (tmp_path / "works.json").write_text(json.dumps([row]))
    with pytest.raises(InputError, match="entry 1"):
        banks.build("b", tmp_path, tmp_path / "works.json")


def test_a_list_cannot_reach_out_of_its_folder(tmp_path: Path) -> None:
    """Nor name a file that is not there."""
    drawing(0).save(tmp_path / "outside.png")
    (tmp_path / "in").mkdir()
    for name in ("../outside.png", "missing.png"):
        (tmp_path / "works.json").write_text(json.dumps([{"id": "a", "title": "t", "file": name}]))
        with pytest.raises(InputError, match="not in the folder"):
            banks.build("b", tmp_path / "in", tmp_path / "works.json")


def test_the_bundled_bank_is_whole() -> None:
    """Every bundled work can be found by every method and view."""
    bank = banks.load("protected-works")
    assert len(bank.works) >= 6
    for work in bank.works:
        assert set(HASHES) == set(work.hashes)
        assert all({"whole", "trimmed"} == set(by_view) for by_view in work.hashes.values())
        assert work.title
        assert work.owner
        assert work.licence
