"""The write-ahead log of SQLite is brought into the database beside the writer."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from ledger_examples import DOCUMENT, REVISION, decision

from audit import settling
from audit.ledger import open_ledger
from audit.settling import Settling
from audit.stores import SqliteStore
from audit.verify import verify
from guard.errors import LedgerError


class Told:
    """A store that notes that it was asked."""

    def __init__(self, fails: bool = False) -> None:
        self.asked, self.fails, self.current = 0, fails, "log"
        self.may = threading.Event()
        self.may.set()

    def log(self) -> object:
        return self.current

    def settle(self) -> None:
        self.may.wait(60)
        self.asked += 1
        if self.fails:
            raise LedgerError("no space")


def test_it_is_asked_once_enough_was_written():
    store = Told()
    one = Settling(store)
    one.wrote(10, "log")
    one.close(60)
    assert store.asked == 0
    one.wrote(settling.PAGES, "log")
    one.close(60)
    assert store.asked == 1
    one.wrote(10, "log")
    one.close(60)
    assert store.asked == 1


def test_while_it_runs_it_is_not_begun_again_but_later():
    store = Told()
    one = Settling(store)
    store.may.clear()
    for _ in range(3):
        one.wrote(settling.PAGES, "log")
    store.may.set()
    one.close(60)
    assert store.asked == 1
    one.wrote(1, "log")
    one.close(60)
    assert store.asked == 2


@pytest.mark.parametrize("log", [None, "another"])
def test_a_log_that_is_not_the_databases_own_is_left_alone(log):
    """To bring it in would overwrite what others have committed since."""
    store = Told()
    one = Settling(store)
    one.wrote(settling.PAGES, log)
    one.close(60)
    assert store.asked == 0


def test_a_failure_is_left_to_a_later_commit():
    store = Told(fails=True)
    one = Settling(store)
    for _ in range(2):
        one.wrote(settling.PAGES, "log")
        one.close(60)
    assert store.asked == 2


def test_the_log_of_an_open_ledger_is_brought_in_and_nothing_is_lost(tmp_path, monkeypatch):
    monkeypatch.setattr(settling, "PAGES", 1)
    path = tmp_path / "ledger.db"
    with open_ledger(f"sqlite:///{path}") as ledger:
        ledger.activate_sync("enterprise", 4, REVISION, DOCUMENT)
        before = path.stat().st_size
        for number in range(40):
            ledger.append_sync(decision(number=number))
        ledger._settling.close(60)
        assert path.stat().st_size > before  # though no connection was closed, and the log is short
    report = verify(path)
    assert report.ok
    assert report.size == 42


def test_a_file_that_is_gone_is_an_error_and_is_not_made_anew(tmp_path: Path):
    store = SqliteStore(tmp_path / "none.db")
    with pytest.raises(LedgerError, match="unable to open"):
        store.settle()
    assert not store.file.exists()
