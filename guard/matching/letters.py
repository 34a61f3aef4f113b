"""Texts as they are compared: letters and digits alone, each with its place in the text.

Dropped or folded is what an editor, a typesetter or a disguise changes and a reader does not hear: case, width and other
compatibility forms (NFKD), accents, quotation marks, dashes, marks of markup, white space and all punctuation, zero-width
characters, letters of other alphabets that look like Latin ones. Every code point is folded by itself, whatever stands around
it, so that a text may be read in pieces cut anywhere. Scripts with real vowel signs (Devanagari, Thai) keep them.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from functools import cache
from threading import Lock
from typing import TYPE_CHECKING, Any

from guard.matching.text_kernels import compiled, read
from guard.text.confusables import SIGNS, TABLE

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

MOST_BETWEEN = 40
"""So many characters of a stretch without a letter count towards the length of a run, at most."""
_POINTS = 0x110000
_SEVERAL = 1 << 13
"""Room for the letters of all code points that give several; Unicode 14 has 2,484."""
_ROOM = 64
"""More letters than one code point ever gives."""
_UNSEEN, _SEEN, _SPACE = 0, 1, 2
_FILLERS = frozenset((0x115F, 0x1160, 0x3164, 0xFFA0))
"""Hangul fillers: letters by category, and nothing to see."""


@dataclass(frozen=True, slots=True)
class Letters:
    """The letters of a text, or of a piece of one."""

    codes: Array
    """(letters,) unsigned 16 bit; letters beyond the basic plane are folded into it."""
    places: Array
    """(letters,) 64 bit: the code point of the whole text that each comes from. `ß` gives two letters of one place."""
    steps: Array
    """(letters,) unsigned 8 bit: characters that count from the letter before (not included) to this one (included).

    White space counts as one however long it is, invisible characters as none, and no more than `MOST_BETWEEN` between letters.
    """
    counted: Array
    """(letters,) 64 bit: characters that count from the beginning of the whole text to each (included)."""

    def __len__(self) -> int:
        return len(self.codes)


class Reader:
    """Reads a text piece by piece; the letters are the same however it was cut."""

    def __init__(self) -> None:
        self.length = 0
        """Code points read so far."""
        self.trailing = 0
        """Characters that count since the last letter."""
        self._in_space = 0
        self._counted = 0

    def read(self, piece: str) -> Letters:
        """The letters of the next piece."""
        import numpy as np

        table, points = _table(), np.frombuffer(piece.encode("utf-32-le", "surrogatepass"), np.uint32)
        room, size = len(points) + _ROOM, len(points)
        codes, places, steps = np.empty(room, np.uint16), np.empty(room, np.int64), np.empty(room, np.uint8)
        counted = np.empty(room, np.int64)
        state = np.array((0, 0, self.trailing, self._in_space, self._counted, self.length), np.int64)
        at = made = 0
        while at < size:
            if len(codes) < made + _ROOM:
                given = (codes, places, steps, counted)
                codes, places, steps, counted = (np.concatenate([one, np.empty_like(one)]) for one in given)
            compiled(read)(points, *table.arrays, MOST_BETWEEN + 1, state, codes, places, steps, counted)
            at, made, self.trailing, self._in_space, self._counted, _ = state.tolist()
            if at < size:
                table.know(int(points[at]) >> 8)
        self.length += size
        return Letters(codes[:made], places[:made], steps[:made], counted[:made])


def letters(text: str) -> Letters:
    """The letters of a whole text."""
    return Reader().read(text)


def folded(character: str) -> str:
    """What one code point is compared as: mostly one letter, none for what is not compared, several for ligatures."""
    point = ord(character)
    if point in SIGNS:
        return SIGNS[point].lower()
    if 0xAC00 <= point <= 0xD7A3:  # a Hangul syllable, which NFKD would take apart
        return character
    plain = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", character).casefold())
    return "".join(_latin(one) for one in plain if _is_compared(one))


def _is_compared(character: str) -> bool:
    kind, point = unicodedata.category(character), ord(character)
    if kind[0] in "LN":
        return not (0x02B9 <= point <= 0x02FF or point in _FILLERS)
    is_selector = 0xFE00 <= point <= 0xFE0F or 0xE0100 <= point <= 0xE01EF or 0x180B <= point <= 0x180F or point == 0x034F
    return kind in {"Mn", "Mc"} and not unicodedata.combining(character) and not is_selector


def _latin(letter: str) -> str:
    """The Latin letter that it, or else its capital, passes for."""
    upper = letter.upper()
    other = TABLE.get(ord(upper), "") if len(upper) == 1 else ""
    return TABLE.get(ord(letter), other or letter).lower()


class _Table:
    """What becomes of each code point, worked out 256 at a time when a text first has one of them."""

    def __init__(self) -> None:
        import numpy as np

        self._singles = np.zeros(_POINTS, np.uint16)
        self._counts = np.zeros(_POINTS, np.uint8)
        self._kinds = np.zeros(_POINTS, np.uint8)
        self._firsts = np.zeros(_POINTS, np.int32)
        self._several = np.zeros(_SEVERAL, np.uint16)
        self._made = 0
        self._known = np.zeros(_POINTS >> 8, np.uint8)
        self._lock = Lock()

    @property
    def arrays(self) -> tuple[Array, ...]:
        """As the kernel takes them."""
        return self._singles, self._counts, self._kinds, self._firsts, self._several, self._known

    def know(self, page: int) -> None:
        """Work out a page, unless that was done before."""
        with self._lock:
            if self._known[page]:
                return
            for point in range(page << 8, (page + 1) << 8):
                character = chr(point)
                made = [_short(ord(one)) for one in folded(character)]
                self._counts[point], self._kinds[point] = len(made), _SEEN if made else _kind(character)
                if len(made) > 1:
                    self._several[self._made : self._made + len(made)] = made
                    self._firsts[point], self._made = self._made, self._made + len(made)
                elif made:
                    self._singles[point] = made[0]
            self._known[page] = 1  # the last: others read on without the lock


def _short(point: int) -> int:
    """16 bits of a code point; never 0."""
    return ((point ^ (point >> 16)) & 0xFFFF) or 1


def _kind(character: str) -> int:
    if character.isspace() or unicodedata.category(character)[0] == "Z":
        return _SPACE
    return _UNSEEN if unicodedata.category(character)[0] in "MC" or ord(character) in _FILLERS else _SEEN


@cache
def _table() -> _Table:
    return _Table()
