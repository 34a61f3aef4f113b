"""Another policy over recorded decisions, from the recorded scores: what it would have decided, and what nobody can say.

Decisions come as columns (`guard.recorded`), newest first. The model, bank and version of a check that count are those of the
newest result that it gave: what older ones measured is not what the draft would measure.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from guard.decide import decide
from guard.errors import PolicyError
from guard.recorded import OK, Coded, Recorded
from guard.rules import Policy, matches
from guard.types import Action, CheckResult, Decision, Verdict
from policies.document import from_document
from policies.lineage import Reason, answers
from policies.rejudge import Outcome, edits, marked, rederive, rejudge

BY = ("rule", "generator", "tenant", "language", "policy")
"""What flips are counted by."""

_ACTIONS = tuple(Action)


@dataclass(frozen=True, slots=True)
class Example:
    """One decision that would be another one."""

    decision: str
    index: int
    """In the ledger."""
    time: str
    before: str
    """The action."""
    after: str
    rules_before: tuple[str, ...]
    """Which rules made the action."""
    rules_after: tuple[str, ...]
    because_before: str
    because_after: str


@dataclass(slots=True)
class Flip:
    """All decisions that go from one action to another."""

    before: str
    after: str
    count: int = 0
    by: dict[str, Counter[str]] = field(default_factory=lambda: {name: Counter() for name in BY})
    """With `rule`, `+id` counts where a rule makes the new action and `-id` where it no longer makes the old one."""
    examples: list[Example] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Summary:
    """What came of a replay, so far."""

    policy: str
    version: int
    revision: str
    total: int
    """Decisions that were looked at."""
    outside: int
    """Of generators and tenants that the draft does not speak for."""
    refused: int
    """Inputs that could not be read: no policy changes that."""
    replayed: int
    unchanged: int
    changed_edits: int
    """Redacted before and after, but in other places or in another way; part of `unchanged`."""
    flips: tuple[Flip, ...]
    """Most frequent first."""
    unreplayable: int
    reasons: Mapping[str, int]
    """How many cannot be replayed, by why."""
    exact: int
    """Decisions that were judged one by one and not in columns."""

    @property
    def flipped(self) -> int:
        """Decisions with another action."""
        return sum(flip.count for flip in self.flips)


class Replay:
    """Replays batches of recorded decisions under a draft."""

    def __init__(self, draft: Policy, documents: Mapping[str, str], *, examples: int = 5, as_measured: bool = False) -> None:
        """`documents`: policy documents by revision. `examples`: kept of each kind of flip.

        `as_measured`: let results count whatever model, bank or version gave them.
        """
        self.draft = draft
        self._documents, self._examples, self._as_measured = documents, examples, as_measured
        self._plans: dict[str, Any] = {}
        self._identity: dict[str, tuple[str, str]] = {}
        self.total = self._outside = self._refused = self._replayed = self._edited = self._exact = 0
        self._reasons: Counter[str] = Counter()
        self._flips: dict[tuple[str, str], Flip] = {}

    def add(self, batch: Recorded) -> None:
        """Replay a batch. Batches come newest first."""
        import numpy as np

        self.total += len(batch)
        left = ~batch.refused
        self._refused += int(batch.refused.sum())
        covered = self._covered(batch)
        self._outside += int((left & ~covered).sum())
        left &= covered
        revisions = Coded.of(batch.revision)
        groups = []
        for revision in sorted(revisions.used()):
            rows = np.flatnonzero(left & revisions.each(lambda one, this=revision: one == this, bool))  # type: ignore[misc]
            plan = self._plan(revision)
            if isinstance(plan, Reason):
                self._reasons[plan] += len(rows)
            elif len(rows):
                groups.append((plan, rows))
        self._learn(batch, groups)
        for plan, rows in groups:
            self._replay(batch, plan, rows)

    def add_rescored(self, decision: Decision, index: int, results: Sequence[CheckResult]) -> None:
        """Count a decision whose content the draft's checks have read again, with what they found."""
        self.total += 1
        if not self.draft.covers(decision.context.generator, decision.context.tenant):
            self._outside += 1
            return
        outcome = marked(self.draft, decide(self.draft, results, decision.context), decision)
        self._count(decision, index, outcome)

    def leave_out(self, reason: str) -> None:
        """Count a decision that cannot be replayed for a reason that the caller has; with none, an input that was refused."""
        self.total += 1
        if reason:
            self._reasons[reason] += 1
        else:
            self._refused += 1

    def summary(self) -> Summary:
        """What came of all batches so far."""
        flips = sorted(self._flips.values(), key=lambda flip: (-flip.count, flip.before, flip.after))
        flipped = sum(flip.count for flip in flips)
        return Summary(
            self.draft.id,
            self.draft.version,
            self.draft.revision,
            self.total,
            self._outside,
            self._refused,
            self._replayed,
            self._replayed - flipped,
            self._edited,
            tuple(flips),
            sum(self._reasons.values()),
            dict(self._reasons.most_common()),
            self._exact,
        )

    # --- which results count ---------------------------------------------------------------------------------------------

    def _covered(self, batch: Recorded) -> Any:
        import numpy as np

        if self.draft.generators == ("*",) and self.draft.tenants == ("*",):
            return np.ones(len(batch), bool)
        generators = Coded.of(batch.generator).each(lambda one: matches(one, self.draft.generators), bool)
        return generators & Coded.of(batch.tenant).each(lambda one: matches(one, self.draft.tenants), bool)

    def _plan(self, revision: str) -> Any:
        """The plan for decisions of a revision, or why there is none."""
        from policies.tabular import Plan

        if revision not in self._plans:
            document = self._documents.get(revision)
            if document is None:
                self._plans[revision] = Reason.UNKNOWN
            else:
                try:
                    recorded = from_document(document)
                    self._plans[revision] = Plan.of(self.draft, recorded, answers(self.draft, recorded))
                except PolicyError:
                    self._plans[revision] = Reason.UNREADABLE
        return self._plans[revision]

    def _learn(self, batch: Recorded, groups: Sequence[tuple[Any, Any]]) -> None:
        """Take the newest result of each check as the measure of what counts."""
        import numpy as np

        newest: dict[str, tuple[int, int]] = {}
        for plan, rows in groups:
            unknown = [one for one in plan.answers if one.recorded and one.check not in self._identity]
            if not unknown or self._as_measured:
                continue
            here = np.zeros(len(batch), bool)
            here[rows] = True
            results = batch.results
            for answer in unknown:
                mine = np.array([source.check == answer.recorded for source in batch.sources] or [False], bool)
                found = np.flatnonzero(mine[results.source] & (results.status == OK) & here[results.row])
                if len(found):
                    candidate = (int(results.row[found[0]]), int(results.source[found[0]]))
                    newest[answer.check] = min(candidate, newest.get(answer.check, candidate))
        for check, (_, source) in newest.items():
            self._identity[check] = (batch.sources[source].version, batch.sources[source].digest)

    def _trusts(self, check: str, version: str, digest: str) -> bool:
        return self._as_measured or self._identity.get(check, (version, digest)) == (version, digest)

    # --- what comes of it --------------------------------------------------------------------------------------------------

    def _replay(self, batch: Recorded, plan: Any, rows: Any) -> None:
        import numpy as np

        from policies.tabular import REASONS, STRENGTH, Sheet

        trusted = {
            spec.name: np.array(
                [self._trusts(spec.name, source.version, source.digest) for source in batch.sources] or [False], bool
            )
            for spec in self.draft.checks
        }
        sheet = Sheet(plan, batch, rows, trusted)
        judged = sheet.judge()
        before = Coded.of(batch.action).each(STRENGTH.__getitem__, np.int8)[rows]
        certain = judged.reason < 0
        exactly = judged.exactly
        redacted = certain & (before == Action.REDACT.strength) & (judged.strength == Action.REDACT.strength)
        if plan.touched != () and redacted.any():
            differs, may = sheet.touched()
            differs &= redacted & ~exactly
            self._edited += int(differs.sum())
            exactly = exactly | (redacted & may & ~differs)
        plainly = certain & ~exactly
        self._replayed += int(plainly.sum())
        for number, reason in enumerate(REASONS):
            if count := int(((judged.reason == number) & ~exactly).sum()):
                self._reasons[reason] += count
        for place in np.flatnonzero(plainly & (before != judged.strength)):
            made = [name for name, strength in judged.fired if strength[place] == judged.strength[place]]
            self._flip(batch, plan, int(rows[place]), _ACTIONS[judged.strength[place]].value, made)
        for place in np.flatnonzero(exactly):
            row = int(rows[place])
            self._exact += 1
            decision = batch.decision(row)
            self._count(decision, batch.index[row], self._exactly(plan, decision))

    def _exactly(self, plan: Any, decision: Decision) -> Outcome:
        if plan.own:
            return Outcome(rederive(plan.draft, decision))
        return rejudge(self.draft, plan.answers, decision, self._trusted)

    def _trusted(self, check: str, result: CheckResult) -> bool:
        return self._trusts(check, result.version, result.digest)

    def _count(self, decision: Decision, index: int, outcome: Outcome) -> None:
        verdict, old = outcome.verdict, decision.verdict
        if verdict is None:
            self._reasons[outcome.reason or ""] += 1
            return
        self._replayed += 1
        if verdict.action is old.action:
            self._edited += verdict.action is Action.REDACT and edits(verdict) != edits(old)
            return
        facts = {
            "generator": decision.context.generator,
            "tenant": decision.context.tenant,
            "language": decision.context.language,
            "policy": old.policy,
        }
        flip = self._flip_of(old.action.value, verdict.action.value, facts, _made(verdict), _made(old))
        if len(flip.examples) < self._examples:
            flip.examples.append(_example(decision, index, verdict))

    def _flip(self, batch: Recorded, plan: Any, row: int, after: str, made: Sequence[str]) -> None:
        before = batch.action[row]
        facts = {"generator": batch.generator[row], "tenant": batch.tenant[row], "language": batch.language[row],
                 "policy": batch.policy[row]}  # fmt: skip
        gone = [rule for rule, action in batch.fired(row).items() if action == before]
        flip = self._flip_of(before, after, facts, made, gone)
        if len(flip.examples) < self._examples:
            decision = batch.decision(row)
            verdict = self._exactly(plan, decision).verdict
            assert verdict is not None, "columns and decisions one by one agree on what can be replayed"
            flip.examples.append(_example(decision, batch.index[row], verdict))

    def _flip_of(self, before: str, after: str, facts: Mapping[str, str], made: Sequence[str], gone: Sequence[str]) -> Flip:
        flip = self._flips.get((before, after))
        if flip is None:
            flip = self._flips[before, after] = Flip(before, after)
        flip.count += 1
        for name, value in facts.items():
            flip.by[name][value] += 1
        flip.by["rule"].update(f"+{rule}" for rule in made)
        flip.by["rule"].update(f"-{rule}" for rule in gone if rule not in made)
        return flip


def _made(verdict: Verdict) -> list[str]:
    return [fired.rule for fired in verdict.fired if fired.action is verdict.action]


def _because(verdict: Verdict) -> str:
    return "; ".join(fired.because for fired in verdict.fired if fired.action is verdict.action)


def _example(decision: Decision, index: int, verdict: Verdict) -> Example:
    old = decision.verdict
    return Example(
        str(decision.id),
        index,
        decision.time.isoformat(),
        old.action.value,
        verdict.action.value,
        tuple(_made(old)),
        tuple(_made(verdict)),
        _because(old),
        _because(verdict),
    )
