"""Where in a text some expressions can begin a match: told by the next few characters, and remembered.

An expression of this kind is then tried at those places alone, which gives the matches that a search would give. What is
answered errs on one side: a place may be named where no match begins, and none is left out. Of digits only the form is looked
at, for no number is like the last one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from string import ascii_letters, digits, punctuation
from typing import Any

import regex

from guard.text.unfinished import closing

_WORDS = "(?<![A-Za-z])[A-Za-z]|(?<![0-9A-Za-z])[0-9]"
_PLACES = re.compile(rf"{_WORDS}|[^\s0-9A-Za-z]")
"""A letter behind no letter, a digit behind no letter or digit, and whatever is neither, nor white space."""
_SPACES = tuple(one for one in map(chr, range(0x3001)) if one.isspace())
_LOOKS = re.compile(r"\(\?<?[=!]")
_SHORT, _LONG = 2, 5
_FORM = re.compile(r"[0-9][0-9 ()./-]{0,9}[^0-9 ()./-]?")
_ZEROS = dict.fromkeys(range(ord("1"), ord("9") + 1), "0")
_PART = regex.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*+(?:\]|\\?\Z)|\{[0-9,]+\}|[0-9]", regex.DOTALL)
"""Of an expression: what is escaped, a class, how often something is repeated, a digit."""
_MOST_KNOWN = 20_000


class Beginnings:
    """Of expressions of the `regex` module that begin at `_PLACES` alone, as `begins_a_word` says."""

    def __init__(self, patterns: Sequence[tuple[str, int]]) -> None:
        """`patterns`: each with its flags; a pattern's number is its place among them."""
        without = [(_without_looks(pattern), flags) for pattern, flags in patterns]
        self._patterns: list[Any] = [regex.compile(pattern, flags) for pattern, flags in without]
        self._of_any_digits: list[Any] = [regex.compile(_PART.sub(_with_any_digit, one), flags) for one, flags in without]
        self._numbers = tuple(range(len(patterns)))
        idle = [one for one in punctuation if not any(pattern.match(one, partial=True) for pattern in self._patterns)]
        self._places = re.compile(rf"{_WORDS}|[^\s0-9A-Za-z{re.escape(''.join(idle))}]")
        self._short: dict[str, tuple[int, ...]] = {}
        self._long: dict[str, tuple[int, ...]] = {}
        self._forms: dict[str, tuple[int, ...]] = {}

    def places(self, text: str, end: int) -> dict[int, list[int]]:
        """Numbers of patterns with the places before `end` where each may begin, in order."""
        found: dict[int, list[int]] = {}
        short, long, forms, patterns = self._short, self._long, self._forms, self._patterns
        for match in self._places.finditer(text, 0, end):
            place = match.start()
            key = text[place : place + _SHORT]
            if "0" <= key[0] <= "9":
                form = _FORM.match(text, place)
                key = form.group().translate(_ZEROS) if form else "0"
                known = forms.get(key)
                if known is None:
                    known = _remember(forms, key, self._numbers, self._of_any_digits)
            else:
                known = short.get(key)
                if known is None:
                    known = _remember(short, key, self._numbers, patterns)
                if known:
                    key, some = text[place : place + _LONG], known
                    known = long.get(key)
                    if known is None:
                        known = _remember(long, key, some, patterns)
            for number in known:
                if number in found:
                    found[number].append(place)
                else:
                    found[number] = [place]
        return found


def _remember(known: dict[str, tuple[int, ...]], part: str, numbers: Iterable[int], patterns: Sequence[Any]) -> tuple[int, ...]:
    if len(known) >= _MOST_KNOWN:
        known.clear()
    found = known[part] = tuple(one for one in numbers if patterns[one].match(part, partial=True) is not None)
    return found


def begins_a_word(pattern: str, flags: int = 0) -> bool:
    """Whether all matches of a pattern surely begin at one of `_PLACES`."""
    without = regex.compile(_without_looks(pattern), flags)

    def begins(signs: Iterable[str]) -> bool:
        return any(without.match(sign, partial=True) for sign in signs)

    if begins(_SPACES):
        return False
    if pattern.startswith("(?<![0-9A-Za-z"):
        return True
    return not begins(digits) and (pattern.startswith("(?<![A-Za-z") or not begins(ascii_letters))


def _without_looks(pattern: str) -> str:
    """The pattern without its look-arounds: it matches all that it did, and perhaps more."""
    kept, place = "", 0
    for opening in _LOOKS.finditer(pattern):
        if opening.start() >= place:
            kept, place = kept + pattern[place : opening.start()], closing(pattern, opening.end())
    return kept + pattern[place:]


def _with_any_digit(part: regex.Match[str]) -> str:
    """A part of a pattern without look-arounds, with any digit where it has some of them."""
    written = str(part.group())
    if written.isdecimal():
        return "[0-9]"
    some = written.startswith("[") and re.search("[0-9]", written) is not None
    if not some:
        return written
    if not written.startswith("[^"):
        return "[0-9" + written[1:]
    return written if "0-9" in written else r"[\s\S]"
