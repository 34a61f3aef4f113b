"""Collects every mistake of one policy file, so that its author sees all of them at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import islice
from typing import Any
from unicodedata import east_asian_width

from guard.errors import PolicyError

_SHOWN = 60
"""How many characters of a value a message shows."""
_LISTED = 20
"""How many accepted names a message lists."""
_COMPARED = 500
"""How many accepted names are compared with a mistyped one."""
_WIDTH = 160
"""Characters of a line that a message quotes at most."""
_REPORTED = 100
"""How many mistakes a message names."""


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """A place in a policy file. Lines and columns count from 1; 0: the file as a whole."""

    file: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        if not self.line:
            return self.file
        return f"{self.file}:{self.line}:{self.column}" if self.column else f"{self.file}:{self.line}"


@dataclass(frozen=True, slots=True, order=True)
class Mistake:
    """One mistake: where it is, and what was found and expected there."""

    at: Position
    message: str

    @property
    def line(self) -> int:
        """The line, from 1; 0 for the file as a whole."""
        return self.at.line

    def __str__(self) -> str:
        return f"{self.at}: {self.message}"


class PolicyFileError(PolicyError):
    """A policy file with mistakes: `mistakes` has them all, the message names the first hundred."""

    def __init__(self, file: str, mistakes: tuple[Mistake, ...], quotes: Mapping[Position, str] | None = None) -> None:
        """`mistakes` must not be empty; the first gives `line`. `quotes`: the lines of the files that mistakes point at."""
        more = [str(mistake) for mistake in mistakes[:_REPORTED]]
        if len(mistakes) > _REPORTED:
            more.append(f"{file}: and {len(mistakes) - _REPORTED} more")
        super().__init__("\n".join(more), advice="Correct these lines; docs/policy.md explains every key with an example.")
        self.file = file
        self.line = mistakes[0].at.line
        self.mistakes = mistakes
        self._quotes = dict(quotes or {})

    def diagnostics(self) -> str:
        """Every mistake with its line of the file and a caret under the place, then what to do."""
        parts = [f"{mistake}{self._pointer(mistake.at)}" for mistake in self.mistakes[:_REPORTED]]
        if len(self.mistakes) > _REPORTED:
            parts.append(f"{self.file}: and {len(self.mistakes) - _REPORTED} more")
        return "\n".join([*parts, self.advice])

    def _pointer(self, at: Position) -> str:
        text = self._quotes.get(at, "")
        if not text or not at.column:
            return ""
        # Characters that a terminal would act on, or that are wider than one place, must not move the caret.
        shown = "".join(one if one.isprintable() else " " for one in text)
        start = max(0, at.column - 1 - _WIDTH // 2) if len(shown) > _WIDTH else 0
        head, cut = shown[start : at.column - 1], shown[start : start + _WIDTH]
        caret = " " * sum(2 if east_asian_width(one) in "WF" else 1 for one in head)
        return f"\n{at.line:>6} | {cut}\n       | {caret}^"


class Mistakes:
    """The mistakes of one file and of those that it extends, while they are being collected."""

    def __init__(self, file: str) -> None:
        """`file`: its name in messages."""
        self.file = file
        self._found: dict[Mistake, None] = {}
        self._texts: dict[str, list[str]] = {}
        self._settled: set[Position] = set()

    def quote(self, file: str, text: str) -> None:
        """Remember what a file says, so that messages can show the lines they are about."""
        self._texts[file] = text.splitlines()

    def add(self, at: Position, found: str, expected: str, hint: str = "") -> None:
        """Note that `found` stands where `expected` should."""
        self.say(at, f"found {found}, expected {expected}" + (f"; {hint}" if hint else ""))

    def say(self, at: Position, message: str) -> None:
        """Note a mistake in words of its own. What a file hides in control characters is spelt out."""
        if at in self._settled:
            return
        shown = "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in message)
        self._found[Mistake(at, shown)] = None

    def settle(self, at: Position) -> None:
        """Say no more of this place: what else is wrong there follows from what was said."""
        self._settled.add(at)

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
        """Raise PolicyFileError with all that was noted: the file's own first, then in the order of places."""
        if not self._found:
            return
        found = tuple(sorted(self._found, key=lambda one: (one.at.file != self.file, one.at)))
        quotes = {one.at: self._line(one.at) for one in found}
        raise PolicyFileError(self.file, found, quotes)

    def _line(self, at: Position) -> str:
        lines = self._texts.get(at.file, [])
        return lines[at.line - 1] if 0 < at.line <= len(lines) else ""


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
