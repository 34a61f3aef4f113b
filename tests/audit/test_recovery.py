"""A PostgreSQL server that stops, restarts, is full or slow, or is another: nothing acknowledged is lost, and it goes on."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import threading
import time
from pathlib import Path

import pytest
from conftest import MASTER_KEY
from ledger_examples import DOCUMENT, REVISION, decision
from postgres import MISSING, Server, binaries, fresh, renamed, statement
from psycopg import OperationalError
from sqlalchemy import select
from sqlalchemy.engine import make_url

from audit import ledger as ledgers
from audit.ledger import open_ledger
from audit.models import tables
from audit.query import query, show
from audit.stores import open_store
from audit.stores.postgres import LOCK
from audit.verify import verify
from guard.errors import LedgerError

pytestmark = pytest.mark.skipif(binaries() is None, reason=MISSING)
PATIENCE_S = 60


@pytest.fixture(scope="module")
def server():
    """One that may be stopped."""
    made = Server.start()
    yield made
    made.close()


@pytest.fixture
def url(server, monkeypatch):
    """A database of its own."""
    monkeypatch.setenv("GENGUARD_MASTER_KEY", MASTER_KEY)
    return fresh(server.url("postgres"))


@pytest.fixture
def ledger(url):
    """An open ledger with the policy of the examples in force."""
    with open_ledger(url) as opened:
        opened.activate_sync("enterprise", 4, REVISION, DOCUMENT)
        yield opened


def until(true, what):
    """Wait until something holds."""
    end = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < end, what
        time.sleep(0.02)


def stored(url):
    """Ids of all decisions, in order."""
    entry = tables()[0]
    with open_store(url).reader().connect() as connection:
        found = connection.execute(select(entry.c.decision).where(entry.c.decision.is_not(None)).order_by(entry.c.idx))
        return list(found.scalars())


def test_a_server_that_crashes_under_load_loses_nothing_acknowledged(server, url, ledger):
    """Errors while it is away, then appends succeed by themselves; health is red in between."""
    acknowledged, errors, stop = [], [], threading.Event()

    def work():
        while not stop.is_set():
            made = decision()
            try:
                acknowledged.append((ledger.append_sync(made).index, str(made.id)))
            except LedgerError as error:
                errors.append(str(error))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(2):
        before = len(acknowledged)
        until(lambda before=before: len(acknowledged) > before + 20, "appends")
        seen = len(errors)
        server.down("immediate")
        until(lambda seen=seen: len(errors) > seen, "an error")
        assert not ledger.health().ok
        server.up()
        until(lambda: ledger.health().ok, "health")
    stop.set()
    for thread in threads:
        thread.join(PATIENCE_S)
    there = dict(enumerate(stored(url), 2))
    assert all(there[index] == ident for index, ident in acknowledged)
    assert all("cannot" in error and "postgresql://" in error for error in errors)
    assert verify(url).ok


def test_health_turns_green_though_nobody_writes(server, url, ledger):
    """The writer looks by itself."""
    server.down("fast")
    with pytest.raises(LedgerError, match="cannot"):
        ledger.append_sync(decision())
    assert not ledger.health().ok
    server.up()
    until(lambda: ledger.health().ok, "health")
    assert ledger.size == 2
    assert ledger.append_sync(decision()).index == 2


def test_a_connection_that_was_ended_is_replaced(server, url, ledger):
    """Nobody notices."""
    ended = (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    for number in range(3):
        assert ledger.append_sync(decision()).index == 2 + number
        statement(url, ended)
    assert ledger.health().ok
    assert verify(url).ok


@pytest.mark.parametrize("done", [True, False])
def test_a_commit_whose_answer_was_lost_is_looked_up(url, ledger, monkeypatch, done):
    """It is acknowledged when it was done, and done again when it was not; it is in the log once."""
    ledger.append_sync(decision())
    real, lost = ledger._engine.dialect.do_commit, []

    def do_commit(connection):
        if not lost:
            lost.append(connection)
            if done:
                real(connection)
            connection.driver_connection.close()
            raise OperationalError("server closed the connection unexpectedly")
        real(connection)

    monkeypatch.setattr(ledger._engine.dialect, "do_commit", do_commit)
    made = decision(number=7)
    receipt = ledger.append_sync(made)
    assert (receipt.index, receipt.tree_size) == (3, 4)
    assert show(url, 3).decision.id == made.id
    assert ledger.append_sync(decision()).index == 4
    assert len(query(url).rows) == 3
    assert verify(url).ok


@pytest.mark.slow
def test_what_cannot_be_found_out_is_not_acknowledged(server, url, ledger, monkeypatch):
    """The server stays away: an error, though the entry is in the log; later ones follow it."""
    monkeypatch.setattr(ledgers, "RECONNECT_S", 0.3)
    ledger.append_sync(decision())
    real, lost = ledger._engine.dialect.do_commit, []

    def do_commit(connection):
        real(connection)
        if not lost:
            lost.append(connection)
            server.down("immediate")
            connection.driver_connection.close()
            raise OperationalError("server closed the connection unexpectedly")

    monkeypatch.setattr(ledger._engine.dialect, "do_commit", do_commit)
    with pytest.raises(LedgerError, match="cannot connect"):
        ledger.append_sync(decision())
    server.up()
    until(lambda: ledger.health().ok, "health")
    assert ledger.append_sync(decision()).index == 4
    assert verify(url).ok


def test_an_older_copy_in_its_place_is_noticed(server, url, ledger):
    """A restored backup, or a replica that lags: nothing is written to it."""
    admin, name = server.url("postgres"), make_url(url).database
    ledger.append_sync(decision())
    statement(admin, f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")
    statement(admin, f"CREATE DATABASE {name}_old TEMPLATE {name}")
    ledger.append_sync(decision())
    statement(admin, f"DROP DATABASE {name} WITH (FORCE)")
    statement(admin, f"ALTER DATABASE {name}_old RENAME TO {name}")
    with pytest.raises(LedgerError, match="has 3 entries, expected at least the 4 that were acknowledged"):
        ledger.append_sync(decision())
    assert not ledger.health().ok
    assert len(stored(url)) == 1


@pytest.mark.slow
def test_another_ledger_in_its_place_is_noticed(server, url, ledger):
    """However long it is."""
    admin, name = server.url("postgres"), make_url(url).database
    other = fresh(admin)
    with open_ledger(other) as opened:
        opened.activate_sync("enterprise", 4, REVISION, DOCUMENT)
        opened.append_sync(decision())
    statement(admin, f"DROP DATABASE {name} WITH (FORCE)")
    statement(admin, f"ALTER DATABASE {make_url(other).database} RENAME TO {name}")
    with pytest.raises(LedgerError, match="holds another ledger"):
        ledger.append_sync(decision())
    assert not ledger.health().ok


def test_who_waits_too_long_for_the_lock_is_told(url, ledger):
    """Of another process, and of the server's own bound."""
    import psycopg

    slow = make_url(url).update_query_dict({"options": "-c statement_timeout=300"}).render_as_string(hide_password=False)
    with psycopg.connect(url) as holder, open_ledger(url, busy_timeout_ms=200) as one, open_ledger(slow) as two:
        holder.execute(f"SELECT pg_advisory_xact_lock({LOCK})")
        for opened, message, advice in (
            (one, "lock timeout", "Another process"),
            (two, "statement timeout", "statement_timeout"),
        ):
            with pytest.raises(LedgerError, match=message) as caught:
                opened.append_sync(decision())
            assert advice in caught.value.advice
            assert not opened.health().ok
        holder.rollback()
        assert one.append_sync(decision()).index == 2
        assert two.append_sync(decision()).index == 3


@pytest.mark.slow
def test_commits_that_are_not_durable_are_refused(server, url, ledger):
    """`fsync = off` is refused; `synchronous_commit = off` is turned on for the writer."""
    admin = server.url("postgres")
    statement(url, f"ALTER DATABASE {make_url(url).database} SET synchronous_commit = off")
    with open_ledger(url) as opened:
        opened.append_sync(decision())
        assert opened._line.connection().exec_driver_sql("SHOW synchronous_commit").scalar() == "on"
        opened._line.connection().rollback()
    statement(admin, "ALTER SYSTEM SET fsync = off")
    try:
        server.down("fast")
        server.up()
        with pytest.raises(LedgerError, match="fsync=off, expected on"):
            open_ledger(url)
        with pytest.raises(LedgerError, match="fsync=off, expected on"):
            ledger.append_sync(decision())
    finally:
        statement(admin, "ALTER SYSTEM RESET fsync")
        server.down("fast")
        server.up()
    until(lambda: ledger.health().ok, "health")


@pytest.mark.slow
def test_a_full_disk_is_an_error_and_passes(server, monkeypatch):
    """In a small file system of memory, where this user may mount one."""
    monkeypatch.setenv("GENGUARD_MASTER_KEY", MASTER_KEY)
    place = Path(tempfile.mkdtemp(prefix="gg-full-"))
    options = "size=24m,mode=777"
    if os.getuid() or subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", place], check=False).returncode:
        place.rmdir()
        pytest.skip("no right to mount a small file system, so no disk can be full")
    admin = server.url("postgres")
    try:
        (place / "space").mkdir()
        shutil.chown(place / "space", "postgres", "postgres")
        statement(admin, f"CREATE TABLESPACE small LOCATION '{place}/space'")
        statement(admin, "CREATE DATABASE full_one TABLESPACE small")
        with open_ledger(renamed(admin, "full_one")) as opened:
            opened.activate_sync("enterprise", 4, REVISION, DOCUMENT)
            filler = place / "filler"
            filler.write_bytes(b"x" * (shutil.disk_usage(place).free - 65_536))
            count, error = 1, None
            while error is None:
                try:
                    count = opened.append_sync(decision()).index
                except LedgerError as found:
                    error = found
            assert "o space left" in str(error)
            assert "Free some space" in error.advice
            assert not opened.health().ok
            filler.unlink()
            until(lambda: opened.health().ok, "health")
            assert opened.append_sync(decision()).index == count + 1
            assert verify(renamed(admin, "full_one")).ok
    finally:
        statement(admin, "DROP DATABASE IF EXISTS full_one WITH (FORCE)")
        statement(admin, "DROP TABLESPACE IF EXISTS small")
        subprocess.run(["umount", place], check=True)
        place.rmdir()
