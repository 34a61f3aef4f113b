"""Processes that die or write side by side, folders and disks that go away."""

from __future__ import annotations

import os
import random
import resource
import shutil
import signal
import tempfile
import time
from pathlib import Path

import pytest
from crashing import Nursery, Record
from ledger_examples import DOCUMENT, REVISION, decision

from audit.erasure import erase
from audit.keys import default_key_file
from audit.ledger import open_ledger
from audit.scrub import remains
from audit.verify import verify
from guard.errors import LedgerError

TURNS_A_LEDGER = 20
"""Kills after which a new ledger is begun: each is verified as a whole after each kill."""


@pytest.mark.timeout(3000)
@pytest.mark.parametrize("moments", [8, pytest.param(500, marks=pytest.mark.slow)])
def test_a_killed_writer_loses_nothing_that_it_acknowledged(new_url, nursery, moments):
    """kill -9 at random moments under load, in every other turn beside a writer that goes on."""
    chance = random.Random(4)
    said = 0
    for moment in range(moments):
        if moment % TURNS_A_LEDGER == 0:
            record = Record(new_url())
        said += kill_at_random(nursery, record, chance, beside=moment % 2 == 1)
    assert said >= moments


def kill_at_random(nursery: Nursery, record: Record, chance: random.Random, *, beside: bool) -> int:
    """One kill: within 50 ms after its start, or within 150 ms after its first receipt. Returns how many were acknowledged."""
    writers = [nursery.start("write", record.url, callers=8) for _ in range(1 + beside)]
    if chance.random() < 0.8:
        writers[0].wait_for(1)
        time.sleep(chance.random() * 0.15)
    else:
        time.sleep(chance.random() * 0.05)
    writers[0].kill()
    if beside:
        before = len(writers[1].lines("ack"))
        writers[1].wait_for(before + 3)  # the dead one left no lock behind
        assert len(writers[1].lines("ack")) > before
        writers[1].kill()
    before = len(record.said)
    record.note(writers)
    acknowledged = len(record.said) - before
    with open_ledger(record.url) as opened:
        opened.activate_sync("enterprise", 4, REVISION, DOCUMENT)
    record.check()
    return acknowledged


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("writers", "seconds"), [(4, 3), pytest.param(16, 60, marks=pytest.mark.slow, id="many writers for long")]
)
def test_processes_that_write_side_by_side(url, nursery, record_property, writers, seconds):
    """Started together on no ledger at all: one begins, indices are gapless, each is acknowledged once and stored."""
    record = Record(url)
    children = [nursery.start("write", url, seconds=seconds, callers=16) for _ in range(writers)]
    for child in children:
        child.wait()
    assert [child.ended for child in children] == ["ended"] * writers, [child.lines()[-1] for child in children]
    record.note(children)
    report = record.check()
    assert report.size == len(record.said) + 2  # the two that no receipt tells of
    record_property("appends_a_second", len(record.said) / seconds)
    print(f"{writers} writers: {len(record.said) / seconds:.0f} appends/s")


def test_searching_the_file_leaves_the_locks_alone(ledger, path, url, nursery):
    """To close any descriptor of a file cancels all locks of its process, and another would remove the log that is written."""
    receipt = ledger.append_sync(decision(subject="person-7"))
    assert not remains(path, [b"what is not there"])
    assert erase(ledger, "person-7", actor="ann", reason="asked for").trouble == ""
    record = Record(url, {receipt.index: (str(receipt.decision), receipt.leaf_hash.hex())})
    for _ in range(2):
        child = nursery.start("write", url, count=3, callers=1)
        child.wait()
        assert child.ended == "ended"
        record.note([child])
        mine = ledger.append_sync(decision())
        assert mine.index not in record.said
        record.said[mine.index] = (str(mine.decision), mine.leaf_hash.hex())
    record.check(3)
    assert ledger.append_sync(decision()).index == len(record.said) + 3


def test_a_program_that_cancels_the_locks_stops_the_writer(path, url, nursery):
    """Other code in this process copies the file: nothing is acknowledged into a log that is no longer the database's."""
    ledger = open_ledger(url)  # never closed: its log would be written over what the child committed
    ledger.activate_sync("enterprise", 4, REVISION, DOCUMENT)
    ledger.append_sync(decision())
    path.read_bytes()
    child = nursery.start("write", url, count=3, callers=1)
    child.wait()
    assert child.ended == "ended"
    for _ in range(2):
        with pytest.raises(LedgerError, match="replaced while the ledger was open") as caught:
            ledger.append_sync(decision())
        assert "Restart this process" in caught.value.advice
    assert not ledger.health().ok
    ledger.close()
    shutil.copy(path, path.with_name("copy.db"))
    shutil.copy(default_key_file(path), default_key_file(path.with_name("copy.db")))
    record = Record(f"sqlite:///{path.with_name('copy.db')}")
    record.note([child])
    assert record.check().size == 7


def test_a_removed_folder_fails_the_next_append(tmp_path):
    """SQLite would go on writing into the unlinked file; the ledger does not acknowledge that."""
    folder = tmp_path / "gone"
    folder.mkdir()
    with open_ledger(f"sqlite:///{folder / 'ledger.db'}") as opened:
        opened.activate_sync("enterprise", 4, REVISION, DOCUMENT)
        opened.append_sync(decision())
        shutil.rmtree(folder)
        with pytest.raises(LedgerError, match="removed or replaced"):
            opened.append_sync(decision())
        assert not opened.health().ok
        with pytest.raises(LedgerError):
            assert opened.size


def test_a_replaced_file_fails_the_next_append(path, url, tmp_path):
    """A backup restored under a running ledger: nothing is acknowledged into the old file."""
    with open_ledger(url) as opened:
        opened.activate_sync("enterprise", 4, REVISION, DOCUMENT)
        shutil.copy(path, tmp_path / "backup.db")
        (tmp_path / "backup.db").replace(path)
        with pytest.raises(LedgerError, match="removed or replaced"):
            opened.append_sync(decision())


def in_child(work) -> str:
    """Run something in a forked process of limited rights, and return what it says."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            text = work()
        except BaseException as error:  # noqa: BLE001 - the parent judges
            text = f"{type(error).__name__}: {error}"
        os.write(writer, str(text).encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as stream:
        text = stream.read().decode()
    os.waitpid(child, 0)
    return text


def test_a_full_disk_is_an_error_and_passes(url, path):
    """Files may not grow any more: appends fail with LedgerError; when they may, the same ledger goes on."""

    def work() -> str:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        opened = open_ledger(url)
        opened.activate_sync("enterprise", 4, REVISION, DOCUMENT)
        resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, resource.RLIM_INFINITY))
        error = ""
        count = 0
        try:
            for number in range(300):
                opened.append_sync(decision(number=number))
                count += 1
        except LedgerError as found:
            error = str(found)
        red = opened.health().ok
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        opened.append_sync(decision())
        return f"{error}|{red}|{opened.health().ok}|{opened.size - count}"

    error, red, green, rest = in_child(work).split("|")
    assert error.startswith("cannot write to the ledger"), error
    assert "disk" in error
    assert (red, green, rest) == ("False", "True", "3")
    assert verify(url).ok


@pytest.fixture
def shared_folder():
    """A folder that others may read: pytest's own are private."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


def opened_as_nobody(url: str) -> str:
    """What opening a ledger says to a user without rights."""

    def work() -> str:
        os.seteuid(65534)
        try:
            open_ledger(url)
        except LedgerError as error:
            return error.diagnostics()
        return "opened"

    return in_child(work)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become someone else")
def test_a_folder_that_cannot_be_written_is_an_error(shared_folder):
    """Said with the path and with what to do; a folder that cannot be entered too."""
    text = opened_as_nobody(f"sqlite:///{shared_folder / 'ledger.db'}")
    assert "unable to open" in text
    assert str(shared_folder / "ledger.db") in text
    assert "writable" in text
    shared_folder.chmod(0o700)
    text = opened_as_nobody(f"sqlite:///{shared_folder / 'inner' / 'ledger.db'}")
    assert "Permission denied" in text
    assert "accessible" in text


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become someone else")
def test_a_file_that_cannot_be_written_is_an_error_for_the_writer_alone(shared_folder):
    """The verifier may still read it."""
    url = f"sqlite:///{shared_folder / 'ledger.db'}"
    open_ledger(url).close()
    assert "readonly database" in opened_as_nobody(url)

    def work() -> str:
        os.seteuid(65534)
        return str(verify(url, key_file=shared_folder / "none.key").exit_code)

    assert in_child(work) == "0"


def test_a_forked_child_may_not_use_its_parents_ledger(ledger):
    """The writer thread did not come along: waiting would never end."""
    assert "LedgerError: the ledger was opened before a fork" in in_child(lambda: ledger.append_sync(decision()))
