"""What came of the tests of a policy."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from policies.mistake import Position


class Outcome(StrEnum):
    """What became of one test. Only `failed` says that the policy does something else than was expected."""

    PASSED = "passed"
    FAILED = "failed"
    ERROR = "error"
    """It could not be told: a check could not run, or a file of the test is missing."""


@dataclass(frozen=True, slots=True)
class Result:
    """One test with its outcome."""

    at: Position
    name: str
    """The name its author gave it, or `threat flags 'I will find you …'`."""
    rule: str
    """The rule it is an example of; empty for a test of a suite."""
    kind: str
    """`flags`, `passes` or `redacts`; `suite` for a test of a suite."""
    outcome: Outcome
    why: tuple[str, ...] = ()
    """What was expected and what was measured instead, a line each; empty when it passed."""
    seconds: float = 0.0
    """Its share of the time that measuring took."""


@dataclass(frozen=True, slots=True)
class Near:
    """A score so close to a threshold that a slightly different model would turn the test round."""

    at: Position
    """Of the test."""
    test: str
    rule: str
    measure: str
    """What was measured: `toxicity.threat`."""
    score: int
    """Per mille."""
    threshold: int
    """Per mille."""


@dataclass(frozen=True, slots=True)
class Branch:
    """Something about a rule that tests can show, and whether one does."""

    at: Position
    rule: str
    what: str
    """In words: `an example that it flags`, `toxicity.threat at least 0.600 is false`."""
    shown: bool


@dataclass(frozen=True, slots=True)
class Coverage:
    """How much of a policy's rules its tests show."""

    branches: tuple[Branch, ...]

    @property
    def percent(self) -> float:
        """Share of all branches that a test shows, 0 to 100; 100 where there are none."""
        shown = sum(branch.shown for branch in self.branches)
        return 100.0 * shown / len(self.branches) if self.branches else 100.0

    @property
    def missing(self) -> tuple[Branch, ...]:
        """What no test shows, in the order of the file."""
        return tuple(branch for branch in self.branches if not branch.shown)


@dataclass(frozen=True, slots=True)
class Report:
    """What came of the tests of one policy: the examples beside its rules, and the suites."""

    file: str
    policy: str
    version: int
    revision: str
    results: tuple[Result, ...]
    coverage: Coverage
    near: tuple[Near, ...] = ()

    def _count(self, outcome: Outcome) -> int:
        return sum(result.outcome is outcome for result in self.results)

    @property
    def passed(self) -> int:
        """How many tests showed what was expected."""
        return self._count(Outcome.PASSED)

    @property
    def failed(self) -> int:
        """How many showed something else."""
        return self._count(Outcome.FAILED)

    @property
    def errors(self) -> int:
        """How many could not be told."""
        return self._count(Outcome.ERROR)

    @property
    def ok(self) -> bool:
        """Whether there are tests, and every one of them passed."""
        return bool(self.results) and self.passed == len(self.results)
