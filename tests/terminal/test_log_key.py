"""`genguard audit key | key rotate | key chain`, and what auditors check with the old key afterwards."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from audit.ledger import open_ledger

VERIFIER = Path(__file__).parents[2] / "audit" / "genguard_verify.py"


@pytest.fixture
def begun(genguard, tmp_path):
    """A ledger with a proof of its first entry; gives the first public key."""
    open_ledger(f"sqlite:///{tmp_path / 'genguard.db'}").close()
    assert genguard("audit", "prove", "0", "--out", "before.tlog-proof", "--anchor", "anchor.txt").code == 0
    return genguard("audit", "key").out.strip()


def test_an_auditor_with_the_old_key_follows_the_chain(genguard, begun, tmp_path):
    """Proofs, bundles and the ledger itself, with the program and with the one file."""
    assert genguard("audit", "key", "chain").out == ""
    done = genguard("audit", "key", "rotate", "--yes", "--reason", "yearly", "--anchor", "anchor.txt", "--json")
    fields = json.loads(done.out)
    assert (done.code, fields["entry"], fields["before"]) == (0, 1, begun)
    assert genguard("audit", "key").out.strip() == fields["after"] != begun
    (tmp_path / "chain.txt").write_text(genguard("audit", "key", "chain").out, "utf-8")
    assert genguard("audit", "verify", "--anchor", "anchor.txt").code == 0
    assert genguard("audit", "verify", "--anchor", "anchor.txt", "--log-key", begun, "--chain", "chain.txt").code == 0
    genguard("audit", "hold", "set", "case-1", "--reason", "a case", "--query", "tenant:acme")
    assert genguard("audit", "prove", "1", "--out", "after.tlog-proof").code == 0
    assert genguard("audit", "export", "all.zip", "--all-kinds").code == 0
    for file, chain, code in (
        ("before.tlog-proof", (), 0),
        ("before.tlog-proof", ("--chain", "chain.txt"), 0),
        ("after.tlog-proof", ("--chain", "chain.txt"), 0),
        ("after.tlog-proof", (), 4),
        ("all.zip", (), 0),
        ("all.zip", ("--chain", "chain.txt"), 0),
    ):
        assert genguard("audit", "verify", file, "--log-key", begun, *chain).code == code, (file, chain)
        told = subprocess.run(
            [sys.executable, "-I", VERIFIER, "--key", begun, *chain, file], capture_output=True, check=False, cwd=tmp_path
        )
        assert told.returncode == code, (file, chain, told.stdout)
    assert genguard("audit", "verify", "before.tlog-proof").code == 0
    assert genguard("audit", "verify", "after.tlog-proof").code == 0


def test_nothing_is_destroyed_without_a_yes(genguard, begun):
    """It asks; and a chain that cannot be read is told."""
    assert genguard("audit", "key", "rotate", given=b"n\n").code != 0
    assert genguard("audit", "key").out.strip() == begun
    assert genguard("audit", "verify", "before.tlog-proof", "--chain", "none.txt").code == 64
