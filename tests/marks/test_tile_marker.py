"""The marker around the tile watermark: what comes out of the file that leaves, and what is kept of the image."""

from __future__ import annotations

import io
from uuid import UUID

import numpy as np
import pytest
from PIL import Image, ImageDraw

from guard.errors import InputError, SettingsError
from guard.marks import tile_marker
from guard.marks.key import make_watermark_key, parse_watermark_key, read_watermark_key
from guard.marks.tile_marker import TileWatermark, _luma, _samples, _seen, payload_of, read_tile
from guard.marks.watermark import keyed
from guard.registry import markers
from guard.rules import MarkSpec
from guard.types import CALLER, Content, Modality, Operator, Request, Stage
from tests.fakes import marking
from tests.marks.conftest import WATERMARK_KEY

DECISION = UUID("01900000-0000-7000-8000-0000a5c3f00f")


def picture(mode: str = "RGB", size: tuple[int, int] = (320, 280)) -> Image.Image:
    dice = np.random.default_rng(5)
    smooth = Image.fromarray(dice.integers(30, 220, (6, 8, 3), dtype=np.uint8)).resize(size, Image.Resampling.BICUBIC)
    pixels = np.clip(np.asarray(smooth, dtype=float) + dice.normal(0, 5, (size[1], size[0], 3)), 0, 255).astype(np.uint8)
    image = Image.fromarray(pixels)
    if mode == "I;16":
        return Image.fromarray((np.asarray(image.convert("L"), dtype=np.uint16) * 257 + 3).astype(np.uint16))
    if mode in {"LA", "RGBA"}:
        image = image.convert(mode)
        veil = Image.new("L", size, 255)
        ImageDraw.Draw(veil).rectangle((0, 0, 60, 60), fill=0)
        image.putalpha(veil)
        return image
    return image.convert(mode)


def content(image: Image.Image, form: str = "PNG", **options: object) -> Content:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    kind = {"PNG": "image/png", "JPEG": "image/jpeg", "WEBP": "image/webp"}[form]
    return Content(Modality.IMAGE, buffer.getvalue(), kind, Stage.OUTPUT, CALLER, Request("r"))


def mark(given: Content, key: bytes | None = WATERMARK_KEY) -> tuple[Content, object]:
    marker = TileWatermark(key)
    marker.load()
    return marker(given, marking(DECISION, given))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
def test_every_mode_is_marked_and_stays_what_it_is(mode: str) -> None:
    """Greys stay grey, depth and transparency stay; palettes become colours, black and white becomes grey."""
    given = content(picture(mode))
    marked, done = mark(given)
    assert done.verified, done.error
    assert (done.kind, done.method, done.payload) == ("watermark", "tile", DECISION.hex[-16:])
    assert read_tile(marked.file, WATERMARK_KEY).payload == payload_of(DECISION)
    before, after = Image.open(io.BytesIO(given.file)), Image.open(io.BytesIO(marked.file))
    assert after.size == before.size
    assert after.mode == {"P": "RGB", "1": "L"}.get(mode, mode)
    if mode in {"LA", "RGBA"}:
        assert np.array_equal(np.asarray(after)[..., -1], np.asarray(before)[..., -1])
    if mode == "I;16":
        assert np.abs(np.asarray(after, dtype=float) - np.asarray(before, dtype=float)).max() / 257 < 40


@pytest.mark.parametrize("form", ["JPEG", "WEBP"])
def test_other_formats_leave_as_png(form: str) -> None:
    marked, done = mark(content(picture(), form, quality=90))
    assert done.verified
    assert marked.media_type == "image/png"


def test_the_colour_profile_stays() -> None:
    from PIL import ImageCms

    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    marked, _ = mark(content(picture(), icc_profile=profile))
    assert Image.open(io.BytesIO(marked.file)).info["icc_profile"] == profile


def test_an_image_too_small_is_left_alone_and_that_is_said() -> None:
    given = content(picture(size=(200, 40)))
    marked, done = mark(given)
    assert marked is given
    assert not done.verified
    assert done.error == "found an image of 200 x 40 pixels, the watermark needs at least 64 each way"


def test_an_image_that_keeps_no_mark_is_left_alone() -> None:
    """64 bits do not fit unseen into a few thousand pixels of noise."""
    noise = Image.fromarray(np.random.default_rng(1).integers(0, 256, (64, 64, 3), dtype=np.uint8))
    given = content(noise)
    marked, done = mark(given)
    assert marked is given
    assert not done.verified
    assert "could not be read back" in done.error


@pytest.mark.parametrize("size", [(128, 128), (64, 64), (64, 500)])
def test_small_plain_pictures_carry_it(size: tuple[int, int]) -> None:
    page = Image.new("RGB", size, "#f4efe2")
    ImageDraw.Draw(page).ellipse((10, 10, 50, 50), fill="#2060a0")
    marked, done = mark(content(page))
    assert done.verified, done.error
    assert read_tile(marked.file, WATERMARK_KEY, thorough=False).payload == payload_of(DECISION)


def test_reading_again_tells_a_lost_mark() -> None:
    marked, done = mark(content(picture()))
    marker = TileWatermark(WATERMARK_KEY)
    assert marker.reread(marked, done) == ""
    assert "no longer be read" in marker.reread(content(picture()), done)


def test_a_damaged_file_raises() -> None:
    given = Content(Modality.IMAGE, content(picture()).file[:400], "image/png", Stage.OUTPUT, CALLER, Request("r"))
    with pytest.raises(InputError):
        mark(given)
    with pytest.raises(InputError):
        read_tile(b"no image", WATERMARK_KEY)


# --- the key ---------------------------------------------------------------------------------------------------------


def test_the_marker_wants_the_operators_key() -> None:
    """While a policy is compiled nobody has one; a guard without it is refused."""
    markers.make("watermark", {})
    markers.make("watermark", {"_operator": Operator(watermark_key=WATERMARK_KEY)})
    markers.make("watermark", {"method": "dwtDctSvd", "_operator": Operator()})
    with pytest.raises(SettingsError, match="found a watermark key of 0 bytes, expected 32"):
        markers.make("watermark", {"_operator": Operator()})
    with pytest.raises(SettingsError, match="found no watermark key"):
        mark(content(picture()), None)


def test_which_marks_need_a_key() -> None:
    assert keyed([MarkSpec("watermark", Modality.IMAGE)])
    assert keyed([MarkSpec("watermark", Modality.IMAGE, {"method": "tile"})])
    assert not keyed([MarkSpec("watermark", Modality.IMAGE, {"method": "rivaGan"}), MarkSpec("iptc", Modality.IMAGE)])


def test_a_key_file_is_made_once_for_its_owner_alone(tmp_path) -> None:
    file = tmp_path / "watermark.key"
    made = make_watermark_key(file)
    assert len(made) == 32
    assert file.stat().st_mode & 0o777 == 0o600
    assert make_watermark_key(file) == read_watermark_key(file) == made
    assert parse_watermark_key(file.read_text(), "here") == made
    assert made.hex() not in repr(Operator(watermark_key=made))


def test_a_key_that_is_none_is_named_and_not_quoted(tmp_path) -> None:
    (tmp_path / "bad.key").write_text("c2VjcmV0\n")
    with pytest.raises(SettingsError, match="does not hold a watermark key, expected 32 bytes as base64") as caught:
        read_watermark_key(tmp_path / "bad.key")
    assert "c2VjcmV0" not in str(caught.value)
    with pytest.raises(SettingsError, match="cannot read the watermark key file"):
        read_watermark_key(tmp_path / "none.key")


def test_an_image_of_many_pixels_is_read_in_half_its_size() -> None:
    """As it would be read whole: it is brought to a much smaller size anyhow."""
    marked, done = mark(content(picture("RGB", (700, 640))))
    assert done.verified
    small = Image.open(io.BytesIO(marked.file))
    large = content(small.resize((4480, 4096), Image.Resampling.BICUBIC), "JPEG", quality=60).file
    assert _seen(Image.open(io.BytesIO(large))).shape == (2048, 2240)
    found = read_tile(large, WATERMARK_KEY, thorough=False)
    assert found is not None
    assert found.payload == payload_of(DECISION)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
def test_luma_in_strips_is_luma(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """To the last bit, whatever the height of a strip."""
    image = picture(mode, (97, 83))
    whole = _luma(_samples(image))
    monkeypatch.setattr(tile_marker, "_STRIP", 1000)
    assert (_seen(image) == whole).all()


def test_an_image_that_is_very_long_is_read_in_its_middle() -> None:
    """Brought to its size, the whole would be of many times as many pixels as the file has."""
    marked, done = mark(content(picture("RGB", (4000, 200))))
    assert done.verified
    found = read_tile(marked.file, WATERMARK_KEY, thorough=False)
    assert found is not None
    assert found.payload == payload_of(DECISION)
    assert read_tile(content(Image.new("L", (200_000, 80), 90)).file, WATERMARK_KEY, thorough=False) is None
