"""Recorded decisions as columns: what a ledger gives and a replay reads, so that neither has to know the other.

A batch has one row a decision, newest first. What checks answered is kept in the long form, one row a result and one a finding,
because checks differ from decision to decision.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

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
