"""Commands of the terminal, run as a script would."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

import cli

POLICY = """policy: desk
version: 3
status: live
checks:
  pii: {use: pii, deadline_ms: 20000}
rules:
  - {id: card, when: {pii: [CREDIT_CARD]}, action: redact, category: privacy, with: {operator: mask, keep_last: 4}}
  - {id: mail, when: {pii: [EMAIL_ADDRESS]}, action: block, category: privacy}
"""


@pytest.fixture
def genguard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Run one command in an empty folder; gives its exit code and what it wrote."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "desk.yaml").write_text(POLICY, "utf-8")

    def run(*arguments: str, given: bytes = b"") -> SimpleNamespace:
        monkeypatch.setattr(sys, "argv", ["genguard", *arguments])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(given)))
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        written = capsys.readouterr()
        return SimpleNamespace(code=stopped.value.code, out=written.out, err=written.err)

    return run
