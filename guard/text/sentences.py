"""Where sentences end, and where a text may be cut so that nobody reads the two parts otherwise than the whole."""

from __future__ import annotations

import re as plain

import regex as re  # knows grapheme clusters

LONGEST = 400
"""Code points after which a sentence that does not end is cut at a space, or at any character where there is none."""
_END = re.compile(
    r"(?:[.!?\u2026]++[\"'\u2019\u201d)\]*_]*+(?:(?=\s)|(?P<open>))|[\u3002\uff01\uff1f\uff1b]+[\u201d\u2019\u300d\u300f\uff09\"']*|\n+)"
)
_CLOSES = "\u3002\uff01\uff1f\uff1b\u201d\u2019\u300d\u300f\uff09\"'\n"
_MARKS = frozenset(".!?\u2026\"'\u2019\u201d)]*_\n" + _CLOSES)
"""What an end is made of, but for the white space behind it."""
_MAY_END = plain.compile("[.!?\u2026\u3002\uff01\uff1f\uff1b\n]")
"""What every end has: told by the standard library, for which nobody lets go of the interpreter's lock."""
_SPACE = re.compile(r"\s")
_CLUSTER = re.compile(r"\X")
_NEAR = 64


def sentence_end(text: str, start: int) -> int:
    """The end of the last sentence that is over, or `start` where none has ended since then.

    A mark that more of its kind may follow is no end yet. Where LONGEST code points hold no end, the last space is one.
    """
    return Sentences()(text, start)


class Sentences:
    """The same for one text that grows: what was looked at is not looked at again."""

    def __init__(self) -> None:
        self._ended = self._read = 0
        """Where a mark ended the last sentence; before which code point there is none that may yet become an end."""

    def __call__(self, text: str, start: int) -> int:
        """As `sentence_end`. The text begins as in the last call."""
        begin, self._read = max(start, self._read), len(text)
        if _MAY_END.search(text, begin) is not None:
            for match in _END.finditer(text, begin):
                if match["open"] is None and (match.end() < len(text) or text[-1] not in _CLOSES):
                    self._ended = match.end()
            while self._read > start and text[self._read - 1] in _MARKS:
                self._read -= 1
        last = max(start, self._ended)
        if len(text) - last > LONGEST:
            spaces = [match.end() for match in _SPACE.finditer(text, len(text) - LONGEST)]
            last = max(last, spaces[-1] if spaces else len(text) - 1)
        return last


def cut_before(text: str, place: int) -> int:
    """The last boundary between clusters (UAX #29: letter with its marks, emoji, CR LF) at or before `place`.

    The end of `text` is none: a mark that belongs to its last letter may still follow.
    """
    if 0 < place < len(text) and text[place - 1 : place + 1].isascii() and text[place] != "\n":
        return place  # nothing in ASCII but a line break belongs to what stands before it
    start = max(0, place - _NEAR)
    begins = [start + match.start() for match in _CLUSTER.finditer(text[start : place + _NEAR])]
    return max((one for one in begins if one <= place), default=0)
