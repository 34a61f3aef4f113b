"""Collects every mistake of one policy file, so that its author sees all of them at once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import islice
from typing import Any

from guard.errors import PolicyError

_SHOWN = 60
"""How many characters of a value a message shows."""
_LISTED = 20
"""How many accepted names a message lists."""
_COMPARED = 500
"""How many accepted names are compared with a mistyped one."""
_REPORTED = 100
"""How many mistakes a message names."""


@dataclass(frozen=True, slots=True, order=True)
class Mistake:
    """One mistake: where it is (lines count from 1; 0: the file as a whole), and what was found and expected there."""

    line: int
    message: str


class PolicyFileError(PolicyError):
    """A policy file with mistakes: `mistakes` has them all, the message names the first hundred."""

    def __init__(self, file: str, mistakes: tuple[Mistake, ...]) -> None:
        """`mistakes` must not be empty; the first gives `line`."""
        first, *others = mistakes
        more = [
            f"{file}:{mistake.line}: {mistake.message}" if mistake.line else f"{file}: {mistake.message}"
            for mistake in others[: _REPORTED - 1]
        ]
        if len(mistakes) > _REPORTED:
            more.append(f"{file}: and {len(mistakes) - _REPORTED} more")
        super().__init__(
            "\n".join([first.message, *more]),
            file=file,
            line=first.line,
            advice="Correct these lines; docs/policy.md explains every key with an example.",
        )
        self.mistakes = mistakes


class Mistakes:
    """The mistakes of one file, while they are being collected."""

    def __init__(self, file: str) -> None:
        """`file`: its name in messages."""
        self.file = file
        self._found: dict[Mistake, None] = {}

    def add(self, line: int, found: str, expected: str, hint: str = "") -> None:
        """Note that `found` stands where `expected` should."""
        self.say(line, f"found {found}, expected {expected}" + (f"; {hint}" if hint else ""))

    def say(self, line: int, message: str) -> None:
        """Note a mistake in words of its own. What a file hides in control characters is spelt out."""
        shown = "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in message)
        self._found[Mistake(line, shown)] = None

    def closest(self, name: str, names: Iterable[str]) -> str:
        """A hint at the name that was probably meant; empty when none is near, or when the mistake will not be named."""
        if len(self._found) >= _REPORTED:
            return ""
        by_fold = {known.casefold(): str(known) for known in islice(names, _COMPARED)}
        near = get_close_matches(name[:_SHOWN].casefold(), list(by_fold), n=1, cutoff=0.6)
        return f"did you mean {by_fold[near[0]]!r}?" if near else ""

    def __len__(self) -> int:
        return len(self._found)

    def raise_if_any(self) -> None:
        """Raise PolicyFileError with all that was noted, in the order of lines."""
        if self._found:
            raise PolicyFileError(self.file, tuple(sorted(self._found, key=lambda mistake: mistake.line)))


def describe(value: Any) -> str:
    """A value of a policy file in an author's words, cut to a readable length."""
    match value:
        case None:
            return "nothing"
        case bool():
            return "true" if value else "false"
        case dict():
            return "a mapping" if value else "an empty mapping"
        case list():
            return "a list" if value else "an empty list"
        case str():
            return repr(value if len(value) <= _SHOWN else value[: _SHOWN - 1] + "…")
        case _:
            return str(value)[:_SHOWN]


def listed(names: Iterable[str]) -> str:
    """`a, b, c`, cut where the list gets long; `none` when it is empty."""
    known = list(names)
    more = f", … ({len(known)} in all)" if len(known) > _LISTED else ""
    return ", ".join(known[:_LISTED]) + more if known else "none"


def one_of(names: Iterable[str]) -> str:
    """`one of: a, b, c`, cut where the list gets long."""
    return f"one of: {listed(names)}"
