"""`genguard doctor`."""

from __future__ import annotations

import json


def test_it_says_what_it_saw_and_ends_accordingly(genguard, tmp_path) -> None:
    """0 when nothing is bad; 1 when something is; with --strict also for warnings."""
    answer = genguard("doctor", "--policy", "desk.yaml", "--only", "ledger", "--only", "keys")
    assert answer.code == 0
    assert "master key: none yet" in answer.out
    assert answer.out.splitlines()[-1].endswith(", 0 bad")
    assert list(tmp_path.iterdir()) == [tmp_path / "desk.yaml"]
    assert genguard("audit", "query", "--ledger", "sqlite:///genguard.db").code != 0  # none was made
    answer = genguard("doctor", "--ledger", "sqlite:////nowhere/at/all.db", "--only", "ledger")
    assert answer.code == 1
    assert "there is no folder" in answer.out
    assert "Make the folder first." in answer.out


def test_json_and_strict(genguard, tmp_path) -> None:
    """Every finding with its status and its numbers."""
    genguard("generate", "echo", "--prompt", "hello", "--policy", "dev")
    (tmp_path / "genguard.db.key").chmod(0o644)
    answer = genguard("doctor", "--policy", "dev", "--only", "ledger", "--only", "keys", "--json")
    told = json.loads(answer.out)
    assert answer.code == 0
    assert told["well"] is True
    statuses = {(one["part"], one["name"]): one["status"] for one in told["findings"]}
    assert statuses["keys", "master key"] == "ok"
    assert statuses["keys", "master key file"] == "warning"
    entries = next(one["facts"]["entries"] for one in told["findings"] if one["name"] == "database")
    assert entries >= 3
    assert genguard("doctor", "--only", "keys", "--strict").code == 1


def test_an_unknown_part(genguard) -> None:
    """A usage error that names those there are."""
    answer = genguard("doctor", "--only", "soul")
    assert answer.code == 64
    assert "machine" in answer.err
