"""Where in a text some expressions can begin a match: told by the next few characters, and remembered.

An expression of this kind is then tried at those places alone, which gives the matches that a search would give. What is
answered errs on one side: a place may be named where no match begins, and none is left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from string import ascii_letters, digits
from typing import Any

from guard.text.unfinished import closing

_PLACES = re.compile(r"(?<![A-Za-z])[A-Za-z]|(?<![0-9A-Za-z])[0-9]|[^\s0-9A-Za-z]")
"""A letter behind no letter, a digit behind no letter or digit, and whatever is neither, nor white space."""
_SPACES = tuple(one for one in map(chr, range(0x3001)) if one.isspace())
_LOOKS = re.compile(r"\(\?<?[=!]")
_SHORT, _LONG = 2, 5
_MOST_KNOWN = 20_000


class Beginnings:
    """Of expressions of the `regex` module that begin at `_PLACES` alone, as `begins_a_word` says."""

    def __init__(self, patterns: Sequence[tuple[str, int]]) -> None:
        """`patterns`: each with its flags; a pattern's number is its place among them."""
        import regex

        self._patterns: list[Any] = [regex.compile(_without_looks(pattern), flags) for pattern, flags in patterns]
        self._numbers = tuple(range(len(self._patterns)))
        self._short: dict[str, tuple[int, ...]] = {}
        self._long: dict[str, tuple[int, ...]] = {}

    def places(self, text: str, end: int) -> dict[int, list[int]]:
        """Numbers of patterns with the places before `end` where each may begin, in order."""
        found: dict[int, list[int]] = {}
        short, long = self._short, self._long
        for match in _PLACES.finditer(text, 0, end):
            place = match.start()
            key = text[place : place + _SHORT]
            some = short.get(key)
            if some is None:
                some = self._remember(short, key, self._numbers)
            if some:
                key = text[place : place + _LONG]
                known = long.get(key)
                if known is None:
                    known = self._remember(long, key, some)
                for number in known:
                    if number in found:
                        found[number].append(place)
                    else:
                        found[number] = [place]
        return found

    def _remember(self, known: dict[str, tuple[int, ...]], part: str, numbers: Iterable[int]) -> tuple[int, ...]:
        if len(known) >= _MOST_KNOWN:
            known.clear()
        found = known[part] = tuple(one for one in numbers if self._patterns[one].match(part, partial=True) is not None)
        return found


def begins_a_word(pattern: str, flags: int = 0) -> bool:
    """Whether all matches of a pattern surely begin at one of `_PLACES`."""
    import regex

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
