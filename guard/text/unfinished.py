"""Where patterns could still begin a match in a text that goes on.

`regex` finds partial matches, but gives a whole one first where there is any. So each pattern is followed here by something
that no text has: no match is ever whole, every way to read a pattern is tried, and a match counts as unfinished when it, or
what it looks ahead at, reaches the end, or when it ends so near to it that what follows may yet matter.
What is answered errs on one side: a match may be held that cannot grow, and none that can grow is let go.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import regex

AHEAD = 16
"""Code points behind a match on which it may depend: look-aheads, and words that raise a score."""
_NOTHING = "\U0010fffe"
_TIMEOUT_S = 2.0
_LOOKBEHIND = regex.compile(r"\(\?<[!=]")


class Unfinished:
    """Some patterns of the `regex` module."""

    def __init__(self, patterns: Iterable[tuple[str, int]], ahead: int = AHEAD) -> None:
        """`patterns`: each with its flags. `ahead`: code points behind a match on which its finding may depend."""
        self._ends = [regex.compile(_open(pattern, ahead), flags) for pattern, flags in patterns]

    def start(self, text: str, since: int = 0) -> int:
        """The first code point from `since` on at which a match may begin that more text could still make or change.

        The length of the text where there is none. Raises TimeoutError for a pattern that takes seconds.
        """
        first = len(text)
        for pattern in self._ends:
            # What begins behind the first one does not matter any more.
            found: Any = pattern.search(text, since, partial=True, timeout=_TIMEOUT_S)
            if found is not None and found.start() < first:
                first = found.start()
        return first


def _open(pattern: str, ahead: int) -> str:
    return rf"(?:{_without_long_lookbehinds(pattern)})(?s:.){{0,{ahead}}}?{_NOTHING}(?!)"


def _without_long_lookbehinds(pattern: str) -> str:
    """The pattern without look-behinds of several lengths, which `regex` takes for unfinished: it may begin in more places."""
    kept, place = "", 0
    for opening in _LOOKBEHIND.finditer(pattern):
        if opening.start() < place:
            continue
        end = _closing(pattern, opening.end())
        if "{" in pattern[opening.end() : end]:
            kept, place = kept + pattern[place : opening.start()], end
    return kept + pattern[place:]


def _closing(pattern: str, place: int) -> int:
    """Behind the parenthesis that closes a group whose inside begins here."""
    depth, in_class = 1, False
    while depth:
        sign = pattern[place]
        if sign == "\\":
            place += 1
        elif in_class:
            in_class = sign != "]"
        elif sign == "[":
            in_class = True
        else:
            depth += (sign == "(") - (sign == ")")
        place += 1
    return place
