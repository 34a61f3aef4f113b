"""`genguard policy test`: what it prints, what it writes, how it ends."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

import cli

pytestmark = pytest.mark.usefixtures("measuring")

POLICY = """\
policy: shop
version: 3
checks:
  tone: {use: word_scores, scores: {threat: {kill: 620, hurt: 410}, insult: {idiot: 900}}}
rules:
  - id: threat
    when: {tone.threat: 0.6}
    action: block
    tests:
      - flags: I will kill you
      - passes: Hello
  - id: insult
    when: {tone.insult: 0.5}
    action: review
    tests:
      - flags: You idiot
"""
SUITE = """\
policy: shop.yaml
tests:
  - {name: A greeting, given: Hello, expect: {action: allow, rules: []}}
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a policy, in which the command runs."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "shop.yaml").write_text(POLICY)
    return tmp_path


def run(*arguments: str) -> int:
    """Run the command line and return its exit code."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["genguard", "policy", "test", *arguments])
        return cli._run()


def test_a_fine_policy_ends_with_0(capsys: pytest.CaptureFixture[str]):
    """One line a policy, and what is fragile."""
    assert run("shop.yaml") == 0
    assert capsys.readouterr().out == (
        "Close to a threshold:\n"
        "    shop.yaml:10:9: threat: tone.threat 0.62 against 0.60 (threat flags 'I will kill you')\n"
        "shop version 3: 3 passed, 0 failed, 0 errors, coverage 75 %\n"
    )
    assert run("shop.yaml", "--near", "0.01") == 0
    assert "Close" not in capsys.readouterr().out


def test_each_failure_is_a_line_with_its_place(folder: Path, capsys: pytest.CaptureFixture[str]):
    """And what was measured."""
    (folder / "shop.yaml").write_text(POLICY.replace("passes: Hello", "flags: I will [red]hurt[/] you\u202e"))
    assert run("shop.yaml") == 1
    out = capsys.readouterr().out
    name = "threat flags 'I will [red]hurt[/] you\\u202e'"
    assert f"failed shop.yaml:11:9: {name}: expected to flag; tone.threat is 0.41, needs 0.60\n" in out
    assert "shop version 3: 2 passed, 1 failed, 0 errors, coverage 50 %\n" in out


def test_errors_are_told_apart(folder: Path, capsys: pytest.CaptureFixture[str]):
    """They end with 1, too: nobody knows what the policy does."""
    (folder / "shop.yaml").write_text(POLICY.replace("{use: word_scores", "{use: word_scores, trouble: no weights"))
    assert run("shop.yaml") == 1
    out = capsys.readouterr().out
    assert "error shop.yaml:10:9: threat flags 'I will kill you': the check could not run: tone: failed: " in out
    assert "0 passed, 0 failed, 3 errors" in out


def test_coverage_is_listed_and_may_be_demanded(capsys: pytest.CaptureFixture[str]):
    """Too little of it ends with 1, and says what is missing."""
    assert run("shop.yaml", "--coverage") == 0
    missing = "No test shows:\n    shop.yaml:12:5: insult: a content at which it does not fire\n"
    assert missing in capsys.readouterr().out
    assert run("shop.yaml", "--min-coverage", "75") == 0
    capsys.readouterr()
    assert run("shop.yaml", "--min-coverage", "80") == 1
    out = capsys.readouterr().out
    assert missing in out
    assert "coverage 75 % of at least 80 %" in out


def test_tests_are_chosen(capsys: pytest.CaptureFixture[str]):
    """By words and by rule; none at all is a usage error, since nothing was tested."""
    assert run("shop.yaml", "-k", "KILL you") == 0
    assert "1 passed" in capsys.readouterr().out
    assert run("shop.yaml", "--rule", "insult") == 0
    assert "1 passed, 0 failed, 0 errors, coverage 50 %" in capsys.readouterr().out
    assert run("shop.yaml", "-k", "nothing like that") == 64
    assert run("shop.yaml", "--rule", "insults") == 64
    assert "--rule: found 'insults', expected one of: threat, insult" in capsys.readouterr().err


def test_suites_are_found_and_may_be_given(folder: Path, capsys: pytest.CaptureFixture[str]):
    """Beside the policy, by --suite, or in place of the policy."""
    (folder / "shop_test.yaml").write_text(SUITE)
    (folder / "more_test.yaml").write_text(SUITE.replace("A greeting", "Another"))
    for arguments, passed in (
        (["shop.yaml"], 4),
        (["shop.yaml", "--suite", "more_test.yaml"], 5),
        (["shop_test.yaml"], 4),
        (["more_test.yaml", "shop_test.yaml", "shop.yaml", "./shop.yaml"], 5),
        (["--suite", "more_test.yaml", "-k", "another"], 1),
    ):
        assert run(*arguments) == 0
        assert f"shop version 3: {passed} passed" in capsys.readouterr().out


def test_several_policies_are_reported_one_by_one(folder: Path, capsys: pytest.CaptureFixture[str]):
    """One that fails decides the exit code."""
    (folder / "b.yaml").write_text(POLICY.replace("policy: shop", "policy: b").replace("passes: Hello", "passes: kill"))
    assert run("shop.yaml", "b.yaml") == 1
    out = capsys.readouterr().out
    assert "shop version 3: 3 passed, 0 failed" in out
    assert "b version 3: 2 passed, 1 failed" in out
    assert out.endswith("2 policies: 5 passed, 1 failed, 0 errors\n")
    assert run("shop.yaml", "b.yaml", "-k", "Hello") == 0
    assert "b version 3" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "found no policy, expected at least one"),
        (["none.yaml"], "found no file that can be read"),
        (["shop.yaml", "--suite", "none_test.yaml"], "found no file that can be read"),
        (["broken.yaml"], "found '3x' for 'version', expected a whole number"),
        (["shop.yaml", "--near", "2"], "Invalid value for '--near'"),
    ],
)
def test_what_cannot_be_used_ends_with_64(folder: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]):
    """And says what was found and expected."""
    (folder / "broken.yaml").write_text(POLICY.replace("version: 3", "version: 3x"))
    assert run(*arguments) == 64
    assert message in capsys.readouterr().err


def test_a_policy_without_tests_ends_with_1(folder: Path, capsys: pytest.CaptureFixture[str]):
    """Nothing was shown."""
    (folder / "shop.yaml").write_text("\n".join(POLICY.splitlines()[:8]))
    assert run("shop.yaml") == 1
    assert "shop version 3: no tests, expected at least one" in capsys.readouterr().out


def test_json_has_every_test(folder: Path, capsys: pytest.CaptureFixture[str]):
    """With place, outcome, what was measured, what is near and what is missing."""
    (folder / "shop.yaml").write_text(POLICY.replace("passes: Hello", "flags: hurt"))
    (folder / "shop_test.yaml").write_text(SUITE)
    assert run("shop.yaml", "--json") == 1
    found = json.loads(capsys.readouterr().out)
    assert (found["ok"], found["passed"], found["failed"], found["errors"]) == (False, 3, 1, 0)
    (report,) = found["policies"]
    failed = report["tests"][1]
    assert failed.pop("seconds") > 0
    assert failed == {
        "name": "threat flags 'hurt'",
        "file": "shop.yaml",
        "line": 11,
        "column": 9,
        "rule": "threat",
        "kind": "flags",
        "outcome": "failed",
        "why": ["expected to flag; tone.threat is 0.41, needs 0.60"],
    }
    assert report["tests"][3] | {"seconds": 0} == {
        "name": "A greeting",
        "file": "shop_test.yaml",
        "line": 3,
        "column": 5,
        "rule": None,
        "kind": "suite",
        "outcome": "passed",
        "why": [],
        "seconds": 0,
    }
    assert report["coverage"] == {"percent": 100.0, "of": 4, "missing": []}
    assert [(one["score"], one["threshold"]) for one in report["near"]] == [(0.62, 0.6)]


def test_junit_is_well_formed(folder: Path):
    """Names are escaped, and what XML cannot hold is spelt out."""
    bad = 'flags: "hurt <b> & \\"q\\" \\u0007 ]]>"'
    (folder / "shop.yaml").write_text(POLICY.replace("passes: Hello", bad).replace("You idiot", "Ann"))
    (folder / "shop_test.yaml").write_text(SUITE)
    assert run("shop.yaml", "--junit", "out.xml") == 1
    root = ET.parse("out.xml").getroot()
    assert root.tag == "testsuites"
    (suite,) = root.findall("testsuite")
    assert {key: suite.get(key) for key in ("name", "tests", "failures", "errors")} == {
        "name": "shop",
        "tests": "4",
        "failures": "2",
        "errors": "0",
    }
    assert {one.get("name"): one.get("value") for one in suite.iter("property")}["coverage"] == "75.0"
    cases = suite.findall("testcase")
    assert cases[1].get("name") == "threat flags 'hurt <b> & \"q\" \\x07 ]]>'"
    assert (cases[1].get("classname"), cases[1].get("file"), cases[1].get("line")) == ("shop.threat", "shop.yaml", "11")
    assert cases[1].find("failure").get("message") == "expected to flag; tone.threat is 0.41, needs 0.60"
    assert cases[3].get("classname") == "shop.suite"
    assert all(float(case.get("time")) > 0 for case in cases)
    assert float(suite.get("time")) == pytest.approx(sum(float(case.get("time")) for case in cases), abs=1e-4)


def test_junit_tells_errors_apart_and_spells_out_what_xml_cannot_hold(folder: Path):
    """A name that an author gave may have any character."""
    policy = POLICY.replace("- passes: Hello", '- {passes: Hello, name: "bell \\u0007 and \\ufffe"}')
    (folder / "shop.yaml").write_text(policy.replace("{use: word_scores", "{use: word_scores, trouble: none"))
    assert run("shop.yaml", "--junit", "out.xml") == 1
    suite = ET.parse("out.xml").getroot().find("testsuite")
    assert (suite.get("failures"), suite.get("errors")) == ("0", "3")
    case = suite.findall("testcase")[1]
    assert case.get("name") == "threat: bell \\u0007 and \\ufffe"
    assert case.find("error").text.startswith("shop.yaml:11:9\nthe check could not run: tone: failed")
