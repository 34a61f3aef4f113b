"""Whether recorded decisions derive again, each under the very policy that it was made under."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from guard.errors import PolicyError
from guard.recorded import Recorded
from guard.rules import Policy
from guard.types import Verdict
from policies.document import from_document
from policies.lineage import Reason
from policies.rejudge import edits, rederive


@dataclass(frozen=True, slots=True)
class Difference:
    """A decision that does not derive again."""

    index: int
    decision: str
    recorded: str
    """The action, with the rules that fired."""
    derived: str


@dataclass(slots=True)
class Rederivation:
    """Decides batch after batch again: actions, rules with their actions, places, messages."""

    documents: Mapping[str, str]
    """Policy documents by revision."""
    total: int = 0
    refused: int = 0
    """Inputs that could not be read: there is nothing to derive."""
    same: int = 0
    differences: list[Difference] = field(default_factory=list)
    reasons: Counter[str] = field(default_factory=Counter)
    """How many could not be derived, by why."""
    _policies: dict[str, Policy | Reason] = field(default_factory=dict)

    def add(self, batch: Recorded) -> None:
        """Decide a batch again."""
        self.total += len(batch)
        for row in range(len(batch)):
            if batch.refused[row]:
                self.refused += 1
                continue
            policy = self._policy(batch.revision[row])
            if isinstance(policy, Reason):
                self.reasons[policy] += 1
                continue
            decision = batch.decision(row)
            derived = rederive(policy, decision)
            if _facts(derived) == _facts(decision.verdict):
                self.same += 1
            else:
                told = (_told(decision.verdict), _told(derived))
                self.differences.append(Difference(batch.index[row], str(decision.id), *told))

    def _policy(self, revision: str) -> Policy | Reason:
        if revision not in self._policies:
            document = self.documents.get(revision)
            try:
                self._policies[revision] = Reason.UNKNOWN if document is None else from_document(document)
            except PolicyError:
                self._policies[revision] = Reason.UNREADABLE
        return self._policies[revision]


def _facts(verdict: Verdict) -> tuple[object, ...]:
    fired = sorted((one.rule, one.action.value) for one in verdict.fired)
    return verdict.action, fired, edits(verdict), verdict.message


def _told(verdict: Verdict) -> str:
    return f"{verdict.action.value} ({', '.join(one.rule for one in verdict.fired) or 'no rule'})"
