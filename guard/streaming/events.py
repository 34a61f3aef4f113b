"""What a caller of `Guard.stream` gets, in order, of each choice."""

from __future__ import annotations

from dataclasses import dataclass, field

from guard.types import Ending, Making, Release


@dataclass(frozen=True, slots=True)
class Delta:
    """Text that may leave now."""

    choice: int
    text: str = field(repr=False)
    """To append to what the choice has said; never empty."""


@dataclass(frozen=True, slots=True)
class Called:
    """A tool call, which is judged as a whole, as an output of its own."""

    choice: int
    release: Release
    """Its content has `making.call`; None when it may not leave."""


@dataclass(frozen=True, slots=True)
class Ended:
    """The text of a choice has ended, and its decision is committed. Nothing of it follows."""

    choice: int
    release: Release
    ending: Ending
    sent: str = field(repr=False)
    """All of it that left: the deltas, joined."""
    making: Making | None = None
    """What the generator told of the whole output; None where it did not end. No scores where the text was edited."""


Event = Delta | Called | Ended
