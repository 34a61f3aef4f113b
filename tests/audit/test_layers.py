"""What imports what: the verifier and the readers work without the writer's code."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
WRITER = {"audit.ledger", "audit.committer", "audit.transaction"}


@pytest.mark.parametrize("module", ["audit.verify", "audit.query"])
def test_readers_never_load_the_writer(module):
    """In a fresh interpreter."""
    program = f"import sys, {module}; print(sorted({WRITER!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_process_of_the_verifier_begins_without_what_is_slow_to_load():
    """On a file it needs no tables of SQLAlchemy's."""
    slow = {"sqlalchemy", "sqlmodel", "pydantic", "psycopg", "asyncio", "numpy"}
    program = f"import sys, audit.verifier.worker; print(sorted({slow!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_ledger_knows_a_few_modules_of_the_guard_alone():
    """No check, no policy, no generator."""
    for file in (ROOT / "audit").glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module:
                names = [node.module]
            else:
                names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            for name in names:
                assert name.split(".")[0] not in {"policies", "generators", "service", "cli", "demo"}, file
                known = ("types", "errors", "keyfile", "note", "recorded", "compiled")
                assert not name.startswith("guard") or name in {f"guard.{one}" for one in known}, file
