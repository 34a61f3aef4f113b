"""A PostgreSQL server that dies under writers: what was acknowledged is there, and they go on by themselves."""

from __future__ import annotations

import os
import random
import signal
import time
from contextlib import suppress

import psycopg
import pytest
from crashing import Record
from postgres import MISSING, Server, binaries, fresh_schema, statement

BACKENDS = "SELECT pid FROM pg_stat_activity WHERE application_name = 'genguard' AND pid <> pg_backend_pid()"

pytestmark = pytest.mark.skipif(binaries() is None, reason=MISSING)


@pytest.fixture(scope="module")
def server():
    """One that only these tests kill."""
    made = Server.start()
    yield made
    made.close()


@pytest.fixture(autouse=True)
def _key(monkeypatch):
    monkeypatch.setenv("GENGUARD_MASTER_KEY", "pKJ1Zr7RjIwbYqjw3mVvEwTgB5f3oXfO0P4cH2tq8mM=")


def kill_a_backend(server: Server) -> None:
    """One that serves a writer, by -9: the server then ends all connections and recovers."""
    with suppress(psycopg.OperationalError):  # it still recovers from the one before
        pids = [row[0] for row in statement(server.url("postgres"), BACKENDS)]
        if pids:
            os.kill(pids[0], signal.SIGKILL)


def stop_and_start(server: Server) -> None:
    """As a power cut does it."""
    server.down("immediate")
    server.up()


@pytest.mark.timeout(3000)
@pytest.mark.parametrize("how", [kill_a_backend, stop_and_start])
@pytest.mark.parametrize("turns", [2, pytest.param(40, marks=pytest.mark.slow)])
def test_writers_outlive_their_server(server, nursery, how, turns):
    """Two processes with four callers each; callers whose commit failed may try again, and no acknowledged entry is lost."""
    chance = random.Random(6)
    record = Record(fresh_schema(server.url("postgres")))
    children = [nursery.start("persist", record.url, callers=4, seconds=2000) for _ in range(2)]
    for child in children:
        child.wait_for(1)
    for _ in range(turns):
        time.sleep(chance.random() * 0.3)
        before = [len(child.lines("ack")) for child in children]
        how(server)
        for child, count in zip(children, before, strict=True):
            child.wait_for(count + 20)
            assert len(child.lines("ack")) >= count + 20, child.lines()[-3:]
    for child in children:
        child.kill()
    record.note(children)
    record.check()
