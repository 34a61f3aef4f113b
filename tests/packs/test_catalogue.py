"""What every pack keeps: it says what it is for, each rule says why, and its examples stand clear of the thresholds."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache

import pytest

import policies
from guard.chain import Chain, context_of
from guard.conditions import evaluate, measured
from guard.rules import AllOf, AnyOf, Attribute, CheckSpec, Condition, Found, Not, Policy, Rule, ScoreAtLeast
from guard.taxonomy import CATEGORIES
from guard.types import CALLER, Action, CheckResult, Content, Modality, Request, Stage
from policies.coverage import checks_of, coverage
from policies.load import PACKS
from policies.loaded import LoadedPolicy, RuleTest

NAMES = policies.packs()
MARGIN = 50
"""How far, per mille, a score stands from its threshold at least."""
ENGLISH = ("near", "licence_header")
"""Labels whose examples are in English alone."""
HAN = re.compile(r"[\u4e00-\u9fff]")
OFFERED = re.compile(r"^( *)#\| ", re.MULTILINE)
"""Lines that a pack offers to be switched on."""


@cache
def opened(pack: str) -> LoadedPolicy:
    """A pack, loaded once."""
    return policies.open_policy(pack)


def source(pack: str) -> str:
    """The text of a pack."""
    return (PACKS / f"{pack}.yaml").read_text("utf-8")


def texts(pack: str, rule: str, kind: str) -> list[str]:
    """The examples of a rule that it has to flag, or to pass."""
    return [test.text for test in opened(pack).tests if test.rule == rule and test.expects == kind]


def reads_text(policy: Policy, rule: Rule) -> bool:
    """Whether a rule asks a check that reads texts."""
    asked = set(checks_of(rule.when))
    return any(Modality.TEXT in spec.modalities for spec in policy.checks if spec.name in asked)


def speaks_chinese(policy: Policy, rule: Rule) -> bool:
    """Whether what a rule asks for is told in Chinese: toxicity there has one label, and licences are English."""
    uses = {spec.name: spec.use for spec in policy.checks}
    return any(
        isinstance(one, Found) or one.label == "toxicity" or (uses[one.check] != "toxicity" and one.label not in ENGLISH)
        for one in measures(rule.when)
    )


def measures(condition: Condition) -> list[ScoreAtLeast | Found]:
    """The parts of a condition that ask a check."""
    match condition:
        case ScoreAtLeast() | Found():
            return [condition]
        case AllOf(parts) | AnyOf(parts):
            return [one for part in parts for one in measures(part)]
        case _:
            return []


def test_there_are_the_packs_that_the_documentation_names() -> None:
    """Eight, each loading with what genguard brings along."""
    expected = ("child-safety", "cn-labelling", "copyright", "dev", "enterprise", "eu-ai-act", "privacy", "strict")
    assert expected == NAMES
    assert [opened(pack).policy.id for pack in NAMES] == list(NAMES)


@pytest.mark.parametrize("pack", NAMES)
def test_a_pack_says_what_it_is_for(pack: str) -> None:
    """Its head is filled in; its comment says what for, for whom, what is not in it; editors find the schema."""
    policy, lines = opened(pack).policy, source(pack).split("\n")
    assert policy.owner
    assert policy.description
    assert policy.status == "live"
    assert lines[0] == "# yaml-language-server: $schema=../policy.schema.json"
    head = "\n".join(lines[1 : lines.index(f"policy: {pack}")])
    wanted = ["What for", "For whom"] + ([] if pack in ("dev", "cn-labelling") else ["Not in it"])
    assert [words for words in wanted if f"# {words} " not in head] == []
    assert all(line.startswith("#") for line in head.split("\n"))
    assert max(map(len, lines)) <= 140


@pytest.mark.parametrize("pack", NAMES)
def test_every_rule_says_why_and_tells_the_person(pack: str) -> None:
    """Title, basis and a known category; a message in English and Chinese wherever an output is withheld."""
    for rule in opened(pack).policy.rules:
        assert rule.title, rule.id
        assert rule.basis, rule.id
        assert rule.category in CATEGORIES
        languages = {language for language, _ in rule.message}
        if rule.action in (Action.REVIEW, Action.BLOCK):
            assert languages >= {"en", "zh"}, rule.id
            assert languages >= {"de", "fr"} or pack != "eu-ai-act", rule.id


@pytest.mark.parametrize("pack", NAMES)
def test_every_rule_on_texts_shows_what_it_means(pack: str) -> None:
    """Examples that it flags and passes, in English, and in Chinese where its check speaks it."""
    policy = opened(pack).policy
    for rule in policy.rules:
        if not reads_text(policy, rule):
            continue
        flags, passes = texts(pack, rule.id, "flags"), texts(pack, rule.id, "passes")
        assert any(not HAN.search(text) for text in flags), rule.id
        assert any(not HAN.search(text) for text in passes), rule.id
        assert any(HAN.search(text) for text in passes), rule.id
        assert any(HAN.search(text) for text in flags) or not speaks_chinese(policy, rule), rule.id


@pytest.mark.parametrize("pack", [pack for pack in NAMES if OFFERED.search(source(pack))])
def test_what_a_pack_offers_can_be_switched_on(pack: str) -> None:
    """With every `#|` taken away it loads, and covers more; without a network, since nothing is asked yet."""
    whole = policies.loads(OFFERED.sub(r"\1", source(pack)), file=pack)
    assert len(whole.checks) > len(opened(pack).policy.checks)
    before, after = (coverage(one, "gb45654") for one in (opened(pack).policy, whole))
    assert len(after.covered) >= len(before.covered)


def test_the_chinese_pack_names_the_risks_that_it_does_not_cover() -> None:
    """The 13 codes of its comment are those that no rule acts on; the judge that it offers takes seven more."""
    report = coverage(opened("cn-labelling").policy, "gb45654")
    named = source("cn-labelling").split("NO RULE HERE")[1].split("#            That a risk")[0]
    assert re.findall(r"\bA\d[a-i]\b", named) == [one.item.code for one in report.uncovered]
    assert (len(report.covered), len(report.items)) == (18, 31)
    whole = coverage(policies.loads(OFFERED.sub(r"\1", source("cn-labelling"))), "gb45654")
    assert len(whole.covered) == len(report.covered) + 7


def test_the_chinese_pack_does_not_run_without_a_producer() -> None:
    """Nobody is invented for the implicit label."""
    assert {mark.use for mark in opened("cn-labelling").policy.marks} == {"aigc", "iptc", "label", "watermark"}
    assert "GENGUARD_CONTENT_PRODUCER" in source("cn-labelling").split("policy: ")[0]


# --- with the bundled models ---------------------------------------------------------------------------------------------


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


@pytest.fixture(scope="module")
def answers() -> Mapping[tuple[str, Stage], Mapping[str, CheckResult]]:
    """What each different check of all packs answers for each example, by text and stage: each model is loaded and run once."""
    specs = {key_of(spec): spec for pack in NAMES for spec in opened(pack).policy.checks if Modality.TEXT in spec.modalities}
    everywhere = tuple(
        replace(spec, name=f"check-{number}", stages=frozenset(Stage), deadline_ms=60_000)
        for number, spec in enumerate(specs.values())
    )
    rules = {(pack, rule.id): rule for pack in NAMES for rule in opened(pack).policy.rules}
    wanted = {(test.text, stage_of(rules[pack, test.rule])): None for pack in NAMES for test in opened(pack).tests}
    contents = [content_of(text, stage) for text, stage in wanted]
    union = replace(opened("enterprise").policy, checks=everywhere, rules=(), marks=())
    results = asyncio.run(Chain(union).run(contents))
    return {place: _by_key(specs, found) for place, found in zip(wanted, results, strict=True)}


def _by_key(specs: Mapping[str, CheckSpec], results: Sequence[CheckResult]) -> dict[str, CheckResult]:
    """Results of `check-0`, `check-1` and so on, by what was asked."""
    by_name = {result.check: result for result in results}
    return {key: by_name[f"check-{number}"] for number, key in enumerate(specs)}


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


@pytest.mark.parametrize("pack", NAMES)
def test_every_example_comes_out_as_it_says_and_stands_clear_of_the_threshold(
    pack: str, answers: Mapping[tuple[str, Stage], Mapping[str, CheckResult]]
) -> None:
    """Measured by the bundled models; 0.05 at least on the right side, so that a small change of a model turns nothing."""
    loaded = opened(pack)
    rules = {rule.id: rule for rule in loaded.policy.rules}
    assert [(one.rule, one.text) for one in loaded.tests if not _clear(loaded, rules[one.rule], one, answers)] == []


def _clear(
    loaded: LoadedPolicy, rule: Rule, test: RuleTest, answers: Mapping[tuple[str, Stage], Mapping[str, CheckResult]]
) -> bool:
    stage = stage_of(rule)
    found = answers[test.text, stage]
    results = {
        spec.name: replace(found[key_of(spec)], check=spec.name)
        for spec in loaded.policy.checks
        if spec.applies(stage, Modality.TEXT)
    }
    context = context_of(content_of(test.text, stage))
    fires = evaluate(rule.when, measured(list(results.values())), context).value is True
    distance = slack(rule.when, results)
    return (fires and distance >= MARGIN) if test.expects == "flags" else (not fires and distance <= -MARGIN)
