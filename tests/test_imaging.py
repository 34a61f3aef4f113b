"""Reading image files: what is refused, and how pixels come out."""

from __future__ import annotations

import contextlib
import io
import random
import struct
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from guard import imaging
from guard.errors import InputError, TooLargeError
from guard.imaging import MAX_PIXELS, decode, encode_png, flatten, identify, image_content, open_picture
from guard.types import CALLER, Content, Modality, Request, Stage


def content(data: bytes) -> Content:
    return Content(Modality.IMAGE, data, "image/png", Stage.OUTPUT, CALLER, Request("r"))


def file(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def noise(size: tuple[int, int] = (40, 30)) -> Image.Image:
    pixels = np.random.default_rng(1).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def png_header(width: int, height: int) -> bytes:
    """The start of a PNG that claims any size."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")


@pytest.mark.parametrize(("kind", "media_type"), [("PNG", "image/png"), ("JPEG", "image/jpeg"), ("WEBP", "image/webp")])
def test_known_formats_are_identified_by_their_bytes(kind: str, media_type: str) -> None:
    """The file's own bytes say what it is, with its size."""
    assert (media_type, 40, 30) == identify(file(noise(), kind))


@pytest.mark.parametrize("data", [b"", b"hello", b"GIF89a" + bytes(40), b"<svg/>", b"\x89PNG\r\n\x1a\n", bytes(1000)])
def test_bytes_that_are_no_image_are_refused(data: bytes) -> None:
    """Empty, text, other formats and a bare signature are input errors that say what was expected."""
    with pytest.raises(InputError, match="expected PNG, JPEG or WebP"):
        identify(data)


def test_other_formats_are_refused_though_pillow_reads_them() -> None:
    """A readable GIF or BMP is not taken."""
    for kind in ("GIF", "BMP", "TIFF"):
        with pytest.raises(InputError):
            open_picture(file(noise(), kind))


@pytest.mark.parametrize("side", [6_325, 10_000, 50_000, 2**31 - 1])
def test_a_header_of_too_many_pixels_is_refused_before_decoding(side: int) -> None:
    """The size in the header alone refuses the file, whatever Pillow's own limits say."""
    with pytest.raises(TooLargeError, match=str(MAX_PIXELS)):
        identify(png_header(side, side))
    with pytest.raises(TooLargeError):
        decode(content(png_header(side, side)))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_a_truncated_file_is_refused(kind: str) -> None:
    """A file that breaks off in its pixels is damaged, not a smaller picture."""
    whole = file(noise((200, 200)), kind)
    for share in (0.3, 0.6, 0.9):
        with pytest.raises(InputError):
            decode(content(whole[: int(len(whole) * share)]))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_no_damage_raises_anything_but_an_input_error(kind: str) -> None:
    """Whatever is changed in a file, it is read or refused; nothing else comes out."""
    exif = Image.Exif()
    exif[0x0112] = 6
    whole, dice = file(noise(), kind, exif=exif), random.Random(2)
    for _ in range(400):
        data = bytearray(whole)
        for _ in range(dice.choice((1, 1, 4))):
            data[dice.randrange(min(len(data), dice.choice((60, 200, 4000))))] = dice.randrange(256)
        with contextlib.suppress(InputError):
            flatten(decode(content(bytes(data))))


def test_animations_and_files_of_several_pictures_are_refused() -> None:
    """Checks read one picture; a second one would leave unseen."""
    second = Image.new("RGB", (40, 30), "red")
    for kind in ("PNG", "WEBP", "MPO"):
        data = file(noise(), kind, save_all=True, append_images=[second])
        for read in (identify, open_picture):
            with pytest.raises(InputError, match="one picture"):
                read(data)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_a_picture_is_turned_upright_as_its_exif_says(kind: str) -> None:
    """Orientation 6 means that the picture has to be turned right by 90 degrees."""
    exif = Image.Exif()
    exif[0x0112] = 6
    picture = Image.new("RGB", (60, 20), "white")
    picture.paste((0, 0, 0), (0, 0, 20, 20))
    options = {"lossless": True} if kind == "WEBP" else {}
    upright = decode(content(file(picture, kind, exif=exif, **options))).convert("L")
    assert upright.size == (20, 60)
    assert upright.getpixel((10, 5)) < 60
    assert upright.getpixel((10, 50)) > 200


@pytest.mark.parametrize("mode", ["LA", "RGBA", "P"])
def test_flattening_in_strips_is_flattening(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever their height."""
    picture = noise((53, 41)).convert("RGBA")
    picture.putalpha(Image.fromarray(np.arange(53 * 41).reshape(41, 53).astype(np.uint8)))
    if mode == "P":
        picture = picture.convert("RGB").convert("P")
        picture.info["transparency"] = 3
    else:
        picture = picture.convert(mode)
    whole = flatten(picture, paper=200)
    pixels = picture.convert("RGBA")
    assert (
        whole.tobytes()
        == Image.alpha_composite(Image.new("RGBA", (53, 41), (200, 200, 200, 255)), pixels).convert("RGB").tobytes()
    )
    monkeypatch.setattr(imaging, "_STRIP", 130)
    assert flatten(picture, paper=200).tobytes() == whole.tobytes()


def test_a_content_is_decoded_once() -> None:
    """Every check of one content gets the same pixels, from whichever thread it asks."""
    one = content(file(noise()))
    assert decode(one) is decode(one)
    with ThreadPoolExecutor(4) as pool:
        pictures = list(pool.map(lambda _: decode(one), range(20)))
    assert all(picture is pictures[0] for picture in pictures)


def test_png_encoding_loses_nothing() -> None:
    """Pixels and mode come back as they were, transparency included."""
    for mode in ("1", "L", "LA", "P", "RGB", "RGBA"):
        picture = noise().convert(mode)
        again = open_picture(encode_png(picture))
        assert mode == again.mode
        assert picture.tobytes() == again.tobytes()


@pytest.mark.parametrize("mode", ["CMYK", "YCbCr", "HSV", "F", "I"])
def test_modes_that_png_lacks_are_encoded_all_the_same(mode: str) -> None:
    """A JPEG for print can be edited and leave as a PNG."""
    assert open_picture(encode_png(noise().convert("L" if mode in "FI" else "RGB").convert(mode))).size == (40, 30)


def test_flattening_lays_transparency_over_paper() -> None:
    """Hidden colours do not show; half transparent ones mix with the paper."""
    picture = Image.new("RGBA", (2, 1), (255, 0, 0, 0))
    picture.putpixel((1, 0), (0, 0, 0, 128))
    flat = flatten(picture)
    assert flat.getpixel((0, 0)) == (255, 255, 255)
    assert 120 <= flat.getpixel((1, 0))[0] <= 132
    assert flatten(picture, paper=0).getpixel((0, 0)) == (0, 0, 0)


def test_flattening_scales_deep_greys() -> None:
    """A 16-bit grey keeps its shades instead of being clipped to white."""
    deep = Image.fromarray(np.array([[0, 32768, 65535]], dtype=np.uint16))
    assert np.asarray(flatten(deep))[0, :, 0].tolist() == [0, 128, 255]


def test_a_made_picture_is_read_from_its_file() -> None:
    """Checks see what the file holds, even when the maker goes on drawing on the picture."""
    picture = noise()
    made = image_content(picture, stage=Stage.OUTPUT, origin=CALLER, request=Request("r"))
    before = picture.tobytes()
    picture.paste((0, 0, 0), (0, 0, 40, 30))
    assert before == decode(made).tobytes()
    assert made.media_type == "image/png"
