"""guard.redact: edits on one original, texts and images."""

from __future__ import annotations

import io
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.imaging import decode
from guard.redact import IMAGE_OPERATORS, TEXT_OPERATORS, Keyed, mask, redact, redact_text
from guard.redaction_key import RedactionKey
from guard.sealed import reveal
from guard.types import Edit, Place, Region, Span, Turn
from tests.fakes import image, text

if TYPE_CHECKING:
    from PIL.Image import Image as Pixels


KEYED = Keyed(RedactionKey(bytes(range(32))), "default", "conversation 1")
VALUE = "From maria@keller.example today."


def edit(where: Place, operator: str = "mask", label: str = "PERSON", **parameters: str) -> Edit:
    return Edit(where, operator, label, "rule", tuple(sorted(parameters.items())))


# --- texts -----------------------------------------------------------------------------------------------------------


def test_nothing_to_edit_gives_the_very_same_content() -> None:
    """No edit, no copy: caches by identity stay warm."""
    content = text("Anna Weiss")
    assert redact(content, []) is content


@pytest.mark.parametrize(
    ("original", "keep_last", "expected"),
    [
        ("4111 1111 1111 1234", 4, "**** **** **** 1234"),
        ("4111-1111-1111-1234", 0, "****-****-****-****"),
        ("anna@example.org", 0, "****@*******.***"),
        ("1234", 4, "**34"),  # never more than half
        ("123", 4, "**3"),
        ("1", 4, "*"),
        ("", 4, ""),
        ("--", 2, "--"),
        ("abcd", -3, "****"),
        ("王小明", 0, "***"),
        ("मोहन", 0, "****"),  # the vowel sign is a mark, not a letter
        ("e\u0301a", 0, "***"),  # an accent of its own
    ],
)
def test_mask_hides_letters_marks_and_digits(original: str, keep_last: int, expected: str) -> None:
    """Separators stay, so that the shape is still seen; at most half of it stays readable."""
    assert mask(original, keep_last) == expected


@pytest.mark.parametrize(
    ("original", "keep_first", "keep_last", "expected"),
    [
        ("4111 1111 1111 1234", 4, 0, "4111 **** **** ****"),
        ("4111 1111 1111 1234", 4, 4, "4111 **** **** 1234"),
        ("4111 1111 1111 1234", 6, 4, "4111 **** **** 1234"),  # half of sixteen, and the end comes first
        ("4111 1111 1111 1234", 6, 8, "**** **** 1111 1234"),
        ("(1234) 5", 2, 0, "(12**) *"),
        ("王小明", 1, 1, "**明"),
        ("ab", 1, 0, "a*"),
        ("a", 1, 1, "*"),
        ("", 1, 1, ""),
        ("abcd", -1, 0, "****"),
    ],
)
def test_mask_keeps_both_ends_and_never_more_than_half(original: str, keep_first: int, keep_last: int, expected: str) -> None:
    """Where both ends ask for more than half, the last ones come first."""
    assert mask(original, keep_last, keep_first) == expected


@pytest.mark.parametrize(
    ("operator", "parameters", "expected"),
    [
        ("mask", {}, "I am **** *****."),
        ("mask", {"keep_first": "2"}, "I am An** *****."),
        ("replace", {"text": "<{type}>"}, "I am <PERSON>."),
        ("mask", {"keep_last": "2"}, "I am **** ***ss."),
        ("replace", {}, "I am [PERSON]."),
        ("replace", {"text": "X"}, "I am X."),
        ("replace", {"text": ""}, "I am ."),
        ("remove", {}, "I am ."),
    ],
)
def test_each_operator_does_what_it_says(operator: str, parameters: dict[str, str], expected: str) -> None:
    """The rest of the text stays as it was."""
    assert redact_text("I am Anna Weiss.", [edit(Span(5, 15), operator, **parameters)]) == expected


def test_overlapping_edits_are_merged_once() -> None:
    """Three overlapping places make one, and one edit of the strictest operator."""
    edits = [edit(Span(0, 4), "mask"), edit(Span(3, 8), "replace", "EMAIL"), edit(Span(7, 9), "mask")]
    assert redact_text("abcdefghij", edits) == "[EMAIL]j"


def test_places_that_only_touch_stay_apart() -> None:
    """Half-open ranges that share a border are two things."""
    assert redact_text("abcdef", [edit(Span(0, 3), "replace", "A"), edit(Span(3, 6), "replace", "B")]) == "[A][B]"


def test_edits_never_edit_each_others_result() -> None:
    """A replacement that is longer than its place shifts nothing."""
    edits = [edit(Span(0, 1), "replace", "A_VERY_LONG_NAME"), edit(Span(2, 3), "replace", "B")]
    assert redact_text("x y z", edits) == "[A_VERY_LONG_NAME] [B] z"


def test_overlapping_masks_keep_what_the_strictest_keeps() -> None:
    """The smallest `keep_last` holds for the whole merged place."""
    edits = [edit(Span(0, 8), keep_last="4"), edit(Span(4, 10), keep_last="1")]
    assert redact_text("abcdefghij", edits) == "*********j"


@pytest.mark.parametrize(("weaker", "stricter"), list(pairwise(TEXT_OPERATORS)))
def test_the_stricter_of_two_operators_decides_for_the_whole_place(weaker: str, stricter: str) -> None:
    """Whichever covers more: the outcome is that of the stricter one alone on the merged place."""
    wide, narrow = Span(5, 22), Span(10, 15)
    for first, second in ((wide, narrow), (narrow, wide)):
        both = redact_text(VALUE, [edit(first, weaker), edit(second, stricter)], KEYED)
        assert both == redact_text(VALUE, [edit(wide, stricter)], KEYED)


def test_overlapping_masks_keep_at_both_ends_what_the_strictest_keeps() -> None:
    """A mask that keeps nothing in front makes the other one keep nothing there."""
    edits = [edit(Span(0, 8), keep_first="3", keep_last="3"), edit(Span(4, 10), keep_first="1"), edit(Span(9, 10))]
    assert redact_text("abcdefghij", edits[:2]) == "a*********"
    assert redact_text("abcdefghij", edits) == "**********"


def test_code_points_are_counted_not_bytes() -> None:
    """Characters outside the basic plane count as one."""
    assert redact_text("😀王小明!", [edit(Span(1, 4), "replace")]) == "😀[PERSON]!"


@pytest.mark.parametrize(
    "wrong",
    [
        edit(Span(-1, 3)),
        edit(Span(3, 3)),
        edit(Span(5, 4)),
        edit(Span(0, 11)),
        edit(Region(0, 0, 1, 1)),
        edit(Span(0, 3), "fill"),
        edit(Span(0, 3), ""),
        edit(Span(0, 3), keep_last="four"),
        edit(Span(0, 3), "hash"),  # without a key
        edit(Span(0, 3), "encrypt"),
        edit(Span(0, 3), "pseudonymise"),
    ],
)
def test_an_edit_that_does_not_fit_raises(wrong: Edit) -> None:
    """Nothing may leave half-redacted; the message quotes no text."""
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - several messages
        redact(text("secretword"), [edit(Span(0, 2)), wrong])
    assert "secret" not in str(caught.value)


LETTERS = st.text(st.sampled_from("aZ9é王ो -@."), min_size=1, max_size=30)


@st.composite
def edited(draw: st.DrawFn) -> tuple[str, list[Edit]]:
    """A text with some edits on it, overlapping or not."""
    original = draw(LETTERS)
    bounds = st.tuples(st.integers(0, len(original)), st.integers(0, len(original))).filter(lambda pair: pair[0] < pair[1])
    edits = st.builds(
        lambda pair, operator, label, keep: edit(Span(*pair), operator, label, keep_first=str(keep[0]), keep_last=str(keep[1])),
        bounds,
        st.sampled_from(TEXT_OPERATORS),
        st.sampled_from(("PERSON", "EMAIL_ADDRESS", "PHONE_NUMBER", "US_SSN")),
        st.tuples(st.integers(0, 4), st.integers(0, 4)),
    )
    return original, draw(st.lists(edits, max_size=4))


@given(edited())
def test_what_is_outside_all_places_stays_and_what_is_inside_goes(case: tuple[str, list[Edit]]) -> None:
    """Outside: every character, in order. Inside: no letter or digit but those that a mask keeps."""
    original, edits = case
    inside = {index for one in edits if isinstance(one.where, Span) for index in range(one.where.start, one.where.end)}
    # A private alphabet inside makes survivors visible: whatever of it is left was not edited away.
    private = "".join(
        "\u2170" if index in inside and character.isalnum() else character for index, character in enumerate(original)
    )
    after = redact_text(private, edits, KEYED)
    masks = [dict(one.parameters) for one in edits if one.operator == "mask"]
    kept = sum(int(one["keep_first"]) + int(one["keep_last"]) for one in masks)
    assert after.count("\u2170") <= min(kept, private.count("\u2170") // 2)
    outside = "".join(character for index, character in enumerate(private) if index not in inside)
    rest = iter(after)
    assert all(character in rest for character in outside)  # a subsequence, in order


@given(edited(), st.randoms(use_true_random=False))
def test_the_order_of_edits_does_not_matter(case: tuple[str, list[Edit]], random: object) -> None:
    """However rules and checks are ordered, the same text leaves."""
    original, edits = case
    shuffled = list(edits)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert redact_text(original, edits, KEYED) == redact_text(original, shuffled, KEYED)
    assert redact_text(original, edits, KEYED) == redact_text(original, [*edits, *edits], KEYED)


@given(edited())
def test_each_place_is_edited_as_if_it_were_alone(case: tuple[str, list[Edit]]) -> None:
    """Edits never shift one another: what comes out for a merged place does not depend on the other places.

    Stand-ins are left out: they depend on the text's other values when two of them draw the same one.
    """
    original, edits = case
    edits = [one for one in edits if one.operator != "pseudonymise"]
    places = sorted({(one.where.start, one.where.end) for one in edits if isinstance(one.where, Span)})
    merged: list[tuple[int, int]] = []
    for start, end in places:
        if merged and start < merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    expected, position = "", 0
    for start, end in merged:
        mine = [one for one in edits if isinstance(one.where, Span) and start <= one.where.start < end]
        alone = redact_text(original, mine, KEYED)
        expected += original[position:start] + alone[start : len(alone) - (len(original) - end)]
        position = end
    assert redact_text(original, edits, KEYED) == expected + original[position:]


@given(edited())
def test_holders_of_the_key_get_back_what_was_encrypted_and_nothing_else(case: tuple[str, list[Edit]]) -> None:
    """With `encrypt` alone the whole text comes back; nobody else sees a character of its places."""
    original, edits = case
    edits = [Edit(one.where, "encrypt", one.label, one.rule) for one in edits]
    revealed = reveal(redact_text(original, edits, KEYED), KEYED.key)
    assert revealed.text == original
    assert not revealed.closed


@given(LETTERS, st.integers(0, 40), st.integers(0, 40))
def test_mask_never_leaves_more_than_half(original: str, keep_last: int, keep_first: int) -> None:
    """And never changes the length or a separator."""
    masked = mask(original, keep_last, keep_first)
    readable = sum(character.isalnum() for character in original)
    assert sum(character.isalnum() for character in masked) <= min(keep_last + keep_first, readable // 2)
    assert len(masked) == len(original)
    assert all(after in (before, "*") for before, after in zip(original, masked, strict=True))


# --- images ----------------------------------------------------------------------------------------------------------

BOX = Region(8, 8, 24, 20)


def noise(mode: str = "RGB", size: tuple[int, int] = (40, 32)) -> Pixels:
    """Pixels that differ from their neighbours, so that every edit shows."""
    import numpy as np
    from PIL import Image

    samples = np.random.default_rng(7).integers(1, 256, (size[1], size[0], len(mode)), dtype=np.uint8)
    return Image.fromarray(samples.squeeze(), mode if len(mode) > 1 else None)


def encoded(pixels: Pixels, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    pixels.save(buffer, kind, **options)
    return buffer.getvalue()


def cut(pixels: Pixels, region: Region) -> Pixels:
    return pixels.crop((region.left, region.top, region.right, region.bottom))


def masked_out(pixels: Pixels, region: Region) -> bytes:
    copy = pixels.copy()
    copy.paste(0 if copy.mode == "L" else (0,) * len(copy.getbands()), (region.left, region.top, region.right, region.bottom))
    return copy.tobytes()


@pytest.mark.parametrize("operator", IMAGE_OPERATORS)
@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_an_image_edit_changes_its_region_alone(operator: str, mode: str) -> None:
    """Outside, every pixel stays as it was, its transparency included."""
    before = noise(mode)
    after = decode(redact(image(encoded(before)), [edit(BOX, operator)]))
    assert after.mode == mode
    assert masked_out(after, BOX) == masked_out(before, BOX)
    assert cut(after, BOX).tobytes() != cut(before, BOX).tobytes()


def test_fill_is_opaque_black() -> None:
    """Not even a transparent pixel's colour is left."""
    after = decode(redact(image(encoded(noise("RGBA"))), [edit(BOX, "fill")]))
    assert cut(after, BOX).getcolors() == [(16 * 12, (0, 0, 0, 255))]


def test_pixelate_leaves_few_blocks_however_large_the_region() -> None:
    """At most eight a side: with more of them a face is still recognised."""
    region = Region(0, 0, 640, 320)
    after = decode(redact(image(encoded(noise(size=(640, 320)))), [edit(region, "pixelate")]))
    assert len(after.getcolors(640 * 320) or []) <= 8 * 8


def test_overlapping_image_edits_do_not_depend_on_their_order() -> None:
    """Each is painted from the original, and the strictest one lies on top."""
    content = image(encoded(noise()))
    edits = [
        edit(Region(0, 0, 20, 20), "pixelate"),
        edit(Region(10, 10, 30, 30), "pixelate"),
        edit(Region(5, 5, 30, 12), "blur"),
        edit(BOX, "fill"),
    ]
    results = {decode(redact(content, order)).tobytes() for order in (edits, edits[::-1], edits[2:] + edits[:2])}
    assert len(results) == 1
    assert cut(decode(redact(content, edits)), BOX).getcolors() == [(16 * 12, (0, 0, 0))]


def test_the_original_pixels_are_not_touched() -> None:
    """Other checks and marks may hold them: the decoded image is shared."""
    content = image(encoded(noise()))
    before = decode(content).tobytes()
    redact(content, [edit(BOX, "fill")])
    assert decode(content).tobytes() == before


def test_sixteen_bit_pixels_outside_the_region_keep_their_shade() -> None:
    """Deep images are scaled to eight bits, not clipped to white."""
    import numpy as np
    from PIL import Image

    deep = Image.fromarray(np.full((32, 40), 32896, dtype=np.uint16))
    after = decode(redact(image(encoded(deep)), [edit(BOX, "fill")]))
    assert after.getpixel((0, 0)) == (128, 128, 128)


def test_metadata_of_the_original_does_not_leave_with_a_redacted_image() -> None:
    """An EXIF block may hold a thumbnail, a comment may hold a name."""
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    exif, info = Image.Exif(), PngInfo()
    exif[0x010E] = "anna weiss"
    info.add_text("Comment", "anna weiss")
    for kind, options in (("PNG", {"pnginfo": info, "exif": exif}), ("JPEG", {"exif": exif}), ("WEBP", {"exif": exif})):
        before = encoded(noise(), kind, **options)
        assert b"anna weiss" in before
        assert b"anna weiss" not in redact(image(before), [edit(BOX, "fill")]).file


@pytest.mark.parametrize(
    "wrong",
    [
        edit(Region(-1, 0, 4, 4), "fill"),
        edit(Region(0, 0, 41, 4), "fill"),
        edit(Region(0, 0, 4, 33), "fill"),
        edit(Region(4, 4, 4, 8), "fill"),
        edit(Region(0, 0, 4, 4), "mask"),
        edit(Span(0, 4), "fill"),
    ],
)
def test_an_image_edit_that_does_not_fit_raises(wrong: Edit) -> None:
    """Nothing may leave half-redacted."""
    with pytest.raises(ValueError, match="expected"):
        redact(image(encoded(noise())), [edit(BOX, "fill"), wrong])


@given(st.data())
def test_turns_keep_what_is_theirs(data: st.DataObject) -> None:
    """Whatever is cut, a turn holds its own text, edited as the whole is, and nothing of another's."""
    said = data.draw(st.lists(st.text("abc", max_size=6), min_size=1, max_size=4))
    whole, turns = "", list[Turn]()
    for one in said:
        whole += "\nUSER: "
        turns.append(Turn("user", Span(len(whole), len(whole) + len(one))))
        whole += one
    pairs = data.draw(st.lists(st.tuples(st.integers(0, len(whole) - 1), st.integers(1, 8)), max_size=4))
    edits = [Edit(Span(at, min(at + size, len(whole))), "replace", "X", "r", (("text", "<X>"),)) for at, size in pairs]
    content = replace(text(whole), turns=tuple(turns))
    edited = redact(content, edits)
    cut = {place for edit in edits for place in range(edit.where.start, edit.where.end)}
    previous = 0
    for before, after, letters in zip(turns, edited.turns, said, strict=True):
        assert previous <= after.where.start <= after.where.end
        previous = after.where.end
        kept = "".join(letter for at, letter in enumerate(letters, before.where.start) if at not in cut)
        assert edited.text_of(after).replace("<X>", "") == kept
