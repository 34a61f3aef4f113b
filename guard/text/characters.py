"""Stages that undo disguises of single characters: compatibility forms, invisible ones, heaped marks, look-alikes.

What Arabic, Indic scripts, Persian or emoji need (joiners, vowel signs, variation selectors) stays where it is, and so does
punctuation of any width: a stage changes what hides a letter, and nothing else.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

from guard.text.confusables import ANY, SIGNS, TABLE, is_turkish
from guard.text.reading import Edit, Normalised, rewrite

_LATIN = "A-Za-z\u00c0-\u024f\u1e00-\u1eff"
# What comes often and is left as it is ends a run, so that ordinary Chinese text is not looked at character by character.
_RUN = re.compile(
    "[\x00-\x7f]?[^\x00-\x7f\u00a0\u00b2\u00b3\u00b9\u00bc-\u00be\u2026\u2122\u3000，。！？：；（）“”‘’、《》【】—～\u3131-\u318e]+"
)
_LONGEST_FORM = 3
_ORDINALS = "\u00aa\u00ba"


def compatibility(reading: Normalised) -> Normalised:
    """NFKC of letters and decimal digits; signs, fractions, ligatures of whole phrases and punctuation stay."""
    text = reading.text
    if text.isascii() or (unicodedata.is_normalized("NFKC", text) and not _SIGN.search(text)):
        return reading
    return rewrite(reading, list(_folded(text)))


_SIGN = re.compile("[\u249c-\u24b5\U0001f150-\U0001f169\U0001f170-\U0001f189]")


def _folded(text: str) -> Iterator[Edit]:
    for run in _RUN.finditer(text):
        part = run.group()
        if unicodedata.is_normalized("NFKC", part) and not _SIGN.search(part):
            continue
        first = 0
        for end in range(1, len(part) + 1):
            if end == len(part) or not _continues(part[end]):
                new = _form(part[first:end])
                if new is not None:
                    yield run.start() + first, run.start() + end, new
                first = end


def _continues(character: str) -> bool:
    """Whether it may be composed with, or ordered among, what stands before it."""
    return (
        unicodedata.category(character)[0] == "M" or "\u1160" <= character <= "\u11ff" or "\ud7b0" <= character <= "\ud7fb"
    ) or character in "\uff9e\uff9f"


def _form(cluster: str) -> str | None:
    """The cluster's compatibility form, or None where it is to stay."""
    first = cluster[0]
    if ord(first) in SIGNS:
        return SIGNS[ord(first)] + cluster[1:]
    new, kind = unicodedata.normalize("NFKC", cluster), unicodedata.category(first)
    if kind == "So":
        return new if len(new) == 1 and new.isalpha() else None
    if (kind[0] in "PSZN" and kind != "Nd" and first > "\x7f") or first in _ORDINALS or "\uffa0" <= first <= "\uffdc":
        return None
    return new if len(new) <= max(_LONGEST_FORM, len(cluster)) else None


_ALWAYS = (
    "\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180e\u200b\u200e\u200f"
    "\u202a-\u202e\u2060-\u206f\u3164\ufeff\uffa0\ufff9-\ufffb\U0001d173-\U0001d17a\U000e0100-\U000e01ef"
)
_SOMETIMES = "\u200c\u200d\ufe00-\ufe0f\U000e0000-\U000e007f"
_UNSEEN = re.compile(f"[{_ALWAYS}{_SOMETIMES}]+")
_KEEPABLE = re.compile(f"[{_SOMETIMES}]")
_NEEDS_NO_JOINER = re.compile(f"[\x00-\x7f{_LATIN}\u0370-\u052f\u3000-\u9fff\uf900-\ufaff]")
_KEYCAP = "\u20e3"


def invisible(reading: Normalised) -> Normalised:
    """Without zero-width, bidirectional, tag and control characters; joiners and selectors stay where scripts use them."""
    text = reading.text
    if not _UNSEEN.search(text):
        return reading
    edits: list[Edit] = []
    for match in _UNSEEN.finditer(text):
        start, end = match.span()
        before = text[start - 1] if start else " "
        hides = bool(_NEEDS_NO_JOINER.match(before)) and text[end : end + 1] != _KEYCAP
        kept = "" if hides else "".join(_KEEPABLE.findall(match.group()))
        edits.append((start, end, kept))
    return rewrite(reading, edits)


_MARKS = "\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f"
_HEAP = re.compile(f"(?s:(.)([{_MARKS}]{{2,}}))|([{_LATIN}])([\u0334-\u0338\u0483-\u0489\u20d0-\u20e0\u20e2-\u20ff]+)")


def heaped_marks(reading: Normalised) -> Normalised:
    """Without combining marks that are heaped on one character, and without strokes and frames over Latin letters.

    A single mark that has no composed form (Yoruba, phonetic script) stays; composed letters are those of real languages.
    """
    text = reading.text
    if text.isascii() or not _HEAP.search(text):
        return reading
    edits: list[Edit] = []
    for match in _HEAP.finditer(text):
        base = match.group(1)
        if base is not None and re.match(f"[{_LATIN}]", base):
            edits.append((match.start(), match.start() + 1, unicodedata.normalize("NFD", base)[0]))
        edits.append((match.start() + 1, match.end(), ""))
    return rewrite(reading, edits)


_WORD = re.compile(r"[^\W\d_]+")
_LOOKALIKE = re.compile(f"[{ANY}]")
_LATIN_LETTER = re.compile(f"[{_LATIN}]")
_ALL_LATIN = re.compile(f"[{_LATIN}]+")
_ALPHABETS = (
    (0x0370, 0x0400, "Greek"),
    (0x0400, 0x0530, "Cyrillic"),
    (0x0530, 0x0590, "Armenian"),
    (0x13A0, 0x1400, "Cherokee"),
)


def lookalikes(reading: Normalised) -> Normalised:
    """Latin letters for those that look like them, in words that look Latin throughout.

    Words that mix alphabets are read so, and words of another alphabet among Latin ones, unless the text has real words of it.
    """
    text = reading.text
    if text.isascii() or not _LOOKALIKE.search(text):
        return reading
    mixed: list[Edit] = []
    wholly: list[Edit] = []
    real: set[str] = set()
    latin = False
    turkish = is_turkish(text)
    for match in _WORD.finditer(text):
        word = match.group()
        if _LOOKALIKE.search(word) is None:
            latin = latin or word.isascii()
            real.update(_alphabets(word))
            continue
        plain = word.translate(TABLE)
        if turkish and "\u0131" in word:
            continue
        if not _ALL_LATIN.fullmatch(plain):
            real.update(_alphabets(word))
        elif _LATIN_LETTER.search(word):
            mixed.append((*match.span(), plain))
        else:
            wholly.append((*match.span(), plain))
    meant = [edit for edit in wholly if _is_meant(text[edit[0] : edit[1]], real, latin=latin)]
    return rewrite(reading, sorted([*mixed, *meant]))


def _is_meant(word: str, real: set[str], *, latin: bool) -> bool:
    """Whether a word of look-alikes alone stands for a Latin one; those of no other alphabet (small capitals) always do."""
    alphabets = _alphabets(word)
    return not alphabets or (latin and not alphabets & real and not (len(word) == 1 and "Greek" in alphabets))


def _alphabets(word: str) -> set[str]:
    return {name for letter in word for low, high, name in _ALPHABETS if low <= ord(letter) < high}


def is_plain(text: str) -> bool:
    """Whether no stage of this module has anything to look at: then none does in any text of such parts between spaces."""
    if _UNSEEN.search(text):
        return False
    if text.isascii():
        return True
    return unicodedata.is_normalized("NFKC", text) and not any(one.search(text) for one in (_SIGN, _HEAP, _LOOKALIKE))
