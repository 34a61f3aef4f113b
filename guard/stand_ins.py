"""Stand-ins: the same person, e-mail address or number gets the same one within a conversation, in prompt and reply alike.

A stand-in is drawn by an HMAC of tenant, conversation and value under the redaction key: nothing is remembered between texts,
nothing can be guessed without the key, and another conversation gets others. What holds:

- Case, width and spaces of a value do not count, nor do separators of numbers, nor titles of people.
- The parts of a name are drawn one by one: whoever is `Velamoris Tonarelis` stays `Velamoris` or `Tonarelis` where only one
  name is used, and a relative keeps the family name. In Chinese a given name alone is known as one when the full name stands
  in the same text, or when it does not begin with a family name.
- Within one text two values never share a stand-in: the later one draws again. Between texts two values share one by chance
  only, and a value that drew again in one text has its first draw in another: of twenty words of names, once in 300
  conversations; of two Chinese family names, once in 80 pairs.
- Stand-ins are left as they are, so that a reply that repeats them is not redacted into others. Invented Latin names and tags
  end in a keyed check, so that nobody can write a value that passes for one.

Reserved for fiction, and so nobody's: example.org (RFC 2606), 555-0100 to 555-0199 in every area of the North American
numbering plan. China has no such range; no Chinese number begins with 000.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator

from guard.names import ENDINGS, HAN, LATIN, MARKS, SOMEONE, SYLLABLES, Part, is_han, parts, plain
from guard.redaction_key import RedactionKey
from guard.sealed import shown
from guard.types import Span

_TRIES = 1000
"""Draws for one value before a text is too full of stand-ins for another."""
_PURPOSE = "pseudonymise"
_MAIL = re.compile(r"(?<![A-Za-z0-9._+-])person-[0-9]{6,9}@example\.org(?![A-Za-z0-9_-])", re.IGNORECASE)
_PHONE = re.compile(r"(?<![A-Za-z0-9+])(?:\+1 [2-7][0-9]{2}-555-01[0-9]{2}|000-[0-9]{4}-[0-9]{4})(?![0-9])")
_TAG = re.compile(r"\[([A-Z][A-Z0-9_]{0,79})-([0-9a-f]{6})([0-9a-f]{2})\]")
_AREAS = [area for area in range(201, 800) if area % 100 not in {0, 11}]  # geographic ones: no x00, no x11, no toll-free
_GROUPED = re.compile(r"(?:CARD|NUMBER|CODE|SSN|ITIN|NINO|NHS|PASSPORT|PLATE)$")
"""Labels of values that are written in groups: separators do not count."""
_CN_MOBILE = re.compile(r"1[3-9][0-9]{9}")


def same(label: str, value: str) -> str:
    """A value in the one spelling that stands for all its spellings."""
    text = plain(value)
    if label.startswith("PHONE"):
        return _phone(text) or text
    if _GROUPED.search(label):
        return "".join(one for one in text if one.isalnum()) or text
    return text


class StandIns:
    """Draws the stand-ins of one text."""

    def __init__(self, key: RedactionKey, tenant: str, conversation: str, values: Iterable[tuple[str, str]]) -> None:
        """`values`: (label, value) of everything in the text that gets a stand-in."""
        self._key = key
        self._scope = (tenant, conversation)
        self._made: dict[tuple[str, str], str] = {}
        self._taken: set[tuple[str, str]] = set()
        full = [parts(value) for label, value in values if label == "PERSON" and is_han(value)]
        self._given = frozenset(name[1].text for name in full if [part.kind for part in name] == ["family", "given"])

    def of(self, label: str, value: str) -> str:
        """The stand-in for a value. Raises ValueError when the text holds more values than there are stand-ins."""
        if label == "PERSON":
            name = [(part, self._part(part)) for part in parts(value, self._given)]
            if name:
                return _join(name)
        known = same(label, value)
        if label.startswith("EMAIL"):
            return known if _MAIL.fullmatch(known) else self._draw("mail", known, _mail)
        if label.startswith("PHONE"):
            return _fictitious(known) or self._draw("phone", known, _cn_phone if _is_cn(known) else _us_phone)
        return self._draw(f"tag {label}", known, lambda number, _: self._tag(shown(label), f"{number % 16**6:06x}"))

    def places(self, text: str) -> Iterator[Span]:
        """Where stand-ins of this conversation already are."""
        for found in LATIN.finditer(text):
            if self._ours(found):
                yield Span(*found.span())
        for found in _TAG.finditer(text):
            if found[0] == self._tag(found[1], found[2]):
                yield Span(*found.span())
        for form in (HAN, _MAIL, _PHONE):
            for found in form.finditer(text):
                yield Span(*found.span())

    def _part(self, part: Part) -> str:
        if part.kind == "invented":
            return part.text
        if part.kind == "name":
            found = LATIN.fullmatch(part.text)
            return part.text.title() if found and self._ours(found) else self._draw("name", part.text, self._latin)
        return self._draw(part.kind, part.text, _family if part.kind == "family" else _given)

    def _draw(self, kind: str, known: str, make: Callable[[int, int], str]) -> str:
        """The stand-in that the HMAC gives, or the next one that no other value of the text has.

        Stand-ins that the text held before do not count: most likely they are this very value's, from an earlier turn.
        """
        if (kind, known) in self._made:
            return self._made[kind, known]
        for count in range(_TRIES):
            number = int.from_bytes(self._key.mac(_PURPOSE, *self._scope, kind, known, str(count)))
            made = make(number, count)
            if (kind, made) not in self._taken:
                self._taken.add((kind, made))
                self._made[kind, known] = made
                return made
        raise ValueError(f"found more values of kind {kind!r} in one text than there are stand-ins, expected fewer")

    def _latin(self, number: int, _count: int) -> str:
        number, first = divmod(number, len(SYLLABLES))
        number, second = divmod(number, len(SYLLABLES))
        base = SYLLABLES[first] + SYLLABLES[second] + SYLLABLES[number % len(SYLLABLES)]
        return (base + self._ending(base)).title()

    def _ending(self, base: str) -> str:
        return ENDINGS[self._check(base)[0] % len(ENDINGS)]

    def _tag(self, label: str, digits: str) -> str:
        return f"[{label}-{digits}{self._check(label, digits)[:1].hex()}]"

    def _check(self, *parts: str) -> bytes:
        return self._key.mac("stand-in-check", *self._scope, *parts)

    def _ours(self, found: re.Match[str]) -> bool:
        return found[2].casefold() == self._ending(found[1].casefold())


def _join(name: Iterable[tuple[Part, str]]) -> str:
    """Parts in their order: Latin ones with spaces, a Chinese family and given name under one 某."""
    joined = ""
    for part, made in name:
        if part.kind == "name":
            joined += (" " if joined else "") + made
        elif part.kind == "given" and joined.endswith(SOMEONE):
            joined += made.removeprefix(SOMEONE)
        else:
            joined += ("·" if joined else "") + made
    return joined


def _family(number: int, count: int) -> str:
    return _marks(number, min(3, 1 + count // 8)) + SOMEONE


def _given(number: int, count: int) -> str:
    return SOMEONE + _marks(number, 2 * min(3, 1 + count // 8))


def _marks(number: int, size: int) -> str:
    """Longer when the short ones are taken."""
    made = ""
    for _ in range(size):
        number, index = divmod(number, len(MARKS))
        made += MARKS[index]
    return made


def _mail(number: int, count: int) -> str:
    digits = min(9, 6 + count // 8)
    return f"person-{number % 10**digits:0{digits}d}@example.org"


def _us_phone(number: int, _count: int) -> str:
    number, area = divmod(number, len(_AREAS))
    return f"+1 {_AREAS[area]}-555-01{number % 100:02d}"


def _cn_phone(number: int, _count: int) -> str:
    return f"000-{number // 10**4 % 10**4:04d}-{number % 10**4:04d}"


def _phone(text: str) -> str:
    """Digits alone, without the country code where the rest shows the country."""
    digits = "".join(str(int(one)) for one in text if one.isdecimal())
    abroad = "+" in text[:2] or digits.startswith("00")
    bare = digits[2:] if digits.startswith("00") and not digits.startswith("000") else digits
    if bare.startswith("86") and _CN_MOBILE.fullmatch(bare[2:]):
        return bare[2:]
    if abroad and bare.startswith("1") and len(bare) == 11:
        return bare[1:]
    return bare


def _is_cn(digits: str) -> bool:
    return digits.startswith("86") or _CN_MOBILE.fullmatch(digits) is not None


def _fictitious(digits: str) -> str:
    """The stand-in that a number already is, in its usual spelling; empty when it is none."""
    if re.fullmatch(r"000[0-9]{8}", digits):
        return f"{digits[:3]}-{digits[3:7]}-{digits[7:]}"
    if re.fullmatch(r"[2-7][0-9]{2}55501[0-9]{2}", digits):
        return f"+1 {digits[:3]}-{digits[3:6]}-{digits[6:]}"
    return ""
