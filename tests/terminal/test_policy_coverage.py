"""`genguard policy coverage`."""

from __future__ import annotations

import json

from typer.testing import CliRunner

import cli
from guard.taxonomies import TAXONOMIES


def run(*arguments: str) -> tuple[int, str]:
    """Exit code and output of the terminal's command."""
    result = CliRunner().invoke(cli.app, ["policy", "coverage", *arguments])
    return result.exit_code, result.output


def test_the_command_names_what_is_not_covered() -> None:
    """With the reason."""
    code, output = run("copyright", "--taxonomy", "llama_guard")
    assert code == 0
    assert "S8 intellectual property" in output
    assert "1 of 14 items" in output
    assert "S4 sexual exploitation of children: no rule of category sexual_minors" in output


def test_the_command_tells_what_is_only_recorded_and_what_is_not_listed() -> None:
    """The pack `dev` records most things; NIST's list is not whole."""
    assert "harassment: only recorded, by abuse" in run("dev", "--taxonomy", "openai")[1]
    assert "are listed" in run("dev", "--taxonomy", "nist")[1]


def test_without_a_taxonomy_it_counts_all_of_them() -> None:
    """A line a taxonomy."""
    code, output = run("enterprise")
    assert code == 0
    assert all(name in output for name in TAXONOMIES)


def test_the_command_answers_in_json() -> None:
    """All facts of the report; a list of reports when no taxonomy is named."""
    report = json.loads(run("enterprise", "--taxonomy", "dsa", "--json")[1])
    assert report["policy"] == "enterprise"
    assert report["total"] == len(report["covered"]) + len(report["uncovered"]) == 16
    violence = next(one for one in report["covered"] if one["code"] == "VIOLENCE")
    assert (violence["rules"], violence["checks"]) == (["threat"], ["toxicity"])
    assert len(json.loads(run("enterprise", "--json")[1])) == len(TAXONOMIES)


def test_an_unknown_taxonomy_is_refused() -> None:
    """With those that there are."""
    result = CliRunner().invoke(cli.app, ["policy", "coverage", "enterprise", "--taxonomy", "iso"])
    assert "found 'iso', expected one of: gb45654" in str(result.exception)
