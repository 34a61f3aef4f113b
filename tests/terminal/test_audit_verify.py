"""`genguard audit verify`: what it takes, what it says, how it ends."""

from __future__ import annotations

import json
import shutil

import pytest

from audit.ledger import open_ledger
from terminal.proofs import is_database


@pytest.fixture
def ledger(tmp_path):
    """The ledger of the folder that commands run in."""
    path = tmp_path / "genguard.db"
    open_ledger(f"sqlite:///{path}").close()
    return path


def test_a_backup_is_verified_by_its_name(genguard, ledger):
    """With the key that is named; one that was cut off has the code of a rollback against the anchor."""
    shutil.copy(ledger, ledger.with_name("backup.db"))
    shown = genguard("audit", "verify", "backup.db", "--key-file", "genguard.db.key", "--jobs", "2")
    assert shown.code == 0
    assert "sound: 1 entries" in shown.out
    assert "not checked: no anchor was given" in " ".join(shown.out.split())
    assert is_database(ledger)
    assert not is_database(ledger.with_name("none"))


def test_a_proof_says_what_it_shows_and_what_not(genguard, ledger):
    """In words and in JSON."""
    assert ledger.exists()
    genguard("audit", "prove", "0", "--out", "one.tlog-proof")
    shown = genguard("audit", "verify", "one.tlog-proof")
    assert shown.code == 0
    assert "checked: the entry's hash" in shown.out
    assert "not checked: whether the ledger still holds the entry" in shown.out
    fields = json.loads(genguard("audit", "verify", "one.tlog-proof", "--json").out)
    assert (fields["ok"], len(fields["checked"]), len(fields["not_checked"])) == (True, 1, 2)


def test_where_nothing_can_be_verified_the_code_says_so(genguard, ledger):
    """No ledger, no such file, no such number of processes."""
    assert genguard("audit", "verify", "--ledger", "sqlite:///none.db").code not in {0, 2, 3, 4, 5}
    assert genguard("audit", "verify", "none.tlog-proof").code == 64
    assert genguard("audit", "verify", "--jobs", "0").code == 64
    assert genguard("audit", "verify", "--ledger", "postgresql://nobody@/nothing?host=/nowhere").code not in {0, 2, 3, 4, 5}
    assert ledger.exists()


def test_the_bar_tells_how_far_it_is(monkeypatch, capsys):
    """On a terminal alone."""
    from terminal import proofs

    with proofs._progress(quiet=False) as progress:
        assert progress is None
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "120")
    with proofs._progress(quiet=False) as progress:
        assert progress is not None
        progress(500, 1000)
        progress(1000, 1000)
    assert "1000/1000" in capsys.readouterr().err
