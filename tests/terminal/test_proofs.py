"""`genguard audit sign | key | prove | verify`, as an officer uses them."""

from __future__ import annotations

import json

import pytest


@pytest.fixture
def decided(genguard):
    """Three decisions; gives the id of the second."""
    ids = []
    for text in (b"Good morning.", b"Card 4111 1111 1111 1111, please.", b"Good evening."):
        made = genguard("check", "-", "--policy", "desk.yaml", "--json", given=text)
        ids.append(json.loads(made.out)["genguard"]["decision"])
    return ids[1]


def test_a_decision_is_proven_offline_by_file_and_public_key(genguard, decided, tmp_path):
    """What the officer hands over needs neither ledger nor database."""
    key = genguard("audit", "key").out.strip()
    made = genguard("audit", "prove", decided, "--out", "a.tlog-proof", "--anchor", "anchor.txt")
    assert (made.code, made.out.strip()) == (0, key)
    for file in tmp_path.glob("genguard.db*"):
        file.unlink()
    proven = genguard("audit", "verify", "a.tlog-proof", "--log-key", key)
    assert proven.code == 0
    assert f"decision {decided}" in proven.out
    assert "redact" in proven.out
    entry = json.loads(genguard("audit", "verify", "a.tlog-proof", "--log-key", key, "--json").out)["entry"]
    assert entry["id"] == decided
    text = (tmp_path / "a.tlog-proof").read_text("utf-8")
    (tmp_path / "a.tlog-proof").write_text(text.replace("index 3", "index 2"), "utf-8")
    changed = genguard("audit", "verify", "a.tlog-proof", "--log-key", key)
    assert changed.code == 2
    assert "NOT PROVEN" in changed.out


def test_a_ledger_is_verified_against_its_anchor(genguard, decided, tmp_path):
    """0 while it only grew, 5 when it is behind, 4 when the anchor's signature is another's."""
    signed = genguard("audit", "sign", "--anchor", "anchor.txt")
    assert signed.code == 0
    assert (tmp_path / "anchor.txt").read_text("utf-8") == signed.out + "\n"
    assert genguard("audit", "verify", "--anchor", "anchor.txt").code == 0
    other = f"sqlite:///{tmp_path}/other.db"
    genguard("check", "-", "--policy", "desk.yaml", "--ledger", other, given=b"Good morning.")
    against = ("--anchor", "anchor.txt", "--log-key")
    behind = genguard("audit", "verify", "--ledger", other, *against, key_of(genguard))
    assert behind.code == 5
    assert "ROLLED BACK" in behind.out
    wrong = genguard("audit", "verify", *against, key_of(genguard, other))
    assert wrong.code == 4
    assert signed.out.splitlines()[1] == "5"


def key_of(genguard, ledger="sqlite:///genguard.db"):
    """A ledger's public key."""
    return genguard("audit", "key", "--ledger", ledger).out.strip()


def test_an_anchor_from_the_settings_is_used(genguard, decided, tmp_path, monkeypatch):
    """GENGUARD_ANCHORS names it once for all commands."""
    monkeypatch.setenv("GENGUARD_ANCHORS", str(tmp_path / "anchor.txt"))
    genguard("audit", "sign")
    report = json.loads(genguard("audit", "verify", "--json").out)
    assert report["checked"]["checkpoints"] == 1
    again = genguard("audit", "prove", decided, "--json")
    assert json.loads(again.out)["index"] == 3
    assert (tmp_path / "anchor.txt").read_text("utf-8").count("\u2014 ") == 1, "the checkpoint that covers it is used"


def test_mistakes_are_told(genguard, decided, tmp_path):
    """A file or an anchor that is not there, a key that is none, an entry that is not."""
    assert genguard("audit", "verify", "none.tlog-proof").code == 64
    assert genguard("audit", "verify", "--anchor", "none.txt").code == 64
    assert genguard("audit", "verify", "--log-key", "nonsense", "desk.yaml").code == 64
    assert genguard("audit", "prove", "ffffffff").code == 64
    refused = genguard("audit", "verify", "desk.yaml")
    assert refused.code == 64
    assert "found no proof file" in refused.err
