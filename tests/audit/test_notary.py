"""audit.notary, audit.anchor, audit.prove: what is signed, what is refused, and what the verifier says of it."""

from __future__ import annotations

import os
import shutil
import sqlite3

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from ledger_examples import decision

from audit import merkle
from audit.anchor import FileAnchor
from audit.checkpoint import Checkpoint
from audit.database import reader_engine
from audit.ledger import open_ledger
from audit.log_key import default_log_key_file, need_log_key, origin_of, read_log_key
from audit.notary import Notary, RollbackError
from audit.prove import prove
from audit.query import QueryError, identity
from audit.verify import verify
from guard.errors import LedgerError
from guard.note import SigningKey
from guard.types import Action


@pytest.fixture
def anchor(tmp_path):
    """A file of checkpoints."""
    return FileAnchor(tmp_path / "anchor.txt")


@pytest.fixture
def notary(ledger, path, url, anchor):
    """Signs the test's ledger."""
    return again(path, url, anchor)


def again(path, url, *anchors):
    """A notary of a process that begins now."""
    return Notary(reader_engine(path), path, need_log_key(path, identity(url)), anchors)


def add(ledger, count):
    """Decisions."""
    return [ledger.append_sync(decision(Action.ALLOW, number=number)) for number in range(count)]


def cut(path, size):
    """Rewrite the database as somebody who may: without its end, head and triggers made to fit."""
    with sqlite3.connect(path) as connection:
        for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            connection.execute(f"DROP TRIGGER {name}")
        leaves = [row[0] for row in connection.execute("SELECT leaf FROM entry WHERE idx < ? ORDER BY idx", (size,))]
        for table in ("entry", "term", "payload"):
            connection.execute(f"DELETE FROM {table} WHERE idx >= ?", (size,))
        peaks, _ = merkle.extend((), 0, leaves)
        connection.execute("UPDATE head SET size = ?, frontier = ?", (size, merkle.pack(peaks)))


def test_what_came_is_signed_once_and_anchored(ledger, notary, url, anchor):
    """Each checkpoint names the ledger, its size and its root; nothing new means nothing to sign."""
    first = notary.sign()
    assert notary.sign() is None
    add(ledger, 3)
    second = notary.sign()
    assert anchor.notes() == (first, second)
    head = Checkpoint.verified(second, [notary.key.public], origin_of(identity(url)))
    report = verify(url, anchors=[anchor], log_keys=[notary.key.public])
    assert (head.size, head.root.hex()) == (ledger.size, report.root)
    assert (report.ok, report.exit_code, report.checked["checkpoints"]) == (True, 0, 2)
    assert report.unchecked == ()


def test_a_process_that_begins_goes_on_from_the_anchor(ledger, notary, path, url, anchor):
    """It proves that the log extends what was signed, and signs nothing twice."""
    add(ledger, 2)
    notary.sign()
    assert again(path, url, anchor).sign() is None
    add(ledger, 2)
    note = again(path, url, anchor).sign()
    assert Checkpoint.verified(note, [notary.key.public]).size == ledger.size


def test_a_restored_backup_is_not_signed_and_the_verifier_says_so(ledger, notary, path, url, anchor, tmp_path):
    """An anchor that is ahead of the log: exit code 5."""
    add(ledger, 2)
    notary.sign()
    ledger.close()
    backup = tmp_path / "backup.db"
    shutil.copy(path, backup)
    with sqlite3.connect(backup) as copy:
        copy.execute("PRAGMA journal_mode=DELETE")
    cut(path, 2)
    with pytest.raises(RollbackError, match="found a log of 2 entries, expected at least the 4 that were anchored"):
        again(path, url, anchor).sign()
    report = verify(url, anchors=[anchor], log_keys=[notary.key.public])
    assert report.exit_code == 5
    assert "cut off or restored" in str(next(problem for problem in report.problems if problem.what == "rollback"))


def test_a_log_made_anew_is_not_signed_and_the_verifier_says_so(ledger, notary, path, url, anchor):
    """Consistent in itself, as long as before and longer, but not what was signed."""
    add(ledger, 2)
    notary.sign()
    cut(path, 2)
    with open_ledger(url) as anew:  # the writer that knew it longer refuses to go on
        add(anew, 5)
    with pytest.raises(RollbackError, match="another root than the anchored one"):
        again(path, url, anchor).sign()
    with pytest.raises(RollbackError, match="do not lead to the head"):
        notary.sign()
    report = verify(url, anchors=[anchor], log_keys=[notary.key.public])
    assert report.exit_code == 2
    assert {problem.what for problem in report.problems} >= {"root"}


def test_a_checkpoint_of_another_key_is_a_wrong_signature(ledger, notary, url, anchor):
    """Exit code 4 when nothing else is wrong."""
    notary.sign()
    forged = SigningKey(notary.key.name, Ed25519PrivateKey.generate())
    anchor.append(Checkpoint(forged.name, 1, bytes(32)).signed(forged))
    report = verify(url, anchors=[anchor], log_keys=[notary.key.public])
    assert report.exit_code == 4
    assert "checkpoint 2 of" in str(report.problems[0])


def test_a_checkpoint_that_was_cut_off_by_a_crash_is_left_out(notary, anchor):
    """What was written before it stays good, and what is appended later is found."""
    note = notary.sign()
    with anchor.path.open("a", encoding="utf-8") as stream:
        stream.write(note[: len(note) // 2])
    assert anchor.notes() == (note,)
    assert FileAnchor(anchor.path.with_name("none.txt")).notes() == ()
    with pytest.raises(LedgerError, match="cannot read the anchor"):
        FileAnchor(anchor.path.parent).notes()
    with pytest.raises(LedgerError, match="cannot write the anchor"):
        FileAnchor(anchor.path / "below").append(note)


def test_every_entry_is_proven_under_every_later_checkpoint(ledger, notary, url):
    """And under none that does not cover it."""
    early = notary.sign()
    receipts = add(ledger, 6)
    late = notary.sign()
    for receipt in receipts:
        for reference in (receipt.index, str(receipt.decision)):
            proof = prove(url, reference, late)
            assert proof.verify([notary.key.public]).size == ledger.size
            assert merkle.leaf_hash(proof.body) == receipt.leaf_hash
    with pytest.raises(LedgerError, match="not under the checkpoint of size 2"):
        prove(url, receipts[0].index, early)
    with pytest.raises(QueryError, match="no entry '99'"):
        prove(url, 99, late)
    other = Checkpoint(notary.key.name, 3, bytes(32)).signed(notary.key)
    with pytest.raises(LedgerError, match="another root than the checkpoint"):
        prove(url, 1, other)


def test_the_log_key_is_made_once_for_its_owner_alone(ledger, path, url):
    """And a file that holds none is told apart from one that is not there."""
    key = need_log_key(path, identity(url))
    file = default_log_key_file(path)
    assert oct(file.stat().st_mode)[-3:] == "600"
    assert need_log_key(path, identity(url)).public == key.public == read_log_key(file, identity(url)).public
    file.write_text("no key", "ascii")
    with pytest.raises(LedgerError, match="holds no signing key"):
        need_log_key(path, identity(url))
    with pytest.raises(LedgerError, match="cannot read the signing key"):
        read_log_key(path.with_name("gone"), identity(url))
    if os.geteuid():
        file.chmod(0)
        with pytest.raises(LedgerError, match="cannot read the signing key"):
            read_log_key(file, identity(url))
