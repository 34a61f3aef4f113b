"""Texts that others wrote, as a terminal may show them."""

from __future__ import annotations

import unicodedata


def printable(text: str) -> str:
    """A text that others wrote, without what would steer the terminal: control characters are written as their codes."""
    return "".join(
        letter if letter in "\n\t" or not unicodedata.category(letter).startswith("C") else _code(letter) for letter in text
    )


def _code(letter: str) -> str:
    # Joiners belong to words and emoji; everything else of the kind is invisible, or turns the writing direction.
    return letter if letter in "\u200c\u200d" else letter.encode("unicode_escape").decode("ascii")
