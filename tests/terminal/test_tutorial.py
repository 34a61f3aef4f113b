"""docs/policies.md is run from top to bottom: its file is saved, its corrections are made, its commands typed."""

from __future__ import annotations

import io
import os
import re
import shlex
import sys
from pathlib import Path

import pytest

import cli

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "policies.md").read_text("utf-8")
FENCES = re.findall(r"^```(\w+)([^\n]*)\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)


def edits(info: str) -> list[tuple[str, str]]:
    """The corrections that a block asks for: pairs of what stands in the file and what takes its place."""
    return [(old, new.replace("\\n", "\n")) for old, new in re.findall(r'edit="(.*?)" to="(.*?)"', info)]


def steps(block: str) -> list[tuple[str, list[str]]]:
    """Commands with the lines that they answer."""
    found: list[tuple[str, list[str]]] = []
    for line in block.splitlines():
        if line.startswith("$ "):
            found.append((line[2:], []))
        else:
            found[-1][1].append(line)
    return found


def same(expected: list[str], told: list[str]) -> bool:
    """Whether the lines are as the page says: `…` stands for the rest of a piece of a line, alone for any lines."""
    pattern = ""
    for line in expected:
        pattern += r"(?:.*\n)*?" if line == "…" else ".*".join(re.escape(part) for part in line.split("…")) + r"\s*\n"
    return re.fullmatch(pattern, "".join(f"{line.rstrip()}\n" for line in told)) is not None


def typed(command: str, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What `genguard` answers, on both streams as a terminal shows them; what an `echo` before it says is its input."""
    *before, called = command.split(" | ")
    given = "".join(f"{' '.join(shlex.split(one)[1:])}\n" for one in before)
    arguments, told = shlex.split(called), io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True)
    assert arguments[0] == "genguard"
    assert all(one.startswith("echo ") for one in before)
    with monkeypatch.context() as patch:
        patch.setattr(sys, "argv", arguments)
        patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(given.encode()), "utf-8"))
        patch.setattr(sys, "stdout", told)
        patch.setattr(sys, "stderr", told)
        with pytest.raises(SystemExit):
            cli.main()
    told.seek(0)
    return told.read().splitlines()


@pytest.mark.timeout(900)
def test_the_tutorial_is_what_happens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In an empty folder, as its reader would, but in one process: eighteen would load the models eighteen times."""
    file = tmp_path / "shop.yaml"
    for name in [name for name in os.environ if name.startswith("GENGUARD_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("COLUMNS", "250")
    monkeypatch.chdir(tmp_path)
    count = 0
    for language, info, block in FENCES:
        if language == "yaml":
            text = file.read_text("utf-8") + "\n" if "append" in info else ""
            file.write_text(text + block, "utf-8")
            continue
        assert language == "console"
        for old, new in edits(info):
            text = file.read_text("utf-8")
            assert old in text, old
            file.write_text(text.replace(old, new, 1), "utf-8")
        for command, expected in steps(block):
            told = typed(command, monkeypatch)
            assert same(expected, told), "\n".join([f"$ {command}", *told])
            count += 1
    assert count == 18
