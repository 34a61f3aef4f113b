"""What depends on the entries before: documents of policies, and who let an output go. Noted as it is met, judged in order.

What bodies say is noted as they say it, whatever its type: that it is none that it could be was told already.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from msgspec import Struct

from audit.key_record import KeyRecord, KeyStep
from audit.verifier.report import Problems
from guard.types import Rollout


class Documented(Struct, frozen=True, tag=True):
    """A document of a policy, or an entry that should hold one and cannot be read (`policy` is None)."""

    idx: int
    revision: Any
    policy: Any = None
    version: Any = 0


class Used(Struct, frozen=True, tag=True):
    """A revision that was decided by."""

    idx: int
    revision: Any
    decision: str


class Freed(Struct, frozen=True, tag=True):
    """A person let go what a decision held."""

    idx: int
    held: str


class Let(Struct, frozen=True, tag=True):
    """A decision that released something because entry `entry` says so."""

    idx: int
    entry: Any
    held: Any
    decision: str


class Rolled(Struct, frozen=True, tag=True):
    """A step of a rollout."""

    idx: int
    rollout: Rollout


class Rekeyed(Struct, frozen=True, tag=True):
    """The log's own key gave way to another."""

    idx: int
    before: str
    after: str


Step = Documented | Used | Freed | Let | Rolled | Rekeyed | KeyStep


@dataclass(slots=True)
class Notes:
    """Steps of a stretch of entries. A revision is noted once: what follows its first use changes nothing."""

    steps: list[Step] = field(default_factory=list)
    _known: set[Any] = field(default_factory=set)

    def documented(self, idx: int, revision: Any, policy: Any = None, version: Any = 0) -> None:
        """An entry holds a document."""
        self._known.add(revision)
        self.steps.append(Documented(idx, revision, policy, version))

    def used(self, idx: int, revision: Any, decision: str) -> None:
        """A decision was made by it."""
        if revision not in self._known:
            self._known.add(revision)
            self.steps.append(Used(idx, revision, decision))


@dataclass(slots=True)
class Course:
    """The log up to where it was followed."""

    problem: Problems
    documents: dict[str, tuple[str, int] | None] = field(default_factory=dict)
    """Policy and version of each revision whose document was seen; None where that could not be read."""
    missing: set[str] = field(default_factory=set)
    freed: dict[int, str] = field(default_factory=dict)
    """Entries in which a person let an output go, with the decision that held it."""
    keys: list[tuple[int, str, str]] = field(default_factory=list)
    """Entries that changed the log's key: index, key before, key after."""
    service: KeyRecord = field(default_factory=KeyRecord)
    """Keys of the service."""

    def follow(self, steps: Iterable[Step]) -> None:
        """Go on with the steps of the next entries."""
        for step in steps:
            if isinstance(step, Documented):
                self.documents[step.revision] = None if step.policy is None else (step.policy, step.version)
            elif isinstance(step, Used):
                self._need(step.idx, step.revision, step.decision)
            elif isinstance(step, Freed):
                self.freed[step.idx] = step.held
            elif isinstance(step, Let):
                if not isinstance(step.entry, int) or self.freed.get(step.entry) != step.held:
                    found = f"an output let go by entry {step.entry}"
                    self.problem(step.idx, "review", found, "a person's decision before it", step.decision)
            elif isinstance(step, Rekeyed):
                self.keys.append((step.idx, step.before, step.after))
            elif isinstance(step, KeyStep):
                if fault := self.service.follow(step):
                    self.problem(step.idx, "api_key", fault, "a step that the entries before allow")
            else:
                self._rolled(step.idx, step.rollout)

    def _need(self, idx: int, revision: str, decision: str) -> None:
        """What is decided has its policy document in an entry before; each that is missing is told once."""
        if revision not in self.documents and revision not in self.missing:
            self.missing.add(revision)
            found = f"no document of policy revision {revision} before it"
            self.problem(idx, "policy", found, "its activation", decision)

    def _rolled(self, idx: int, rollout: Rollout) -> None:
        """A step is about revisions of its own policy."""
        for revision in [rollout.revision, *([rollout.previous] if rollout.previous else [])]:
            self._need(idx, revision, "")
            known = self.documents.get(revision)
            expected = (rollout.policy, rollout.version if revision == rollout.revision else known and known[1])
            if known is not None and known != expected:
                self.problem(idx, "policy", f"revision {revision} of policy {known[0]!r}", f"one of {rollout.policy!r}")
