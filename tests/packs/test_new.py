"""Policies begun from packs: they load whatever was answered, say what was asked for, and keep what their examples say."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

import policies
from guard.errors import InputError
from guard.types import Action, Modality
from policies import new
from policies.load import read_policy
from policies.loaded import LoadedPolicy, RuleTest
from policies.mistake import Mistakes
from policies.new import Answers as Said
from policies.new import moved, questions, write
from policies.pack_text import PackText
from policies.source import read
from tests.packs.measuring import NAMES, Answers, opened, variants, wrong

TEXT, IMAGE = frozenset({Modality.TEXT}), frozenset({Modality.IMAGE})
LANGUAGES = (None, ("en",), ("zh",), ("zh", "en"), ("de", "en"))
CONTENTS = (None, TEXT, IMAGE, TEXT | IMAGE)
REACTIONS = (None, Action.REDACT, Action.BLOCK, Action.REVIEW)
LABELS = (None, *new.LABELS)


def fitting(pack: str, number: int) -> Said:
    """One of many combinations of answers, without those that the pack cannot follow."""
    asked = questions(pack)
    contents = CONTENTS[number % 4]
    contents = contents if contents is None or contents <= asked.modalities else None
    texts = Modality.TEXT in (contents or asked.modalities)
    return Said(
        pack,
        languages=LANGUAGES[number % 5] if texts else None,
        modalities=contents,
        on_personal_data=REACTIONS[number // 2 % 4] if texts and asked.personal_data else None,
        strictness=new.STRICTNESS[number % 3] if texts and asked.scores else "medium",
        label=LABELS[number // 3 % 5],
    )


def made(said: Said) -> LoadedPolicy:
    """The policy that these answers give."""
    return read_policy(write(said), file="house.yaml")


def texts_of(loaded: LoadedPolicy) -> list[RuleTest]:
    """Its examples but pictures, which stay with the pack."""
    return [test for test in loaded.tests if test.image is None]


@pytest.mark.parametrize("pack", NAMES)
def test_every_combination_of_answers_gives_a_policy_that_keeps_its_promises(pack: str) -> None:
    """It loads, each rule on texts keeps examples of both kinds, and what was asked for is in it."""
    for number in range(0, 7 * (18 if pack == "enterprise" else 9), 7):
        said = fitting(pack, number)
        policy = made(said).policy
        assert (policy.id, policy.version, policy.status, policy.owner) == ("house", 1, "draft", "trust-and-safety")
        assert all(rule.title and rule.basis for rule in policy.rules)
        languages = {language for rule in policy.rules for language, _ in rule.message}
        assert languages <= set(said.languages or languages)
        for rule in policy.rules:
            if said.on_personal_data and rule.category == "privacy":
                assert rule.action is said.on_personal_data
                assert bool(rule.message) is (rule.action is not Action.REDACT)
        labels = {str(mark.parameters["profile"]) for mark in policy.marks if mark.use == "label"}
        assert said.label is None or labels == ({said.label} - {"none"})
        carrying = {mark.modality for mark in policy.marks if mark.use != "aigc"}  # written in files and beside texts
        assert said.modalities is None or carrying <= said.modalities


@pytest.mark.parametrize("pack", NAMES)
def test_without_answers_it_decides_as_the_pack_does(pack: str) -> None:
    """The same checks, rules, marks and examples."""
    begun, kept = made(Said(pack)), opened(pack)
    assert (begun.policy.checks, begun.policy.rules) == (kept.policy.checks, kept.policy.rules)
    assert {(mark.use, mark.modality) for mark in begun.policy.marks} == {
        (mark.use, mark.modality) for mark in kept.policy.marks
    }
    assert [(test.rule, test.text) for test in begun.tests] == [(test.rule, test.text) for test in texts_of(kept)]


@pytest.mark.parametrize("pack", NAMES)
def test_the_examples_hold_at_every_strictness_and_in_each_language(pack: str, answers: Answers) -> None:
    """Measured by the bundled models."""
    assert [found for one in variants(pack) for found in wrong(one, answers)] == []


@pytest.mark.parametrize("pack", NAMES)
def test_examples_of_other_languages_go_and_none_is_left_without(pack: str) -> None:
    """Every rule that had examples still has one of each kind."""
    for languages in (("en",), ("zh",)):
        before, after = texts_of(opened(pack)), made(Said(pack, languages=languages)).tests
        assert {(test.rule, test.expects) for test in after} == {(test.rule, test.expects) for test in before}
        if languages == ("en",):
            assert not any(re.search(r"[\u4e00-\u9fff]", test.text) for test in after)


def test_what_a_check_no_longer_reports_is_not_asked_for() -> None:
    """Chinese papers are patterns of Chinese: without that language no rule names them."""
    text = write(Said("privacy", languages=("en",)))
    assert "CN_ID_CARD" not in text.split("checks:")[1]
    assert "US_SSN" in text


def test_thresholds_of_models_move_and_others_stay() -> None:
    """Three tenths of the way."""
    assert [moved(0.5, strictness) for strictness in new.STRICTNESS] == [0.65, 0.5, 0.35]
    strict = write(Said("enterprise", strictness="high"))
    assert "toxicity.threat: 0.35" in strict
    assert "injection: 0.35, stage: prompt" in strict
    assert "passages.near: 0.50" in strict


def test_thresholds_by_language_are_found_under_the_check() -> None:
    """However deep they stand."""
    source = """
rules:
  - id: one
    when: {a.b: 0.5, any: [{c: 0.6}, {not: {d.e: {zh: 0.7, "*": 0.8}}}], length: {at_least: 9}, f: X}
"""
    root = read(source, Mistakes("pack.yaml"))
    assert root is not None
    found = [(key, node.value) for key, node in PackText(source, root).numbers()]
    assert found == [("a.b", 0.5), ("c", 0.6), ("d.e", 0.7), ("d.e", 0.8)]


def test_an_image_policy_has_nothing_of_texts() -> None:
    """No check, rule, heading or mark that only texts need."""
    text = write(Said("enterprise", modalities=IMAGE))
    body = text.split("checks:")[1]
    assert "toxicity" not in body
    assert "# Abuse" not in body
    assert "# Protected works" in body
    assert "# lint: allow unread-stage" in text


def test_pictures_of_a_pack_stay_with_the_pack() -> None:
    """Their files lie beside it; a rule that has no other examples has none then, and the policy still loads."""
    assert any(test.image is not None for test in policies.open_policy("enterprise").tests)
    for languages in (None, ("en",), ("zh",)):
        text = write(Said("enterprise", languages=languages))
        assert ".jpg" not in text
        assert "id: protected-work" in text
        assert policies.loads(text).id


def test_the_file_explains_itself() -> None:
    """What was answered, what the pack says of itself, what bundled models cannot read, what a label needs."""
    text = write(Said("enterprise", languages=("fr", "en"), label="gb45438"))
    assert text.startswith("# yaml-language-server: $schema=policy.schema.json\n")
    assert "# Begun from the pack `enterprise`. Languages: fr, en" in text
    assert "For fr numbers and addresses are found, but no bundled model reads abuse" in text
    assert "`metadata: [aigc]`, which needs GENGUARD_CONTENT_PRODUCER" in text
    assert "# For whom   The pack to begin with." in text
    assert max(map(len, text.split("\n"))) <= 140


def test_what_the_pack_offers_stays_on_offer() -> None:
    """Lines behind `#|` are still there, and still load when they are switched on."""
    text = write(Said("child-safety", languages=("en",)))
    whole = policies.loads(re.sub(r"^( *)#\| ", r"\1", text, flags=re.MULTILINE))
    assert {"judge", "service"} <= {spec.name for spec in whole.checks}
    assert "#| c2pa: true" in write(Said("eu-ai-act"))
    assert "#| c2pa" not in write(Said("eu-ai-act", modalities=TEXT)).split("checks:")[1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pack": "nothing"}, "found no pack 'nothing', expected one of: child-safety"),
        ({"name": "My House"}, "found the name 'My House', expected at most 64 lower-case letters"),
        ({"owner": " "}, "found no owner"),
        ({"languages": ("de",)}, "found languages de, expected en or zh among them"),
        ({"languages": ("en", "xx")}, "found languages that check 'pii' does not know"),
        ({"pack": "privacy", "modalities": IMAGE}, "found image to judge, expected text"),
        ({"modalities": frozenset()}, "found nothing to judge"),
        ({"strictness": "utter"}, "found strictness 'utter', expected one of: low, medium, high"),
        ({"label": "us"}, "found label 'us', expected one of: gb45438"),
        ({"pack": "copyright", "on_personal_data": Action.BLOCK}, "this policy has no rule on personal data"),
        ({"pack": "privacy", "strictness": "low"}, "this policy has no threshold of a model"),
        ({"modalities": IMAGE, "languages": ("en",)}, "this policy has no check of texts"),
    ],
)
def test_what_a_pack_cannot_follow_is_refused(change: dict[str, object], message: str) -> None:
    """Before anything is written, with what was found and expected."""
    with pytest.raises(InputError, match=re.escape(message)):
        write(replace(Said(), **change))  # type: ignore[arg-type]


def test_an_owner_may_be_any_line() -> None:
    """What YAML would read as something else is quoted."""
    for owner in ("Ann: ann@example.com", "no", "true", "12", "信任与安全", 'the "team" #1', "O'Neil, legal"):
        assert made(Said(owner=owner)).policy.owner == owner
