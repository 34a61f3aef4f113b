"""What leaves after a policy's edits, and whether it is what a test expects.

Values under the operators `hash`, `pseudonymise` and `encrypt` depend on the redaction key. Tests use a key of their own, the
same everywhere and no secret, so that an author may write the value a test shows; or `{any}` in its place, which stands for
whatever such an operator puts there, and for nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from guard.redact import KEYED_OPERATORS, TEXT_OPERATORS, redact, redact_text
from guard.redaction_key import RedactionKey
from guard.types import Content, Edit, Span

if TYPE_CHECKING:
    from PIL.Image import Image

ANY = "{any}"
"""In the text a test expects: a value that depends on the redaction key."""
CONVERSATION = "test"
"""The conversation that all contents of tests belong to: stand-ins and tokens depend on it."""
_KEY = bytes(range(32))
_SHOWN = 160


def released_text(content: Content, edits: Sequence[Edit]) -> tuple[str, str]:
    """The text after its edits: as the key of tests makes it, and with `{any}` for what depends on the key."""
    exact = redact(content, edits, RedactionKey(_KEY)).text
    return exact, redact_text(content.text, [one for group in _groups(edits) for one in _open(group)])


def mismatch(expected: str, content: Content, edits: Sequence[Edit]) -> tuple[str, ...]:
    """How the text that leaves differs from the expected one; empty when it does not."""
    exact, shape = released_text(content, edits)
    if expected in (exact, shape):
        return ()
    found = shape if ANY in expected else exact
    return (f"expected {_around(expected, found)}", f"released {_around(found, expected)}")


def image_mismatch(expected: Content, content: Content, edits: Sequence[Edit]) -> tuple[str, ...]:
    """How the picture that leaves differs, pixel by pixel, from the expected one; empty when it does not."""
    from guard.imaging import decode

    wanted, found = _pixels(decode(expected)), _pixels(decode(redact(content, edits)))
    if wanted.size != found.size:
        sizes = [f"{width} x {height} pixels" for width, height in (wanted.size, found.size)]
        return (f"expected a picture of {sizes[0]}", f"released one of {sizes[1]}")
    from PIL import ImageChops

    box = ImageChops.difference(wanted.convert("RGB"), found.convert("RGB")).getbbox()
    alpha = ImageChops.difference(wanted.getchannel("A"), found.getchannel("A")).getbbox()
    if box is None and alpha is None:
        return ()
    left, top, right, bottom = box or alpha or (0, 0, 0, 0)
    return (f"released a picture that differs from the expected one inside {left}, {top} to {right}, {bottom}",)


def _pixels(image: Image) -> Image:
    from guard.imaging import eight_bits

    return eight_bits(image).convert("RGBA")


def _groups(edits: Sequence[Edit]) -> list[list[Edit]]:
    """Edits of a text in groups that overlap, as they are merged."""
    groups: list[tuple[int, list[Edit]]] = []
    for edit in sorted(edits, key=_start):
        assert isinstance(edit.where, Span)
        if groups and edit.where.start < groups[-1][0]:
            end, group = groups[-1]
            groups[-1] = (max(end, edit.where.end), [*group, edit])
        else:
            groups.append((edit.where.end, [edit]))
    return [group for _, group in groups]


def _open(group: list[Edit]) -> list[Edit]:
    """A group of edits, as one that puts `{any}` in where the key would decide what stands there."""
    strictest = max(group, key=lambda edit: TEXT_OPERATORS.index(edit.operator))
    if strictest.operator not in KEYED_OPERATORS:
        return group
    spans = [edit.where for edit in group if isinstance(edit.where, Span)]
    whole = Span(min(span.start for span in spans), max(span.end for span in spans))
    return [Edit(whole, "replace", strictest.label, strictest.rule, (("text", ANY),))]


def _start(edit: Edit) -> int:
    return edit.where.start if isinstance(edit.where, Span) else 0


def _around(text: str, other: str) -> str:
    """A text in quotation marks; of a long one the part in which it begins to differ from another."""
    if len(text) <= _SHOWN:
        return repr(text)
    same = next(
        (index for index, pair in enumerate(zip(text, other, strict=False)) if pair[0] != pair[1]), min(len(text), len(other))
    )
    first = max(0, min(same - _SHOWN // 2, len(text) - _SHOWN))
    before, after = "…" if first else "", "…" if first + _SHOWN < len(text) else ""
    return repr(f"{before}{text[first : first + _SHOWN]}{after}")
