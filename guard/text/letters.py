"""Stages that undo disguises of Latin words: letters spelled out or split, digits and signs for letters, stretched letters."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from itertools import pairwise

from guard.text.reading import Edit, Normalised, rewrite
from guard.text.words import EXPECTED, MASKED, has_masked, is_frequent, of_length, word_ends

STANDS_FOR = {
    "@": "a", "4": "a", "8": "b", "(": "c", "¢": "c", "3": "e", "€": "e", "6": "g", "9": "g", "1": "il", "!": "il", "¡": "i",
    "|": "il", "0": "o", "5": "s", "$": "s", "7": "t", "+": "t", "2": "z", "＠": "a", "！": "il", "＄": "s",
}  # fmt: skip
"""Which letters a sign may stand for, the likeliest first."""
ANYTHING = "*#%＊"
"""Signs that stand for whatever letter was left out."""
_ALONE = "@$013457"
"""Signs that are read as letters in words of no list, too; with `!` and `€` between letters."""
_SIGNS = re.escape("".join(STANDS_FOR) + ANYTHING).replace("\\(", "").replace("(", "")
_LONGEST_TOKEN = 24
_CLASS = "A-Za-z0-9@$!*"


def _protected(chunk: str) -> bool:
    """Whether a text without spaces is an address, a path, code or a version, in which every sign is meant."""
    return bool(_CODE.search(chunk) or _PRODUCT.fullmatch(chunk)) or chunk.count("/") > 1


_CODE = re.compile(
    r"://|^\W?www\.|@[\w-]+(?:\.[\w-]+)*\.[a-z]{2,}\W*$|[{}<>=\\`_]|\(\)|::|^[~/]|^--|^\W?v?\d+(?:\.\d+)+"
    r"|^[\w-]+(?:\.[\w-]+)*\.(?:com|org|net|io|cn|de|uk|edu|gov)\b"
)
_PRODUCT = re.compile(r"\W?(?=\D*\d)[A-Z0-9]+(?:-[A-Z0-9]+)+\W*")


def _chunks(text: str, hint: re.Pattern[str]) -> Iterator[re.Match[str]]:
    """The parts between spaces in which the hint is found and every sign is not meant as it stands."""
    for chunk in re.finditer(r"\S+", text):
        if hint.search(chunk.group()) and not _protected(chunk.group()):
            yield chunk


# One character, the same separator again and again, and at least three characters.
_SPELLED = re.compile(
    rf"(?<![\w@$&.'’\-])([{_CLASS}])( {{1,3}}|[.\-_*·•~|,:;'\"+/]| - )(?:[{_CLASS}]\2)+[{_CLASS}](?!\w)",
)
SPELLED_HINT = re.compile(
    rf"(?<![\w@$&.'’\-])[{_CLASS}]( {{1,3}}|[.\-_*·•~|,:;'\"+/]| - )[{_CLASS}]\1[{_CLASS}](?:\1|(?!\w))",
)
"""How every text begins that is spelled out."""
SPELLED_REACH = 12
"""The longest match of the hint."""
_LEAST_LETTERS = 4


def spelled_out(reading: Normalised) -> Normalised:
    """`i d i o t`, `i.d.i.o.t`, `i-d-i-o-t` as a word, whole sentences parted into words.

    Initials, acronyms and lists of capitals stay unless a word of the list is in them, and so does the alphabet.
    """
    text = reading.text
    edits: list[Edit] = []
    for match in _SPELLED.finditer(text):
        step = 1 + len(match.group(2))
        letters = match.group()[::step]
        if not _is_spelled(letters):
            continue
        ends = word_ends(letters.lower()) if letters.isalpha() else set()
        for number in range(1, len(letters)):
            place = match.start() + number * step
            edits.append((place - step + 1, place, " " if number in ends else ""))
    return rewrite(reading, edits) if edits else reading


def _is_spelled(letters: str) -> bool:
    lower = letters.lower()
    if not letters.isalpha():
        return _listed(letters) is not None
    if letters.isupper():
        return has_masked(lower)
    if len(letters) < _LEAST_LETTERS:
        return lower in MASKED or is_frequent(lower)
    steps = {ord(after) - ord(before) for before, after in pairwise(lower)}
    return steps not in ({0}, {1}, {-1})


def _is_split(pieces: list[str]) -> bool:
    """Whether pieces are one word: a masked one, or a frequent one of which not all pieces are words themselves."""
    word = "".join(pieces)
    if word in MASKED:
        return True
    return len(word) > _LEAST_LETTERS and is_frequent(word) and not all(map(is_frequent, pieces))


# Hints begin with the sign, which is rare, and look behind it: a search that begins with a letter stops at every word.
_SPLIT_HINT = re.compile(r"[.\-_*~·|](?<=[A-Za-z].)[A-Za-z]")
_SPLIT = re.compile(r"(?<![A-Za-z])[A-Za-z]+(?:[.\-_*~·|][A-Za-z]+)+")


def split_words(reading: Normalised) -> Normalised:
    """`id-iot`, `st.upid`: signs left out of a word of the list."""
    text = reading.text
    if not _SPLIT_HINT.search(text):
        return reading
    edits: list[Edit] = []
    for match in _SPLIT.finditer(text):
        if match.end() - match.start() > 2 * _LONGEST_TOKEN:
            continue
        word = match.group()
        if _is_split(re.findall("[a-z]+", word.lower())):
            edits += [
                (match.start() + place, match.start() + place + 1, "") for place, sign in enumerate(word) if not sign.isalpha()
            ]
    return rewrite(reading, edits) if edits else reading


_LEET_HINT = re.compile(r"[0-9@$*#%€¢|+＠＄＊](?:(?<=[A-Za-z].)|[A-Za-z])|[!！¡][A-Za-z]")
_TOKEN = re.compile(rf"[A-Za-z{_SIGNS}]+")
_TAIL = re.compile(r"(?<![!|+#%！¡])[!|+#%！¡]+$")


def leetspeak(reading: Normalised) -> Normalised:
    """Letters for the digits and signs that stand for them (`1d10t`, `@ss`, `sh!t`), and those that stars hide (`f*ck`).

    Words of the list are found with any sign; other words are read so where signs are few and the word is no code.
    """
    text = reading.text
    if not _LEET_HINT.search(text):
        return reading
    edits: list[Edit] = []
    for chunk in _chunks(text, _LEET_HINT):
        for token in _TOKEN.finditer(chunk.group()):
            word = token.group() if len(token.group()) <= _LONGEST_TOKEN else ""
            new = None if not word or word.isalpha() else _plain(word)
            if new:
                start = chunk.start() + token.start()
                edits.append((start, start + len(new), new))
    return rewrite(reading, edits) if edits else reading


_CODED = re.compile(r"[A-Za-z]{1,2}\d+|[A-Za-z]+\d\d+|\d+[A-Za-z]|\d\d+[A-Za-z]+|\d[A-Za-z]{2}|\d+")


@lru_cache(4096)
def _plain(token: str) -> str | None:
    """The beginning of a token, or all of it, as letters alone; None when it is to stay."""
    if not any(letter.isalpha() for letter in token):
        return None
    for word in dict.fromkeys((token, _TAIL.sub("", token), token.rstrip("*"))):
        if word.isalpha() or not word:
            return None
        found = _listed(word)
        if found is not None:
            return found
    return _unlisted(_TAIL.sub("", token))


def _listed(token: str) -> str | None:
    """The word of the list that a token stands for, in the token's case."""
    letters = [letter for letter in token if letter.isalpha()]
    hidden = sum(sign in ANYTHING for sign in token)
    if not letters or (hidden and len(token) < _LEAST_LETTERS) or (_CODED.fullmatch(token) and token.lower() != "4ss"):
        return None
    if len(letters) < 2 and len(token) > _LEAST_LETTERS and not hidden:
        return None
    lower = token.lower()
    for word in of_length(len(token)):
        if hidden and len(letters) == 1 and word not in EXPECTED:
            continue  # too little is left to tell
        if all(
            sign == letter or sign in ANYTHING or letter in STANDS_FOR.get(sign, "")
            for sign, letter in zip(lower, word, strict=True)
        ):
            shout = len(letters) > 1 and all(map(str.isupper, letters))
            return "".join(
                sign if sign.isalpha() else letter.upper() if shout else letter
                for sign, letter in zip(token, word, strict=True)
            )
    return None


def _unlisted(token: str) -> str | None:
    letters = [letter for letter in token if letter.isalpha()]
    signs = len(token) - len(letters)
    if signs == 0 or len(letters) < signs or _CODED.fullmatch(token) or not token[-1].isalnum() or token[0] in "@!€¡＠！":
        return None
    if not ("".join(letters).islower() or "".join(letters).istitle()):
        return None
    if any(sign not in _ALONE and sign not in "!€＠＄！¡" for sign in token if not sign.isalpha()):
        return None
    forms = [
        "".join(sign if sign.isalpha() else STANDS_FOR[sign][choice:][:1] or STANDS_FOR[sign] for sign in token)
        for choice in (0, 1)
    ]
    frequent = next((form for form in forms if len(form) >= _LEAST_LETTERS and is_frequent(form.lower())), None)
    return frequent or (forms[0] if len(letters) >= 2 * signs else None)


_STRETCHED = re.compile(r"([A-Za-z])\1\1+", re.IGNORECASE)
HINTS = (_SPLIT_HINT, _LEET_HINT, _STRETCHED)
"""One of these stands in every part between spaces that a stage of this module changes, but for what is spelled out."""
_ROMAN = re.compile("[IVXLCDM]+")


def stretched(reading: Normalised, *, keep: int) -> Normalised:
    """`idiooooot` with `keep` of the letters that stand three times or more; what is one letter alone stays (`www`, `AAA`)."""
    text = reading.text
    if not _STRETCHED.search(text):
        return reading
    edits: list[Edit] = []
    for chunk in _chunks(text, _STRETCHED):
        for word in re.finditer("[A-Za-z]+", chunk.group()):
            letters = word.group()
            if len(set(letters.lower())) == 1 or _ROMAN.fullmatch(letters):
                continue
            start = chunk.start() + word.start()
            edits += [(start + run.start() + keep, start + run.end(), "") for run in _STRETCHED.finditer(letters)]
    return rewrite(reading, edits) if edits else reading
