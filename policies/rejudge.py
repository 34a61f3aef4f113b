"""One recorded decision under another policy: the exact way, through `guard.decide`, and when there is none.

What a check of the draft would have answered is not known where it did not run as the draft would run it. The decision can be
replayed all the same when no answer could change its action: then the rules that may still fire are no stricter than what
already follows. That a check which was not asked might have failed is left out of account.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from guard.conditions import evaluate, measured
from guard.decide import EARLY_STOP, REDACTION, decide, set_aside, settle
from guard.rules import CheckSpec, Condition, Policy, Rule
from guard.types import Action, CheckResult, Context, Decision, Mark, Modality, Region, Span, Status, Verdict
from policies.compare import measured as asked
from policies.lineage import Answer, Reason

Trusted = Callable[[str, CheckResult], bool]
"""Whether a result for one of the draft's checks is of the model, bank and version that count."""

_STAND_IN = CheckSpec("", "")
_UNDONE = "marks"
"""Kind of the mark that says that edits and marks were not done in time."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a draft makes of a recorded decision: a verdict, or a reason why nobody can say."""

    verdict: Verdict | None
    reason: Reason | None = None

    @property
    def action(self) -> Action | None:
        """The action; None where nobody can say."""
        return self.verdict.action if self.verdict else None


def rederive(policy: Policy, decision: Decision) -> Verdict:
    """The verdict of the policy that a decision was made under, from all that is recorded."""
    verdict = decide(policy, decision.results, decision.context)
    if verdict.action.releases or decision.reviewed:
        verdict = settle(verdict, policy, decision.marks)
    return set_aside(verdict, policy, decision.reviewed)


def rejudge(draft: Policy, answers: Sequence[Answer], decision: Decision, trusted: Trusted) -> Outcome:
    """The verdict of a draft on a decision that was made under another policy."""
    context = decision.context
    owed = [spec for spec in draft.checks if spec.applies(context.stage, context.modality)]
    found = {result.check: result for result in decision.results}
    by_name = {answer.check: answer for answer in answers}
    results, missing = [], {}
    for spec in owed:
        answer = by_name[spec.name]
        result = _result(answer, found.get(answer.recorded), trusted)
        if isinstance(result, Reason):
            missing[spec.name] = result
        else:
            results.append(result)
    policy = draft
    if missing:
        kept = (one for one in draft.checks if one.name not in missing)
        policy = replace(draft, checks=(*kept, _STAND_IN))
        results.append(_stand_in(context))
    verdict = decide(policy, results, context)
    if missing and (reason := _uncertain(draft, results, context, missing, verdict)):
        return Outcome(None, reason)
    return marked(draft, verdict, decision)


def edits(verdict: Verdict) -> set[tuple[object, ...]]:
    """The places that a verdict changes and how, whichever rule says so."""
    return {(one.where, one.operator, one.label, one.parameters) for one in verdict.edits}


def _result(answer: Answer, result: CheckResult | None, trusted: Trusted) -> CheckResult | Reason:
    if result is None:
        return answer.reason
    if result.status is Status.SKIPPED and result.error == EARLY_STOP:
        return Reason.EARLY
    if result.status is Status.OK and not trusted(answer.check, result):
        return Reason.IDENTITY
    if result.status in {Status.OK, Status.TIMEOUT} and answer.late(result.status is Status.TIMEOUT, result.latency_us):
        return Reason.DEADLINE
    return replace(result, check=answer.check, findings=tuple(one for one in result.findings if one.score >= answer.least))


def _stand_in(context: Context) -> CheckResult:
    whole = Region(0, 0, 1, 1) if context.modality is Modality.IMAGE else Span(0, context.length)
    return CheckResult("", "", "", "", Status.OK, (), whole)


def _uncertain(
    draft: Policy, results: Sequence[CheckResult], context: Context, missing: Mapping[str, Reason], verdict: Verdict
) -> Reason | None:
    """Why the action is not certain: of a missing check that could make it another. None when none could."""
    known = measured(results)
    aside, doubtful = _set_aside(draft, known, context, missing)
    certain = max((fired.action.strength for fired in verdict.fired if fired.rule not in doubtful), default=0)
    names: set[str] = set()
    for rule in draft.rules:
        value = evaluate(rule.when, known, context).value
        may_fire = value is None and bool(mentions(rule.when) & set(missing))
        if rule.id not in aside and worst(rule) > certain and (may_fire or (value is True and rule.id in doubtful)):
            names |= blamable(draft, rule)
    return next((missing[spec.name] for spec in draft.checks if spec.name in names and spec.name in missing), None)


def _set_aside(
    draft: Policy, known: Mapping[str, CheckResult], context: Context, missing: Mapping[str, Reason]
) -> tuple[set[str], set[str]]:
    """The rules that an exception sets aside, and those that one may, for all that is known."""
    aside: set[str] = set()
    doubtful: set[str] = set()
    for one in draft.exceptions:
        if context.time is None or context.time >= one.expires:
            continue
        value = True if one.when is None else evaluate(one.when, known, context).value
        if value is True:
            aside.update(one.rules)
        elif value is None and one.when is not None and mentions(one.when) & set(missing):
            doubtful.update(one.rules)
    return aside, doubtful - aside


def worst(rule: Rule) -> int:
    """The strength of the strictest action that a rule may come to: a redaction without a place blocks."""
    return Action.BLOCK.strength if rule.action is Action.REDACT else rule.action.strength


def blamable(draft: Policy, rule: Rule) -> set[str]:
    """The checks on which it hangs whether a rule counts: its own, and those of exceptions from it."""
    exceptions = (one.when for one in draft.exceptions if rule.id in one.rules and one.when is not None)
    return mentions(rule.when).union(*map(mentions, exceptions))


def mentions(condition: Condition) -> set[str]:
    """The checks that a condition asks."""
    return {one.check for one in asked(condition)}


def marked(draft: Policy, verdict: Verdict, decision: Decision) -> Outcome:
    """The verdict after edits and marks as they went; where none was tried then, they are taken to hold."""
    if not verdict.action.releases:
        return Outcome(verdict)
    labelled = any(fired.action is Action.LABEL for fired in verdict.fired)
    mine = [spec for spec in draft.marks if spec.modality is decision.context.modality]
    kinds = {spec.use for spec in mine if labelled or not spec.only_labelled}
    kept: list[Mark] = []
    for mark in decision.marks:
        if mark.kind == REDACTION and not mark.verified:
            if not verdict.edits:
                continue
            if edits(verdict) != edits(decision.verdict):
                return Outcome(None, Reason.REDACTION)
        if mark.kind in kinds or mark.kind in {REDACTION, _UNDONE}:
            kept.append(mark)
    return Outcome(settle(verdict, draft, kept))
