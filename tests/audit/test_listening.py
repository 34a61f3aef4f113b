"""audit.listening: services hear of what others commit, where the database tells; where it does not, or is away, they look."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from ledger_examples import DOCUMENT, REVISION, decision
from postgres import MISSING, Server, binaries, fresh, statement

from audit.api_keys import make_key, revoke_key
from audit.ledger import open_ledger
from audit.listening import Listener
from guard.types import Rollout, Step

NOW = decision().time


class Ears:
    """Counts how often it was woken."""

    def __init__(self) -> None:
        self.count, self.changed = 0, threading.Condition()

    def wake(self) -> None:
        with self.changed:
            self.count += 1
            self.changed.notify_all()

    def hear(self, more_than: int) -> bool:
        """Whether it was woken more often than that, within a minute."""
        with self.changed:
            return self.changed.wait_for(lambda: self.count > more_than, 60)


@contextmanager
def listening(url: str) -> Iterator[tuple[Ears, Listener]]:
    ears = Ears()
    listener = Listener(url, ears.wake)
    try:
        yield ears, listener
    finally:
        listener.close(60)


def heard(ears: Ears, doing: Callable[[], object]) -> bool:
    before = ears.count
    doing()
    return ears.hear(before)


def test_steps_and_keys_are_heard_of_and_decisions_are_not(url: str, backend: str) -> None:
    """Of this ledger alone, whoever else has one in the same database."""
    with open_ledger(url) as ledger, listening(url) as (ears, listener):
        ledger.activate_sync("enterprise", 4, REVISION, DOCUMENT)
        if backend == "sqlite":
            make_key(ledger, "app", ["caller"], actor="ann")
            assert (ears.count, listener.listening.is_set()) == (0, False)
            return
        assert listener.listening.wait(60)
        assert ears.hear(0)  # for what came before
        step = Rollout("enterprise", 4, REVISION, Step.ACTIVATE, "ann", "because", NOW)
        assert heard(ears, lambda: ledger.roll_out_sync(step))
        made = make_key(ledger, "app", ["caller"], actor="ann")
        assert heard(ears, lambda: revoke_key(ledger, made.key.id, actor="ann"))
        before = ears.count
        ledger.append_sync(decision())
        statement(url, "SELECT pg_notify('genguard_' || md5('another'), '')")
        assert heard(ears, lambda: make_key(ledger, "other", ["caller"], actor="ann"))
        assert ears.count <= before + 2  # that one, and perhaps the key before


@pytest.mark.skipif(binaries() is None, reason=MISSING)
def test_a_server_that_comes_back_is_listened_to_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """And whoever follows looks, for what it may have missed."""
    server = Server.start()
    try:
        url = fresh(server.url("postgres"))
        with listening(url) as (ears, listener):
            assert ears.hear(0)
            before = ears.count
            server.down()
            until = time.monotonic() + 60
            while listener.listening.is_set() and time.monotonic() < until:
                time.sleep(0.02)
            assert not listener.listening.is_set()
            server.up()
            assert ears.hear(before)
            assert listener.listening.is_set()
    finally:
        server.close()
