"""What a verification finds, and what it comes to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from audit.gaps import Gap

OK, TAMPERED, EXPLAINED, UNSIGNED, ROLLED_BACK = 0, 2, 3, 4, 5
"""Exit codes: sound, tampered with, sound with gaps that entries explain, a checkpoint whose signature is wrong, a log behind a
checkpoint."""

SIGNATURE, ROOT, ROLLBACK, KEY = "signature", "root", "rollback", "key"
"""Kinds of problems of checkpoints."""

MAX_PROBLEMS = 1000


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that is not as it was committed."""

    idx: int | None
    """The entry; None when it concerns the whole ledger."""
    decision: str
    """Its decision id as far as it can still be read, else empty."""
    what: str
    """`body`, `leaf`, `column`, `term`, `gap`, `order`, `extra`, `head`, `payload`, `fingerprint`, `key`, `policy`, `review`,
    `api_key`, `schema`, `tile`, `moment`, `file`; of checkpoints `signature`, `root`, `rollback`."""
    found: str
    expected: str

    def __str__(self) -> str:
        place = (
            "ledger" if self.idx is None else f"entry {self.idx}" + (f" (decision {self.decision})" if self.decision else "")
        )
        return f"{place}: {self.what}: found {self.found}, expected {self.expected}"


@dataclass(frozen=True, slots=True)
class Report:
    """What a verification came to."""

    problems: tuple[Problem, ...]
    """The first 1000 of the ledger and the first 1000 of its checkpoints; those of entries come first, in order."""
    problem_count: int
    checked: Mapping[str, int]
    """How many of what: `entries`, `body_bytes`, `terms`, `payloads`, `payloads_opened`, `subject_keys`, `policies`,
    `pruned`, `bank_changes`, `rollouts`, `events`, `fingerprints`, `fingerprints_opened`, `fingerprints_compared`,
    `tiles`, `moments`, `api_keys`, `bank_batches`, `checkpoints`."""
    unchecked: tuple[str, ...]
    """What could not be checked, and why."""
    size: int
    root: str
    """Root over the entries as found, hexadecimal."""
    seconds: float
    gaps: tuple[Gap, ...] = ()
    """What is missing and explained by an erasure or by retention."""
    processes: int = 1
    """How many worked on it."""
    witnessed: tuple[str, ...] = ()
    """Which witnesses cosigned the largest tree that enough of them did, and when."""

    @property
    def ok(self) -> bool:
        """Whether nothing was found."""
        return self.problem_count == 0

    @property
    def exit_code(self) -> int:
        """0 sound, 3 sound with gaps that are explained; 5 behind a checkpoint, 4 when only signatures are wrong, else 2."""
        kinds = {problem.what for problem in self.problems}
        if ROLLBACK in kinds:
            return ROLLED_BACK
        if self.ok:
            return EXPLAINED if self.gaps else OK
        return UNSIGNED if kinds == {SIGNATURE} else TAMPERED


class Problems(Protocol):
    """Where problems go."""

    def __call__(self, idx: int | None, what: str, found: object, expected: object, decision: str = "") -> None:
        """Keep one."""


class Tally(Protocol):
    """Where counts go."""

    def __call__(self, what: str, number: int = 1) -> None:
        """Count."""


@dataclass(slots=True)
class Findings:
    """Problems and counts, in the order in which they are found."""

    problems: list[Problem] = field(default_factory=list)
    count: int = 0
    checked: dict[str, int] = field(default_factory=dict)

    def problem(self, idx: int | None, what: str, found: object, expected: object, decision: str = "") -> None:
        """Keep a problem; past the first thousand only count."""
        self.count += 1
        if len(self.problems) < MAX_PROBLEMS:
            self.problems.append(Problem(idx, _short(decision), what, _short(found), _short(expected)))

    def tally(self, what: str, number: int = 1) -> None:
        """Count what was checked."""
        self.checked[what] = self.checked.get(what, 0) + number

    def add(self, others: Findings) -> None:
        """What another part found, after what this one did."""
        self.count += others.count
        self.problems += others.problems[: MAX_PROBLEMS - len(self.problems)]
        for what, number in others.checked.items():
            self.tally(what, number)


def _short(value: object) -> str:
    text = value if isinstance(value, str) else repr(value)
    text = text.encode("utf-8", "backslashreplace").decode()
    return text if len(text) <= 300 else text[:297] + "..."
