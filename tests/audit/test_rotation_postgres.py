"""A new master key for a ledger on a server: every process follows, and a connection lost in the middle changes nothing."""

from __future__ import annotations

import stat
from contextlib import contextmanager

import pytest
from ledger_examples import DOCUMENT, HIDDEN, REVISION, decision, picture
from postgres import MISSING, binaries, fresh_schema, statement

from audit import failpoints, rotation
from audit.copies import find_copies
from audit.fingerprints import read_fingerprints
from audit.keys import ENVIRONMENT, next_key_file
from audit.ledger import open_ledger
from audit.query import reading, show
from audit.rotation import rotate_key
from audit.stores import open_store
from audit.stores.postgres import KEY_FOLDER
from audit.verify import verify
from guard.errors import InputError, LedgerError, RefusedError

WHO = {"actor": "ann", "reason": "yearly"}
OURS = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'genguard' AND pid <> pg_backend_pid()"

pytestmark = pytest.mark.skipif(binaries() is None, reason=MISSING)


@pytest.fixture
def place(postgres, tmp_path, monkeypatch):
    """URL of an empty schema, whose keys lie in the test's folder; and where its master key is to lie."""
    monkeypatch.setenv(KEY_FOLDER, str(tmp_path))
    url = fresh_schema(postgres)
    return url, open_store(url).beside(".key")


@pytest.fixture
def used(place):
    """A ledger with three subjects, one of an image."""
    with open_ledger(place[0]) as ledger:
        ledger.activate_sync("enterprise", 4, REVISION, DOCUMENT)
        for number in range(3):
            ledger.append_sync(decision(number=number, subject=f"person-{number}"))
        ledger.append_sync(picture(9, subject="person-0"))
        yield ledger


def readable(url: str, *indices: int, **more) -> list[bool]:
    """Whether the content of entries can be read."""
    return [show(url, idx, reveal=True, **more).payloads[0].data is not None for idx in indices]


def wrapped(url: str) -> set[bytes]:
    """Subject keys as they are stored."""
    with reading(url) as connection:
        return {bytes(one) for one in connection.exec_driver_sql("SELECT wrapped FROM subject_key").scalars()}


@contextmanager
def at(point: str, work):
    """Do something at a place of the code, once."""

    def hook(name: str) -> None:
        if name == point:
            failpoints.hook = None
            work()

    failpoints.hook = hook
    try:
        yield
    finally:
        failpoints.hook = None


def test_a_new_key_opens_everything_and_the_old_one_nothing(used, place, tmp_path):
    """No subject key stays wrapped under the old one; copies and fingerprints of before are still found."""
    url, file = place
    old = tmp_path / "old.key"
    old.write_bytes(file.read_bytes())
    before = wrapped(url)
    done = rotate_key(used, **WHO)
    assert (done.keys, done.key_file) == (3, file)
    assert "write-ahead log" in done.trouble, "what PostgreSQL keeps is said"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert not next_key_file(file).exists()
    assert len(wrapped(url)) == 3
    assert not wrapped(url) & before
    later = used.append_sync(decision(number=7, subject="person-1")).index
    rotate_key(used, **WHO)
    last = used.append_sync(decision(number=8, subject="person-8")).index
    assert readable(url, 2, 3, 4, 5, later, last) == [True] * 6
    assert readable(url, 2, key_file=old) == [False]
    assert [find_copies(url, f"{HIDDEN} #{number}").indices for number in (0, 7, 8)] == [(2,), (later,), (last,)]
    assert len(read_fingerprints(url).rows) == 1
    report = verify(url)
    assert (report.exit_code, report.checked["payloads_opened"], report.checked["fingerprints_opened"]) == (0, 11, 1)
    assert verify(url, key_file=old).checked.get("payloads_opened", 0) == 0
    with pytest.raises(LedgerError, match="master key is not the one"):
        open_ledger(url, key_file=old)


def test_other_processes_follow(used, place, nursery):
    """One that has it open, and one that is started afterwards; who rotates more slowly is refused."""
    url = place[0]
    with open_ledger(url) as second:
        second.append_sync(decision(number=10, subject="person-10"))
        stale = second.keyring.vault
        child = nursery.start("write", url, callers=2)
        child.wait_for(3)
        rotate_key(used, **WHO)
        child.wait_for(len(child.lines("ack")) + 5)
        child.kill()
        indices = [second.append_sync(decision(number=20 + n, subject=f"person-{n}")).index for n in (10, 11, 0)]
        assert second.keyring.vault is not stale
        assert readable(url, *indices) == [True] * 3
    acknowledged = [int(words[1]) for words in child.lines("ack")]
    assert all(readable(url, *acknowledged))
    report = verify(url)
    assert (report.exit_code, report.checked["payloads"]) == (0, report.checked["payloads_opened"])


@pytest.mark.parametrize("point", ["rotate: key file written", "rotate: keys wrapped", "append: before the commit"])
def test_a_connection_that_is_lost_in_the_middle_is_done_again(used, place, point):
    """The key in force is the one in the file, whatever the first attempt left behind."""
    url, file = place
    with at(point, lambda: statement(url, OURS)):
        done = rotate_key(used, **WHO)
    assert failpoints.hook is None
    assert (done.keys, next_key_file(file).exists()) == (3, False)
    assert show(url, done.index).event.fields["after"] == done.after
    assert readable(url, 2, 3, 4, 5) == [True] * 4
    with open_ledger(url) as again:
        assert readable(url, again.append_sync(decision(number=6, subject="person-6")).index) == [True]
    assert verify(url).exit_code == 0


@pytest.mark.parametrize("done", [True, False])
def test_a_rotation_whose_answer_was_lost_is_in_the_log_once(used, place, monkeypatch, done):
    """It is looked up: in force when it was committed, done again when it was not."""
    from psycopg import OperationalError

    url, file = place
    real, lost = used._engine.dialect.do_commit, []

    def do_commit(connection):
        if not lost:
            lost.append(connection)
            if done:
                real(connection)
            connection.driver_connection.close()
            raise OperationalError("server closed the connection unexpectedly")
        real(connection)

    monkeypatch.setattr(used._engine.dialect, "do_commit", do_commit)
    rotated = rotate_key(used, **WHO)
    assert (rotated.index, used.append_sync(decision(number=6, subject="person-6")).index) == (6, 7)
    assert not next_key_file(file).exists()
    assert readable(url, 2, 3, 4, 5, 7) == [True] * 5
    assert verify(url).exit_code == 0


def test_a_stop_after_the_commit_leaves_a_ledger_that_opens(used, place, monkeypatch):
    """Readers, the verifier and other processes find the waiting key; the next writer puts it in its place."""
    url, file = place
    monkeypatch.setattr(rotation, "settle", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        rotate_key(used, **WHO)
    assert next_key_file(file).exists()
    assert readable(url, 2, 3) == [True] * 2
    assert verify(url).checked["payloads_opened"] == 7
    with open_ledger(url) as again:
        assert not next_key_file(file).exists()
        assert readable(url, again.append_sync(decision(number=6, subject="person-6")).index, 2) == [True] * 2


def test_a_key_of_the_environment_needs_a_file_for_the_new_one(postgres, tmp_path, monkeypatch):
    """As on a server without a folder for keys; the new file is named from then on."""
    monkeypatch.setenv(ENVIRONMENT, "A" * 43 + "=")
    url, new = fresh_schema(postgres), tmp_path / "new.key"
    with open_ledger(url) as ledger:
        ledger.activate_sync("enterprise", 4, REVISION, DOCUMENT)
        ledger.append_sync(decision())
        with pytest.raises(InputError, match="in the environment"):
            rotate_key(ledger, **WHO)
        assert rotate_key(ledger, new_file=new, **WHO).key_file == new
        ledger.append_sync(decision(number=2, subject="person-2"))
    assert (readable(url, 2, 4, key_file=new), readable(url, 2)) == ([True] * 2, [False])
    assert verify(url, key_file=new).checked["payloads_opened"] == 4


def test_a_subject_key_that_does_not_open_stops_it(used, place):
    """The old key stays in force."""
    url = place[0]
    statement(url, "UPDATE subject_key SET wrapped = decode(repeat('00', 60), 'hex') WHERE subject = 'person-2'")
    with pytest.raises(LedgerError, match="does not open"):
        rotate_key(used, **WHO)
    assert readable(url, 2, 4) == [True, False]


def test_two_rotations_at_once_do_not_lose_a_key(used, place, monkeypatch):
    """Who is slower is refused by the log."""
    url = place[0]
    with open_ledger(url) as second:
        real = rotation.Vault

        def faster(secret):
            monkeypatch.setattr(rotation, "Vault", real)
            rotate_key(second, **WHO)
            return real(secret)

        monkeypatch.setattr(rotation, "Vault", faster)
        with pytest.raises(RefusedError, match="changed meanwhile"):
            rotate_key(used, **WHO)
    assert (verify(url).exit_code, readable(url, 2, 3)) == (0, [True] * 2)
