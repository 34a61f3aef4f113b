"""audit.rotation: a new master key, wherever a process stops, and whoever else has the ledger open."""

from __future__ import annotations

import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import pytest
from ledger_examples import DOCUMENT, HIDDEN, REVISION, decision, picture
from test_erasure import files, rows

from audit import rotation
from audit.copies import find_copies
from audit.fingerprints import read_fingerprints
from audit.keys import ENVIRONMENT, default_key_file, next_key_file
from audit.ledger import open_ledger
from audit.query import show
from audit.rotation import rotate_key
from audit.verify import verify
from guard.errors import InputError, LedgerError, RefusedError

WHO = {"actor": "ann", "reason": "yearly"}


@pytest.fixture
def used(ledger):
    """With three subjects, one of an image."""
    for number in range(3):
        ledger.append_sync(decision(number=number, subject=f"person-{number}"))
    ledger.append_sync(picture(9, subject="person-0"))
    return ledger


def opened(url: str, *indices: int, **more) -> list[bool]:
    """Whether the content of entries can be read."""
    return [show(url, idx, reveal=True, **more).payloads[0].data is not None for idx in indices]


def test_a_new_key_opens_everything_and_the_old_one_nothing(used, path, url, tmp_path):
    """Nothing under the old key is left in the files; copies and fingerprints of before are still found."""
    old = tmp_path / "old.key"
    old.write_bytes(default_key_file(path).read_bytes())
    wrapped = [one for (one,) in rows(path, "SELECT wrapped FROM subject_key")]
    done = rotate_key(used, **WHO)
    assert (done.keys, done.trouble, done.key_file) == (3, "", default_key_file(path))
    assert stat.S_IMODE(done.key_file.stat().st_mode) == 0o600
    assert not next_key_file(done.key_file).exists()
    assert not any(one in data for data in files(path).values() for one in wrapped)
    later = used.append_sync(decision(number=7, subject="person-1")).index
    rotate_key(used, **WHO)
    last = used.append_sync(decision(number=8, subject="person-8")).index
    assert opened(url, 2, 3, 4, 5, later, last) == [True] * 6
    assert opened(url, 2, key_file=old) == [False]
    assert [find_copies(url, f"{HIDDEN} #{number}").indices for number in (0, 7, 8)] == [(2,), (later,), (last,)]
    assert len(read_fingerprints(url).rows) == 1
    event = show(url, done.index).event
    assert (event.kind, event.fields["before"], event.fields["after"]) == ("key_rotation", done.before, done.after)
    report = verify(url)
    assert (report.exit_code, report.checked["payloads_opened"], report.checked["fingerprints_opened"]) == (0, 11, 1)
    assert verify(url, key_file=old).checked.get("payloads_opened", 0) == 0
    with pytest.raises(LedgerError, match="master key is not the one"):
        open_ledger(url, key_file=old)


def test_another_process_follows(used, url, path):
    """What it seals afterwards goes back to the new key, for old subjects and new ones; who was slower is refused."""
    with open_ledger(url) as second:
        second.append_sync(decision(number=10, subject="person-10"))
        stale = second.keyring.vault
        rotate_key(used, **WHO)
        indices = [second.append_sync(decision(number=20 + n, subject=f"person-{n}")).index for n in (10, 11, 0)]
        assert second.keyring.vault is not stale
        assert opened(url, *indices) == [True] * 3
    assert verify(url).exit_code == 0
    assert used.append_sync(decision(number=30, subject="person-11")).index == indices[-1] + 1
    assert verify(url).exit_code == 0


def test_a_stop_after_the_commit_leaves_a_ledger_that_opens(used, path, url, monkeypatch):
    """Readers, the verifier and other processes find the waiting key; the next writer puts it in its place."""
    monkeypatch.setattr(rotation, "settle", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        rotate_key(used, **WHO)
    waiting = next_key_file(default_key_file(path))
    assert waiting.exists()
    assert opened(url, 2, 3) == [True] * 2
    assert verify(url).checked["payloads_opened"] == 7
    assert opened(url, used.append_sync(decision(number=5, subject="person-5")).index) == [True]
    with open_ledger(url) as again:
        assert not waiting.exists()
        assert opened(url, again.append_sync(decision(number=6, subject="person-6")).index, 2) == [True] * 2
    monkeypatch.undo()
    rotate_key(used, **WHO)
    assert (verify(url).exit_code, opened(url, 2)) == (0, [True])


def test_a_stop_before_the_commit_changes_nothing(used, path, url, monkeypatch):
    """The key that was written is not in force, and the next attempt takes its place."""

    def stop(*_):
        raise LedgerError("the disk is full")

    with monkeypatch.context() as patched:
        patched.setattr(rotation, "_rewrap", stop)
        with pytest.raises(LedgerError, match="disk is full"):
            rotate_key(used, **WHO)
    waiting = next_key_file(default_key_file(path))
    assert waiting.exists()
    with open_ledger(url) as again:
        assert opened(url, again.append_sync(decision(number=6, subject="person-6")).index, 2) == [True] * 2
    assert waiting.exists()
    rotate_key(used, **WHO)
    assert (waiting.exists(), verify(url).exit_code, opened(url, 2)) == (False, 0, [True])


def test_a_key_of_the_environment_needs_a_file_for_the_new_one(path, url, monkeypatch, tmp_path):
    """Which is named from then on; a file that is there is not written over."""
    monkeypatch.setenv(ENVIRONMENT, "A" * 43 + "=")
    new = tmp_path / "new.key"
    with open_ledger(url) as ledger:
        ledger.activate_sync("enterprise", 4, REVISION, DOCUMENT)
        ledger.append_sync(decision())
        with pytest.raises(InputError, match="in the environment"):
            rotate_key(ledger, **WHO)
        done = rotate_key(ledger, new_file=new, **WHO)
        assert done.key_file == new
        ledger.append_sync(decision(number=2, subject="person-2"))
        with pytest.raises(InputError, match="there already"):
            rotate_key(ledger, new_file=new, **WHO)
    assert (opened(url, 2, 4, key_file=new), opened(url, 2)) == ([True] * 2, [False])
    assert verify(url, key_file=new).checked["payloads_opened"] == 4
    monkeypatch.setenv(ENVIRONMENT, Path(new).read_text("ascii").strip())
    assert opened(url, 2, 4) == [True] * 2


def test_a_subject_key_that_does_not_open_stops_it(used, path, url):
    """The old key stays in force."""
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE subject_key SET wrapped = zeroblob(60) WHERE subject = 'person-2'")
    with pytest.raises(LedgerError, match="does not open"):
        rotate_key(used, **WHO)
    assert opened(url, 2, 4) == [True, False]


def test_two_rotations_at_once_do_not_lose_a_key(used, url, monkeypatch, path):
    """Who is slower is refused by the log."""
    with open_ledger(url) as second:
        real = rotation.Vault

        def faster(secret):
            monkeypatch.setattr(rotation, "Vault", real)
            rotate_key(second, **WHO)
            return real(secret)

        monkeypatch.setattr(rotation, "Vault", faster)
        with pytest.raises(RefusedError, match="changed meanwhile"):
            rotate_key(used, **WHO)
    assert (verify(url).exit_code, opened(url, 2, 3)) == (0, [True] * 2)
