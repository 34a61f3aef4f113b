"""What every pack keeps: it says what it is for, each rule says why, and its examples stand clear of the thresholds."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

import policies
from guard.errors import SettingsError
from guard.pipeline import Guard
from guard.rules import AllOf, AnyOf, Condition, Found, Policy, Rule, ScoreAtLeast
from guard.taxonomy import CATEGORIES
from guard.types import Action, Modality, Operator
from policies import catalogue
from policies.coverage import checks_of, coverage
from policies.load import PACKS
from tests.fakes import MemoryLedger
from tests.packs.measuring import NAMES, Answers, opened, wrong

MARGIN = 50
"""How far, per mille, a score stands from its threshold at least."""
KEY = b"k" * 32
ENGLISH = ("near", "licence_header")
"""Labels whose examples are in English alone."""
HAN = re.compile(r"[\u4e00-\u9fff]")
OFFERED = re.compile(r"^( *)#\| ", re.MULTILINE)
"""Lines that a pack offers to be switched on."""


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
        assert rule.basis_kind == "house" or not rule.basis.startswith("House rules"), rule.id
        assert rule.basis_kind == "law" or not re.match(r"(GDPR|PIPL) article", rule.basis), rule.id
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


@pytest.mark.parametrize("pack", NAMES)
def test_a_pack_can_be_built_on(pack: str) -> None:
    """A policy that extends it and says nothing else decides as it does."""
    child = policies.loads(f"policy: mine\nversion: 1\nextends: {pack}\n")
    whole = opened(pack).policy
    assert (child.checks, child.rules, child.marks) == (whole.checks, whole.rules, whole.marks)


def test_privacy_and_copyright_can_be_had_together() -> None:
    """They have no name in common."""
    both = policies.loads("policy: mine\nversion: 1\nextends: [privacy, copyright]\n")
    assert len(both.rules) == len(opened("privacy").policy.rules) + len(opened("copyright").policy.rules)


def test_the_example_of_the_page_builds_on_a_pack() -> None:
    """It changes one check and one rule."""
    (example,) = re.findall(r"^```yaml\n(.*?)^```$", catalogue.FILE.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    rules = {rule.id: rule.action for rule in policies.loads(example).rules}
    assert rules == {rule.id: rule.action for rule in opened("enterprise").policy.rules} | {"insult": Action.REVIEW}


def test_the_pack_for_children_says_what_it_lacks_and_offers_it() -> None:
    """Without a model nothing tells sexual content about minors or self-harm; with what is on offer a rule acts on both."""
    bare = coverage(opened("child-safety").policy, "llama_guard")
    whole = coverage(policies.loads(OFFERED.sub(r"\1", source("child-safety"))), "llama_guard")
    assert {"S3", "S4", "S11", "S12"} <= {one.item.code for one in bare.uncovered}
    assert {"S4", "S11", "S12"} <= {one.item.code for one in whole.covered}
    assert "THESE ARE NOT COVERED" in source("child-safety")


def test_the_chinese_pack_names_the_risks_that_it_does_not_cover() -> None:
    """The 13 codes of its comment are those that no rule acts on; the judge that it offers takes seven more."""
    report = coverage(opened("cn-labelling").policy, "gb45654")
    named = source("cn-labelling").split("NO RULE HERE")[1].split("#            That a risk")[0]
    assert re.findall(r"\bA\d[a-i]\b", named) == [one.item.code for one in report.uncovered]
    assert (len(report.covered), len(report.items)) == (18, 31)
    whole = coverage(policies.loads(OFFERED.sub(r"\1", source("cn-labelling"))), "gb45654")
    assert len(whole.covered) == len(report.covered) + 7


def test_the_chinese_pack_does_not_run_without_a_producer() -> None:
    """Nobody is invented for the implicit label; the pack says so at its top."""
    assert "GENGUARD_CONTENT_PRODUCER" in source("cn-labelling").split("policy: ")[0]
    with pytest.raises(SettingsError, match="found no content producer"):
        Guard(opened("cn-labelling").policy, MemoryLedger(), operator=Operator(watermark_key=KEY))


@pytest.mark.parametrize(
    ("pack", "marks"),
    [
        ("cn-labelling", {"label": "gb45438/end/zh", "aigc": "envelope"}),
        ("eu-ai-act", {"label": "eu/end/en"}),
        ("child-safety", {"label": "plain/end/en"}),
        ("strict", {"label": "plain/end/en"}),
        ("dev", {}),
        ("privacy", {}),
    ],
)
def test_texts_leave_with_the_marks_that_a_pack_asks_for(pack: str, marks: dict[str, str]) -> None:
    """Under its marks alone; a text that came from elsewhere bears no text watermark, and is released all the same."""
    whole = opened(pack).policy
    unseen = tuple(spec for spec in whole.checks if spec.use == "invisible_characters")
    policy = replace(whole, checks=unseen, rules=tuple(rule for rule in whole.rules if rule.id == "hidden-characters"))
    operator = Operator(content_producer="Example Ltd", watermark_key=KEY)
    release = Guard(policy, MemoryLedger(), operator=operator).check_sync("Your parcel is on its way.")
    assert release.verdict.action is Action.ALLOW
    assert {mark.kind: mark.method for mark in release.decision.marks if mark.verified} == marks


@pytest.mark.parametrize("pack", NAMES)
def test_a_pack_asks_nothing_of_a_network(pack: str) -> None:
    """Its checks are those that run with what genguard brings along."""
    offline = {"image_match", "invisible_characters", "pii", "prompt_injection", "secrets", "text_match", "toxicity"}
    for spec in opened(pack).policy.checks:
        assert spec.use in offline
        assert str(spec.parameters.get("model", "bundled/")).startswith("bundled/")


# --- with the bundled models ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pack", NAMES)
def test_every_example_comes_out_as_it_says_and_stands_clear_of_the_threshold(pack: str, answers: Answers) -> None:
    """Measured by the bundled models; 0.05 at least on the right side, so that a small change of a model turns nothing."""
    assert wrong(opened(pack), answers, MARGIN) == []
