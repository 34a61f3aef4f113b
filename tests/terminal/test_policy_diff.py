"""`genguard policy diff` as an author would use it."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

import cli
from audit.ledger import open_ledger
from policies import load

POLICY = """policy: desk
version: 1
status: live
checks:
  secrets: {use: secrets}
rules:
  - {id: secret, when: {secrets: any}, action: block, category: cyber}
"""


@pytest.fixture
def genguard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Run one command in a folder with two versions of a policy."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "one.yaml").write_text(POLICY, "utf-8")
    looser = POLICY.replace("secrets: any", "secrets: 0.7").replace("action: block", "action: review")
    (tmp_path / "two.yaml").write_text(looser, "utf-8")

    def run(*arguments: str) -> SimpleNamespace:
        monkeypatch.setattr(sys, "argv", ["genguard", *arguments])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO()))
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        written = capsys.readouterr()
        return SimpleNamespace(code=stopped.value.code, out=written.out, err=written.err)

    return run


def test_two_files(genguard):
    """0 for the same policy, 1 and one line a change for others."""
    same = genguard("policy", "diff", "one.yaml", "one.yaml")
    assert (same.code, same.out.startswith("The same policy: desk version 1")) == (0, True)
    other = genguard("policy", "diff", "one.yaml", "two.yaml")
    assert other.code == 1
    assert "looser    rule secret: action block -> review\n" in other.out
    assert "looser    rule secret: condition secrets found anything -> secrets.* at least 0.700\n" in other.out
    assert other.out.endswith("No verdict gets stronger by these changes.\n")


def test_a_file_and_the_ledger(genguard, tmp_path):
    """By the beginning of a revision, or by the policy's name alone."""
    revision = load(tmp_path / "one.yaml")
    with open_ledger("sqlite:///genguard.db") as ledger:
        ledger.activate_sync(revision.id, revision.version, revision.revision, revision.document)
    assert genguard("policy", "diff", "one.yaml").code == 0
    named = genguard("policy", "diff", f"@{revision.revision[:8]}", "two.yaml", "--json")
    assert named.code == 1
    told = json.loads(named.out)
    assert (told["from"]["revision"], told["same"], told["effect"]) == (revision.revision, False, "looser")
    assert {"part", "name", "what", "effect", "before", "after"} == set(told["changes"][0])


def test_what_is_not_there_is_a_usage_error(genguard):
    """64 for a file with mistakes, a revision that is not there, a ledger without this policy."""
    with open_ledger("sqlite:///genguard.db"):
        pass
    for arguments in (("none.yaml", "one.yaml"), ("@ab", "one.yaml"), ("@", "one.yaml"), ("one.yaml",)):
        failed = genguard("policy", "diff", *arguments)
        assert (failed.code, failed.out) == (64, ""), arguments
        assert "expected" in failed.err or "no policy" in failed.err
