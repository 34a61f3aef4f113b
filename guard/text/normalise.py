"""Text as it is meant to be read: look-alike letters, invisible characters, leetspeak and split words undone.

Deterministic and linear in the text's length. A reading is taken in rounds, since one disguise may hide another; what has been
read once does not change any more, unless it was built to hide more than `_ROUNDS` disguises in one another.

Each stage looks first, in a few microseconds, for what it could change: a hundred plain words cost less than a tenth of a
millisecond.
"""

from __future__ import annotations

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
