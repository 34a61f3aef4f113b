"""What is measured, and who plays it: the values that describe one comparison."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Findings = Mapping[str, Mapping[str, Any]]
"""What each player, by name, says it found in each case."""


class DisagreementError(Exception):
    """Players that were to find the same did not: their times are no comparison."""


@dataclass(frozen=True, slots=True)
class Place:
    """An environment of its own, with versions as the package index has them."""

    name: str
    """Of its folder."""
    requirements: tuple[str, ...] = ()
    """What pip installs; empty for the environment of this project."""
    torch: bool = False
    """Whether it needs PyTorch: installed first, so that no CUDA build comes along."""
    ours: bool = False
    """Whether its players import modules of this project as well."""

    @property
    def version(self) -> str:
        """Of what is measured there."""
        return self.requirements[0].partition("==")[2] if self.requirements else ""


HERE = Place("here", ours=True)


@dataclass(frozen=True, slots=True)
class Player:
    """One system that does the work."""

    name: str
    script: str
    """Below `players/`."""
    place: Place = HERE
    notes: str = ""
    """What a reader has to know to compare it."""

    @property
    def called(self) -> str:
        """Name and version."""
        return f"{self.name} {self.place.version}".rstrip()


@dataclass(frozen=True, slots=True)
class Cell:
    """A column of the table."""

    heading: str
    form: str
    """As of `str.format`, over the medians of a case: all figures of a player's answers, and `cpu_ms` and `wall_ms`."""
    case: str = ""
    """Empty: of the player as a whole, over `import_s` and `resident_mib`."""


def nothing_made(_folder: Path) -> None:
    """For players that need no material."""


def nothing_compared(_found: Findings) -> Sequence[str]:
    """For players that find nothing."""
    return ()


@dataclass(frozen=True, slots=True)
class Subject:
    """One comparison: a table of the page."""

    name: str
    cases: tuple[str, ...]
    players: tuple[Player, ...]
    cells: tuple[Cell, ...]
    unit: str
    """What the figures are, for the line above the table."""
    make: Callable[[Path], None] = nothing_made
    """Puts what players read into a folder, the same each time; what is there already may stay."""
    compare: Callable[[Findings], Sequence[str]] = nothing_compared
    """Sentences about what was found. Raises DisagreementError."""
    runs: int = 0
    """Most runs of this subject; 0: as many as asked for."""
    enough_us: int = 150_000
    """Time of one run: so many calls are made at once."""
    fresh: bool = False
    """Whether each run is a process of its own, measured from its start."""
    shelf: str = ""
    """Name of the folder of material, where several subjects share one."""


def timed(case: str, heading: str = "", unit: str = "us", digits: int = 0) -> Cell:
    """Computing and wall time a call."""
    form = f"{{cpu_{unit}:,.{digits}f}} ({{wall_{unit}:,.{digits}f}})"
    return Cell(heading or f"{case}, CPU (wall)", form, case)


def same(found: Findings, names: Sequence[str], cases: Sequence[str]) -> int:
    """How many cases were answered alike by all of `names` that answered. Raises DisagreementError for others."""
    compared = 0
    for case in cases:
        answers = {name: found[name][case] for name in names if case in found.get(name, {})}
        for name, answer in answers.items():
            first = next(iter(answers))
            if answer != answers[first]:
                raise DisagreementError(f"{case}: {name} found {str(answer)[:200]}, {first} {str(answers[first])[:200]}")
        compared += len(answers) > 1
    return compared
