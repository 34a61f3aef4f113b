"""Comments that allow a finding: `# lint: allow NAME - reason`, on the line of the finding or its rule, or the line above."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from policies.mistake import Position

_COMMENT = re.compile(r"(?:^|\s)#\s*lint:\s*allow\b[ \t]*(?P<names>[\w-]*(?:\s*,\s*[\w-]+)*)\s*(?P<rest>.*)$")
_REASON = re.compile(r"[-–—:]\s*(?P<reason>\S.*)")


@dataclass(frozen=True, slots=True)
class Allowance:
    """One comment that allows findings of some lints in its place."""

    at: Position
    names: tuple[str, ...]
    reason: str
    """Empty where none is given: then nothing is allowed."""
    alone: bool
    """Whether nothing else stands on its line: then it speaks for the next line that is no comment."""
    line: int
    """The line that it speaks for."""


def allowances(texts: Mapping[str, Sequence[str]]) -> tuple[Allowance, ...]:
    """The allowances of some files, in order. `texts`: lines by file."""
    return tuple(one for file, lines in texts.items() for one in _of(file, lines))


def _of(file: str, lines: Sequence[str]) -> Iterator[Allowance]:
    for number, line in enumerate(lines, 1):
        found = _COMMENT.search(line)
        if found is None:
            continue
        reason = _REASON.fullmatch(found["rest"].strip())
        start = line.index("#", found.start())
        alone = not line[:start].strip()
        names = tuple(name.strip() for name in found["names"].split(",") if name.strip())
        spoken = _next(lines, number) if alone else number
        yield Allowance(Position(file, number, start + 1), names, reason["reason"].strip() if reason else "", alone, spoken)


def _next(lines: Sequence[str], number: int) -> int:
    """The first line after line `number` that is no comment."""
    while number < len(lines) and lines[number].lstrip().startswith("#"):
        number += 1
    return number + 1
