"""What depends on the entries before: documents of policies, and who let an output go. Noted as it is met, judged in order."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from audit.verifier.report import Problems
from guard.types import Rollout


@dataclass(frozen=True, slots=True)
class Documented:
    """A document of a policy, or an entry that should hold one and cannot be read (`policy` is None)."""

    idx: int
    revision: str
    policy: str | None = None
    version: int = 0


@dataclass(frozen=True, slots=True)
class Used:
    """A revision that was decided by."""

    idx: int
    revision: str
    decision: str


@dataclass(frozen=True, slots=True)
class Freed:
    """A person let go what a decision held."""

    idx: int
    held: str


@dataclass(frozen=True, slots=True)
class Let:
    """A decision that released something because entry `entry` says so."""

    idx: int
    entry: int
    held: str
    decision: str


@dataclass(frozen=True, slots=True)
class Rolled:
    """A step of a rollout."""

    idx: int
    rollout: Rollout


Step = Documented | Used | Freed | Let | Rolled


@dataclass(slots=True)
class Notes:
    """Steps of a stretch of entries. A revision is noted once: what follows its first use changes nothing."""

    steps: list[Step] = field(default_factory=list)
    _known: set[str] = field(default_factory=set)

    def documented(self, idx: int, revision: str, policy: str | None = None, version: int = 0) -> None:
        """An entry holds a document."""
        self._known.add(revision)
        self.steps.append(Documented(idx, revision, policy, version))

    def used(self, idx: int, revision: str, decision: str) -> None:
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
