"""What it costs to decide: a policy of 50 rules over recorded results, without any check or model.

    python benchmarks/decide.py [--rules 50] [--rounds 7] [--json]

Prints microseconds a decision, the median of several rounds: with nothing found, with one rule that redacts, and with one that
blocks; beside them what only `guard.conditions.evaluate` for every rule would cost, in the same run.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable
from datetime import UTC, datetime

from guard.conditions import evaluate, measured
from guard.decide import decide
from guard.rules import AllOf, AnyOf, Attribute, CheckSpec, Condition, Found, Not, Policy, Rule, ScoreAtLeast
from guard.types import Action, CheckResult, Context, Finding, Modality, Span, Stage, Status

LABELS = ("toxicity", "insult", "threat", "obscene", "identity_attack", "sexism")
PII = ("CREDIT_CARD", "EMAIL_ADDRESS", "PHONE_NUMBER", "PERSON", "IBAN_CODE", "US_SSN")
REPEAT = 2000
"""Decisions in one round."""


def many_rules(count: int) -> Policy:
    """A policy with rules of the shapes that packs have: scores, alternatives, labels found, stages and tenants."""
    shapes: list[Callable[[int], tuple[Condition, Action]]] = [
        lambda n: (ScoreAtLeast("toxicity", LABELS[n % 6], 500 + n), Action.BLOCK),
        lambda n: (AnyOf((ScoreAtLeast("toxicity", LABELS[n % 6], 700), ScoreAtLeast("toxicity", "*", 950))), Action.REVIEW),
        lambda n: (AllOf((Attribute("stage", ("output", "chunk")), Found("pii", frozenset(PII[n % 6 :])))), Action.REDACT),
        lambda n: (AllOf((Attribute("tenant", (f"shop-{n}*",)), Not(Found("secrets")), Found("pii"))), Action.REVIEW),
        lambda n: (Found("secrets", frozenset({"PASSWORD", f"TOKEN_{n}"})), Action.REDACT),
    ]
    rules = []
    for number in range(count):
        when, action = shapes[number % len(shapes)](number)
        rules.append(Rule(f"rule-{number}", when, action, "privacy", operator="mask" if action is Action.REDACT else ""))
    text = frozenset({Modality.TEXT})
    checks = tuple(CheckSpec(name, name, modalities=text) for name in ("toxicity", "pii", "secrets"))
    return Policy("many", 1, "live", "0" * 64, "{}", checks, tuple(rules))


def results(*findings: tuple[str, str, int]) -> tuple[CheckResult, ...]:
    """What three checks reported of a text of 400 characters."""
    made = []
    for name in ("toxicity", "pii", "secrets"):
        found = tuple(
            Finding("privacy", label, score, Span(3, 20) if name != "toxicity" else None)
            for check, label, score in findings
            if check == name
        )
        made.append(CheckResult(name, name, "1", "", Status.OK, found, Span(0, 400), 900))
    return tuple(made)


CASES = {
    "nothing found": results(("toxicity", "toxicity", 110)),
    "one kind redacted": results(("toxicity", "toxicity", 110), ("pii", "EMAIL_ADDRESS", 900)),
    "blocked": results(*(("toxicity", label, 600 + 10 * place) for place, label in enumerate(LABELS))),
}


def microseconds(work: Callable[[], object], rounds: int) -> float:
    """The median over several rounds of what one call costs."""
    work()
    costs = []
    for _ in range(rounds):
        started = time.perf_counter()
        for _ in range(REPEAT):
            work()
        costs.append((time.perf_counter() - started) / REPEAT * 1e6)
    return statistics.median(costs)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rules", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    policy = many_rules(options.rules)
    context = Context(Stage.OUTPUT, Modality.TEXT, "language", "acme", "en", 400, datetime(2026, 11, 27, tzinfo=UTC))
    rows = {}
    for name, found in CASES.items():
        known = measured(found)
        every = microseconds(lambda: [evaluate(rule.when, known, context) for rule in policy.rules], options.rounds)  # noqa: B023
        whole = microseconds(lambda: decide(policy, found, context), options.rounds)  # noqa: B023
        rows[name] = {"decide_us": round(whole, 1), "evaluate_every_rule_us": round(every, 1)}
    if options.json:
        print(json.dumps({"machine": platform.processor() or platform.machine(), "rules": options.rules, "cases": rows}))
        return
    print(f"{options.rules} rules, 3 checks, microseconds a decision (median of {options.rounds} rounds of {REPEAT})")
    for name, row in rows.items():
        print(f"{name:20} decide {row['decide_us']:7.1f}    evaluating every rule alone {row['evaluate_every_rule_us']:7.1f}")


if __name__ == "__main__":
    main()
