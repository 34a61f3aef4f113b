"""What a lint is, and the list of all of them.

A lint finds one kind of mistake that does not keep a policy from being loaded. It is a function from a Subject to Notes, and
says of itself what documentation, `--list` and SARIF show.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from policies.mistake import Position

if TYPE_CHECKING:
    from policies.lint.subject import Subject


class Level(StrEnum):
    """How much a finding matters, the least first."""

    ADVICE = "advice"
    """It works, and could be better."""
    WARNING = "warning"
    """It does something else than its author would expect."""
    ERROR = "error"
    """It cannot be meant."""

    @property
    def rank(self) -> int:
        """0 (`advice`) to 2 (`error`)."""
        return list(Level).index(self)


@dataclass(frozen=True, slots=True)
class Note:
    """One thing that a lint found."""

    at: Position
    found: str
    expected: str
    scope: Position | None = None
    """Where the rule, check or other part begins that it is about: a comment there can allow it as well."""

    @property
    def message(self) -> str:
        """What was found, and what was expected. What a file hides in control characters is spelt out."""
        text = f"found {self.found}, expected {self.expected}"
        return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)


Run = Callable[["Subject"], Iterable[Note]]


@dataclass(frozen=True, slots=True)
class Lint:
    """One kind of mistake."""

    name: str
    level: Level
    summary: str
    """One line: what is wrong."""
    why: str
    """A paragraph: why that matters, and what to do."""
    run: Run


LINTS: dict[str, Lint] = {}
"""All lints by name. The modules of this package fill it when the package is imported."""


def lint(name: str, level: Level, summary: str, *, why: str) -> Callable[[Run], Run]:
    """Decorate a function that looks for one kind of mistake. Raises ValueError for a name that is taken."""

    def add(run: Run) -> Run:
        if name in LINTS:
            raise ValueError(f"lint {name!r} is registered twice")
        LINTS[name] = Lint(name, level, summary, " ".join(why.split()), run)
        return run

    return add
