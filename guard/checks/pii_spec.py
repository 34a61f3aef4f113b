"""What one kind of personal data looks like, as plain data: patterns, context, checksum, and what a text must have for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Needs:
    """What every match of a kind of data has; a text without it need not be searched."""

    digits: int = 0
    """At least so many ASCII digits in the text."""
    run: int = 0
    """At least so many of them in a run, with up to three characters between two that are no ASCII letters."""
    words: tuple[str, ...] = ()
    """At least one of these, in lower case, anywhere; empty: none is needed."""
    first: bool = False
    """Every match begins with one of the words."""
    like: str = ""
    """A quick pattern that stands somewhere in the lower-cased text; empty: none is needed."""


@dataclass(frozen=True, slots=True)
class PatternSpec:
    """One kind of personal data that a pattern finds."""

    entity: str
    name: str
    """Names the recognizer in findings."""
    patterns: tuple[tuple[str, float], ...]
    """Regular expressions of the `regex` module, each with its score from 0 to 1; a group `value` is what is reported."""
    context: tuple[str, ...] = ()
    """Words before (Chinese: around) a match that raise its score by 0.35, to 0.4 at least."""
    validate: Callable[[str], bool | None] | None = None
    """True: certain, score 1. False: not that. None: the pattern's score stands."""
    ignore_case: bool = False
    needs: Needs = Needs()
    not_after_code: bool = False
    """Bare digits right after a word such as "order" or "tracking number" are not that."""
