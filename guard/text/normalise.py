"""Text as it is meant to be read: look-alike letters, invisible characters, leetspeak and split words undone.

Deterministic and linear in the text's length. A reading is taken in rounds, since one disguise may hide another; what has been
read once does not change any more, unless it was built to hide more than `_ROUNDS` disguises in one another.

Each stage looks first, in a few microseconds, for what it could change: a hundred plain words cost less than a tenth of a
millisecond.
"""

from __future__ import annotations

import re
from functools import partial

from guard.text import characters, chinese, letters
from guard.text.reading import Normalised, Stage, unchanged

STAGES: tuple[Stage, ...] = (
    characters.compatibility,
    characters.invisible,
    characters.heaped_marks,
    characters.lookalikes,
    letters.spelled_out,
    letters.split_words,
    letters.leetspeak,
    chinese.taken_apart,
    chinese.by_sound,
    chinese.parted,
    chinese.stand_ins,
)
"""In the order in which they are applied; stretched letters are shortened after them."""
_ROUNDS = 6
_PART = re.compile(r"\S+")


def normalise(text: str, *, stretch: int = 1) -> Normalised:
    """The text without disguises, with its map to the original; `stretch`: how many of three or more same letters stay."""
    reading = unchanged(text)
    stages: tuple[Stage, ...] = (*STAGES, partial(letters.stretched, keep=stretch))
    for _ in range(_ROUNDS):
        before = reading.text
        for stage in stages:
            reading = stage(reading)
        if reading.text == before:
            break
    return reading


def readings(text: str) -> tuple[Normalised, ...]:
    """All readings that differ from the text and from one another: with stretched letters once, and twice. Mostly none."""
    once = normalise(text)
    if not once.changed:
        return ()
    twice = normalise(text, stretch=2)
    return (once,) if twice.text in {once.text, text} else (once, twice)


class Undisguised:
    """Tells of one text that grows whether it has no other reading, and looks at each part between spaces once.

    In a text whose characters are those that they seem to be and which spells nothing out, no stage changes anything across a
    space: it has no other reading where none of its parts has one.
    """

    def __init__(self) -> None:
        self._read = ""
        """What has no other reading, up to a space."""
        self._is_plain = True

    def __call__(self, text: str) -> bool:
        """Whether the text surely has no other reading. It begins as in the last call."""
        if not text.startswith(self._read):
            self._read, self._is_plain = "", True
        if self._is_plain and not self._plain_from(text, len(self._read)):
            self._is_plain = False
        if self._is_plain:
            self._read = text[: text.rfind(" ") + 1]
        return self._is_plain

    @staticmethod
    def _plain_from(text: str, begin: int) -> bool:
        part = text[begin:]
        # Marks may be heaped on the space before it.
        if not characters.is_plain(text[max(0, begin - 1) :]) or chinese.has_chinese(part):
            return False
        if letters.SPELLED_HINT.search(text, max(0, begin - letters.SPELLED_REACH)):
            return False
        if not any(hint.search(part) for hint in letters.HINTS):
            return True
        return not any(normalise(one).changed for one in _PART.findall(part) if any(hint.search(one) for hint in letters.HINTS))
