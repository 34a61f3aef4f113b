"""The examples beside rules are run, and what was measured is told of those that fail."""

from __future__ import annotations

import asyncio
import textwrap
from pathlib import Path

import pytest

from guard.chain import Chain
from guard.errors import PolicyError
from policies import open_policy, testing
from policies.load import read_policy
from policies.testing import Outcome, Pool, Report, Selection
from tests.policies.measuring import WordScores, picture

pytestmark = pytest.mark.usefixtures("measuring")

HEAD = """\
policy: shop
version: 3
checks:
  tone:
    use: word_scores
    scores:
      threat: {kill: 620, hurt: 410, find: 590}
      insult: {idiot: 900, silly: 300}
      EMAIL: {ann@example.com: 1000, bob@example.com: 1000}
  pictures: {use: red_things}
rules:
"""
THREAT = """\
- id: threat
  when: {tone.threat: 0.6}
  action: block
"""
EMAIL = """\
- id: email
  when: {tone: EMAIL}
  action: redact
  with: {operator: replace}
"""


def shop(rules: str, tests: str, head: str = HEAD, **options: object) -> Report:
    """Run a policy whose last rule has these tests."""
    text = head + textwrap.indent(rules + "  tests:\n" + textwrap.indent(textwrap.dedent(tests), "    "), "  ")
    return testing.run(read_policy(text, file="shop.yaml"), **options)


def outcomes(report: Report) -> list[str]:
    return [result.outcome.value for result in report.results]


def only(report: Report) -> tuple[str, str]:
    """Outcome and explanation of the only test."""
    (result,) = report.results
    return result.outcome.value, "\n".join(result.why)


def test_a_policy_whose_examples_show_what_they_say_is_fine():
    """Each is one result, with its place and its share of the time."""
    report = shop(THREAT, "- flags: I will kill you\n- passes: Hello")
    assert (report.ok, report.passed, report.failed, report.errors) == (True, 2, 0, 0)
    assert [result.name for result in report.results] == ["threat flags 'I will kill you'", "threat passes 'Hello'"]
    assert str(report.results[1].at) == "shop.yaml:17:9"
    assert all(result.seconds > 0 for result in report.results)
    assert (report.file, report.policy, report.version) == ("shop.yaml", "shop", 3)


def test_a_policy_without_tests_is_not_fine():
    """Nobody showed anything about it."""
    report = testing.run(read_policy(HEAD + textwrap.indent(THREAT, "  ")))
    assert report.results == ()
    assert not report.ok


@pytest.mark.parametrize(
    ("rule", "test", "why"),
    [
        (THREAT, "flags: I will hurt you", "expected to flag; tone.threat is 0.41, needs 0.60"),
        (THREAT, "flags: Hello", "expected to flag; tone.threat is 0.00, needs 0.60"),
        (THREAT, "passes: I will kill you", "expected to pass; tone.threat is 0.62, 0.02 over 0.60"),
        (EMAIL, "flags: Hello", "expected to flag; tone found nothing, needs EMAIL"),
        (EMAIL, "passes: ann@example.com", "expected to pass; tone found EMAIL"),
        (EMAIL, "redacts: {from: Hello, to: Bye}", "expected to redact; tone found nothing, needs EMAIL"),
        (
            EMAIL,
            "redacts: {from: Write to ann@example.com, to: Write to me}",
            "expected 'Write to me'\nreleased 'Write to [EMAIL]'",
        ),
    ],
)
def test_a_failing_example_says_what_was_measured(rule: str, test: str, why: str):
    """On which side of the threshold it was, and by how much."""
    assert only(shop(rule, f"- {test}")) == ("failed", why)


def test_every_part_that_is_missing_is_named():
    """Also facts about the content, and what must not be."""
    rule = """\
- id: abuse
  when:
    stage: output
    language: "en*"
    any: [{tone.threat: 0.6}, {tone.insult: 0.5}]
    not: {tone: EMAIL}
  action: block
"""
    test = "- {flags: silly ann@example.com, language: zh, stage: output}"
    outcome, why = only(shop(rule, test))
    assert outcome == "failed"
    assert why == (
        "expected to flag; tone.threat is 0.00, needs 0.60; tone.insult is 0.30, needs 0.50; language is zh, needs en*; "
        "tone found EMAIL, needs the contrary"
    )


def test_a_redaction_is_that_of_its_own_rule_alone():
    """Another rule, here one that blocks and one that cuts, changes nothing about the example."""
    others = THREAT + "- id: word\n  when: {tone: insult}\n  action: redact\n  with: {operator: remove}\n"
    report = shop(others + EMAIL, "- redacts: {from: kill that idiot ann@example.com, to: 'kill that idiot [EMAIL]'}")
    assert report.ok


@pytest.mark.parametrize("operator", ["hash", "encrypt", "pseudonymise"])
def test_values_that_depend_on_the_key_may_be_left_open(operator: str):
    """`{any}` stands for them, and for nothing else."""
    rule = EMAIL.replace("replace", operator)
    assert shop(rule, "- redacts: {from: Write to ann@example.com now, to: 'Write to {any} now'}").ok
    report = shop(rule, "- redacts: {from: ann@example.com or carl@example.com, to: '{any} or {any}'}")
    assert only(report) == ("failed", "expected '{any} or {any}'\nreleased '{any} or carl@example.com'")


def test_values_that_depend_on_the_key_are_the_same_in_every_run():
    """So an author may also write what a test showed."""
    rule = EMAIL.replace("replace", "hash")
    outcome, why = only(shop(rule, "- redacts: {from: ann@example.com, to: nothing}"))
    value = why.rpartition(" ")[2].strip("'")
    assert outcome == "failed"
    assert value.startswith("[EMAIL:")
    assert shop(rule, f"- redacts: {{from: ann@example.com, to: '{value}'}}").ok


def test_a_long_text_is_shown_where_it_differs():
    """Not from its beginning."""
    text = "word " * 100
    _, why = only(shop(EMAIL, f"- redacts: {{from: {text}ann@example.com, to: {text}me}}"))
    assert why.splitlines()[1].endswith("word [EMAIL]'")
    assert len(why) < 400


def test_images_are_read_beside_the_policy(tmp_path: Path):
    """Flagged, passed, and redacted to the very pixels of another file."""
    rule = """\
  - id: red
    when: {pictures: red}
    action: redact
    with: {operator: fill}
    tests:
      - flags: {image: pictures/red.png}
      - passes: {image: pictures/white.png}
      - redacts: {from: {image: pictures/red.png}, to: {image: pictures/black.png}}
      - redacts: {from: {image: pictures/red.png}, to: {image: pictures/white.png}}
      - flags: {image: pictures/none.png}
      - flags: {image: shop.yaml}
"""
    picture(tmp_path / "pictures/red.png")
    picture(tmp_path / "pictures/white.png", None)
    picture(tmp_path / "pictures/black.png", "black")
    file = tmp_path / "shop.yaml"
    file.write_text(HEAD + rule)
    report = testing.run(open_policy(file))
    assert outcomes(report) == ["passed", "passed", "passed", "failed", "error", "error"]
    assert report.results[3].why == ("released a picture that differs from the expected one inside 8, 8 to 16, 16",)
    assert report.results[4].why == (f"{tmp_path}/pictures/none.png cannot be read: No such file or directory",)
    assert "no readable image" in report.results[5].why[0]


def test_a_check_that_cannot_run_is_an_error_and_no_failure():
    """It says nothing about the policy. Examples of rules that do not ask it are told."""
    head = HEAD.replace("pictures: {use: red_things}", "other: {use: word_scores, scores: {odd: {x: 1}}, trouble: no weights}")
    odd = "- id: odd\n  when: {other: any}\n  action: review\n  tests: [{flags: x}, {passes: y}]\n"
    report = shop(odd + THREAT, "- flags: kill\n- passes: Hello", head)
    assert outcomes(report) == ["error", "error", "passed", "passed"]
    assert report.results[0].why == ("the check could not run: other: failed: could not be loaded: ModelError: no weights",)
    assert (report.ok, report.passed, report.failed, report.errors) == (False, 2, 0, 2)


def test_a_text_at_which_a_check_fails_is_one_error():
    """Its neighbours in the batch are measured all the same."""
    head = HEAD.replace("use: word_scores", "use: word_scores\n    unread: oops")
    report = shop(THREAT, "- flags: kill\n- passes: oops\n- passes: Hello", head)
    assert outcomes(report) == ["passed", "error", "passed"]


def test_deadlines_and_groups_of_the_policy_do_not_count(measuring: list[WordScores]):
    """A slow machine fails no test, and a rule is tested although a check of an earlier group blocks."""
    head = HEAD.replace("use: word_scores", "use: word_scores\n    deadline_ms: 1")
    head = head.replace("pictures: {use: red_things}", "late: {use: word_scores, group: 2, scores: {slow: {kill: 700}}}")
    slow = "- id: slow\n  when: {late.slow: 0.5}\n  action: review\n"
    assert shop(THREAT + slow, "- flags: kill\n- passes: Hello", head).ok


def test_contents_are_measured_in_batches_by_checks_that_are_loaded_once(measuring: list[WordScores]):
    """Over several policies, too, that share a pool."""
    pool, told = Pool(), []
    tests = "".join(f"- passes: Hello {number}\n" for number in range(20))
    for _ in range(2):
        assert shop(THREAT, tests, pool=pool, progress=lambda done, of: told.append((done, of))).ok
    ran = [check for check in measuring if check.batches]
    assert [(check.loads, check.batches) for check in ran] == [(1, [16, 4, 16, 4])]
    assert told == [(16, 20), (20, 20)] * 2


def test_only_the_checks_that_are_asked_are_run(measuring: list[WordScores]):
    """A model that no selected test needs is not loaded."""
    head = HEAD.replace("pictures: {use: red_things}", "other: {use: word_scores, scores: {odd: {x: 1}}, trouble: no weights}")
    odd = "- id: odd\n  when: {other: any}\n  action: review\n  tests: [{flags: x}]\n"
    report = shop(odd + THREAT, "- flags: kill\n- passes: Hello", head, select=Selection(rules=("threat",)))
    assert outcomes(report) == ["passed", "passed"]
    assert not any(check.loads for check in measuring if check.trouble)


def test_tests_are_chosen_by_rule_and_by_words():
    """All words have to be in the name, whatever their case."""
    tests = "- {flags: kill, name: The plain word}\n- passes: Hello\n- passes: Hello World"
    assert len(shop(THREAT, tests, select=Selection(rules=("threat",))).results) == 3
    assert shop(THREAT, tests, select=Selection(rules=("other",))).results == ()
    assert [one.name for one in shop(THREAT, tests, select=Selection(words=("PLAIN", "word"))).results] == [
        "threat: The plain word"
    ]


def test_a_chain_may_be_given(measuring: list[WordScores]):
    """Of the same checks; another one is refused."""
    loaded = read_policy(HEAD + textwrap.indent(THREAT + "  tests: [{flags: kill}]\n", "  "))
    other = read_policy(HEAD.replace("620", "630") + textwrap.indent(THREAT + "  tests: [{flags: kill}]\n", "  "))
    chain = Chain(loaded.policy)
    asyncio.run(chain.load())
    made = len(measuring)
    assert testing.run(loaded, chain).ok
    assert (len(measuring), chain.checks["tone"].loads) == (made, 1)
    with pytest.raises(PolicyError, match="a chain without check 'tone' as policy 'shop' sets it"):
        testing.run(other, Chain(loaded.policy))


def test_results_tell_outcomes_apart():
    """A failure is about the policy, an error is not."""
    assert [outcome.value for outcome in Outcome] == ["passed", "failed", "error"]
