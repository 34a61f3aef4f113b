"""docs/policies.md is run from top to bottom: its file is saved, its corrections are made, its commands typed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

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


@pytest.mark.timeout(900)
def test_the_tutorial_is_what_happens(tmp_path: Path) -> None:
    """In an empty folder, as its reader would."""
    file = tmp_path / "shop.yaml"
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("GENGUARD_")},
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "COLUMNS": "250",
    }
    typed = 0
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
            done = subprocess.run(
                ["bash", "-c", f"{command} 2>&1"],
                cwd=tmp_path,
                env=environment,
                capture_output=True,
                text=True,
                timeout=300,
                check=False,
            )
            assert same(expected, done.stdout.splitlines()), f"$ {command}\n{done.stdout}"
            typed += 1
    assert typed == 18
