"""scripts/setup where it cannot go on: what it says, and what it leaves behind. Nothing is installed here."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of what set-up reads, in a folder whose name has a space, beside a Python without the module `venv`."""
    folder = tmp_path / "a project"
    (folder / "scripts").mkdir(parents=True)
    for name in ("pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, folder / name)
    for script in (ROOT / "scripts").iterdir():
        shutil.copy(script, folder / "scripts")
    fake = tmp_path / "python-without-venv"
    fake.write_text(f'#!/bin/sh\n[ "$1 $2" = "-m venv" ] && exit 1\nexec "{sys.executable}" "$@"\n', "utf-8")
    fake.chmod(0o755)
    return folder


def setup(project: Path, python: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHON": python}
    return subprocess.run(
        ["sh", "scripts/setup"], cwd=project, env=environment, capture_output=True, text=True, timeout=60, check=False
    )


def test_a_python_that_is_not_there_is_named(project):
    """With what to install, or how to name another."""
    done = setup(project, "python-of-nowhere")
    assert done.returncode == 1
    assert "found no Python 3.11 to 3.14 as 'python-of-nowhere'" in done.stderr


def test_a_python_without_venv_is_told_which_package_is_missing(project):
    """Debian ships it apart."""
    done = setup(project, str(project.parent / "python-without-venv"))
    assert done.returncode == 1
    assert "python3-venv" in done.stderr
    assert not (project / ".venv").exists()


def test_an_environment_whose_making_was_interrupted_is_made_again(project):
    """One without pip: the next run must not trust the interpreter in it."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", project / ".venv"], check=True)
    assert "python3-venv" in setup(project, str(project.parent / "python-without-venv")).stderr


def test_a_second_run_does_nothing(project):
    """The stamp holds the checksum of what set-up reads."""
    checked = subprocess.run(
        "cat pyproject.toml constraints.txt scripts/* | cksum | cut -d' ' -f1",
        shell=True,
        cwd=project,
        capture_output=True,
        text=True,
        check=True,
    )
    (project / ".venv").mkdir()
    (project / ".venv" / ".installed").write_text(f"{checked.stdout}  test\n", "utf-8")
    done = setup(project, "python-of-nowhere")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
