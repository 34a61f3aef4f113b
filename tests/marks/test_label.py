"""The visible label: large enough, legible over anything, on every kind of image and in texts, and recognised again."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import numpy as np
import pytest
from PIL import Image

from guard.chain import Chain
from guard.errors import InputError, RegistryError
from guard.imaging import encode_png, image_content, open_picture
from guard.marks import font, plate
from guard.marks.wording import PROFILES, Wording
from guard.pipeline import Guard
from guard.registry import markers
from guard.rules import Found, MarkSpec
from guard.types import CALLER, Action, Content, Modality, Request, Span, Stage
from tests.fakes import MemoryLedger, WordCheck, image, marking, policy, rule, spec, text

DECISION = UUID(int=5)
SIZES = ((64, 64), (64, 333), (333, 64), (256, 256), (640, 480), (1000, 1600), (97, 2000))


def ground(name: str, size: tuple[int, int]) -> Image.Image:
    """A light, dark or busy picture."""
    if name in {"white", "black", "#808080", "#ffff00", "#0000ff"}:
        return Image.new("RGB", size, name)
    noise = np.random.default_rng(4).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(noise)


GROUNDS = ("white", "black", "#808080", "#ffff00", "#0000ff", "busy")


def content(picture: Image.Image, language: str = "und") -> Content:
    return image_content(picture, stage=Stage.OUTPUT, origin=CALLER, request=Request("r", language=language))


def labelled(picture: Image.Image, language: str = "und", **settings: object) -> tuple[Image.Image, plate.Plate]:
    """The released picture, and where its label is."""
    marker = markers.make("label", settings)
    given = content(picture, language)
    marked, mark = marker(given, marking(DECISION))
    assert mark.verified, mark.error
    assert marker.reread(marked, mark) == ""
    laid = marker._laid(marked, picture.size)  # type: ignore[attr-defined]
    assert laid is not None
    return open_picture(marked.file), laid


def luminance(pixels: np.ndarray) -> np.ndarray:
    """Relative luminance of sRGB greys as WCAG 2 defines it."""
    share = pixels / 255
    return np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("language", ["zh", "en"])
def test_the_text_is_at_least_a_twentieth_of_the_shortest_side_high(size: tuple[int, int], language: str) -> None:
    """GB 45438: measured on the released pixels, from the top of the first line's capitals to their foot."""
    picture, laid = labelled(ground("black", size), language, profile="gb45438")
    used = plate._sized(font.BUNDLED, max(plate.LEAST_CAPITAL, int(np.ceil(0.05 * min(size)))))
    assert used is not None
    pixels = np.asarray(picture.crop(laid.box).convert("L"))
    # "AI" begins every line of this profile: its strokes are the first ink from the left.
    left = int(np.argmax((pixels[2:-2, 2:-2] < 60).any(axis=0))) + 2
    columns = pixels[:, left : left + max(2, round(0.45 * used.size))]
    rows = np.flatnonzero((columns < 128).any(axis=1))
    rows = rows[(rows > 1) & (rows < len(pixels) - 2)]
    height = rows.max() - rows.min() + 1
    assert height >= 0.05 * min(size)
    assert height >= 7
    assert "AI" in laid.lines[0]
    assert "生成" in "".join(laid.lines)


@pytest.mark.parametrize("name", GROUNDS)
@pytest.mark.parametrize("profile", PROFILES)
def test_the_label_is_legible_over_any_ground(name: str, profile: str) -> None:
    """Text on plate, and plate on ground, each with contrast: WCAG asks 4.5 of text and 3 of the shapes around it."""
    before = ground(name, (320, 240))
    picture, laid = labelled(before, "en", profile=profile)
    after = luminance(np.asarray(picture.crop(laid.box).convert("L"), dtype=float))
    inside, ink = laid.shape >= 1, laid.ink
    tone, text_tone = after[inside & (ink == 0)].mean(), after[inside & (ink >= 0.8 * ink.max())].mean()
    assert (max(tone, text_tone) + 0.05) / (min(tone, text_tone) + 0.05) > 12
    under = luminance(np.asarray(before.convert("L"), dtype=float)).mean()
    assert (max(tone, under) + 0.05) / (min(tone, under) + 0.05) > 3


@pytest.mark.parametrize("place", plate.PLACES)
def test_the_label_is_where_the_policy_wants_it(place: str) -> None:
    """At an edge or in a corner, inside the image, and nothing else of it changes."""
    before = ground("busy", (300, 200))
    picture, laid = labelled(before, profile="plain", position=place)
    left, top, right, bottom = laid.box
    assert left > 0
    assert top > 0
    assert right < 300
    assert bottom < 200
    assert (top < 20) == place.startswith("top")
    assert (bottom > 180) == place.startswith("bottom")
    assert (left < 20, right > 280) == ("left" in place, "right" in place)
    changed = np.argwhere((np.asarray(picture) != np.asarray(before)).any(axis=2))
    assert (changed.min(axis=0) >= (top, left)).all()
    assert (changed.max(axis=0) < (bottom, right)).all()


def test_start_and_end_are_the_first_and_the_last_corner() -> None:
    """One key for texts and images."""
    assert labelled(ground("white", (300, 200)), position="start")[1].box[:2] < (20, 20)
    assert labelled(ground("white", (300, 200)), position="end")[1].box[2:] > (280, 180)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "I;16", "I", "F"])
def test_every_mode_is_labelled_in_a_mode_that_keeps_it(mode: str) -> None:
    """Greys stay grey, 16 bits stay 16, transparency stays."""
    source = Image.linear_gradient("L").resize((160, 120))
    if mode == "I;16":
        picture = Image.fromarray(np.asarray(source).astype(np.uint16) * 257)
    elif mode == "PA":
        picture = source.convert("RGB").convert("P").convert("PA")
    else:
        picture = source.convert("RGB").convert(mode)
    if mode == "F":
        result, laid = plate.draw(picture, plate.lay_out(picture.size, ("AI",), "top", 0.05, font.BUNDLED)), None  # type: ignore[arg-type]
    else:
        result, laid = labelled(picture, profile="gb45438")
    kept = {"1": "L", "L": "L", "LA": "LA", "I;16": "I;16", "I": "I;16", "F": "L", "PA": "RGBA", "RGBA": "RGBA"}
    expected = kept.get(mode, "RGB")
    assert result.mode in {expected, "L"} if mode == "I" else result.mode == expected
    if mode == "I;16" and laid is not None:
        outside = np.asarray(result)[: laid.box[1]]
        assert np.array_equal(outside, np.asarray(picture)[: laid.box[1]])


def test_transparency_stays_around_the_label() -> None:
    """On nothing, the plate alone is seen; its corners are soft."""
    before = Image.new("RGBA", (200, 200), (255, 0, 0, 0))
    picture, laid = labelled(before, "zh", profile="gb45438")
    alpha = np.asarray(picture.getchannel("A"))
    left, top, right, bottom = laid.box
    assert alpha[:top].max() == 0
    assert alpha[(top + bottom) // 2, (left + right) // 2] == 255
    assert alpha[top, left : left + 8].max() > 0
    half = Image.new("RGB", (200, 200), "white")
    half.info["transparency"] = (255, 255, 255)
    buffer = io.BytesIO()
    half.save(buffer, "PNG", transparency=(255, 255, 255))
    assert labelled(open_picture(buffer.getvalue()))[0].mode == "RGBA"


def test_a_colour_profile_stays() -> None:
    """The greys are those of the image's own space."""
    from PIL import ImageCms

    picture = ground("busy", (200, 200))
    picture.info["icc_profile"] = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert labelled(picture)[0].info["icc_profile"] == picture.info["icc_profile"]


@pytest.mark.parametrize("size", [(1, 1), (12, 12), (20, 300), (300, 14), (40, 40)])
def test_an_image_without_room_comes_back_unchanged(size: tuple[int, int]) -> None:
    """Its mark says so, and the policy decides."""
    marker = markers.make("label", {"profile": "gb45438"})
    given = content(ground("white", size))
    marked, mark = marker(given, marking(DECISION))
    assert marked is given
    assert not mark.verified
    assert f"{size[0]} x {size[1]}" in mark.error


def test_long_wording_is_wrapped_and_never_leaves_the_image() -> None:
    """By words and Chinese characters; too much of it does not fit."""
    words = {
        "zh": "本图像由人工智能生成，仅供参考，请勿当作事实。",
        "en": "This image was generated by AI and shows nothing real.",
    }
    for language in words:
        _, laid = labelled(ground("busy", (256, 256)), language, text=words)
        assert 1 < len(laid.lines) <= plate.MOST_LINES
        assert laid.box[2] < 256
    marker = markers.make("label", {"text": {"en": "word " * 60}})
    assert not marker(content(ground("busy", (256, 256)), "en"), marking(DECISION))[1].verified


def test_a_font_without_height_makes_no_label(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rather none than one that is smaller than the rule says."""
    monkeypatch.setattr(plate, "_rows", lambda used: 3)
    _, mark = markers.make("label")(content(ground("white", (200, 200))), marking(DECISION))
    assert (mark.verified, mark.error) == (False, "found an image of 200 x 200 pixels, on which the label cannot be read")


def test_a_damaged_image_raises_the_named_error() -> None:
    """It is not released unlabelled."""
    file = encode_png(ground("busy", (200, 200)))
    with pytest.raises(InputError):
        markers.make("label")(image(file[:3000]), marking(DECISION))


def test_another_label_or_a_changed_one_is_not_recognised() -> None:
    """One grey level more inside the plate is enough."""
    marker = markers.make("label", {"profile": "gb45438"})
    marked, mark = marker(content(ground("busy", (200, 200)), "zh"), marking(DECISION))
    assert "not on the image" in markers.make("label", {"profile": "gb45438", "position": "start"}).reread(marked, mark)
    assert "not on the image" in marker.reread(content(ground("busy", (200, 200)), "zh"), mark)
    laid = marker._laid(marked, (200, 200))  # type: ignore[attr-defined]
    picture = open_picture(marked.file).copy()
    spot = (laid.box[0] + 9, laid.box[1] + 9)
    picture.putpixel(spot, tuple(min(255, level + 1) if level < 255 else 254 for level in picture.getpixel(spot)))  # type: ignore[union-attr]
    assert "not on the image" in marker.reread(replace(marked, data=encode_png(picture)), mark)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("mode", ["L", "RGBA", "I;16"])
def test_every_label_is_found_where_it_was_drawn(size: tuple[int, int], mode: str) -> None:
    """Of all profiles and languages, without being told the place; none is where none was drawn."""
    bare = Image.new(mode, size, 90 if mode != "RGBA" else (90, 90, 90, 120))
    for number, profile in enumerate(PROFILES.values()):
        ladders = list(profile.image.values())
        assert plate.find(bare, ladders, profile.share, font.BUNDLED) is None
        for at, ladder in enumerate(ladders):
            place = plate.PLACES[(number + at) % len(plate.PLACES)]
            laid = plate.lay_out(size, ladder, place, profile.share, font.BUNDLED)
            if laid is None:
                continue
            drawn = plate.draw(bare, laid)
            found = plate.find(drawn, ladders, profile.share, font.BUNDLED)
            assert found is not None
            assert plate.shows(drawn, found[2])
            assert found[2].box[:2] == laid.box[:2] or found[2].lines != laid.lines
            assert found[2].lines == laid.lines


# --- texts -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("position", ["start", "end", "top-left", "bottom"])
@pytest.mark.parametrize("body", ["One line.", "Two\n\nparagraphs.\n", "第一段。\n第二段。", ""])
def test_a_text_gets_a_line_of_its_own_once(position: str, body: str) -> None:
    """At its start or end, and not a second time."""
    marker = markers.make("label", {"profile": "gb45438", "position": position, "_modality": Modality.TEXT})
    given = replace(text(body), request=Request("r", language="zh-CN"))
    marked, mark = marker(given, marking(DECISION))
    line = "本内容由人工智能生成。"
    assert mark.verified
    assert marked.text.count(line) == 1
    assert marked.text.strip().split("\n")[0 if position in {"start", "top-left"} else -1] == line
    assert body.strip() in marked.text
    assert marker(marked, marking(DECISION))[0] is marked
    assert marker.reread(given, mark)


def test_a_label_comes_after_redactions_and_is_recorded() -> None:
    """Spans are those of the text as it came; the ledger keeps what was released."""
    check, ledger = WordCheck("anna"), MemoryLedger()
    cut = rule(Action.REDACT, Found("words"), operator="replace", parameters=(("text", "[NAME]"),))
    marks = [MarkSpec("label", Modality.TEXT, {"profile": "eu", "position": "start"})]
    house = policy([spec("words", check)], [cut], marks)
    guard = Guard(house, ledger, chains={house.id: Chain(house, {"words": check})})
    release = guard.check_sync("Anna and anna.", request=Request("r", language="en"))
    assert release.content is not None
    assert release.content.text == "This text was generated by AI.\n\n[NAME] and [NAME]."
    assert ledger.decisions[0].released is release.content
    assert [edit.where for edit in release.verdict.edits] == [Span(0, 4), Span(9, 13)]


def test_the_language_follows_the_output() -> None:
    """The nearest known one, the profile's own when nothing is known, or the one that the policy fixes."""
    wording = Wording("gb45438")
    asked = ["zh", "zh-Hans-CN", "en-GB", "und", "fr"]
    assert [wording.language(tag) for tag in asked] == ["zh", "zh", "en", "zh", "zh"]
    assert [Wording("eu").language(tag) for tag in asked] == ["zh", "zh", "en", "en", "fr"]
    assert [Wording("eu", language="de").language(tag) for tag in asked] == ["de"] * 5
    own = Wording("plain", {"fr": "Fait par une machine"})
    assert own.image["fr"] == ("Fait par une machine",)
    assert own.text[own.language("fr-CA")] == "Fait par une machine"
    assert Wording("plain", {"*": "Made by AI"}).text[Wording("plain", {"*": "Made by AI"}).language("sw")] == "Made by AI"


@pytest.mark.parametrize(
    ("settings", "fragment"),
    [
        ({"profile": "gb45438", "text": {"en": "Made by AI"}}, "expected one of 生成 or 合成"),
        ({"profile": "gb45438", "text": {"zh": "由机器生成"}}, "expected one of 人工智能 or AI"),
        ({"text": {"en": "  "}}, "without words"),
        ({"language": "sw"}, "found language 'sw', expected one with wording: en, zh"),
        ({"text": {"en": "Made by AI 🤖"}}, "found '🤖' in the label's text, expected characters that the font NotoSansSC"),
        ({"text": {"ar": "مولد"}}, "expected characters that the font"),
        ({"font": "/no/such/font.ttf"}, "cannot read the font /no/such/font.ttf"),
        ({"font": __file__}, "found no font in"),
    ],
)
def test_a_label_that_cannot_be_is_refused_when_the_policy_is_loaded(settings: dict[str, object], fragment: str) -> None:
    """With what was found and what was expected."""
    with pytest.raises(RegistryError, match=fragment.replace("(", r"\(")):
        markers.make("label", settings)


def test_the_bundled_font_has_every_wording_and_the_common_characters() -> None:
    """GB 2312 level 1, Latin of Europe, and a reader that agrees with FreeType about what is there."""
    level_one = "".join(
        bytes((0xA0 + row, 0xA0 + cell)).decode("gb2312", "ignore") for row in range(16, 56) for cell in range(1, 95)
    )
    assert len(level_one) == 3755
    assert font.missing(level_one, font.BUNDLED) == ""
    for profile in PROFILES:
        assert font.missing(Wording(profile).characters(), font.BUNDLED) == ""
    assert font.BUNDLED.stat().st_size < 1_050_000
    assert "Open Font License" in (font.BUNDLED.parent / "OFL.txt").read_text("utf-8")
    used = font.load(font.BUNDLED, 20)
    blank = bytes(used.getmask("\U0001f600"))
    known = font.characters(font.BUNDLED)
    for letter in "AzÄßłő生成的龥☆é€¥ü":
        assert (bytes(used.getmask(letter)) != blank) == (ord(letter) in known)


def test_an_own_font_is_used(tmp_path: Path) -> None:
    """Any TrueType or OpenType file."""
    copy = tmp_path / "own.otf"
    copy.write_bytes(font.BUNDLED.read_bytes())
    assert labelled(ground("white", (200, 200)), font=str(copy))[1].lines == ("AI-generated",)


@pytest.mark.parametrize("cut", [0, 3, 12, 40, 300, 5000])
def test_a_damaged_font_is_named(cut: int, tmp_path: Path) -> None:
    """Its tables are read with care."""
    broken = tmp_path / f"broken{cut}.otf"
    broken.write_bytes(font.BUNDLED.read_bytes()[:cut])
    with pytest.raises(RegistryError, match="font"):
        markers.make("label", {"font": str(broken)})
