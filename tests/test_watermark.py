"""The invisible watermark: it is in the released file, or it is said that it is not."""

from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

import cv2
import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter

from guard.errors import InputError, RegistryError
from guard.imaging import image_content, open_picture
from guard.marks import dwt_dct_svd
from guard.marks.watermark import Watermark, payload_of, read_watermark
from guard.registry import markers
from guard.types import CALLER, Content, Modality, Request, Stage
from tests.fakes import marking

DECISION = UUID("01900000-0000-7000-8000-0000a5c3f00f")


def content(image: Image.Image) -> Content:
    return image_content(image, stage=Stage.OUTPUT, origin=CALLER, request=Request("r"))


def drawing(size: int = 256, paper: str = "#f4efe2") -> Image.Image:
    picture = Image.new("RGB", (size * 2, size * 2), paper)
    pen = ImageDraw.Draw(picture)
    pen.ellipse((size * 0.4, size * 0.4, size * 1.3, size * 1.4), fill="#1f4fa0")
    pen.polygon([(size, size * 0.3), (size * 1.8, size * 1.7), (size * 0.9, size * 1.6)], fill="#d03030")
    return picture.resize((size, size), Image.Resampling.LANCZOS)


def photograph() -> Image.Image:
    """Smooth colour with grain, as photographs have."""
    rough = Image.fromarray(np.random.default_rng(2).integers(0, 256, (12, 16, 3), dtype=np.uint8))
    smooth = np.asarray(rough.resize((400, 300), Image.Resampling.BICUBIC)).astype(float)
    return Image.fromarray(np.clip(smooth + np.random.default_rng(3).normal(0, 4, smooth.shape), 0, 255).astype(np.uint8))


def digit() -> Image.Image:
    small = Image.new("L", (28, 28), 40)
    ImageDraw.Draw(small).ellipse((8, 4, 20, 23), outline=215, width=3)
    return small.resize((280, 280), Image.Resampling.BICUBIC)


def psnr(one: Image.Image, other: Image.Image) -> float:
    difference = np.asarray(one.convert("RGB"), dtype=float) - np.asarray(other.convert("RGB"), dtype=float)
    return float(10 * np.log10(255**2 / max(np.mean(difference**2), 1e-9)))


PICTURES = {
    "drawing": drawing(),
    "on white": drawing(paper="white"),
    "on black": drawing(paper="black"),
    "odd size": drawing(333).crop((0, 0, 331, 329)),
    "digit": digit(),
    "photograph": photograph(),
    "white": Image.new("RGB", (256, 256), "white"),
    "black": Image.new("RGB", (300, 300), "black"),
    "blue": Image.new("RGB", (300, 300), "#0000ff"),
    "yellow": Image.new("RGB", (300, 300), "#ffff00"),
    "grey": Image.new("L", (256, 256), 128),
}


@pytest.mark.parametrize("name", PICTURES)
def test_the_mark_is_read_back_from_the_released_file(name: str) -> None:
    """Drawings, photographs and even one flat colour carry any payload, without much being seen of it."""
    for decision in (DECISION, UUID(int=0), UUID(int=2**128 - 1), UUID(int=0x12345678)):
        marked, mark = Watermark("dwtDctSvd")(content(PICTURES[name]), marking(decision))
        assert mark.verified
        assert not mark.error
        assert mark.kind == "watermark"
        assert mark.method == "dwtDctSvd"
        assert payload_of(decision).hex() == mark.payload == read_watermark(marked.file).hex()
        assert marked.media_type == "image/png"
        assert PICTURES[name].size == open_picture(marked.file).size
        assert psnr(PICTURES[name], open_picture(marked.file)) > 34


def test_the_payload_is_the_end_of_the_decisions_id() -> None:
    """Four random bytes of a UUIDv7."""
    assert bytes.fromhex("a5c3f00f") == payload_of(DECISION)


def test_everything_but_the_pixels_stays() -> None:
    """Stage, origin and request go with the marked content."""
    given = content(drawing())
    marked, _ = Watermark("dwtDctSvd")(given, marking(DECISION))
    assert (given.stage, given.origin, given.request) == (marked.stage, marked.origin, marked.request)
    assert given.data != marked.data


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "I;16"])
def test_every_mode_survives(mode: str) -> None:
    """Grey and palette become RGB; what is seen stays."""
    source = drawing(280)
    if mode == "I;16":
        picture = Image.fromarray(np.asarray(source.convert("L")).astype(np.uint16) * 257)
    elif mode == "PA":
        picture = source.convert("P").convert("PA")
    else:
        picture = source.convert(mode)
    marked, mark = Watermark("dwtDctSvd")(content(picture), marking(DECISION))
    assert mark.verified
    result = open_picture(marked.file)
    assert result.mode in {"RGB", "RGBA"}
    expected = source.convert("L") if mode in {"L", "LA", "I;16"} else picture.convert("RGB")
    assert psnr(expected, result) > 36


def test_transparency_stays_as_it_was() -> None:
    """The mark is in the colours; every alpha value is kept."""
    picture = drawing(280).convert("RGBA")
    alpha = Image.linear_gradient("L").resize(picture.size)
    picture.putalpha(alpha)
    marked, mark = Watermark("dwtDctSvd")(content(picture), marking(DECISION))
    assert mark.verified
    assert alpha.tobytes() == open_picture(marked.file).getchannel("A").tobytes()


def test_a_transparent_palette_keeps_its_transparency() -> None:
    """A palette with one see-through colour becomes RGBA."""
    picture = drawing(280).convert("P", palette=Image.Palette.ADAPTIVE, colors=8)
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", transparency=0)
    given = Content(Modality.IMAGE, buffer.getvalue(), "image/png", Stage.OUTPUT, CALLER, Request("r"))
    marked, mark = Watermark("dwtDctSvd")(given, marking(DECISION))
    assert mark.verified
    expected = open_picture(buffer.getvalue()).convert("RGBA").getchannel("A").tobytes()
    assert expected == open_picture(marked.file).getchannel("A").tobytes()


@pytest.mark.parametrize("size", [(255, 256), (64, 64), (1, 1), (4, 20_000)])
def test_an_image_that_is_too_small_comes_back_unchanged(size: tuple[int, int]) -> None:
    """The mark says so, and the pipeline decides."""
    given = content(drawing().resize(size))
    marked, mark = Watermark("dwtDctSvd")(given, marking(DECISION))
    assert marked is given
    assert not mark.verified
    assert not mark.payload
    assert "at least 65536" in mark.error
    with pytest.raises(InputError, match="65536"):
        read_watermark(given.file)


def test_a_mark_that_cannot_be_read_back_is_not_claimed(monkeypatch: pytest.MonkeyPatch) -> None:
    """When the file says something else, the image comes back unchanged with the reason."""
    monkeypatch.setattr(dwt_dct_svd, "embed", lambda pixels, payload: pixels)
    given = content(drawing())
    marked, mark = Watermark("dwtDctSvd")(given, marking(DECISION))
    assert marked is given
    assert not mark.verified
    assert "read back" in mark.error


def test_a_damaged_image_raises() -> None:
    """It is not passed on unmarked."""
    broken = Content(Modality.IMAGE, content(photograph()).file[:5000], "image/png", Stage.OUTPUT, CALLER, Request("r"))
    with pytest.raises(InputError):
        Watermark("dwtDctSvd")(broken, marking(DECISION))
    with pytest.raises(InputError):
        read_watermark(broken.file)


def test_the_mark_survives_noise_blur_and_a_good_jpeg() -> None:
    """What the documentation promises of dwtDctSvd."""
    marked, _ = Watermark("dwtDctSvd")(content(photograph()), marking(DECISION))
    picture = open_picture(marked.file)
    noise = np.random.default_rng(1).normal(0, 5, (*picture.size[::-1], 3))
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=90)
    copies = [
        content(Image.fromarray(np.clip(np.asarray(picture) + noise, 0, 255).astype(np.uint8))).file,
        content(picture.filter(ImageFilter.GaussianBlur(0.7))).file,
        buffer.getvalue(),
    ]
    assert [payload_of(DECISION)] * 3 == [read_watermark(copy) for copy in copies]


def test_blocks_are_counted_as_the_library_counts_them() -> None:
    """Its decoder reads sizes of every remainder."""
    from imwatermark import WatermarkDecoder

    for width in range(296, 305):
        pixels = cv2.cvtColor(np.asarray(photograph().crop((0, 0, width, 251))), cv2.COLOR_RGB2BGR)
        assert payload_of(DECISION) == WatermarkDecoder("bytes", 32).decode(
            dwt_dct_svd.embed(pixels, payload_of(DECISION)), "dwtDctSvd"
        )


def test_embedding_in_strips_gives_the_same_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory is bounded by strips of blocks; they do not show."""
    pixels = np.asarray(photograph())[..., ::-1]
    whole = dwt_dct_svd.embed(pixels, b"abcd")
    monkeypatch.setattr(dwt_dct_svd, "_STRIP", 70)
    assert np.array_equal(whole, dwt_dct_svd.embed(pixels, b"abcd"))


def test_embedding_leaves_its_input_alone() -> None:
    """Decoded pictures are shared between threads."""
    pixels = np.array(photograph())
    before = pixels.copy()
    dwt_dct_svd.embed(pixels, b"abcd")
    assert np.array_equal(before, pixels)


def test_threads_may_share_a_marker() -> None:
    """Each gets its own payload back."""
    marker = Watermark("dwtDctSvd")
    ids = [UUID(int=k * 0x01234567 + 1) for k in range(8)]
    given = content(drawing())
    with ThreadPoolExecutor(4) as pool:
        marks = list(pool.map(lambda one: marker(given, marking(one))[1], ids))
    assert [payload_of(one).hex() for one in ids] == [mark.payload for mark in marks]


def test_the_marker_is_registered_and_refuses_unknown_methods() -> None:
    """Policies name it `watermark`; dwtDct, which cannot read its own marks, is not offered."""
    marker = markers.make("watermark")
    assert marker.kind == "watermark"
    assert marker.modality == Modality.IMAGE
    with pytest.raises(RegistryError, match="dwtDctSvd, rivaGan"):
        markers.make("watermark", {"method": "dwtDct"})


def test_rivagan_marks_photographs_and_admits_flat_pictures() -> None:
    """The neural method needs texture; it says when it failed."""
    marker = Watermark("rivaGan")
    marker.load()
    grain = Image.fromarray(np.clip(np.random.default_rng(5).normal(128, 40, (256, 256, 3)), 0, 255).astype(np.uint8))
    given = content(grain.filter(ImageFilter.GaussianBlur(2)))
    marked, mark = marker(given, marking(DECISION))
    assert mark.verified
    assert payload_of(DECISION) == read_watermark(marked.file, "rivaGan")
    flat = content(Image.new("RGB", (256, 256), "white"))
    unmarked, mark = marker(flat, marking(DECISION))
    assert unmarked is flat
    assert "read back" in mark.error


@pytest.mark.parametrize(("wrong", "passes"), [([0], 1), ([1, 4, 0], 3), ([3, 2, 2, 1], 4), ([5], 1), ([2, 16], 2)])
def test_rivagan_embeds_again_while_few_bits_are_wrong(monkeypatch, wrong, passes) -> None:
    """Until the file reads back, each time over the pixels of the last pass, and not without end."""
    seen: list[int] = []

    def embed(bgr, _payload, _method):
        seen.append(int(bgr[0, 0, 0]))
        return bgr - 1

    def read(_data, _method):
        payload = int.from_bytes(payload_of(DECISION))
        return (payload ^ ((1 << wrong[len(seen) - 1]) - 1)).to_bytes(4)

    monkeypatch.setattr("guard.marks.watermark._embed", embed)
    monkeypatch.setattr("guard.marks.watermark.read_watermark", read)
    monkeypatch.setattr(Watermark, "load", lambda _: None)
    given = content(Image.new("RGB", (256, 256), "white"))
    marked, mark = Watermark("rivaGan")(given, marking(DECISION))
    assert seen == [255 - number for number in range(passes)]
    assert mark.verified == (wrong[-1] == 0)
    assert (marked is given) == (not mark.verified)


def test_rivagan_is_kept_from_huge_images() -> None:
    """It would take the machine's memory."""
    _, mark = Watermark("rivaGan")(content(Image.new("RGB", (2000, 1200))), marking(DECISION))
    assert "2000000" in mark.error
