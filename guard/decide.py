"""(policy, check results, context) -> verdict. Pure: no clock, no files, no randomness.

The ledger keeps all three inputs, so anyone can derive a verdict again, or derive another one under another policy.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from guard.collectors import Collector
from guard.conditions import covers, measured
from guard.errors import DeadlineError, GenguardError, PolicyError, TooLargeError
from guard.made import QuickVerdict
from guard.predicates import Facts
from guard.rules import CheckSpec, Exemption, Policy, Rule
from guard.sieve import Sieve, sieve
from guard.types import Action, CheckResult, Context, Edit, Finding, FiredRule, Mark, Reviewed, Span, Stage, Status, Verdict

EARLY_STOP = "early stop: an earlier group had blocked"
"""The `error` of a check that was not started because the verdict could not get stricter."""
REDACTION = "redaction"
"""Kind of the Mark that records edits which could not be applied."""
WITHHELD = (("en", "This output was withheld by policy."), ("zh", "该输出已按策略拦截。"))
HELD = (("en", "This output is held for review."), ("zh", "该输出正在等待人工审核。"))

_VERBS = {
    Action.ALLOW: "Released",
    Action.LABEL: "Released with a label",
    Action.REDACT: "Released after redaction",
    Action.REVIEW: "Held for review",
    Action.BLOCK: "Blocked",
}
_ALLOW, _PROMPT = Action.ALLOW, Stage.PROMPT


def decide(policy: Policy, results: Sequence[CheckResult], context: Context) -> Verdict:
    """Derive the verdict: the strictest of all rules that fire and of all checks that failed."""
    known = measured(results)
    facts, parts = Facts(known, context), sieve(policy)
    exempt = _exempted(parts, facts)
    ruled = [_fire(rule, why, facts, exempt.get(rule.id)) for rule, holds, why in parts.firing if holds(facts) is True]
    fired = [rule for rule, _ in ruled]
    failures = list(_failures(policy, results, context, facts))
    if failures:
        fired += [failure for failure, early in failures if not early]
        if not any(rule.action is Action.BLOCK for rule in fired):
            fired += [failure for failure, early in failures if early]
    if context.stage is not _PROMPT and not _reads(policy, context):
        fired.append(_unread(context))
    otherwise = f"{len(results)} checks read all of it and no rule fired."
    if not fired:
        return QuickVerdict(_ALLOW, (), f"{_VERBS[_ALLOW]}. {otherwise}", policy.id, policy.version, policy.revision, (), ())
    return _verdict(policy, fired, tuple([edit for _, some in ruled for edit in some]), otherwise)


def blocks(policy: Policy, results: Sequence[CheckResult], context: Context) -> bool:
    """Whether a rule already blocks on these results, whatever other checks may still find."""
    facts, parts = Facts(measured(results), context), sieve(policy)
    exempt = _exempted(parts, facts)
    return any(
        rule.action is Action.BLOCK and rule.id not in exempt and holds(facts) is True for rule, holds, _ in parts.firing
    )


def exempted(policy: Policy, results: Sequence[CheckResult], context: Context) -> dict[str, Exemption]:
    """The exceptions that hold, by the rule that each sets aside. Where nobody said what time it is, none does."""
    return _exempted(sieve(policy), Facts(measured(results), context))


def _exempted(parts: Sieve, facts: Facts) -> dict[str, Exemption]:
    time = facts.context.time
    if time is None or not parts.holding:
        return {}
    held = [one for one, holds in parts.holding if time < one.expires and (holds is None or holds(facts) is True)]
    return {rule: one for one in held for rule in one.rules}


def settle(verdict: Verdict, policy: Policy, marks: Sequence[Mark]) -> Verdict:
    """Take what became of edits and marks into the verdict: an output that cannot carry its mark follows `on_unmarkable`."""
    follows: dict[str, Action] = {}
    for spec in policy.marks:  # one marker may be asked for twice, for text and for images: the stricter line holds
        follows[spec.use] = max(follows.get(spec.use, Action.ALLOW), spec.on_unmarkable, key=lambda action: action.strength)
    failed = [
        FiredRule(
            f"mark:{mark.kind}",
            "An output carries its marks" if mark.kind != REDACTION else "Redactions are applied",
            follows.get(mark.kind, Action.BLOCK),
            "operation",
            "",
            f"{mark.kind}: {mark.error}",
        )
        for mark in marks
        if not mark.verified
    ]
    if not failed:
        return verdict
    return _verdict(policy, [*verdict.fired, *failed], verdict.edits, "")


def set_aside(verdict: Verdict, policy: Policy, reviewed: Reviewed | None) -> Verdict:
    """The verdict after a person set rules aside that hold an output; blocks and edits stay. None changes nothing."""
    if reviewed is None:
        return verdict
    told = f"set aside by {reviewed.actor}, entry {reviewed.entry}"
    fired = [
        replace(rule, action=Action.ALLOW, because=f"{rule.because}; {told}")
        if rule.action is Action.REVIEW and rule.rule in reviewed.rules
        else rule
        for rule in verdict.fired
    ]
    return _verdict(policy, fired, verdict.edits, "")


def refuse(error: GenguardError, policy: Policy | None) -> Verdict:
    """The verdict on an input that cannot be judged at all."""
    rule, title, category = "input-unreadable", "Input that cannot be read is refused", "input"
    if isinstance(error, TooLargeError):
        rule = "input-too-large"
    elif isinstance(error, DeadlineError):
        rule, title, category = "deadline-exceeded", "Nothing leaves unjudged", "operation"
    elif isinstance(error, PolicyError):
        rule, title, category = "no-policy", "Nothing leaves unjudged", "operation"
    fired = FiredRule(rule, title, Action.BLOCK, category, "", str(error))
    return Verdict(
        Action.BLOCK,
        (fired,),
        f"Refused: {error}.",
        policy.id if policy else "",
        policy.version if policy else 0,
        policy.revision if policy else "",
        message=(("en", str(error)),),
    )


# --- rules ---------------------------------------------------------------------------------------------------------


def _fire(rule: Rule, why: Collector, facts: Facts, exempt: Exemption | None) -> tuple[FiredRule, tuple[Edit, ...]]:
    """What follows from a rule whose condition holds."""
    findings: list[Finding] = []
    told: list[str] = []
    why(facts, findings, told)
    because = told[0] if len(told) == 1 else "; ".join(dict.fromkeys(told))
    if exempt is not None:
        until = f"until {exempt.expires:%Y-%m-%d %H:%M} UTC"
        because = f"{because}; set aside by exception {exempt.id} of {exempt.owner} {until}"
        return FiredRule(rule.id, rule.title, Action.ALLOW, rule.category, rule.basis, because, rule.basis_kind), ()
    action: Action = rule.action
    edits: tuple[Edit, ...] = ()
    if action is Action.REDACT:
        if len(findings) > 1:  # one finding may satisfy several parts of a condition
            findings = list(dict.fromkeys(findings))
        edits = _edits(rule, findings)
        if len(edits) < len(findings) or not edits:
            # A thing that was found but has no place cannot be cut out: nothing may leave.
            action, edits, because = Action.BLOCK, (), f"{because}; found without a place, so it cannot be redacted"
    return FiredRule(rule.id, rule.title, action, rule.category, rule.basis, because, rule.basis_kind), edits


def _edits(rule: Rule, findings: Iterable[Finding]) -> tuple[Edit, ...]:
    return tuple(
        [
            Edit(finding.where, rule.operator, finding.label, rule.id, rule.parameters)
            for finding in findings
            if finding.where is not None
        ]
    )


# --- checks that did not do their work -------------------------------------------------------------------------------


def _failures(
    policy: Policy, results: Sequence[CheckResult], context: Context, facts: Facts
) -> Iterable[tuple[FiredRule, bool]]:
    """Each check that owes an answer and gave none, with whether it was merely stopped early."""
    done = facts.silence if len(facts.known) == len(results) else {}  # every check ran: who read all of it is known
    owing = [spec for spec in policy.checks if done.get(spec.name) is not False]
    if not owing:
        return
    by_name = {result.check: result for result in results}
    for spec in owing:
        if spec.applies(context.stage, context.modality):
            result = by_name.get(spec.name)
            why = _shortfall(result, context)
            if why:
                early = result is not None and result.status is Status.SKIPPED and result.error == EARLY_STOP
                yield _failure(spec, why), early


def _shortfall(result: CheckResult | None, context: Context) -> str:
    if result is None:
        return "it gave no result"
    if result.status is not Status.OK:
        return f"{result.status.value}: {result.error}" if result.error else result.status.value
    if not covers(result.scanned, context):
        place = f"{result.scanned.start} to {result.scanned.end}" if isinstance(result.scanned, Span) else "nothing"
        return f"it read {place} of {context.length}"
    return ""


def _failure(spec: CheckSpec, why: str) -> FiredRule:
    return FiredRule(f"check:{spec.name}", "Every check does its work", spec.on_failure, "operation", "", f"{spec.name}: {why}")


def _reads(policy: Policy, context: Context) -> bool:
    """Whether any check of a policy reads such a content."""
    for spec in policy.checks:  # noqa: SIM110 - `any` takes twice as long where the first one does
        if spec.applies(context.stage, context.modality):
            return True
    return False


def _unread(context: Context) -> FiredRule:
    return FiredRule(
        "no-check",
        "Nothing leaves unread",
        Action.BLOCK,
        "operation",
        "",
        f"no check of this policy reads {context.modality.value} at stage {context.stage.value}",
    )


# --- the verdict -----------------------------------------------------------------------------------------------------


def _verdict(
    policy: Policy,
    fired: Sequence[FiredRule],
    edits: tuple[Edit, ...],
    otherwise: str,
) -> Verdict:
    ordered = tuple(sorted(fired, key=lambda rule: rule.action.strength, reverse=True)) if len(fired) > 1 else tuple(fired)
    action = ordered[0].action if ordered else Action.ALLOW
    why = " ".join(f"Rule {rule.rule}: {rule.because}." for rule in ordered if rule.action is action) or otherwise
    message: tuple[tuple[str, str], ...] = ()
    if not action.releases:
        messages = sieve(policy).messages
        default = HELD if action is Action.REVIEW else WITHHELD
        message = next((messages[rule.rule] for rule in ordered if rule.action is action and messages.get(rule.rule)), default)
    said = f"{_VERBS[action]}. {why}"
    return QuickVerdict(action, ordered, said, policy.id, policy.version, policy.revision, edits, message)
