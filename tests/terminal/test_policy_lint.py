"""`genguard policy lint` as authors and scripts use it: what it shows, and how it ends."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

import cli

CLEAN = """policy: desk
version: 3
status: live
owner: desk
description: What the desk says.
applies_to: {generators: [echo]}
checks:
  pii: {use: pii, entities: [CREDIT_CARD]}
rules:
  - id: card
    title: Cards are masked
    when: {pii: CREDIT_CARD}
    action: redact
    category: privacy
    basis: PCI DSS
    with: {operator: mask}
    tests: [{flags: Card 4111 1111 1111 1111}, {passes: Order 20316}]
"""
WARNED = CLEAN.replace("entities: [CREDIT_CARD]", "entities: [CREDIT_CARD], on_failure: allow").replace(
    "    basis: PCI DSS\n", ""
)
WRONG = CLEAN.replace("{passes: Order 20316}", "{passes: Card 4111 1111 1111 1111}")
BROKEN = CLEAN.replace("CREDIT_CARD}", "CREDIT_CRAD}")


@pytest.fixture
def lint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Run the command in a folder with four policies; gives its exit code and what it wrote."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    for name, text in {"clean": CLEAN, "warned": WARNED, "wrong": WRONG, "broken": BROKEN}.items():
        (tmp_path / f"{name}.yaml").write_text(text, "utf-8")

    def run(*arguments: str) -> SimpleNamespace:
        monkeypatch.setattr(sys, "argv", ["genguard", "policy", "lint", *arguments])
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        written = capsys.readouterr()
        return SimpleNamespace(code=stopped.value.code, out=written.out, err=written.err)

    return run


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["clean.yaml"], 0),
        (["clean.yaml", "--strict"], 0),
        (["warned.yaml"], 0),
        (["warned.yaml", "--strict"], 1),
        (["warned.yaml", "--strict", "--level", "error"], 1),
        (["wrong.yaml"], 1),
        (["clean.yaml", "wrong.yaml"], 1),
        (["broken.yaml"], 64),
        (["wrong.yaml", "broken.yaml"], 64),
        (["gone.yaml"], 64),
        ([], 64),
        (["clean.yaml", "--level", "loud"], 64),
        (["clean.yaml", "--json", "--sarif"], 64),
        (["clean.yaml", "warned.yaml", "--against", "clean.yaml"], 64),
        (["clean.yaml", "--against", "broken.yaml"], 64),
        (["enterprise", "--strict"], 0),
    ],
)
def test_the_exit_code_says_what_was_found(lint, arguments, code):
    """0 nothing that counts, 1 errors or with --strict warnings, 64 what cannot be loaded or asked."""
    assert lint(*arguments).code == code
    if "--json" not in arguments and "--sarif" not in arguments:
        assert lint(*arguments, "--json").code == code


def test_a_finding_is_shown_with_its_place_line_and_caret(lint):
    """And a line at the end says what the file came to."""
    shown = lint("warned.yaml")
    lines = shown.out.splitlines()
    first = next(n for n, line in enumerate(lines) if "[fails-open]" in line)
    assert lines[first].startswith("warned.yaml:8:44: warning: found on_failure 'allow', expected `block` or `review`")
    assert lines[first + 1] == f"     8 | {WARNED.splitlines()[7]}"
    assert lines[first + 2] == "       | " + " " * 43 + "^"
    assert lines[-1].startswith("warned.yaml: 1 warning, 1 advice. desk version 3 (live): 1 checks, 1 rules, revision ")
    assert shown.err == ""


def test_a_clean_policy_is_told_to_be_fine(lint):
    """In one line."""
    assert lint("clean.yaml").out.startswith("clean.yaml: fine. desk version 3 (live): 1 checks, 1 rules, revision ")


def test_only_what_matters_is_shown_when_that_is_asked_for(lint):
    """`--level` hides, and still counts."""
    shown = lint("warned.yaml", "--level", "warning")
    assert "[no-basis]" not in shown.out
    assert "1 warning, 1 advice" in shown.out
    assert [
        one["lint"] for one in json.loads(lint("warned.yaml", "--level", "warning", "--json").out)["files"][0]["findings"]
    ] == ["fails-open"]


def test_mistakes_of_one_file_do_not_hide_findings_of_another(lint):
    """Those of loading stand on standard error."""
    shown = lint("broken.yaml", "warned.yaml")
    assert "broken.yaml:12:" in shown.err
    assert "found label 'CREDIT_CRAD'" in shown.err
    assert "broken.yaml: not loaded: 1 error" in shown.err
    assert "[fails-open]" in shown.out
    assert "2 policies: 1 error, 1 warning, 1 advice" in shown.out


def test_json_has_every_finding_with_its_place(lint):
    """Also mistakes of loading, as findings of `load`."""
    found = json.loads(lint("wrong.yaml", "broken.yaml", "--json").out)
    assert (found["ok"], found["errors"], found["warnings"], found["advice"]) == (False, 2, 0, 0)
    wrong, broken = found["files"]
    assert (wrong["policy"], wrong["loaded"], broken["loaded"]) == ("desk", True, False)
    assert [(one["lint"], one["level"], one["line"]) for one in wrong["findings"]] == [("contradictory-examples", "error", 17)]
    assert [(one["lint"], one["line"]) for one in broken["findings"]] == [("load", 12)]
    assert all(one["advice"] for one in wrong["findings"])


def test_what_a_comment_allows_is_counted_apart(lint, tmp_path):
    """With its reason."""
    text = WARNED.replace("on_failure: allow}", "on_failure: allow}  # lint: allow fails-open - a second guard reads it")
    (tmp_path / "warned.yaml").write_text(text, "utf-8")
    assert "1 advice (1 allowed)" in lint("warned.yaml", "--strict").out
    (allowed,) = json.loads(lint("warned.yaml", "--json").out)["files"][0]["allowed"]
    assert (allowed["lint"], allowed["reason"]) == ("fails-open", "a second guard reads it")


def test_a_folder_stands_for_the_policies_in_it(lint, tmp_path):
    """At any depth, without test suites and what is no policy."""
    folder = tmp_path / "policies" / "deep"
    folder.mkdir(parents=True)
    (folder / "one.yaml").write_text(CLEAN, "utf-8")
    (folder / "two.yml").write_text(WARNED, "utf-8")
    (folder / "one_test.yaml").write_text("policy: one.yaml\n", "utf-8")
    (folder / "compose.yaml").write_text("services: {}\n", "utf-8")
    found = json.loads(lint("policies", "--json").out)
    assert [Path(one["file"]).name for one in found["files"]] == ["one.yaml", "two.yml"]
    (tmp_path / "empty").mkdir()
    refused = lint("empty")
    assert (refused.code, "found no policy in folder empty" in refused.err) == (64, True)


def test_sarif_names_files_from_where_it_was_run(lint):
    """As code hosts want it: run in the root of a repository."""
    found = json.loads(lint("warned.yaml", "broken.yaml", "--sarif").out)
    results = found["runs"][0]["results"]
    places = [one["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] for one in results]
    assert set(places) == {"warned.yaml", "broken.yaml"}
    assert {one["ruleId"] for one in results} == {"fails-open", "no-basis", "load"}


def test_options_tell_what_lints_cannot_know(lint, tmp_path, monkeypatch):
    """The version before, an activation, and whether there is a hub."""
    (tmp_path / "draft.yaml").write_text(CLEAN.replace("status: live", "status: draft"), "utf-8")
    assert "[not-activatable]" in lint("draft.yaml", "--for-activation").out
    assert "[not-activatable]" not in lint("draft.yaml").out
    assert "[version-not-raised]" in lint("warned.yaml", "--against", "clean.yaml").out
    hub = CLEAN + "  - {id: harm, when: {harm: 0.5}, action: review, category: hate}\n"
    hub = hub.replace("rules:\n", "  harm: {use: classifier, model: owner/name, labels: {toxic: hate}}\nrules:\n", 1)
    (tmp_path / "hub.yaml").write_text(hub, "utf-8")
    assert "[needs-hub]" not in lint("hub.yaml").out
    assert "[needs-hub]" in lint("hub.yaml", "--no-hub").out
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert "[needs-hub]" in lint("hub.yaml").out


def test_all_lints_can_be_listed(lint):
    """In a line each, and as JSON."""
    from policies.lint import LINTS

    listed = lint("--list")
    assert listed.code == 0
    assert [line.split()[0] for line in listed.out.splitlines()] == ["load", *LINTS]
    rows = json.loads(lint("--list", "--json").out)["lints"]
    assert {row["level"] for row in rows} == {"error", "warning", "advice"}


def test_a_message_cannot_steer_the_terminal(lint, tmp_path):
    """Control characters in names are spelt out."""
    text = CLEAN.replace("[echo]", r'["ech\e[2J"]').replace("checks:", "checks:  # lint: allow unread-stage - texts only")
    (tmp_path / "odd.yaml").write_text(text, "utf-8")
    assert "\x1b[2J" not in lint("odd.yaml").out
