"""The terminal's commands as a script would use them: output, exit codes, JSON."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

import cli
from tests.terminal.conftest import POLICY


def test_check_tells_scripts_what_happened_by_its_exit_code(genguard):
    """0 allowed, 10 edited, 30 blocked; the released text alone is on standard output."""
    clean = genguard("check", "-", "--policy", "desk.yaml", given=b"Good morning.\n")
    assert (clean.code, clean.out) == (0, "Good morning.\n")
    edited = genguard("check", "-", "--policy", "desk.yaml", given=b"Card 4111 1111 1111 1111, please.")
    assert (edited.code, edited.out) == (10, "Card **** **** **** 1111, please.\n")
    assert "decision" in edited.err
    blocked = genguard("check", "-", "--policy", "desk.yaml", given=b"Write to maria@example.com.")
    assert (blocked.code, blocked.out) == (30, "")
    assert "maria" not in blocked.err


def test_a_decision_can_be_found_explained_revealed_and_verified(genguard):
    """What the officer does after `check`, on the ledger in the same folder."""
    checked = genguard("check", "-", "--policy", "desk.yaml", "--json", given=b"Card 4111 1111 1111 1111, please.")
    decision = json.loads(checked.out)["genguard"]["decision"]
    page = json.loads(genguard("audit", "query", "action:redact", "--json").out)
    assert [row["decision"] for row in page["decisions"]] == [decision]
    shown = json.loads(genguard("audit", "show", decision, "--json").out)
    assert shown["rederived"] == "same"
    assert {one["text"] for one in shown["payloads"]} == {None}
    revealed = json.loads(genguard("audit", "show", decision, "--reveal", "--reason", "case 12", "--json").out)
    assert [one["text"] for one in revealed["payloads"]] == [
        "Card 4111 1111 1111 1111, please.",
        "Card **** **** **** 1111, please.",
    ]
    explained = genguard("audit", "show", decision)
    assert "CREDIT_CARD" in explained.out
    assert "4111 1111" not in explained.out
    assert genguard("audit", "query").code == 0
    verified = genguard("audit", "verify")
    assert (verified.code, verified.out.startswith("sound")) == (0, True)


def test_what_others_wrote_does_not_steer_the_terminal(genguard):
    """A prompt with escape sequences is shown with their codes; files and pipes get it as it is."""
    checked = genguard("check", "-", "--policy", "desk.yaml", given=b"Good \x1b[2J\xc2\x9b5mmorning.")
    assert checked.out == "Good \x1b[2J\x9b5mmorning.\n"
    shown = genguard("audit", "show", "2", "--reveal", "--reason", "case 12")
    assert "\x1b[2J" not in shown.out
    assert r"Good \x1b[2J\x9b5mmorning." in shown.out


def test_a_narrow_terminal_shows_what_identifies_a_decision(genguard, monkeypatch):
    """In 80 columns: the action in full, the rules, and enough of the id for `audit show`."""
    checked = genguard("check", "-", "--policy", "desk.yaml", "--json", given=b"Write to maria@example.com.")
    decision = json.loads(checked.out)["genguard"]["decision"]
    monkeypatch.setattr("terminal.display._console", lambda: Console(width=80))
    listed = genguard("audit", "query")
    line = next(line for line in listed.out.splitlines() if "block" in line)
    assert "mail" in line
    assert decision.startswith(line.split()[2])
    assert genguard("audit", "show", line.split()[2]).code == 0


def test_verify_exits_with_2_and_names_the_entry_when_a_byte_was_changed(genguard, tmp_path):
    """The file is changed past SQLite, as someone with an editor would."""
    from terminal.demo import change_one_byte

    checked = genguard("check", "-", "--policy", "desk.yaml", "--json", given=b"Good morning.")
    evidence = json.loads(checked.out)["genguard"]
    change_one_byte(tmp_path / "genguard.db", tmp_path / "copy.db", evidence["decision"])
    broken = genguard("audit", "verify", "--ledger", "sqlite:///copy.db", "--key-file", "genguard.db.key", "--json")
    assert broken.code == 2
    assert evidence["receipt"]["index"] in {problem["idx"] for problem in json.loads(broken.out)["problems"]}


def test_a_policy_mistake_is_named_with_its_line(genguard, tmp_path):
    """File, line, what was found, what was expected; exit code 64."""
    (tmp_path / "bad.yaml").write_text(
        POLICY.replace("version: 3", "version: three").replace("CREDIT_CARD", "CREDIT_CRAD"), "utf-8"
    )
    refused = genguard("policy", "lint", "bad.yaml")
    assert refused.code == 64
    assert "bad.yaml:2:" in refused.err
    assert "bad.yaml:7:" in refused.err
    assert "expected" in refused.err
    fine = genguard("policy", "lint", "desk.yaml", "--json")
    assert (fine.code, json.loads(fine.out)["files"][0]["policy"]) == (0, "desk")


def test_the_schema_is_json_for_editors(genguard):
    """`policy schema` prints what the bundled file holds."""
    from policies.schema import FILE

    assert json.loads(genguard("policy", "schema").out) == json.loads(FILE.read_text("utf-8"))


def test_generate_shows_what_may_be_shown(genguard):
    """The echo under a policy that masks cards."""
    made = genguard("generate", "echo", "--prompt", "Hello there", "--policy", "desk.yaml")
    assert (made.code, made.out) == (0, "Hello there\n")


@pytest.mark.parametrize(
    "arguments",
    [
        ("check", "no-such-file.txt"),
        ("check",),
        ("generate", "gan", "--prompt", "a digit"),
        ("audit", "query", "colour:red"),
        ("serve", "--host", "0.0.0.0"),
        ("nonsense",),
    ],
)
def test_a_usage_error_exits_with_64(genguard, arguments):
    """And says what is wrong on standard error."""
    if arguments[:2] == ("audit", "query"):
        genguard("check", "-", "--policy", "desk.yaml", given=b"Hi")
    refused = genguard(*arguments)
    assert refused.code == 64
    assert refused.err
    assert not refused.out


def test_a_missing_ledger_exits_with_70(genguard):
    """It is not the caller's grammar that is wrong."""
    assert genguard("audit", "verify", "--ledger", "sqlite:///nowhere.db").code == 70


def test_an_output_that_cannot_be_written_exits_with_70(genguard):
    """In one line that names the file."""
    refused = genguard("check", "-", "--policy", "desk.yaml", "--out", "nowhere/file", given=b"Good morning.")
    assert refused.code == 70
    assert refused.err.startswith("genguard: nowhere/file: ")


def test_a_check_that_still_runs_does_not_spoil_the_exit_code(tmp_path):
    """A deadline that is long over: native code on an abandoned thread would abort the interpreter at its end."""
    (tmp_path / "hasty.yaml").write_text(
        "policy: hasty\nversion: 1\nstatus: live\nchecks:\n  toxicity: {use: toxicity, deadline_ms: 1}\n"
        "rules:\n  - {id: rude, when: {toxicity.toxicity: 0.5}, action: block, category: harassment}\n",
        "utf-8",
    )
    text = " ".join(f"word{number} and then" for number in range(2500))
    done = subprocess.run(
        [sys.executable, "-m", "cli", "check", "-", "--policy", "hasty.yaml"],
        input=text,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(cli.__file__).parent)},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert (done.returncode, done.stdout) == (30, "")
    assert "no answer within 1 ms" in done.stderr
    assert "terminate" not in done.stderr


def test_what_never_ends_is_not_read_for_ever(genguard):
    """`check` reads up to its limit."""
    refused = genguard("check", "/dev/zero", "--policy", "desk.yaml")
    assert refused.code == 64
    assert "more than" in refused.err


def test_a_file_that_is_no_ledger_is_called_so(genguard, tmp_path):
    """An empty file is a database to SQLite, and none of ours."""
    (tmp_path / "empty.db").touch()
    refused = genguard("audit", "query", "--ledger", "sqlite:///empty.db")
    assert refused.code == 70
    assert "not a ledger" in refused.err


def test_bytes_that_are_no_content_are_refused(genguard):
    """Neither UTF-8 nor an image."""
    refused = genguard("check", "-", "--policy", "desk.yaml", given=b"\xff\xfe\x00")
    assert refused.code == 64
    assert "UTF-8" in refused.err


def test_a_development_certificate_is_made_and_signs(genguard, tmp_path, monkeypatch):
    """Its two names go into the environment; a second one is not written over the first."""
    made = genguard("marks", "dev-cert", "--out", "dev", "--json")
    assert made.code == 0
    paths = json.loads(made.out)
    assert oct(Path(paths["key"]).stat().st_mode)[-3:] == "600"
    again = genguard("marks", "dev-cert", "--out", "dev")
    assert (again.code, again.out) == (64, "")
    assert "genguard-dev-cert.pem already" in again.err
    monkeypatch.setenv("GENGUARD_CONTENT_PRODUCER", "Example Ltd")
    (tmp_path / "m.yaml").write_text(POLICY + "marks: {metadata: [aigc], label: {profile: eu}}\n", "utf-8")
    checked = genguard("check", "-", "--policy", "m.yaml", "--json", given=b"Good morning.")
    answer = json.loads(checked.out)
    assert answer["text"] == "Good morning.\n\nThis text was generated by AI."
    assert answer["AIGC"]["ContentProducer"] == "Example Ltd"
