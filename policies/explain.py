"""Why a content got its verdict: every rule with its conditions and what was measured, what fired, and what won.

Works on recorded results as on fresh ones, so an author asks of a text what an officer asks of a decision.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from guard.conditions import measured
from guard.decide import decide, exempted
from guard.rules import Exemption, Policy, Rule
from guard.trace import Step, trace
from guard.types import CheckResult, Context, FiredRule, Verdict


@dataclass(frozen=True, slots=True)
class RuleTrace:
    """One rule: its conditions with what was measured, and whether it fired."""

    rule: Rule
    step: Step
    fired: FiredRule | None
    exception: Exemption | None
    """The one that set it aside."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """A verdict with all that led to it."""

    policy: Policy
    context: Context
    results: tuple[CheckResult, ...]
    rules: tuple[RuleTrace, ...]
    others: tuple[FiredRule, ...]
    """What fired without being a rule of the policy: checks that failed, content that no check reads."""
    verdict: Verdict

    @property
    def winners(self) -> tuple[str, ...]:
        """The rules whose action won."""
        return tuple(one.rule for one in self.verdict.fired if one.action is self.verdict.action)


def explain(policy: Policy, results: Sequence[CheckResult], context: Context) -> Explanation:
    """Decide, and say why. Pure, as `decide` is."""
    verdict, known = decide(policy, results, context), measured(results)
    fired = {one.rule: one for one in verdict.fired}
    exempt = exempted(policy, results, context)
    rules = tuple(
        RuleTrace(rule, trace(rule.when, known, context), fired.get(rule.id), exempt.get(rule.id)) for rule in policy.rules
    )
    names = {rule.id for rule in policy.rules}
    others = tuple(one for one in verdict.fired if one.rule not in names)
    return Explanation(policy, context, tuple(results), rules, others, verdict)


def fields(explanation: Explanation) -> dict[str, Any]:
    """An explanation as JSON values."""
    verdict, context = explanation.verdict, explanation.context
    return {
        "policy": {"id": verdict.policy, "version": verdict.version, "revision": verdict.revision},
        "context": {
            name: str(value) if name == "time" and value else value for name, value in asdict(context).items() if value != ""
        },
        "checks": [_result(one) for one in explanation.results],
        "rules": [
            {
                "rule": one.rule.id,
                "action": one.rule.action.value,
                "fired": one.fired is not None,
                "won": one.rule.id in explanation.winners,
                "exception": one.exception.id if one.exception else None,
                "when": _step(one.step),
            }
            for one in explanation.rules
        ],
        "others": [{"rule": one.rule, "action": one.action.value, "because": one.because} for one in explanation.others],
        "action": verdict.action.value,
        "won": list(explanation.winners),
        "explanation": verdict.explanation,
        "message": dict(verdict.message),
        "edits": [
            {"where": asdict(edit.where), "operator": edit.operator, "label": edit.label, "rule": edit.rule}
            for edit in verdict.edits
        ],
    }


def _result(result: CheckResult) -> dict[str, Any]:
    found = [
        {"label": one.label, "category": one.category, "score": one.score / 1000}
        | ({"where": asdict(one.where)} if one.where else {})
        for one in result.findings
    ]
    return {
        "check": result.check,
        "use": result.use,
        "status": result.status.value,
        "findings": found,
        "latency_us": result.latency_us,
        **({"error": result.error} if result.error else {}),
    }


def _step(step: Step) -> dict[str, Any]:
    made: dict[str, Any] = {"condition": step.words, "value": step.value}
    if step.measured:
        made["measured"] = step.measured
    if step.distance is not None:
        made["distance"] = step.distance / 1000
    if step.parts:
        made["parts"] = [_step(part) for part in step.parts]
    return made
