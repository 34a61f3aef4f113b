"""Applies edits to one original: overlapping places are merged once, and no edit sees another's result.

`hash`, `pseudonymise` and `encrypt` need the redaction key (`guard.redaction_key`); what is to be done where is decided without
it, so a verdict derives again for those who do not hold the key.
"""

from __future__ import annotations

import unicodedata
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from guard.redaction_key import RedactionKey
from guard.rules import Policy
from guard.types import Content, Edit, Modality, Region, Request, Span, Turn

if TYPE_CHECKING:
    from PIL.Image import Image as Pixels

    from guard.stand_ins import StandIns

MASK = "*"
TEXT_OPERATORS = ("mask", "encrypt", "hash", "pseudonymise", "replace", "remove")
"""Weakest first, by what they leave to be learnt: characters, by anyone; the value, by holders of the key; that two texts hold
the same value, anywhere or within one conversation; what kind of value it was; nothing. Where edits overlap, the strictest one
decides for all of them."""
KEYED_OPERATORS = frozenset({"encrypt", "hash", "pseudonymise"})
"""Operators that need the redaction key."""
TYPE = "{type}"
"""In the text that `replace` puts in, stands for the label."""
_HASH_DIGITS = 20
"""80 bits, hexadecimal: of a billion values two share a hash once in two million times."""
IMAGE_OPERATORS = ("pixelate", "blur", "fill")
"""Weakest first."""


@dataclass(frozen=True, slots=True)
class Keyed:
    """The redaction key with whose text and which conversation it is used for."""

    key: RedactionKey
    tenant: str
    conversation: str

    @classmethod
    def of(cls, key: RedactionKey, request: Request) -> Keyed:
        """A conversation is what the caller calls one, else all that one subject says, else one request with its answers."""
        kinds = (("conversation", request.conversation), ("subject", request.subject), ("request", request.id))
        kind, name = next(pair for pair in kinds if pair[1] or pair[0] == "request")
        return cls(key, request.tenant, f"{kind} {name}")


def keyed_rules(policy: Policy) -> tuple[str, ...]:
    """The rules of a policy that cannot be applied without a redaction key."""
    return tuple(rule.id for rule in policy.rules if rule.operator in KEYED_OPERATORS)


def redact(content: Content, edits: Sequence[Edit], key: RedactionKey | None = None) -> Content:
    """Return the content with all edits applied; the same content when there are none.

    Raises ValueError for an edit whose place or operator does not fit the content, or that needs a key when there is none:
    nothing may leave half-redacted.
    """
    if not edits:
        return content
    if content.modality is Modality.TEXT:
        parts = _redacted(content.text, edits, Keyed.of(key, content.request) if key else None)
        making = replace(content.making, scores=()) if content.making else None  # they spell what was edited
        text = "".join(text for _, text in parts)
        return replace(content, data=text, turns=tuple(_moved(content.turns, parts)), making=making)
    if content.modality is Modality.AUDIO:
        raise ValueError(f"found {len(edits)} edits of an audio, expected none: no operator changes audio")
    return _redact_image(content, edits)


def redact_text(text: str, edits: Sequence[Edit], keyed: Keyed | None = None) -> str:
    """Apply edits with Span places (code points) to a text."""
    return "".join(part for _, part in _redacted(text, edits, keyed))


def _redacted(text: str, edits: Sequence[Edit], keyed: Keyed | None) -> list[tuple[Span, str]]:
    """The edited text in parts, by turns as it was and edited, each with where it stood."""
    merged = _merge(text, edits)
    apply = _Apply(text, merged, keyed)
    parts, position = list[tuple[Span, str]](), 0
    for span, group in merged:
        parts += [(Span(position, span.start), text[position : span.start]), (span, apply(span, group))]
        position = span.end
    return [*parts, (Span(position, len(text)), text[position:])]


def _moved(turns: Sequence[Turn], parts: Sequence[tuple[Span, str]]) -> Iterator[Turn]:
    """The turns of a text at their places in the edited one. What stands for a place across two turns is the first one's."""
    starts, at = [], 0
    for _, text in parts:
        starts.append(at)
        at += len(text)

    def moved(position: int) -> int:
        index = bisect_left(parts, position, key=lambda part: part[0].end)
        (where, text), start = parts[min(index, len(parts) - 1)], starts[min(index, len(parts) - 1)]
        edited = index % 2 == 1
        return start + (len(text) * (position > where.start) if edited else position - where.start)

    for turn in turns:
        yield replace(turn, where=Span(moved(turn.where.start), moved(turn.where.end)))


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


class Redactor:
    """Edits one text from left to right while it grows: what `redact_text` makes of all of it, piece by piece.

    Only stand-ins for Chinese people may differ: which part of a name is which can depend on what follows.
    """

    def __init__(self, keyed: Keyed | None) -> None:
        self._keyed = keyed
        self._done = 0
        self._stand_ins: StandIns | None = None

    def upto(self, text: str, edits: Sequence[Edit], end: int) -> str:
        """What follows, edited, up to `end`, across which no edit lies. `text` and `edits`: all so far. Raises as `redact`."""
        merged = [one for one in _merge(text, [edit for edit in edits if _begins(edit) < end]) if one[0].start >= self._done]
        apply = _Apply(text, merged, self._keyed, self._stand_ins)
        self._stand_ins = apply.stand_ins
        pieces = []
        for span, group in merged:
            pieces += [text[self._done : span.start], apply(span, group)]
            self._done = span.end
        pieces.append(text[self._done : end])
        self._done = end
        return "".join(pieces)


def _begins(edit: Edit) -> int:
    return edit.where.start if isinstance(edit.where, Span) else 0


class _Apply:
    """Edits the merged places of one text, from left to right."""

    def __init__(
        self,
        text: str,
        merged: Sequence[tuple[Span, Sequence[Edit]]],
        keyed: Keyed | None,
        stand_ins: StandIns | None = None,
    ) -> None:
        """`stand_ins`: those that an earlier part of the text got."""
        self._text = text
        self._keyed = keyed
        self._sealed = _Places(())  # what holders of the key can read, and nobody else: there is nothing in it to cut
        self._standing = _Places(())  # stand-ins that an earlier text of the conversation got
        self.stand_ins = stand_ins
        if keyed is None:
            return
        from guard.sealed import tokens
        from guard.stand_ins import StandIns

        self._sealed = _Places(tokens(text, keyed.key))
        values = [
            (_widest(group).label, text[span.start : span.end])
            for span, group in merged
            if _strictest(group).operator == "pseudonymise"
        ]
        if values:
            self.stand_ins = stand_ins or StandIns(keyed.key, keyed.tenant, keyed.conversation, values)
            self._standing = _Places(self.stand_ins.places(text))

    def __call__(self, span: Span, group: Sequence[Edit]) -> str:
        original = self._text[span.start : span.end]
        if span in self._sealed:
            return original
        strictest, label = _strictest(group), _widest(group).label
        parameters = dict(strictest.parameters)
        match strictest.operator:
            case "remove":
                return ""
            case "replace":
                return parameters.get("text", f"[{TYPE}]").replace(TYPE, label)
            case "mask":
                return mask(original, _least(group, "keep_last"), _least(group, "keep_first"))
            case operator:
                return self._with_key(operator, span, label, strictest.rule)

    def _with_key(self, operator: str, span: Span, label: str, rule: str) -> str:
        if self._keyed is None:
            raise ValueError(f"rule {rule!r}: found operator {operator!r} and no redaction key, expected one")
        original = self._text[span.start : span.end]
        if operator == "pseudonymise" and self.stand_ins is not None:
            return original if span in self._standing else self.stand_ins.of(label, original)
        if operator == "hash":
            return hashed(self._keyed.key, self._keyed.tenant, label, original)
        from guard.sealed import seal

        return seal(self._keyed.key, self._keyed.tenant, self._keyed.conversation, label, original)


def hashed(key: RedactionKey, tenant: str, label: str, value: str) -> str:
    """`[EMAIL_ADDRESS:9f3ac1…]`: the same for a value in whatever text of one tenant, so that records can be joined by it.

    HMAC-SHA-256 under a subkey, cut to 80 bits. Without the key nobody can try values until one fits, which an unkeyed hash of
    a telephone number would allow in seconds; with the key anyone can, so it is kept like the values themselves.
    """
    from guard.sealed import shown
    from guard.stand_ins import same

    return f"[{shown(label)}:{key.mac('hash', tenant, label, same(label, value)).hex()[:_HASH_DIGITS]}]"


class _Places:
    """Ranges of a text; those that overlap count as one."""

    def __init__(self, spans: Iterable[Span]) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []
        for span in sorted(spans, key=lambda one: one.start):
            if self._ends and span.start < self._ends[-1]:
                self._ends[-1] = max(self._ends[-1], span.end)
            else:
                self._starts.append(span.start)
                self._ends.append(span.end)

    def __contains__(self, span: Span) -> bool:
        """Whether one of the ranges covers a whole span."""
        index = bisect_right(self._starts, span.start) - 1
        return index >= 0 and span.end <= self._ends[index]


def _strictest(group: Sequence[Edit]) -> Edit:
    return max(group, key=lambda edit: (TEXT_OPERATORS.index(edit.operator), _length(edit)))


def _widest(group: Sequence[Edit]) -> Edit:
    return max(group, key=_length)


def _least(group: Sequence[Edit], parameter: str) -> int:
    return min(int(dict(edit.parameters).get(parameter, "0")) for edit in group)


def _tie(edit: Edit) -> tuple[Any, ...]:
    """Orders edits of one place by what they say, so that the order they come in does not matter."""
    return edit.operator, edit.label, edit.rule, edit.parameters


def _length(edit: Edit) -> int:
    return edit.where.end - edit.where.start if isinstance(edit.where, Span) else 0


def mask(original: str, keep_last: int = 0, keep_first: int = 0) -> str:
    """Replace letters, their combining marks and digits by `*`, leaving separators and some letters or digits at the ends.

    Never leaves more than half of the letters and digits, so that a short value does not stay readable; where both ends ask for
    more than that, the last ones come first.
    """
    positions = [index for index, character in enumerate(original) if character.isalnum()]
    budget = len(positions) // 2
    last = max(0, min(keep_last, budget))
    first = max(0, min(keep_first, budget - last))
    start = positions[first] if first else 0
    end = positions[-last] if last else len(original)
    return "".join(
        MASK if start <= index < end and _readable(character) else character for index, character in enumerate(original)
    )


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
