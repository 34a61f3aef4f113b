"""What a name model finds and cannot be a name: codes, versions, hashes and units that look like one to it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

_HAN = "\u3400-\u9fff"
_IS_HAN = re.compile(f"[{_HAN}]")
_PLACE = re.compile(r"[省市区县镇乡村路街道巷弄胡同楼室栋幢座层厦场苑园里湾屯庄寨旗盟州]|[0-9一二三四五六七八九十]号")
_NO_PLACE = re.compile(r"[0-9一二三四五六七八九十](?:章|节|页|卷|版|回|条|款)|(?:书|单|编|账|卡|流水|序列|型|批|证|工|学)号")
_WORD = re.compile(r"(?<![^\W_])[^\W\d_]{3,}(?![^\W_])")
_NO_ADDRESS = re.compile(
    r"\b(?:licen[cs]es?|gpl|versions?|releases?|chapters?|verses?|isbn|rfc|per|sha\d*|md5)\b", re.IGNORECASE
)
_HIGHWAY = re.compile(r"(?:interstate|route|highway|motorway|state road)[ -]?\d+\.?", re.IGNORECASE)
_ITEM = re.compile(r"^[ ]*\d{1,3}[.)][ ]+", re.MULTILINE)
_SHORT_PLACES = frozenset({"US", "UK", "USA", "UAE", "EU", "NYC", "LA", "SF", "DC", "NZ", "HK"})
_LEAST_NAME = 2
_SHORT = 3


def plausible(entity: str, written: str) -> bool:
    """Whether `written` can be what the model takes it for, under Presidio's types.

    A name of any kind has two letters or more. A person's has no digits and is no short run of capitals or of small letters
    (`PO`, `int`); neither is a place's of capitals, but for a few. A Chinese address
    names a place, any other has a word, and none that tells a version, a licence or a unit; it is no item of a numbered list,
    and no road alone that has a number for a name.
    """
    if sum(character.isalpha() for character in written) < _LEAST_NAME:  # a single Chinese character is no name either
        return False
    test = _TESTS.get(entity)
    return test is None or test(written)


def _person(written: str) -> bool:
    if any(character.isdigit() or character in "@/\\" for character in written):
        return False
    return not (written.isascii() and len(written) <= _SHORT - written.isupper() and (written.isupper() or written.islower()))


def _location(written: str) -> bool:
    return not (written.isascii() and written.isupper() and len(written) <= _SHORT) or written in _SHORT_PLACES


def _address(written: str) -> bool:
    if _IS_HAN.search(written):
        return _PLACE.search(written) is not None and _NO_PLACE.search(written) is None
    if _ITEM.match(written) and not any(character.isdigit() for character in _ITEM.sub("", written)):
        return False
    if _HIGHWAY.fullmatch(written):
        return False
    return _WORD.search(written) is not None and _NO_ADDRESS.search(written) is None


_TESTS: Mapping[str, Callable[[str], bool]] = {"PERSON": _person, "LOCATION": _location, "STREET_ADDRESS": _address}
