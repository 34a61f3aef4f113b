"""What the README shows is run: Python, shell and YAML blocks, in a folder of their own."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from policies import loads

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text("utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def test_there_is_something_of_each_kind():
    """The patterns below still find the blocks."""
    assert [len(blocks(language)) for language in ("python", "sh", "yaml")] == [3, 6, 1]


@pytest.mark.parametrize("block", blocks("yaml"))
def test_policies_load(block):
    """The example is a policy that could go live."""
    assert loads(block, file="README.md").status == "live"


def run(command: list[str], folder: Path) -> str:
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=110, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def test_python_and_shell_examples_run_one_after_another(server, tmp_path):
    """As a reader would try them: the engineer's calls, the author's commands, the officer's questions."""
    wrapped, decorated, client = blocks("python")
    said = run([sys.executable, "-c", wrapped], tmp_path)
    assert re.search(r"^entry \d+ decision [0-9a-f-]{36}$", said, re.MULTILINE)
    assert "You asked: Whom do I ask?" in run([sys.executable, "-c", decorated], tmp_path)
    assert "Hello there." in run([sys.executable, "-c", client.replace("http://127.0.0.1:8000", server.url)], tmp_path)
    commands = [block for block in blocks("sh") if block.startswith("genguard")]
    author, officer, owner = commands
    assert "enterprise version 1 (live)" in run(["bash", "-c", author], tmp_path)
    asked = run(["bash", "-c", officer], tmp_path)
    assert "Entry 3" in asked
    assert "sound" in asked
    told = run(["bash", "-c", owner], tmp_path)
    assert "6 registered" in told
    assert "1 retired, licensed now has 5 works" in told
    assert "2 of " in told


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_the_same_with_curl(server, tmp_path):
    """A stream and a moderation."""
    (asked,) = [block for block in blocks("sh") if "curl" in block]
    answers = run(["bash", "-ec", asked.replace("http://127.0.0.1:8000", server.url)], tmp_path)
    assert "4111 1111" not in answers
    assert "data: [DONE]" in answers
    assert json.loads(answers.splitlines()[-1])["results"][1]["flagged"] is True


def test_make_targets_that_the_readme_names_exist():
    """Their recipes are tried elsewhere; here only that the names are right."""
    targets = {line.split()[1] for block in blocks("sh") for line in block.splitlines() if line.startswith("make ")}
    assert targets == {"demo", "test", "serve"}
    for target in targets:
        subprocess.run(["make", "-n", target], cwd=ROOT, check=True, capture_output=True)
