"""Recorded decisions as columns: what a ledger gives and a replay reads, so that neither has to know the other.

A batch has one row a decision, newest first. What checks answered is kept in the long form, one row a result and one a finding,
because checks differ from decision to decision.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, overload

from guard.decide import EARLY_STOP
from guard.types import Decision

if TYPE_CHECKING:
    from numpy.typing import NDArray

OK, FAILED, TIMEOUT, EARLY = range(4)
"""What became of a check: it answered; it failed; it took too long; it was not started, as an earlier group had blocked."""


STOPPED = EARLY_STOP
"""The error of a check that was not started."""


def status_of(status: str, error: str) -> int:
    """What became of a check, from what is recorded of it."""
    if status == "skipped":
        return EARLY if error == STOPPED else FAILED
    return {"ok": OK, "timeout": TIMEOUT}.get(status, FAILED)


class Coded(Sequence[str]):
    """A column of words of which few are different: each of them once, and which of them stands where."""

    __slots__ = ("numbers", "words")

    def __init__(self, words: Sequence[str], numbers: NDArray[Any]) -> None:
        """`numbers`: a whole number a row, the place of its word in `words`; some words may stand nowhere."""
        self.words, self.numbers = words, numbers

    @staticmethod
    def of(column: Sequence[str]) -> Coded:
        """Any column like that."""
        import numpy as np

        if isinstance(column, Coded):
            return column
        places = {word: place for place, word in enumerate(dict.fromkeys(column))}
        return Coded(list(places), np.array([places[word] for word in column], np.int64))

    def used(self) -> list[str]:
        """The words that stand somewhere."""
        import numpy as np

        there = np.bincount(self.numbers, minlength=len(self.words)) > 0
        return [self.words[place] for place in np.flatnonzero(there).tolist()]

    def each(self, value: Callable[[str], Any], dtype: Any) -> NDArray[Any]:
        """A value of each row's word; it is asked once a word that stands somewhere."""
        import numpy as np

        there = np.bincount(self.numbers, minlength=len(self.words)) > 0
        values = np.zeros(len(self.words), dtype)
        for place in np.flatnonzero(there).tolist():
            values[place] = value(self.words[place])
        found: NDArray[Any] = values[self.numbers]
        return found

    @overload
    def __getitem__(self, place: int) -> str: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[str]: ...
    def __getitem__(self, place: int | slice) -> str | Sequence[str]:
        """The word of a row, or the column of some rows."""
        if isinstance(place, slice):
            return Coded(self.words, self.numbers[place])
        return self.words[int(self.numbers[place])]

    def __iter__(self) -> Iterator[str]:
        """The words, row by row."""
        words = self.words
        return (words[number] for number in self.numbers.tolist())

    def __len__(self) -> int:
        """How many rows there are."""
        return len(self.numbers)


@dataclass(frozen=True, slots=True)
class Source:
    """What gave a result: a check by its name in the policy of then, with its version and the digest of its model or bank."""

    check: str
    version: str
    digest: str


@dataclass(frozen=True, slots=True)
class Results:
    """One row a result of a check."""

    row: NDArray[Any]
    """Which decision of the batch."""
    source: NDArray[Any]
    """Which of the batch's `sources`."""
    status: NDArray[Any]
    """OK, FAILED, TIMEOUT or EARLY."""
    whole: NDArray[Any]
    """Whether it read the whole content."""
    latency_us: NDArray[Any]


@dataclass(frozen=True, slots=True)
class Findings:
    """One row a finding."""

    result: NDArray[Any]
    """Which of the batch's results."""
    label: NDArray[Any]
    """Which of the batch's `labels`."""
    score: NDArray[Any]
    """Per mille."""
    placed: NDArray[Any]
    """Whether it says where."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """A batch of recorded decisions, newest first."""

    index: Sequence[int]
    """In the ledger."""
    time: Sequence[str]
    """RFC 3339 in UTC with microseconds: their order is that of the times."""
    policy: Sequence[str]
    revision: Sequence[str]
    action: Sequence[str]
    stage: Sequence[str]
    modality: Sequence[str]
    generator: Sequence[str]
    tenant: Sequence[str]
    language: Sequence[str]
    purpose: Sequence[str]
    consent: Sequence[str]
    length: NDArray[Any]
    refused: NDArray[Any]
    """Whether the input could not be read as a content at all."""
    unmarked: NDArray[Any]
    """Whether an edit or a mark could not be put on."""
    sources: Sequence[Source]
    labels: Sequence[str]
    results: Results
    findings: Findings
    decision: Callable[[int], Decision]
    """The decision of a row, in full."""
    fired: Callable[[int], Mapping[str, str]]
    """The rules that fired at a row, with the action of each."""

    def __len__(self) -> int:
        return len(self.index)
