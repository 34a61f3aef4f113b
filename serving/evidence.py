"""What a verification finds, piece by piece, and its answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from guard.marks.reading import Standing
from guard.types import Modality
from serving.book import Entry


class Answer(StrEnum):
    """Where something comes from."""

    OURS = "ours"
    CHANGED = "ours, changed"
    TAMPERED = "tampered"
    UNKNOWN = "unknown"


EXIT = {Answer.OURS: 0, Answer.CHANGED: 0, Answer.UNKNOWN: 1, Answer.TAMPERED: 2}
"""Exit codes of the terminal."""


class Leads(StrEnum):
    """What the ledger says of what a mark names."""

    NOWHERE = ""
    """It names nothing of ours, or nobody was asked."""
    FOUND = "found"
    NOT_FOUND = "not found"
    FORGED = "forged"
    """It contradicts the ledger or the file."""
    NEAR = "near"
    """It names nothing; it looks like what an entry released."""


@dataclass(frozen=True, slots=True)
class Trace:
    """One kind of evidence."""

    kind: str
    standing: Standing
    says: str
    """What was found, in a sentence."""
    confidence: str
    """How far it goes, in words."""
    leads: Leads = Leads.NOWHERE
    entry: Entry | None = None
    proves: Answer | None = None
    """What it shows by itself."""
    method: str = ""
    chance: float | None = None
    """How often something that is not ours would show the same; None where nobody can say."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Report:
    """The answer, with what it rests on."""

    answer: Answer
    words: str
    """The answer in plain language."""
    modality: Modality
    traces: tuple[Trace, ...]
    entry: Entry | None
    """The entry that it comes from, or that it only claims; None when there is none, whatever it looks like."""
    same: tuple[Entry, ...]
    """Entries that released the same, the oldest first, at most 20."""
    count: int
    """How many of them there are."""
    notes: tuple[str, ...]
    """What could not be looked at, and why."""


def fields(report: Report) -> dict[str, Any]:
    """A report as plain fields."""
    return {
        "answer": report.answer.value,
        "words": report.words,
        "modality": report.modality.value,
        "entry": _entry_fields(report.entry),
        "same": {"count": report.count, "decisions": [str(one.decision) for one in report.same]},
        "traces": [_trace_fields(one) for one in report.traces],
        "notes": list(report.notes),
    }


def _trace_fields(trace: Trace) -> dict[str, Any]:
    return {
        "kind": trace.kind,
        "standing": trace.standing.value,
        "says": trace.says,
        "confidence": trace.confidence,
        "chance": trace.chance,
        "ledger": trace.leads.value,
        "method": trace.method,
        "entry": _entry_fields(trace.entry),
        "facts": dict(trace.facts),
        "reasons": list(trace.reasons),
    }


def _entry_fields(entry: Entry | None) -> dict[str, Any] | None:
    if entry is None:
        return None
    names = (
        "index", "time", "policy", "version", "revision", "action", "generator", "model", "leaf_hash", "released",
    )  # fmt: skip
    return {"decision": str(entry.decision), **{name: getattr(entry, name) for name in names}}


def named(entry: Entry) -> str:
    """An entry in a sentence."""
    return f"entry {entry.index}"


def in_full(entry: Entry) -> str:
    """An entry with its day, and what made its output."""
    made = f"{entry.generator}{f' ({entry.model})' if entry.model else ''}"
    return f"entry {entry.index} of {entry.time[:10]}, {entry.modality.value} of {made or 'an unnamed generator'}"
