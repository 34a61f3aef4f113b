"""Processes that die or write side by side, folders and disks that go away."""

from __future__ import annotations

import os
import random
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

import pytest
from ledger_examples import DOCUMENT, REVISION, decision

from audit import merkle
from audit.ledger import open_ledger
from audit.verify import verify
from guard.errors import LedgerError

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


def start(*arguments: str, **options) -> subprocess.Popen:
    """A writer process."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(HERE)])}
    return subprocess.Popen(
        [sys.executable, str(HERE / "writer_process.py"), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
        text=True,
        **options,
    )


def stored(path: Path) -> dict[int, tuple[str, str]]:
    """Index -> (decision, leaf), after SQLite has recovered the file."""
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute("SELECT idx, decision, leaf FROM entry").fetchall()
    return {idx: (decision_id, leaf.hex()) for idx, decision_id, leaf in rows}


def acknowledged(output: str) -> dict[int, tuple[str, str]]:
    """What a writer has said in whole lines."""
    lines = [line.split() for line in output.split("\n")[:-1]]
    return {int(index): (decision_id, leaf) for index, decision_id, leaf in lines}


@pytest.mark.timeout(600)
@pytest.mark.parametrize("turns", [2, pytest.param(25, marks=pytest.mark.slow)])
def test_a_killed_writer_loses_nothing_that_it_acknowledged(path, url, turns):
    """kill -9 at random moments under load: stored, gapless, the root right; and the next process goes on."""
    chance = random.Random(4)
    said: dict[int, tuple[str, str]] = {}
    for _ in range(turns):
        process = start(url, "0", "8", "acme")
        first = process.stdout.readline()
        time.sleep(chance.random() * 0.5)
        process.send_signal(signal.SIGKILL)
        output, _ = process.communicate()
        said |= acknowledged(first + output)
        report = verify(url)
        assert report.ok, report.problems
        found = stored(path)
        assert sorted(found) == list(range(report.size))
        assert {index: found[index] for index in said} == said
        assert merkle.tree_root([bytes.fromhex(found[index][1]) for index in range(report.size)]).hex() == report.root
    assert len(said) >= turns


def test_two_processes_write_one_ledger(path, url):
    """Started together on no file at all: one ledger begins, indices are gapless and each acknowledged once."""
    writers = [start(url, "60", "6", f"tenant-{number}") for number in range(2)]
    said: dict[int, tuple[str, str]] = {}
    for writer in writers:
        output, errors = writer.communicate(timeout=100)
        assert writer.returncode == 0, errors
        answers = acknowledged(output)
        assert len(answers) == 60
        assert answers.keys().isdisjoint(said)
        said |= answers
    report = verify(url)
    assert report.ok, report.problems
    assert report.size == 122
    found = stored(path)
    assert {index: found[index] for index in said} == said


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
