"""The nearest released image: found after what happens to images on their way, and nothing else is."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image, ImageOps

from guard.errors import InputError, ModelError
from guard.matching import chance
from guard.matching.likeness import METHOD, VIEWS, Released, fingerprint, fits, hashes_of, looked

PHOTOS = {file.stem: file for file in sorted((Path(__file__).parents[1] / "data" / "photos").glob("*.jpg"))}
LABELS = {name: number for number, name in enumerate(PHOTOS, 10)}


def saved(image: Image.Image, quality: int = 60) -> bytes:
    buffer = io.BytesIO()
    image.convert("RGB").save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def cut(left: float, top: float, right: float, bottom: float) -> Callable[[Image.Image], Image.Image]:
    def done(image: Image.Image) -> Image.Image:
        width, height = image.size
        return image.crop((int(width * left), int(height * top), int(width * (1 - right)), int(height * (1 - bottom))))

    return done


CHANGES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "": lambda image: image,
    "smaller": lambda image: image.resize((image.width // 2, image.height // 2)),
    "grey": lambda image: image.convert("L"),
    "mirrored": ImageOps.mirror,
    "turned by 90 degrees": lambda image: image.transpose(Image.Transpose.ROTATE_270),
    "turned by 180 degrees": lambda image: image.transpose(Image.Transpose.ROTATE_180),
    "turned by 270 degrees": lambda image: image.transpose(Image.Transpose.ROTATE_90),
    "cut on all sides": cut(0.05, 0.05, 0.05, 0.05),
    "cut on the left": cut(0.08, 0, 0, 0),
    "cut on the right": cut(0, 0, 0.07, 0),
    "cut at the top": cut(0, 0.1, 0, 0),
    "cut at the bottom": cut(0, 0, 0, 0.08),
    "cut at the bottom, mirrored": lambda image: ImageOps.mirror(cut(0, 0, 0, 0.08)(image)),
    "framed": lambda image: ImageOps.expand(image, border=image.width // 8, fill="white"),
}


@pytest.fixture(scope="module")
def released() -> Released:
    found = Released()
    found.add((LABELS[name], fingerprint(file.read_bytes())) for name, file in PHOTOS.items())
    return found


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_copy_is_found_and_told_how_it_was_changed(released: Released, change: str) -> None:
    """Saved as JPEG at 60; of some photographs each, and no other photograph is near."""
    for name, file in PHOTOS.items():
        picture = looked(saved(CHANGES[change](Image.open(file))))
        near, limit, hashes = released.nearest(picture)
        assert [one.entry for one in near] == [LABELS[name]], (name, change)
        assert near[0].distance <= limit
        assert hashes == len(released)
        if change.split(",", maxsplit=1)[0] in VIEWS or change.startswith("turned"):
            assert near[0].transform == change, name
    assert picture.odds(near[0].distance, hashes) < chance.RATE


def test_an_unrelated_picture_is_near_to_nothing(released: Released) -> None:
    """Each photograph against the others."""
    for name in PHOTOS:
        others = Released()
        others.add((LABELS[other], fingerprint(file.read_bytes())) for other, file in PHOTOS.items() if other != name)
        assert others.nearest(looked(PHOTOS[name].read_bytes()))[0] == []
    assert Released().nearest(looked(PHOTOS["sea"].read_bytes())) == ([], chance.MOST[METHOD]["rich"], 0)


@pytest.mark.parametrize("image", [Image.new("RGB", (300, 200), "white"), Image.new("L", (20, 20), 7)])
def test_what_has_too_little_detail_has_no_fingerprint(image: Image.Image) -> None:
    """Flat or tiny: it would look like everything."""
    assert fingerprint(saved(image)) == b""
    with pytest.raises(InputError, match="not matchable"):
        looked(saved(image))


def test_a_soft_gradient_has_none_either() -> None:
    """It is not flat, but PDQ's quality is low."""
    image = Image.linear_gradient("L").resize((256, 256))
    assert fingerprint(saved(image)) == b""
    with pytest.raises(InputError, match="too little detail"):
        looked(saved(image))


def test_a_border_adds_a_view_and_a_file_without_one_fits_its_own(released: Released) -> None:
    """The picture inside is found without it; a fingerprint fits the file that it was made of, and no other."""
    framed = saved(ImageOps.expand(Image.open(PHOTOS["chapel"]), border=60, fill="white"), 90)
    print_ = fingerprint(framed)
    assert len(hashes_of(print_)) == 2 * len(VIEWS)
    inside = Released()
    inside.add([(3, print_)])
    (near,) = inside.nearest(looked(PHOTOS["chapel"].read_bytes()))[0]
    assert near.transform == "taken out of its border"
    assert fits(framed, print_)
    assert not fits(framed, fingerprint(PHOTOS["chapel"].read_bytes()))
    assert not fits(framed, b"")
    assert not fits(b"no image", print_)


@pytest.mark.parametrize("data", [b"", b"\x01", b"\x01\x64\x00", b"\x02\x64\x01" + bytes(64), b"\x01\x64\x01" + bytes(63)])
def test_bytes_of_another_form_are_no_fingerprint(data: bytes) -> None:
    """They are refused alone and passed over among others."""
    with pytest.raises(ModelError, match="no fingerprint"):
        hashes_of(data)
    found = Released()
    found.add([(1, data), (2, fingerprint(PHOTOS["sea"].read_bytes()))])
    assert [one.entry for one in found.nearest(looked(PHOTOS["sea"].read_bytes()))[0]] == [2]


def test_what_is_dropped_is_not_found_and_equal_ones_are_all_found(released: Released) -> None:
    """The oldest first; several threads may add meanwhile."""
    print_ = fingerprint(PHOTOS["sea"].read_bytes())
    found = Released()
    threads = [threading.Thread(target=found.add, args=([(number, print_)],)) for number in range(40)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    picture = looked(PHOTOS["sea"].read_bytes())
    assert [one.entry for one in found.nearest(picture)[0]] == list(range(40))
    found.keep([3, 17, 99])
    assert [(one.entry, one.distance) for one in found.nearest(picture)[0]] == [(3, 0), (17, 0)]
    found.keep([])
    assert len(found) == 0


def test_limits_tighten_as_more_was_released() -> None:
    """A picture may be near to one of a million by chance, at a distance that means something among ten."""
    picture = looked(PHOTOS["sea"].read_bytes())
    limits = [picture.limit(hashes) for hashes in (60, 6_000, 6_000_000)]
    assert limits == sorted(limits, reverse=True)
    assert limits[0] > limits[-1] > 31
    assert picture.odds(limits[-1], 6_000_000) <= chance.RATE
