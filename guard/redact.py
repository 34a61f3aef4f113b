"""Applies edits to one original: overlapping places are merged once, and no edit sees another's result."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from guard.types import Content, Edit, Modality, Region, Span

if TYPE_CHECKING:
    from PIL.Image import Image as Pixels

MASK = "*"
TEXT_OPERATORS = ("mask", "replace", "remove")
"""Weakest first: where edits overlap, the strictest one decides for all of them."""
IMAGE_OPERATORS = ("pixelate", "blur", "fill")
"""Weakest first."""


def redact(content: Content, edits: Sequence[Edit]) -> Content:
    """Return the content with all edits applied; the same content when there are none.

    Raises ValueError for an edit whose place or operator does not fit the content: nothing may leave half-redacted.
    """
    if not edits:
        return content
    if content.modality is Modality.TEXT:
        return replace(content, data=redact_text(content.text, edits))
    return _redact_image(content, edits)


def redact_text(text: str, edits: Sequence[Edit]) -> str:
    """Apply edits with Span places (code points) to a text."""
    pieces, position = [], 0
    for span, group in _merge(text, edits):
        pieces += [text[position : span.start], _edited(text[span.start : span.end], group)]
        position = span.end
    return "".join([*pieces, text[position:]])


def _merge(text: str, edits: Sequence[Edit]) -> list[tuple[Span, list[Edit]]]:
    placed = sorted(
        ((_span(edit, len(text)), edit) for edit in edits), key=lambda pair: (pair[0].start, pair[0].end, _tie(pair[1]))
    )
    merged: list[tuple[Span, list[Edit]]] = []
    for span, edit in placed:
        if merged and span.start < merged[-1][0].end:
            last, group = merged[-1]
            merged[-1] = (Span(last.start, max(last.end, span.end)), [*group, edit])
        else:
            merged.append((span, [edit]))
    return merged


def _span(edit: Edit, length: int) -> Span:
    where = edit.where
    if not isinstance(where, Span) or edit.operator not in TEXT_OPERATORS:
        raise ValueError(
            f"rule {edit.rule!r}: found operator {edit.operator!r} on {type(where).__name__}, expected one of "
            f"{', '.join(TEXT_OPERATORS)} on a Span"
        )
    if not 0 <= where.start < where.end <= length:
        raise ValueError(f"rule {edit.rule!r}: found span {where.start} to {where.end}, expected one inside 0 to {length}")
    return where


def _edited(original: str, group: Sequence[Edit]) -> str:
    strictest = max(group, key=lambda edit: (TEXT_OPERATORS.index(edit.operator), _length(edit)))
    parameters = dict(strictest.parameters)
    if strictest.operator == "remove":
        return ""
    if strictest.operator == "replace":
        widest = max(group, key=_length)
        return parameters.get("text", f"[{widest.label}]")
    return mask(original, min(int(dict(edit.parameters).get("keep_last", "0")) for edit in group))


def _tie(edit: Edit) -> tuple[Any, ...]:
    """Orders edits of one place by what they say, so that the order they come in does not matter."""
    return edit.operator, edit.label, edit.rule, edit.parameters


def _length(edit: Edit) -> int:
    return edit.where.end - edit.where.start if isinstance(edit.where, Span) else 0


def mask(original: str, keep_last: int = 0) -> str:
    """Replace letters, their combining marks and digits by `*`, leaving separators and the last `keep_last` letters or digits.

    Never leaves more than half of the letters and digits, so that a short value does not stay readable.
    """
    positions = [index for index, character in enumerate(original) if character.isalnum()]
    kept = max(0, min(keep_last, len(positions) // 2))
    clear = positions[-kept] if kept else len(original)
    return "".join(MASK if index < clear and _readable(character) else character for index, character in enumerate(original))


def _readable(character: str) -> bool:
    # Vowel signs of Indic scripts and accents are marks, not letters, and would spell half of the word.
    return character.isalnum() or unicodedata.category(character).startswith("M")


def _redact_image(content: Content, edits: Sequence[Edit]) -> Content:
    from guard.imaging import decode, eight_bits, image_content

    original = eight_bits(decode(content))
    original = original.convert("RGBA" if original.has_transparency_data else "RGB")
    image = original.copy()
    placed = [(_box(edit, image.size), edit.operator) for edit in edits]
    for box, operator in sorted(placed, key=lambda pair: (IMAGE_OPERATORS.index(pair[1]), pair[0])):
        image.paste(_PAINT[operator](original.crop(box)), box)
    return image_content(image, stage=content.stage, origin=content.origin, request=content.request)


def _box(edit: Edit, size: tuple[int, int]) -> tuple[int, int, int, int]:
    where = edit.where
    if not isinstance(where, Region) or edit.operator not in IMAGE_OPERATORS:
        raise ValueError(
            f"rule {edit.rule!r}: found operator {edit.operator!r} on {type(where).__name__}, expected one of "
            f"{', '.join(IMAGE_OPERATORS)} on a Region"
        )
    box = (where.left, where.top, where.right, where.bottom)
    if not (0 <= where.left < where.right <= size[0] and 0 <= where.top < where.bottom <= size[1]):
        raise ValueError(f"rule {edit.rule!r}: found region {box}, expected one inside {size[0]} x {size[1]}")
    return box


def _fill(part: Pixels) -> Pixels:
    from PIL import Image

    return Image.new(part.mode, part.size, (0, 0, 0, 255)[: len(part.getbands())])


def _blur(part: Pixels) -> Pixels:
    from PIL import ImageFilter

    return part.filter(ImageFilter.GaussianBlur(max(part.size) / 8))


def _pixelate(part: Pixels) -> Pixels:
    from PIL import Image

    # At most eight blocks a side: a face in more of them is still recognised.
    block = max(16, -(-max(part.size) // 8))
    coarse = part.resize((max(1, part.width // block), max(1, part.height // block)), Image.Resampling.BOX)
    return coarse.resize(part.size, Image.Resampling.NEAREST)


_PAINT: dict[str, Callable[[Pixels], Pixels]] = {"fill": _fill, "blur": _blur, "pixelate": _pixelate}
