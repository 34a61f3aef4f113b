"""Pictures against a bank in two stages."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image, ImageDraw

from guard.errors import InputError, ModelError
from guard.matching import chance
from guard.matching.images import ImageMatcher, Settings, fingerprints, look
from guard.matching.snapshot import snapshot_of
from guard.matching.works import Fingerprint, Work
from guard.types import Region
from tests.matching.photos import bank, jpeg, page, photo, work

Flip = Image.Transpose


def found(picture: Image.Image) -> list[tuple[str, str]]:
    """(work, method), surest first."""
    return [(one.match.work, one.match.method) for one in ImageMatcher(bank()).match(look(picture))]


def cut(picture: Image.Image, left: float, top: float, right: float, bottom: float) -> Image.Image:
    width, height = picture.size
    return picture.crop((round(left * width), round(top * height), round(right * width), round(bottom * height)))


def screenshot(picture: Image.Image) -> Image.Image:
    made = page((900, 600), (picture, (300, 120)), colour="#eef0f4")
    pen = ImageDraw.Draw(made)
    pen.rectangle((0, 0, 900, 50), "#202830")
    for row in range(10):
        pen.text((30, 90 + 40 * row), f"Entry {row}", "black")
    return jpeg(made)


HASHED: dict[str, Callable[[Image.Image], Image.Image]] = {
    "as it is": lambda p: p,
    "re-encoded": lambda p: jpeg(p, 20),
    "reduced": lambda p: p.resize((90, 90), Image.Resampling.LANCZOS),
    "enlarged": lambda p: p.resize((700, 700), Image.Resampling.BICUBIC),
    "stretched": lambda p: p.resize((400, 300)),
    "grey": lambda p: p.convert("L"),
    "16 bits": lambda p: Image.fromarray(np.asarray(p.convert("L")).astype(np.uint16) * 257),
    "palette": lambda p: p.quantize(64),
    "transparent": lambda p: p.convert("RGBA"),
    "mirrored": lambda p: p.transpose(Flip.FLIP_LEFT_RIGHT),
    "turned": lambda p: p.transpose(Flip.ROTATE_90),
    "framed": lambda p: page((400, 420), (p, (40, 50))),
}
SEEN_BY_DETAILS: dict[str, Callable[[Image.Image], Image.Image]] = {
    "cropped": lambda p: cut(p, 0.3, 0.2, 1, 0.9),
    "cropped and mirrored": lambda p: cut(p, 0, 0.1, 0.7, 0.8).transpose(Flip.FLIP_LEFT_RIGHT),
    "rotated": lambda p: p.rotate(20, Image.Resampling.BICUBIC),
    "in a page": screenshot,
    "cropped, turned": lambda p: jpeg(cut(p, 0.1, 0.1, 0.8, 0.8).transpose(Flip.ROTATE_270), 40),
}


@pytest.mark.parametrize("edit", HASHED)
@pytest.mark.parametrize("name", ["chapel", "kitchen", "pebbles"])
def test_the_first_stage_finds_what_was_recoded(name: str, edit: str) -> None:
    """Re-encoding, size, colour, depth, right angles, mirrors and plain borders are settled by hashes."""
    ((work, method),) = found(HASHED[edit](photo(name)))
    assert (name, True) == (work, method in {"pdq", "phash"})


@pytest.mark.parametrize("edit", SEEN_BY_DETAILS)
@pytest.mark.parametrize("name", ["chapel", "kitchen", "pebbles"])
def test_the_second_stage_finds_parts(name: str, edit: str) -> None:
    """Crops, free angles and pictures within pictures are found by details, and by hashes alone they are not."""
    picture = SEEN_BY_DETAILS[edit](photo(name))
    assert [(name, "local")] == found(picture)
    assert not ImageMatcher(bank(), Settings(local=False)).match(look(picture))


@pytest.mark.parametrize("name", ["parlour", "sea"])
@pytest.mark.parametrize("edit", [*HASHED, *SEEN_BY_DETAILS])
def test_unrelated_pictures_are_not_found(name: str, edit: str) -> None:
    """Photographs that are in no bank match nothing, however they were edited."""
    assert found({**HASHED, **SEEN_BY_DETAILS}[edit](photo(name))) == []


def test_every_work_of_a_collage_is_found() -> None:
    """Each with its own place; the tile that is no work is not reported."""
    tiles = {"chapel": (0, 0), "sea": (260, 0), "pebbles": (0, 260), "kitchen": (260, 260)}
    collage = page((520, 520), *((photo(name).resize((260, 260)), place) for name, place in tiles.items()))
    shown = {one.match.work: one.where for one in ImageMatcher(bank()).match(look(jpeg(collage)))}
    assert set(shown) == {"chapel", "pebbles", "kitchen"}
    for name, where in shown.items():
        left, top = tiles[name]
        assert np.allclose([where.left, where.top, where.right, where.bottom], [left, top, left + 260, top + 260], atol=14)


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (lambda p: p, ""),
        (lambda p: p.transpose(Flip.FLIP_LEFT_RIGHT), "mirrored"),
        (lambda p: p.transpose(Flip.FLIP_TOP_BOTTOM), "mirrored, turned by 180 degrees"),
        (lambda p: p.transpose(Flip.ROTATE_270), "turned by 90 degrees"),
        (lambda p: p.transpose(Flip.ROTATE_180), "turned by 180 degrees"),
        (lambda p: p.transpose(Flip.ROTATE_90), "turned by 270 degrees"),
        (lambda p: p.transpose(Flip.TRANSPOSE), "mirrored, turned by 270 degrees"),
        (lambda p: p.transpose(Flip.TRANSVERSE), "mirrored, turned by 90 degrees"),
    ],
)
@pytest.mark.parametrize("method", ["pdq", "phash", "local"])
def test_right_angles_and_mirrors_are_said(method: str, edit: Callable[[Image.Image], Image.Image], said: str) -> None:
    """Hashes and details say the same of what was done to a work; turns are clockwise."""
    matcher = ImageMatcher(bank(), Settings(methods=() if method == "local" else (method,)))
    (one,) = matcher.match(look(edit(photo("chapel"))))
    assert (method, said) == (one.match.method, one.match.transform)


def test_a_crop_is_said_with_its_box() -> None:
    """In the work's own pixels, with the scale, and where in the picture it lies."""
    part = photo("pebbles").crop((100, 60, 320, 260)).resize((440, 400), Image.Resampling.LANCZOS)
    (one,) = ImageMatcher(bank()).match(look(part))
    assert one.match.source is not None
    box = [one.match.source.left, one.match.source.top, one.match.source.right, one.match.source.bottom]  # type: ignore[union-attr]
    assert np.allclose(box, [100, 60, 320, 260], atol=6)
    assert one.match.transform.startswith("scaled to 20")
    assert one.match.transform.endswith(f"cropped to {box[0]},{box[1]}-{box[2]},{box[3]} of 320 x 320")
    assert one.match.transform in one.reason


def test_a_match_states_its_odds() -> None:
    """The nearer, the smaller; the distance never exceeds the limit."""
    (near,) = ImageMatcher(bank()).match(look(photo("chapel")))
    (far,) = ImageMatcher(bank()).match(look(cut(photo("chapel"), 0.3, 0.3, 0.9, 0.9)))
    for one in (near, far):
        assert one.match.distance <= one.match.limit
        assert 0 < float(one.match.chance) < 1e-4
        assert 700 <= one.score <= 1000
    assert near.score == 1000
    assert near.where == Region(0, 0, 320, 320)


def test_answers_are_the_same_twice_and_on_threads() -> None:
    """Nothing is drawn at random, and matchers may be shared."""
    pictures = [SEEN_BY_DETAILS[edit](photo(name)) for name in ("chapel", "kitchen") for edit in SEEN_BY_DETAILS]
    matcher = ImageMatcher(bank())
    alone = [matcher.match(look(picture)) for picture in pictures]
    with ThreadPoolExecutor(4) as pool:
        assert alone == list(pool.map(lambda picture: matcher.match(look(picture)), pictures))
    assert fingerprints(photo("sea")) == fingerprints(photo("sea"))


def test_limits_may_be_named() -> None:
    """They take the place of the computed ones, for hashes and for details."""
    crop = look(cut(photo("chapel"), 0.3, 0.2, 1, 0.9))
    assert ImageMatcher(bank(), Settings(limits={"local": 300})).match(crop) == []
    (one,) = ImageMatcher(bank(), Settings(limits={"pdq": 7, "phash": 7})).match(look(photo("chapel")))
    assert one.match.limit == 7


@pytest.mark.parametrize("method", ["dhash", "whash", "crop_resistant"])
def test_other_hashes_are_methods_too(method: str) -> None:
    """Works may be registered and found by any of them."""
    held = snapshot_of("b", [work(name, methods=[method]) for name in ("chapel", "kitchen")])
    matcher = ImageMatcher(held, Settings(methods=(method,), local=False, limits={method: 6}))
    assert [one.match.work for one in matcher.match(look(photo("kitchen").convert("RGBA")))] == ["kitchen"]
    assert {len(one.data) for one in fingerprints(photo("kitchen"), [method])} == {32}


def test_segments_survive_a_crop() -> None:
    """The crop-resistant hash keeps a hash for each part, each found on its own."""
    prints = fingerprints(photo("chapel"), ["crop_resistant"])
    assert len(prints) >= 2
    assert {one.view for one in prints} == {"segment"}


def test_the_local_fingerprint_is_compact() -> None:
    """22 bytes a detail, at most 160 of them."""
    (one,) = [one for one in fingerprints(photo("pebbles")) if one.method == "local"]
    assert 2500 < len(one.data) <= 3600


def test_a_picture_with_hardly_a_detail_has_hashes_alone() -> None:
    """A disc on white is recognised by its shape as a whole."""
    disc = page((300, 300))
    ImageDraw.Draw(disc).ellipse((60, 60, 240, 240), "black")
    assert {"pdq", "phash"} == {one.method for one in fingerprints(disc)}


@pytest.mark.parametrize(
    ("picture", "why"),
    [
        (Image.new("RGB", (300, 300), "red"), "flat"),
        (Image.new("L", (300, 300), 7), "flat"),
        (Image.effect_noise((31, 300), 80), "31 x 300 pixels"),
        (Image.new("RGBA", (300, 300), (200, 10, 10, 0)), "flat"),
    ],
)
def test_what_is_not_matchable_is_refused(picture: Image.Image, why: str) -> None:
    """Neither registered nor looked up, with the reason."""
    for use in (fingerprints, look):
        with pytest.raises(InputError, match=f"not matchable: .*{why}"):
            use(picture)


def test_unknown_methods_are_refused() -> None:
    """With those there are."""
    with pytest.raises(ModelError, match="expected some of: pdq, phash"):
        fingerprints(photo("sea"), ["md5"])


def nearly(data: bytes, bits: int) -> bytes:
    """A hash that differs in so many bits."""
    flipped = np.unpackbits(np.frombuffer(data, np.uint8))
    flipped[:bits] ^= 1
    return np.packbits(flipped).tobytes()


def test_two_hashes_that_agree_may_each_be_farther() -> None:
    """Both at once come that close by chance far more seldom; one alone does not count at that distance."""
    drawing = Image.new("RGB", (300, 300), "white")
    pen = ImageDraw.Draw(drawing)
    pen.ellipse((40, 30, 260, 250), outline="#203080", width=14)
    pen.polygon([(70, 200), (140, 80), (210, 220)], fill="#c04020")
    pen.line((50, 270, 270, 240), fill="black", width=9)
    picture, rate = look(drawing), 1e-6
    assert picture.plain
    single = max(chance.limit(one, plain=picture.plain, works=2, rate=rate / 4) for one in chance.PAIR)
    both = chance.limit(chance.BOTH, plain=picture.plain, works=2, rate=rate / 4)
    between = (single + both) // 2 + 1
    assert single < between <= both
    print_of = {one: picture.hashes(one)[0].orientations[0] for one in chance.PAIR}
    agreed = Work("agreed", "Agreed", fingerprints=tuple(Fingerprint(m, nearly(d, between)) for m, d in print_of.items()))
    alone = Work(
        "alone", "Alone", fingerprints=(Fingerprint("pdq", nearly(print_of["pdq"], between)), Fingerprint("phash", bytes(32)))
    )
    (one,) = ImageMatcher(snapshot_of("b", [agreed, alone]), Settings(rate=rate)).by_hashes(picture)
    assert (one.match.work, one.match.distance, one.match.limit) == ("agreed", between, both)
    assert one.reason.endswith("as both hashes agree")
    assert float(one.match.chance) <= rate
    alone_again = ImageMatcher(snapshot_of("b", [agreed, alone]), Settings(rate=rate, limits={"pdq": 10}))
    assert alone_again.by_hashes(picture) == []
