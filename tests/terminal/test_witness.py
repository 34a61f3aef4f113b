"""`genguard audit witness`, and proofs with cosignatures."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from audit.ledger import open_ledger

ROOT = Path(__file__).parents[2]


@pytest.fixture
def served(genguard, tmp_path):
    """A witness of the ledger here, as a process of its own; gives its address and public key."""
    open_ledger(f"sqlite:///{tmp_path / 'genguard.db'}").close()
    key = genguard("audit", "witness", "key", "--key", "w1.pem", "--name", "witness.example/w1").out.strip()
    assert genguard("audit", "witness", "key", "--key", "w1.pem").out.strip() == key
    log = genguard("audit", "key").out.strip()
    command = [sys.executable, "-m", "cli", "audit", "witness", "serve", "--key", "w1.pem", "--log", log, "--state", "seen"]
    process = subprocess.Popen(
        [*command, "--port", "0"], stderr=subprocess.PIPE, text=True, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    try:
        told = process.stderr.readline()
        yield re.match(r"(http://127\.0\.0\.1:\d+)/add-checkpoint, 1 keys", told)[1], key
    finally:
        process.terminate()  # SIGINT is ignored where a shell runs the tests in the background
        process.communicate(timeout=60)


def test_a_proof_shows_who_cosigned(genguard, served, monkeypatch, tmp_path):
    """And one without the witness does not pass where it is asked for."""
    url, key = served
    log = genguard("audit", "key").out.strip()
    genguard("audit", "prove", "0", "--out", "alone.tlog-proof")
    monkeypatch.setenv("GENGUARD_WITNESSES", f"{url}+{key}")
    genguard("audit", "prove", "0", "--out", "seen.tlog-proof")
    shown = genguard("audit", "verify", "seen.tlog-proof", "--log-key", log, "--witness", key)
    assert shown.code == 0
    assert "witness.example/w1 cosigned that tree at 20" in shown.out
    refused = genguard("audit", "verify", "alone.tlog-proof", "--log-key", log, "--witness", key)
    assert refused.code == 4
    assert "0 of the witnesses cosigned the checkpoint, expected 1" in refused.out
    assert genguard("audit", "export", "all.zip", "--all-kinds").code == 0
    bundle = genguard("audit", "verify", "all.zip", "--log-key", log, "--witness", key, "--quorum", "1")
    assert (bundle.code, "cosigned that tree" in bundle.out, "whether others were shown" in bundle.out) == (0, True, False)
    verifier = ROOT / "audit" / "genguard_verify.py"
    for file, code in (("seen.tlog-proof", 0), ("alone.tlog-proof", 4), ("all.zip", 0)):
        command = [sys.executable, "-I", verifier, "--key", log, "--witness", key, file]
        assert subprocess.run(command, cwd=tmp_path, capture_output=True, check=False).returncode == code
    for arguments in (("--witness", "nonsense"), ("--witness", key, "--quorum", "2")):
        assert genguard("audit", "verify", "seen.tlog-proof", "--log-key", log, *arguments).code == 64
    assert genguard("audit", "verify", "--witness", key).code == 64  # no anchor: there are no checkpoints to look at
    genguard("audit", "sign", "--anchor", "anchor.txt")
    live = genguard("audit", "verify", "--anchor", "anchor.txt", "--witness", key)
    assert live.code == 0
    assert "checked: witness.example/w1 cosigned the tree of " in live.out


def test_a_witness_that_is_gone_is_told_and_the_checkpoint_still_made(genguard, tmp_path, monkeypatch):
    """On standard error; with `require` nothing is handed out."""
    open_ledger(f"sqlite:///{tmp_path / 'genguard.db'}").close()
    key = genguard("audit", "witness", "key", "--key", "w1.pem", "--name", "w1").out.strip()
    monkeypatch.setenv("GENGUARD_WITNESSES", f"http://127.0.0.1:9+{key}")
    made = genguard("audit", "sign")
    assert made.code == 0
    assert "0 of 1 witnesses cosigned, expected 1 (w1: no answer" in made.err
    monkeypatch.setenv("GENGUARD_WITNESS_POLICY", "require")
    assert genguard("audit", "sign").code != 0
