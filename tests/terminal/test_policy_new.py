"""`genguard policy new`: asked on a terminal, or answered by options."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

import cli
from guard.errors import InputError
from policies import load
from terminal import policy_new


def new(*arguments: str, answers: str = "") -> Result:
    """Run the command with these lines typed."""
    return CliRunner().invoke(cli.app, ["policy", "new", *arguments], input=answers)


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_yes_begins_a_policy_from_the_pack_alone() -> None:
    """Written under the name, loaded, with the commands that come next."""
    result = new("--yes", "--name", "shop")
    assert result.exit_code == 0
    assert load("shop.yaml").id == "shop"
    assert result.output.startswith("shop.yaml: shop loads: 7 checks, 11 rules, ")
    assert "genguard policy test shop.yaml" in result.output


def test_the_name_comes_from_the_file() -> None:
    """Unless it is given."""
    assert new("desk.yaml", "--yes").exit_code == 0
    assert load("desk.yaml").id == "desk"


def test_nothing_is_written_over() -> None:
    """The file that is there stays as it is."""
    Path("shop.yaml").write_text("mine")
    result = new("shop.yaml", "--yes")
    assert "found shop.yaml there already" in str(result.exception)
    assert Path("shop.yaml").read_text() == "mine"


def test_options_answer_everything_without_a_terminal() -> None:
    """No question is left, so none is asked."""
    options = ["--from", "enterprise", "--name", "bank", "--owner", "risk", "--languages", "en,zh", "--text", "--no-images"]
    options += ["--on-personal-data", "block", "--strictness", "high", "--label", "eu", "--json"]
    result = new("bank.yaml", *options)
    facts = json.loads(result.output)
    assert result.exit_code == 0
    assert facts["file"] == "bank.yaml"
    assert (facts["policy"], facts["checks"]) == ("bank", 6)
    assert facts["revision"] == load("bank.yaml").revision
    assert facts["next"][:2] == ["genguard policy lint bank.yaml", "genguard policy test bank.yaml"]
    assert facts["next"][-1].startswith("genguard policy activate bank.yaml --shadow")


def test_a_question_without_a_terminal_is_an_error() -> None:
    """It names the option, and what `--yes` would mean; nothing is written."""
    result = new("--from", "privacy")
    assert isinstance(result.exception, InputError)
    assert "found no --name and no terminal to ask on, expected it, or --yes (which means 'house')" in str(result.exception)
    assert list(Path().iterdir()) == []


def test_it_asks_what_options_do_not_say(monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong answer is asked for again; an empty one takes what is proposed."""
    monkeypatch.setattr(policy_new, "_asker", lambda: policy_new._question)
    typed = ["nothing", "enterprise", "clinic", "", "text", "en", "block", "", "plain"]
    result = new(answers="\n".join(typed) + "\n")
    assert result.exit_code == 0
    assert "found 'nothing', expected one of: child-safety" in result.output
    assert "  copyright     Copies of registered pictures, texts and code." in result.output
    policy = load("clinic.yaml")
    assert {rule.action.value for rule in policy.rules if rule.category == "privacy"} == {"block"}
    assert {spec.name for spec in policy.checks} & {"works"} == set()


def test_it_asks_nothing_that_the_pack_has_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pack `copyright` has no personal data and no thresholds of models."""
    asked: list[str] = []

    def note(option: str, _question: str, proposed: str, _choices: tuple[str, ...]) -> str:
        asked.append(option)
        return proposed

    monkeypatch.setattr(policy_new, "_asker", lambda: note)
    assert new("--from", "copyright").exit_code == 0
    assert asked == ["--name", "--owner", "--text or --images", "--languages", "--label"]


def test_an_unknown_reaction_is_refused() -> None:
    """With those that there are."""
    result = new("--yes", "--on-personal-data", "forget")
    assert "--on-personal-data: found 'forget', expected one of: redact, block, review" in str(result.exception)


def test_a_policy_that_needs_a_producer_says_so() -> None:
    """Before it is activated."""
    assert "GENGUARD_CONTENT_PRODUCER" in new("--yes", "--from", "cn-labelling").output
