"""Many recorded decisions under a draft at once: as `policies.rejudge`, over columns.

A condition is two columns, where it is true and where it is false; in neither, nobody knows. What is rare and takes more is
left to `rejudge`: edits and marks that could not be put on, redactions of things without a place, and redactions that may have
other places than before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np

from guard.conditions import evaluate
from guard.recorded import EARLY, OK, TIMEOUT, Coded, Recorded
from guard.rules import AllOf, AnyOf, Attribute, Clock, Condition, Exemption, Found, Length, Not, Policy, Rule, ScoreByLanguage
from guard.rules import matches as matches_one
from guard.types import Action, Context, Modality, Stage
from policies.compare import finds, renamed
from policies.lineage import Answer, Reason
from policies.rejudge import blamable, mentions, worst

STRENGTH = {action.value: action.strength for action in Action}
REASONS = tuple(Reason)
_WHOLE, _PART, _FAILED, _EARLY, _MISSING, _OUTSIDE = range(6)
"""What became of a check at a decision: read all or a part, no answer, stopped early, not known, not its business."""

Bits = np.ndarray[Any, np.dtype[np.bool_]]
Column = np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True)
class Plan:
    """How decisions of one recorded revision are replayed under a draft."""

    draft: Policy
    recorded: Policy
    answers: Sequence[Answer]
    own: bool
    """Whether the draft is the very policy they were made under: then all that was recorded counts."""
    touched: tuple[tuple[Condition, bool], ...] | None
    """Where one of these holds, what is redacted may differ from before, and with True it does; None: wherever something is."""

    @staticmethod
    def of(draft: Policy, recorded: Policy, answers: Sequence[Answer]) -> Plan:
        """The plan for decisions of `recorded`."""
        own = draft.revision == recorded.revision
        return Plan(draft, recorded, answers, own, () if own else _touched(draft, recorded, answers))


def _touched(draft: Policy, recorded: Policy, answers: Sequence[Answer]) -> tuple[tuple[Condition, bool], ...] | None:
    """The conditions of redactions that only one of two policies has, over the draft's checks.

    With whether the other policy never redacts in that way, so that what one of them redacts, the other one does not.
    """
    names = {answer.recorded: answer.check for answer in answers if answer.recorded}
    now, then = _redactions(draft, {}), _redactions(recorded, names)
    asked = {check for rule in recorded.rules if rule.action is Action.REDACT for check in mentions(rule.when)}
    if draft.exceptions or recorded.exceptions or asked - set(names) or any(answer.least for answer in answers):
        return None
    ways = ({one[1:] for one in then}, {one[1:] for one in now})
    return tuple(
        (when, finds(when) and (operator, parameters) not in ways[where])
        for where, only in enumerate((now - then, then - now))
        for when, operator, parameters in only
    )


def _redactions(policy: Policy, names: dict[str, str]) -> set[tuple[Condition, str, tuple[tuple[str, str], ...]]]:
    rules = (rule for rule in policy.rules if rule.action is Action.REDACT)
    return {(renamed(rule.when, names), rule.operator, rule.parameters) for rule in rules}


@dataclass(frozen=True, slots=True)
class Judged:
    """What becomes of some decisions of a batch, in the order of their rows."""

    strength: Column
    """Of the action."""
    reason: Column
    """Index into REASONS of why nobody can say; -1 where one can."""
    exactly: Bits
    """Which have to be judged one by one, whatever the other columns say."""
    fired: Sequence[tuple[str, Column]]
    """Rules, and checks that failed, with the strength of each; -1 where it did not fire."""


@dataclass(slots=True)
class Sheet:
    """The decisions of a batch that were made under one revision."""

    plan: Plan
    batch: Recorded
    rows: Column
    trusted: dict[str, Bits]
    """By check of the draft, which of the batch's sources count."""
    _state: dict[str, Column] = field(init=False, default_factory=dict)
    _why: dict[str, Column] = field(init=False, default_factory=dict)
    _found: dict[str, tuple[Column, Column, Column, Column]] = field(init=False, default_factory=dict)
    _values: dict[str, Coded] = field(init=False, default_factory=dict)
    _loose: Bits = field(init=False)

    def __post_init__(self) -> None:
        place = np.full(len(self.batch), -1)
        place[self.rows] = np.arange(len(self.rows))
        self._loose = np.zeros(len(self.rows), bool)
        situation = self._situation()
        names = [source.check for source in self.batch.sources]
        result_at = place[self.batch.results.row]
        finding_at = result_at[self.batch.findings.result]
        for spec, answer in zip(self.plan.draft.checks, self.plan.answers, strict=True):
            applies = np.array([spec.applies(stage, modality) for stage in Stage for modality in Modality])[situation]
            mine = np.array([name == answer.recorded for name in names] or [False], bool)
            self._measure(spec.name, answer, applies, mine, result_at)
            counted = (finding_at >= 0) & mine[self.batch.results.source][self.batch.findings.result]
            if answer.least:
                counted &= self.batch.findings.score >= answer.least
            chosen, found = np.flatnonzero(counted), self.batch.findings
            self._found[spec.name] = (finding_at[chosen], found.label[chosen], found.score[chosen], found.placed[chosen])

    def judge(self) -> Judged:
        """The outcome of each decision."""
        count, draft = len(self.rows), self.plan.draft
        aside, doubtful = self._exceptions()
        certain, exactly = np.zeros(count, np.int8), self.batch.unmarked[self.rows].copy()
        fired: list[tuple[str, Column]] = []
        open_rules: list[tuple[Rule, Bits]] = []
        for rule in draft.rules:
            self._loose[:] = False
            true, false = self._truth(rule.when)
            strength = np.where(true, np.int8(rule.action.strength), np.int8(-1))
            if rule.id in aside:
                strength[true & aside[rule.id]] = 0
            if rule.action is Action.REDACT:
                exactly |= true & (self._loose if finds(rule.when) else np.True_)
            about = self._missing(rule.when)
            may_fire = ~true & ~false & about if about is not None else None
            in_doubt = doubtful.get(rule.id)
            if in_doubt is not None:
                may_fire = (true & in_doubt) | (may_fire if may_fire is not None else False)
                strength[true & in_doubt] = -1
            if may_fire is not None and may_fire.any():
                open_rules.append((rule, may_fire & ~aside[rule.id] if rule.id in aside else may_fire))
            fired.append((rule.id, strength))
            np.maximum(certain, strength, out=certain)
        self._failures(certain, fired)
        reason = self._reasons(certain, open_rules)
        return Judged(certain, reason, exactly, fired)

    def touched(self) -> tuple[Bits, Bits]:
        """Of what is redacted before and after: where it differs, and where it may."""
        differs, may = np.zeros(len(self.rows), bool), np.zeros(len(self.rows), bool)
        if self.plan.touched is None:
            return differs, ~may
        for condition, certainly in self.plan.touched:
            true, _ = self._truth(condition)
            about = self._missing(condition)
            may |= true if about is None else true | about
            differs |= true if certainly else False
        return differs, may

    # --- what was measured ---------------------------------------------------------------------------------------------

    def _situation(self) -> Column:
        """Number of each decision's stage and modality, in the order of `Stage` and `Modality`."""
        stage = Coded.of(self.batch.stage).each(lambda one: tuple(Stage).index(Stage(one)), np.int64)
        modality = Coded.of(self.batch.modality).each(lambda one: tuple(Modality).index(Modality(one)), np.int64)
        situation: Column = stage * len(Modality) + modality
        return situation[self.rows]

    def _measure(self, name: str, answer: Answer, applies: Bits, mine: Bits, result_at: Column) -> None:
        """State of one of the draft's checks at each decision, and why it is not known where it is not."""
        results = self.batch.results
        state = np.full(len(self.rows), _FAILED if self.plan.own else _MISSING, np.int8)
        why = np.full(len(self.rows), REASONS.index(answer.reason), np.int8)
        chosen = np.flatnonzero(mine[results.source] & (result_at >= 0)) if len(mine) and len(result_at) else np.empty(0, int)
        at, status = result_at[chosen], results.status[chosen]
        state[at] = np.where(status != OK, _FAILED, np.where(results.whole[chosen], _WHOLE, _PART))
        if self.plan.own:
            state[at[status == EARLY]] = _EARLY
        else:
            trusted = self.trusted[name][results.source[chosen]]
            late = answer.late(status == TIMEOUT, results.latency_us[chosen])
            for bits, reason in (
                (late & ((status == OK) | (status == TIMEOUT)), Reason.DEADLINE),
                (~trusted & (status == OK), Reason.IDENTITY),
                (status == EARLY, Reason.EARLY),
            ):
                state[at[bits]], why[at[bits]] = _MISSING, REASONS.index(reason)
        state[~applies] = _OUTSIDE
        self._state[name], self._why[name] = state, why

    def _missing(self, condition: Condition) -> Bits | None:
        """Where a check that a condition asks is not known; None when it nowhere is."""
        found: Bits | None = None
        for name in mentions(condition) & set(self._state):
            missing = self._state[name] == _MISSING
            if missing.any():
                found = missing if found is None else found | missing
        return found

    # --- conditions ------------------------------------------------------------------------------------------------------

    def _truth(self, condition: Condition) -> tuple[Bits, Bits]:
        match condition:
            case AllOf(parts):
                pairs = [self._truth(part) for part in parts]
                return np.logical_and.reduce([t for t, _ in pairs]), np.logical_or.reduce([f for _, f in pairs])
            case AnyOf(parts):
                pairs = [self._truth(part) for part in parts]
                return np.logical_or.reduce([t for t, _ in pairs]), np.logical_and.reduce([f for _, f in pairs])
            case Not(inner):
                true, false = self._truth(inner)
                return false, true
            case Attribute() | Length() | Clock():
                held = self._fact(condition)
                return held, ~held
            case _:
                return self._measured(condition)

    def _fact(self, condition: Attribute | Length | Clock) -> Bits:
        if isinstance(condition, Attribute):
            return self._attribute(condition.name, condition.patterns)
        if isinstance(condition, Clock):
            return self._clock(condition)
        length = self.batch.length[self.rows]
        return (length >= condition.at_least) & (True if condition.below is None else length < condition.below)

    def _measured(self, condition: Any) -> tuple[Bits, Bits]:
        if condition.check not in self._found:  # no check of the draft: nobody ever knows
            return np.zeros(len(self.rows), bool), np.zeros(len(self.rows), bool)
        at, label, score, placed = self._found[condition.check]
        state = self._state[condition.check]
        wanted: Any
        if isinstance(condition, Found):
            wanted = self._labelled(condition.labels)[label] if condition.labels else np.ones(len(label), bool)
        else:
            least: Any = self._thresholds(condition)[at] if isinstance(condition, ScoreByLanguage) else condition.score
            wanted = score >= least
            if condition.label != "*":
                wanted = wanted & self._labelled({condition.label})[label]
        true = np.zeros(len(self.rows), bool)
        true[at[wanted]] = True
        true &= state <= _PART
        self._loose[at[wanted & ~placed]] = True
        return true, (state == _WHOLE) & ~true

    def _labelled(self, labels: Any) -> Bits:
        return np.array([label in labels for label in self.batch.labels] or [False], bool)

    def _thresholds(self, condition: ScoreByLanguage) -> Column:
        return Coded.of(self.batch.language).each(condition.at, np.int64)[self.rows]

    def _attribute(self, name: str, patterns: tuple[str, ...]) -> Bits:
        if name not in self._values:
            self._values[name] = Coded.of(getattr(self.batch, name))
        return self._values[name].each(lambda value: matches_one(value, patterns), bool)[self.rows]

    def _clock(self, condition: Clock) -> Bits:
        context = Context(Stage.OUTPUT, Modality.TEXT, "")
        known: dict[str, bool] = {}
        for row in self.rows:
            time = self.batch.time[row]
            if time not in known:
                at = Context(context.stage, context.modality, "", time=datetime.fromisoformat(time))
                known[time] = evaluate(condition, {}, at).value is True
        return np.array([known[self.batch.time[row]] for row in self.rows], bool)

    # --- what follows ----------------------------------------------------------------------------------------------------

    def _exceptions(self) -> tuple[dict[str, Bits], dict[str, Bits]]:
        """By rule, where an exception sets it aside, and where one may."""
        aside: dict[str, Bits] = {}
        doubtful: dict[str, Bits] = {}
        for one in self.plan.draft.exceptions:
            holds, may_hold = self._exception(one)
            for rule in one.rules:
                aside[rule] = aside.get(rule, np.zeros(len(self.rows), bool)) | holds
                if may_hold is not None:
                    doubtful[rule] = doubtful.get(rule, np.zeros(len(self.rows), bool)) | may_hold
        return aside, {rule: bits & ~aside[rule] for rule, bits in doubtful.items()}

    def _exception(self, one: Exemption) -> tuple[Bits, Bits | None]:
        end = one.expires.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        running = np.array([time < end for time in self.batch.time], bool)[self.rows]
        if one.when is None:
            return running, None
        true, false = self._truth(one.when)
        about = self._missing(one.when)
        return true & running, None if about is None else ~true & ~false & about & running

    def _failures(self, certain: Column, fired: list[tuple[str, Column]]) -> None:
        """Add checks that did not do their work, and contents that no check of the draft reads."""
        covered = np.zeros(len(self.rows), bool)
        for spec in self.plan.draft.checks:
            state = self._state[spec.name]
            covered |= state != _OUTSIDE
            failed = (state == _FAILED) | (state == _PART)
            if failed.any():
                self._add(f"check:{spec.name}", failed, spec.on_failure, certain, fired)
        stopped = certain < Action.BLOCK.strength
        for spec in self.plan.draft.checks:
            early = (self._state[spec.name] == _EARLY) & stopped
            if early.any():
                self._add(f"check:{spec.name}", early, spec.on_failure, certain, fired)
        unread = ~covered & Coded.of(self.batch.stage).each(lambda stage: stage != Stage.PROMPT, bool)[self.rows]
        if unread.any():
            self._add("no-check", unread, Action.BLOCK, certain, fired)

    @staticmethod
    def _add(name: str, where: Bits, action: Action, certain: Column, fired: list[tuple[str, Column]]) -> None:
        strength = np.where(where, np.int8(action.strength), np.int8(-1))
        fired.append((name, strength))
        np.maximum(certain, strength, out=certain)

    def _reasons(self, certain: Column, open_rules: list[tuple[Rule, Bits]]) -> Column:
        reason = np.full(len(self.rows), -1, np.int8)
        blamed: dict[str, Bits] = {}
        for rule, may_fire in open_rules:
            stricter = may_fire & (worst(rule) > certain)
            if stricter.any():
                for name in blamable(self.plan.draft, rule) & set(self._state):
                    missing = stricter & (self._state[name] == _MISSING)
                    blamed[name] = blamed[name] | missing if name in blamed else missing
        for spec in self.plan.draft.checks:
            if spec.name in blamed:
                first = blamed[spec.name] & (reason < 0)
                reason[first] = self._why[spec.name][first]
        return reason
