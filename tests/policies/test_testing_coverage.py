"""What tests show of a policy, which of them are fragile, and where examples stand."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from guard.rules import AllOf, Attribute, Clock, Condition, Exemption, Length, Not, ScoreAtLeast, ScoreByLanguage
from guard.types import Modality, Stage
from policies import testing
from policies.load import read_policy
from policies.loaded import LoadedPolicy, RuleTest
from policies.mistake import Position
from policies.testing import Report, Selection, open_suite
from policies.testing.situation import situate

pytestmark = pytest.mark.usefixtures("measuring")

HEAD = """\
policy: shop
version: 3
checks:
  tone:
    use: word_scores
    scores: {threat: {kill: 620, hurt: 590, slay: 900}, insult: {idiot: 900}, praise: {good: 800}}
rules:
"""
SIMPLE = """\
  - id: threat
    when: {tone.threat: 0.6}
    action: block
"""
COMPOUND = """\
  - id: abuse
    when:
      stage: output
      any:
        - tone.insult: 0.5
        - tone.threat: 0.6
      not: {tone.praise: 0.7}
    action: block
"""
AT_NIGHT = Clock(hours=(20 * 60, 6 * 60), days=frozenset({5}), zone="Europe/Berlin")


def policy(rules: str) -> LoadedPolicy:
    return read_policy(HEAD + rules, file="shop.yaml")


def run(rules: str, tests: str = "[]", **options: object) -> Report:
    return testing.run(policy(f"{rules}    tests: {tests}\n"), **options)


def missing(report: Report) -> list[str]:
    return [f"{branch.at.line}: {branch.rule}: {branch.what}" for branch in report.coverage.missing]


# --- coverage ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tests", "percent", "unseen"),
    [
        ("[]", 0, ["8: threat: a content at which it fires", "8: threat: a content at which it does not fire"]),
        ("[{flags: kill}]", 50, ["8: threat: a content at which it does not fire"]),
        ("[{passes: Hello}]", 50, ["8: threat: a content at which it fires"]),
        ("[{flags: kill}, {passes: Hello}]", 100, []),
    ],
)
def test_a_simple_rule_is_covered_by_one_example_of_each_kind(tests: str, percent: float, unseen: list[str]):
    """Its condition has one part, so there is no more to show."""
    report = run(SIMPLE, tests)
    assert report.coverage.percent == percent
    assert missing(report) == unseen


def test_every_part_of_a_condition_is_to_be_seen_true_and_false():
    """Inside `any`, `all` and `not`, with the line of each."""
    report = run(COMPOUND, "[{flags: idiot}, {passes: Hello}]")
    assert missing(report) == [
        "10: abuse: stage is output: false",
        "13: abuse: tone.threat at least 0.600: true",
        "14: abuse: tone.praise at least 0.700: true",
    ]
    assert report.coverage.percent == 70
    full = "[{flags: idiot}, {flags: kill}, {passes: idiot, stage: prompt}, {passes: good idiot}]"
    assert run(COMPOUND, full).coverage.percent == 100


def test_a_policy_is_covered_as_a_whole():
    """Its share counts all rules together; only tests that say something about a rule count for it."""
    report = run(f"{SIMPLE}    tests: [{{flags: kill}}, {{passes: idiot}}]\n{COMPOUND}")
    assert report.coverage.percent == pytest.approx(100 * 2 / 12)
    assert run(f"{SIMPLE}{COMPOUND}", "[{flags: idiot}]", select=Selection(rules=("threat",))).coverage.percent == 0


def test_suites_cover_the_rules_that_they_say_something_about(tmp_path: Path):
    """An exact set of rules says something about all; an action about those that are stricter."""
    (tmp_path / "shop.yaml").write_text(HEAD + SIMPLE + "  - {id: praise, when: {tone: praise}, action: allow}\n")
    file = tmp_path / "shop_test.yaml"

    def seen(expect: str, given: str = "Hello") -> list[str]:
        file.write_text(f"policy: shop.yaml\ntests: [{{name: it, given: {given}, expect: {expect}}}]\n")
        suite = open_suite(file)
        report = testing.run(suite.loaded, suites=[suite])
        assert report.ok
        return [f"{branch.rule}: {branch.what}" for branch in report.coverage.branches if branch.shown]

    fires, silent = "a content at which it fires", "a content at which it does not fire"
    assert seen("{rules: []}") == [f"threat: {silent}", f"praise: {silent}"]
    assert seen("{action: allow}") == [f"threat: {silent}"]
    assert seen("{not: [praise]}") == [f"praise: {silent}"]
    assert seen("{fires: [praise]}", "good") == [f"praise: {fires}"]
    assert seen("{rules: [threat, praise]}", "good kill") == [f"threat: {fires}", f"praise: {fires}"]
    assert seen("{released: Hello}") == []


# --- scores near a threshold -------------------------------------------------------------------------------------------


def test_scores_near_a_threshold_are_told():
    """On both sides, with the test that they decide."""
    report = run(SIMPLE, "[{flags: kill}, {passes: hurt}, {flags: slay}, {passes: Hello}]")
    assert [(one.test, one.rule, one.measure, one.score, one.threshold) for one in report.near] == [
        ("threat flags 'kill'", "threat", "tone.threat", 620, 600),
        ("threat passes 'hurt'", "threat", "tone.threat", 590, 600),
    ]
    assert [one.test for one in run(SIMPLE, "[{flags: kill}, {passes: hurt}]", near_within=10).near] == ["threat passes 'hurt'"]


def test_a_score_that_decides_nothing_is_not_near():
    """Where another part of the condition carries the test."""
    assert run(COMPOUND, "[{flags: kill idiot}]").near == ()
    assert [one.measure for one in run(COMPOUND, "[{flags: kill}]").near] == ["tone.threat"]


def test_thresholds_are_those_of_the_language():
    """A score by language is near that of the content's."""
    loaded = policy(f"{SIMPLE}    tests: [{{flags: kill, language: zh}}, {{passes: kill, language: en}}]\n")
    report = testing.run(_with(loaded, ScoreByLanguage("tone", "threat", (("*", 900), ("zh", 610)))))
    assert [(result.outcome.value, result.why) for result in report.results] == [("passed", ()), ("passed", ())]
    assert [(one.score, one.threshold) for one in report.near] == [(620, 610)]


# --- where an example stands -------------------------------------------------------------------------------------------


def _with(loaded: LoadedPolicy, when: Condition, **changes: object) -> LoadedPolicy:
    """The policy with another condition of its first rule."""
    rules = (replace(loaded.policy.rules[0], when=when), *loaded.policy.rules[1:])
    return replace(loaded, policy=replace(loaded.policy, rules=rules, **changes))


def _example(**changes: str) -> RuleTest:
    return RuleTest("threat", Position("shop.yaml", 1), "flags", "kill", **changes)


def _situate(when: Condition, test: RuleTest | None = None, **changes: object):
    judged = _with(policy(SIMPLE), when, **changes).policy
    return situate(judged, judged.rules[0], test or _example(), Modality.TEXT, 4)


THREAT = ScoreAtLeast("tone", "threat", 600)


def test_by_default_it_is_the_output_of_a_caller_who_says_nothing():
    """No time either, where the rule asks for none."""
    context = _situate(THREAT)
    assert (context.stage, context.tenant, context.generator, context.language) == (Stage.OUTPUT, "default", "caller", "und")
    assert (context.length, context.time) == (4, None)


@pytest.mark.parametrize(
    ("attribute", "patterns", "value"),
    [
        ("stage", ("prompt",), "prompt"),
        ("tenant", ("acme", "shop"), "acme"),
        ("tenant", ("studio-*",), "studio"),
        ("generator", ("gan[12]",), "gan1"),
        ("language", ("zh*",), "zh"),
    ],
)
def test_it_is_a_place_where_the_rule_can_hold(attribute: str, patterns: tuple[str, ...], value: str):
    """The first name that the patterns show, where they can be met."""
    condition = AllOf((THREAT, Attribute(attribute, patterns)))
    assert str(getattr(_situate(condition), attribute)).startswith(value)
    assert str(getattr(_situate(AllOf((THREAT, Not(condition)))), attribute)) != value


def test_what_the_example_says_comes_first():
    """Even where the rule cannot hold there."""
    context = _situate(AllOf((THREAT, Attribute("stage", ("prompt",)))), _example(stage="output", tenant="acme", language="en"))
    assert (context.stage, context.tenant, context.language) == (Stage.OUTPUT, "acme", "en")


def test_it_is_one_that_the_policy_applies_to():
    """Not the usual tenant where that is another policy's."""
    context = _situate(THREAT, tenants=("shop",), generators=("diffusion-*",))
    assert (context.tenant, context.generator) == ("shop", "diffusion-x")


@pytest.mark.parametrize(
    "clock",
    [
        AT_NIGHT,
        Clock(hours=(20 * 60, 24 * 60)),
        Clock(days=frozenset({0})),
        Clock(since=datetime(2027, 3, 1, tzinfo=UTC)),
        Clock(until=datetime(2020, 3, 1, tzinfo=UTC)),
        Clock(since=datetime(2027, 3, 1, tzinfo=UTC), until=datetime(2027, 3, 2, tzinfo=UTC), hours=(60, 61)),
    ],
)
def test_a_rule_about_a_time_is_tested_at_that_time(clock: Clock):
    """And one about all other times at another."""
    loaded = policy(f"{SIMPLE}    tests: [{{flags: kill}}, {{passes: Hello}}]\n")
    for part in (clock, Not(clock)):
        report = testing.run(_with(loaded, AllOf((THREAT, part))))
        assert [result.why for result in report.results] == [(), ()]


def test_what_can_never_be_is_told_when_it_fails():
    """Two times that exclude each other, and a length."""
    day, night = Clock(hours=(480, 1080)), Clock(hours=(1140, 420))
    report = testing.run(_with(policy(f"{SIMPLE}    tests: [{{flags: kill}}]\n"), AllOf((THREAT, day, night, Length(100)))))
    assert "needs: from " in report.results[0].why[0]
    assert "length is 4, needs from 100" in report.results[0].why[0]


# --- suites and time ---------------------------------------------------------------------------------------------------


def _at(tmp_path: Path, loaded: LoadedPolicy, given: str, context: str, expect: str) -> tuple[str, str]:
    (tmp_path / "shop.yaml").write_text(HEAD + SIMPLE)
    file = tmp_path / "shop_test.yaml"
    file.write_text(f"policy: shop.yaml\ntests: [{{name: it, given: {given}, context: {context}, expect: {expect}}}]\n")
    result = testing.run(loaded, suites=[open_suite(file)]).results[-1]
    return result.outcome.value, "\n".join(result.why)


def test_a_suite_says_when_where_the_time_decides(tmp_path: Path):
    """A test that depends on the day it runs is an error, not a failure at night."""
    loaded = _with(policy(SIMPLE), AllOf((THREAT, AT_NIGHT)))
    outcome, why = _at(tmp_path, loaded, "kill", "{}", "{action: block}")
    assert outcome == "error"
    assert "the outcome depends on the time, and the test names none" in why
    assert _at(tmp_path, loaded, "kill", "{time: '2026-01-10T23:00:00+01:00'}", "{rules: [threat]}") == ("passed", "")
    assert _at(tmp_path, loaded, "kill", "{time: '2026-01-12T23:00:00+01:00'}", "{rules: []}") == ("passed", "")
    assert _at(tmp_path, loaded, "Hello", "{}", "{action: allow}") == ("passed", "")


def test_exceptions_count_in_suites_and_not_beside_rules(tmp_path: Path):
    """An example says what its rule means; a suite what the policy does, at a time."""
    only_shop = Attribute("tenant", ("shop",))
    exemption = Exemption("pilot", ("threat",), "legal", "Pilot", datetime(2027, 1, 1, tzinfo=UTC), only_shop)
    loaded = policy(f"{SIMPLE}    tests: [{{flags: kill, tenant: shop}}]\n")
    loaded = replace(loaded, policy=replace(loaded.policy, exceptions=(exemption,)))
    assert testing.run(loaded).ok
    before, after = "{tenant: shop, time: '2026-06-01T12:00:00Z'}", "{tenant: shop, time: '2027-06-01T12:00:00Z'}"
    assert _at(tmp_path, loaded, "kill", before, "{action: allow, rules: [threat]}") == ("passed", "")
    assert _at(tmp_path, loaded, "kill", after, "{action: block, rules: [threat]}") == ("passed", "")
    assert _at(tmp_path, loaded, "kill", "{tenant: shop}", "{action: allow}")[0] == "error"
    assert _at(tmp_path, loaded, "kill", "{tenant: other}", "{action: block}") == ("passed", "")
