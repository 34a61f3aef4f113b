"""Examples of several policies, measured by the bundled models: each different check loads once and reads each text once."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import cache

import policies
from guard.chain import Chain, context_of
from guard.conditions import evaluate, measured
from guard.rules import AllOf, AnyOf, Attribute, CheckSpec, Condition, Found, Not, Policy, Rule, ScoreAtLeast
from guard.types import CALLER, CheckResult, Content, Modality, Request, Stage
from policies import new
from policies.load import read_policy
from policies.loaded import LoadedPolicy, RuleTest

NAMES = policies.packs()
Answers = Mapping[tuple[str, Stage], Mapping[str, CheckResult]]
"""What each check answers for each text, by text and stage, and then by what the check is (`key_of`)."""


@cache
def opened(pack: str) -> LoadedPolicy:
    """A pack, loaded once."""
    return policies.open_policy(pack)


@cache
def begun(pack: str, strictness: str, languages: tuple[str, ...] | None) -> LoadedPolicy:
    """A policy that was begun from a pack, made once."""
    return read_policy(new.write(new.Answers(pack, languages=languages, strictness=strictness)))


def variants(pack: str) -> list[LoadedPolicy]:
    """Policies begun from a pack: strict in Chinese and lenient in English, where it has thresholds of models."""
    if new.questions(pack).scores:
        return [begun(pack, "low", ("en",)), begun(pack, "high", ("zh",))]
    return [begun(pack, "medium", ("en",)), begun(pack, "medium", ("zh",))]


def stage_of(rule: Rule) -> Stage:
    """Prompts for a rule that is about nothing else, outputs otherwise."""
    told = [part.patterns for part in _parts(rule.when) if isinstance(part, Attribute) and part.name == "stage"]
    return Stage.PROMPT if told == [("prompt",)] else Stage.OUTPUT


def _parts(condition: Condition) -> list[Condition]:
    inner = condition.conditions if isinstance(condition, AllOf | AnyOf) else ()
    return [condition, *(one for part in inner for one in _parts(part))]


def key_of(spec: CheckSpec) -> str:
    """What two checks share that answer alike."""
    return json.dumps([spec.use, dict(spec.parameters)], sort_keys=True, default=list)


def measure(loaded: Iterable[LoadedPolicy]) -> Answers:
    """Run each check over the examples of the policies that have it."""
    wanted: dict[str, tuple[CheckSpec, dict[tuple[str, Stage], None]]] = {}
    for one in loaded:
        for spec in one.policy.checks:
            if Modality.TEXT in spec.modalities:
                wanted.setdefault(key_of(spec), (spec, {}))[1].update(places(one))
    answers: dict[tuple[str, Stage], dict[str, CheckResult]] = {}
    for key, (spec, texts) in wanted.items():
        everywhere = replace(spec, stages=frozenset(Stage), deadline_ms=60_000)
        alone = Policy("measured", 1, "draft", "", "", (everywhere,), ())
        found = asyncio.run(Chain(alone).run([content_of(*place) for place in texts]))
        for place, (result,) in zip(texts, found, strict=True):
            answers.setdefault(place, {})[key] = result
    return answers


def places(loaded: LoadedPolicy) -> dict[tuple[str, Stage], None]:
    """The examples of a policy, each where its rule can hold."""
    rules = {rule.id: rule for rule in loaded.policy.rules}
    return dict.fromkeys((test.text, stage_of(rules[test.rule])) for test in loaded.tests if test.image is None)


def content_of(text: str, stage: Stage) -> Content:
    return Content(Modality.TEXT, text, "text/plain", stage, CALLER, Request("1"))


def slack(condition: Condition, results: Mapping[str, CheckResult]) -> int:
    """How far a condition is from turning, per mille: positive where it holds. What is found or not is far either way."""
    match condition:
        case ScoreAtLeast(check, label, score):
            found = [one.score for one in results[check].findings if label in ("*", one.label)]
            return max(found, default=0) - score
        case Found(check, labels):
            return 1000 if any(not labels or one.label in labels for one in results[check].findings) else -1000
        case AllOf(parts):
            return min(slack(part, results) for part in parts)
        case AnyOf(parts):
            return max(slack(part, results) for part in parts)
        case Not(inner):
            return -slack(inner, results)
        case _:
            return 1000  # stages: the example stands where the rule can hold


def wrong(loaded: LoadedPolicy, answers: Answers, margin: int = 0) -> list[tuple[str, str]]:
    """Rule and text of each example that comes out otherwise than it says, or nearer to the threshold than the margin."""
    rules = {rule.id: rule for rule in loaded.policy.rules}
    texts = [one for one in loaded.tests if one.image is None]
    return [(one.rule, one.text) for one in texts if not _clear(loaded, rules[one.rule], one, answers, margin)]


def _clear(loaded: LoadedPolicy, rule: Rule, test: RuleTest, answers: Answers, margin: int) -> bool:
    stage = stage_of(rule)
    results = {
        spec.name: replace(answers[test.text, stage][key_of(spec)], check=spec.name)
        for spec in loaded.policy.checks
        if spec.applies(stage, Modality.TEXT)
    }
    context = context_of(content_of(test.text, stage))
    fires = evaluate(rule.when, measured(list(results.values())), context).value is True
    distance = slack(rule.when, results)
    return (fires and distance >= margin) if test.expects == "flags" else (not fires and distance <= -margin)
