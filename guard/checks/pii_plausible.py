"""What a name model finds and cannot be a name: codes, versions, hashes and units that look like one to it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

_HAN = "\u3400-\u9fff"
_IS_HAN = re.compile(f"[{_HAN}]")
_PLACE = re.compile(r"[省市区县镇乡村路街道巷弄胡同楼室栋幢座层厦场苑园里湾屯庄寨旗盟州]|[0-9一二三四五六七八九十]号")
_NO_PLACE = re.compile(r"[0-9一二三四五六七八九十](?:章|节|页|卷|版|回|条|款)|(?:书|单|编|账|卡|流水|序列|型|批|证|工|学)号")
_WORD = re.compile(r"(?<![^\W_])[^\W\d_]{3,}(?![^\W_])")
_STREET = re.compile(
    r"\b(?:st|str|street|rd|road|ave|av|avenue|blvd|boulevard|ln|lane|dr|drive|ct|court|pl|place|sq|square|way|hwy|highway|apt"
    r"|flat|suite|unit|floor|box|close|crescent|terrace|row|hill|park|gardens?|parkway|pkwy|trail|circle|cir|rue|via|calle|plaza"
    r"|allee|platz|weg|gasse|strasse|stra\u00dfe)\b|stra(?:ss|\u00df)e\b|straat\b|gatan\b|vej\b",
    re.IGNORECASE,
)
_NO_ADDRESS = re.compile(
    r"\b(?:licen[cs]es?|gpl|versions?|releases?|chapters?|sections?|verses?|isbn|rfc|per|sha\d*|md5)\b", re.IGNORECASE
)
_SHORT_PLACES = frozenset({"US", "UK", "USA", "UAE", "EU", "NYC", "LA", "SF", "DC", "NZ", "HK"})
_LEAST_NAME = 2
_SHORT = 3


def plausible(entity: str, written: str) -> bool:
    """Whether `written` can be what the model takes it for, under Presidio's types.

    A name of any kind has two letters or more. A person's has no digits and is no short run of capitals or of small letters
    (`PO`, `int`); neither is a place's of capitals, but for a few. A Chinese address names a place, a Latin one has a word and
    either a street's word or a capital, and none that tells a version, a licence or a unit.
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
    if _WORD.search(written) is None or _NO_ADDRESS.search(written):
        return False
    return _STREET.search(written) is not None or any(character.isupper() for character in written)


_TESTS: Mapping[str, Callable[[str], bool]] = {"PERSON": _person, "LOCATION": _location, "STREET_ADDRESS": _address}
