"""Where patterns could still begin a match in a text that goes on.

`regex` finds partial matches, but gives a whole one first where there is any, and lets look-aheads see the end of the text as
an end. So each pattern is followed here by something that no text has: no match is ever whole, every way to read a pattern is
tried, and a match counts as unfinished when it reaches the end, or comes so near to it that a look-ahead may yet see more.
What is answered errs on one side: a match may be held that cannot grow, and none that can grow is let go.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import regex

AHEAD = 16
"""Code points behind a match on which it may depend: look-aheads, and words that raise a score."""
_SEEN_AHEAD = 320
"""No look-ahead of a pattern is longer: it passes where so little text is left."""
_NOTHING = "\U0010fffe"
_TIMEOUT_S = 2.0


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
    seen = pattern.replace("(?=", rf"(?=(?s:.){{0,{_SEEN_AHEAD}}}\Z|")
    return rf"(?:{seen})(?s:.){{0,{ahead}}}?{_NOTHING}(?!)"
