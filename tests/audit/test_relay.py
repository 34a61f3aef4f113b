"""audit.relay: entries that one process prepares and another commits are what they would be, and a receipt means the same."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from ledger_examples import DOCUMENT, REVISION, decision, picture
from sqlalchemy import text

from audit.committer import Committer
from audit.erasure import erase
from audit.events import Event
from audit.ledger import open_ledger
from audit.query import show
from audit.relay import wire
from audit.relay.desk import CommittingLedger, Desk, open_committing
from audit.relay.ledger import RelayedLedger, open_relayed
from audit.rotation import rotate_key
from audit.transaction import StaleError
from audit.verify import verify
from guard.errors import LedgerError, LedgerFullError, RefusedError
from guard.types import Action, BankChange, Receipt

ROOT = Path(__file__).parents[2]
CHANGED = datetime(2026, 11, 1, tzinfo=UTC)
PROGRAM = """
import os, signal, sys
from pathlib import Path
from audit.relay.desk import Desk, open_committing
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
for _ in sys.stdin:  # forked from what is loaded: quick to be there again
    child = os.fork()
    if not child:
        Desk(open_committing(sys.argv[1]), Path(sys.argv[2])).serve()
        os._exit(0)
    print(child, flush=True)
"""


@pytest.fixture
def door() -> Iterator[Path]:
    """A path that is short enough for a socket."""
    with tempfile.TemporaryDirectory(prefix="gg-") as folder:
        yield Path(folder) / "commit.sock"


@contextmanager
def committing(url: str, door: Path) -> Iterator[CommittingLedger]:
    """A desk in this process."""
    opened = open_committing(url)
    desk = Desk(opened, door)
    thread = threading.Thread(target=desk.serve)
    thread.start()
    try:
        yield opened
    finally:
        desk.close()
        thread.join(60)


@contextmanager
def relayed(url: str, door: Path) -> Iterator[RelayedLedger]:
    with closing(open_relayed(url, door)) as opened:
        opened.activate_sync("enterprise", 4, REVISION, DOCUMENT)
        yield opened


def stored(ledger: RelayedLedger) -> dict[int, bytes]:
    with ledger.reader.connect() as connection:
        return {index: bytes(leaf) for index, leaf in connection.execute(text("SELECT idx, leaf FROM entry"))}


def until(found: Callable[[], bool], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not found():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_receipts_are_those_of_the_commit(path: Path, url: str, door: Path) -> None:
    """Of two that hand over and one that commits by itself: no gaps, each index with its leaf, contents that open, sound."""
    with committing(url, door), relayed(url, door) as one, relayed(url, door) as two, open_ledger(url) as three:

        async def all_of(ledger: RelayedLedger, first: int) -> list[Receipt]:
            made = [(picture if number % 5 == 0 else decision)(number=number) for number in range(first, first + 60)]
            return await asyncio.gather(*(ledger.append(each) for each in made))

        async def both() -> list[Receipt]:
            found = await asyncio.gather(all_of(one, 1000), all_of(two, 2000))
            return [*found[0], *found[1]]

        receipts = asyncio.run(both())
        receipts += [three.append_sync(decision(number=3000)), one.append_sync(decision(number=4000))]
        leaves = stored(one)
        assert sorted(leaves) == list(range(one.size))
        assert {each.index: each.leaf_hash for each in receipts}.items() <= leaves.items()
        assert all(each.index < each.tree_size <= one.size for each in receipts)
        assert all(part.data is not None for part in show(url, str(receipts[7].decision), reveal=True).payloads)
    assert verify(url).ok


def test_large_contents_go_in_several_messages(path: Path, url: str, door: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is larger than a message may be goes alone."""
    monkeypatch.setattr("audit.relay.ledger.PIECE", 10_000)
    with committing(url, door), relayed(url, door) as ledger:

        async def many() -> list[Receipt]:
            sizes = (20_000, 100, 4000, 3000, 9000, 100, 30_000, 5)
            made = [picture(number, b"\x89PNG" + bytes(size)) for number, size in enumerate(sizes)]
            return await asyncio.gather(*(ledger.append(one) for one in made))

        receipts = asyncio.run(many())
        assert len({one.index for one in receipts}) == 8
        assert {one.index: one.leaf_hash for one in receipts}.items() <= stored(ledger).items()
    assert verify(url).ok


def test_what_looks_at_the_log_or_changes_more_is_committed_from_here(path: Path, url: str, door: Path) -> None:
    """In its order: activations, banks, conditions, and decisions that stand on them, handed over in between."""
    changed: list[str] = []
    with committing(url, door), relayed(url, door) as ledger:

        async def mixed() -> list[object]:
            event = Event("access", "ann", {"break_glass": False})
            return await asyncio.gather(
                ledger.append(decision(number=1)),
                ledger.record(event, effect=lambda connection: changed.append(connection.dialect.name)),
                ledger.append(decision(number=2)),
                ledger.register(
                    BankChange("works", "protected", "0" * 64, "1" * 64, 1, 0, ("a",), "ann", "works.csv", CHANGED)
                ),
                ledger.record(event, unless=lambda _: "it may not be"),
                ledger.append(decision(number=3)),
                return_exceptions=True,
            )

        first, index, second, _, refused, third = asyncio.run(mixed())
        assert [type(one) for one in (first, index, second, third)] == [Receipt, int, Receipt, Receipt]
        assert isinstance(refused, RefusedError)
        assert len(changed) == 1
        assert sorted(stored(ledger)) == list(range(ledger.size))
    assert verify(url).ok


def test_a_decision_of_an_unknown_policy_is_refused_and_the_others_are_not(path: Path, url: str, door: Path) -> None:
    with committing(url, door), relayed(url, door) as ledger:

        async def three() -> list[object]:
            made = [
                decision(number=1),
                replace(decision(), verdict=replace(decision().verdict, revision="00" * 32)),
                decision(number=3),
            ]
            return await asyncio.gather(*(ledger.append(one) for one in made), return_exceptions=True)

        first, wrong, last = asyncio.run(three())
        assert isinstance(first, Receipt)
        assert isinstance(last, Receipt)
        assert isinstance(wrong, LedgerError)
        assert "no policy document" in str(wrong)
        assert ledger.health().ok


def test_what_was_sealed_under_a_key_that_is_gone_is_sealed_anew(path: Path, url: str, door: Path) -> None:
    """After an erasure by another process, and after another changed the master key: what is stored can be opened."""
    with committing(url, door), relayed(url, door) as ledger, open_ledger(url) as other:
        ledger.append_sync(decision(Action.REDACT, number=1, subject="person-7"))
        erase(other, "person-7", actor="ann", reason="asked for by the person")
        after = ledger.append_sync(decision(Action.REDACT, number=2, subject="person-7"))
        assert all(part.data is not None for part in show(url, str(after.decision), reveal=True).payloads)
        rotate_key(other, actor="ann", reason="once a year")
        after = ledger.append_sync(decision(Action.REDACT, number=3, subject="person-8"))
        assert all(part.data is not None for part in show(url, str(after.decision), reveal=True).payloads)
    assert verify(url).problem_count == 0


def test_a_committer_that_is_killed_again_and_again_loses_and_doubles_nothing(
    path: Path, url: str, door: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever waits when it dies gets a receipt of what is in the log: once, by the next one."""

    monkeypatch.setattr("audit.relay.ledger.RECONNECT_S", 110.0)
    command = [sys.executable, "-c", PROGRAM, url, str(door)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    making = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": str(ROOT)}, **pipes)  # type: ignore[call-overload]

    def start() -> int:
        making.stdin.write("\n")
        making.stdin.flush()
        return int(making.stdout.readline())

    receipts: list[Receipt] = []
    done = asyncio.Event()

    async def caller(ledger: RelayedLedger, number: int) -> None:
        while not done.is_set():
            receipts.append(await ledger.append(decision(number=number)))

    async def more(callers: list[asyncio.Task[None]]) -> None:
        enough = len(receipts) + 50
        while len(receipts) < enough and not any(one.done() for one in callers):  # noqa: ASYNC110 - commits of another process
            await asyncio.sleep(0.005)

    async def load(ledger: RelayedLedger) -> None:
        nonlocal running
        callers = [asyncio.create_task(caller(ledger, number)) for number in range(24)]
        for _ in range(2):
            await more(callers)
            os.kill(running, signal.SIGKILL)
            running = start()
        await more(callers)
        done.set()
        await asyncio.gather(*callers)

    running = start()
    try:
        until(door.exists)
        with relayed(url, door) as ledger:
            asyncio.run(load(ledger))
            leaves = stored(ledger)
            assert sorted(leaves) == list(range(ledger.size))
            assert len({one.index for one in receipts}) == len(receipts)
            assert {one.index: one.leaf_hash for one in receipts}.items() <= leaves.items()
            assert len(leaves) == len(receipts) + 2  # nothing was recorded twice
    finally:
        os.kill(running, signal.SIGKILL)
        making.kill()
        making.communicate(timeout=60)
    assert verify(url).ok


def test_without_a_committer_nothing_is_acknowledged_and_it_is_found_again(path: Path, url: str, door: Path) -> None:
    with committing(url, door), relayed(url, door) as ledger:
        ledger.append_sync(decision(number=1))
    with relayed(url, door) as ledger:
        before = ledger.size
        with pytest.raises(LedgerError, match="does not answer") as caught:
            ledger.append_sync(decision(number=2))
        assert str(path.parent) in str(caught.value)
        assert (ledger.size, ledger.health().ok) == (before, False)
        with committing(url, door):
            until(lambda: ledger.health().ok)
            assert ledger.append_sync(decision(number=3)).index == before


def test_who_commits_says_what_is_wrong(path: Path, url: str, door: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A queue that is full is told as that; a disk that is, turns the health of all."""
    with committing(url, door) as committer, relayed(url, door) as ledger:

        def full(drafts: object) -> list[LedgerError]:
            return [LedgerFullError("4096 entries wait", advice="Offer less.") for _ in drafts]  # type: ignore[attr-defined]

        with monkeypatch.context() as patched:
            patched.setattr(committer, "take", full)
            with pytest.raises(LedgerFullError, match="4096 entries wait"):
                ledger.append_sync(decision(number=1))
        assert ledger.health().ok
        with monkeypatch.context() as patched:
            patched.setattr(committer, "_transaction", failing)
            patched.setattr(committer, "_probe", failing)
            with pytest.raises(LedgerError, match="the disk is full"):
                ledger.append_sync(decision(number=1))
            assert not ledger.health().ok
            assert "the disk is full" in ledger.health().detail
        until(lambda: ledger.health().ok)
        ledger.append_sync(decision(number=2))


def failing(*_: object) -> None:
    raise LedgerError("the disk is full")


def test_what_is_no_message_is_hung_up_on(path: Path, url: str, door: Path) -> None:
    with committing(url, door), relayed(url, door) as ledger:
        for sent in (b"\x00\x00\x00\x02\xc1\xc1", b"\x00\x00\x00\x01\x07", b"\xff\xff\xff\xff", b"\x00\x00\x00\x09\x00"):
            with socket.socket(socket.AF_UNIX) as line:
                line.settimeout(60)
                line.connect(str(door))
                line.sendall(sent)
                line.shutdown(socket.SHUT_WR)
                assert line.recv(100) == b""
        assert ledger.append_sync(decision(number=1)).index > 0


def test_answers_that_are_none_are_refused() -> None:
    draft = wire.unpacked(wire.packed([]))
    assert draft == []
    one, other = socket.socketpair()
    with one, other:
        wire.send(one, [[5, 6], ["StaleError", "old", "again"], ["LedgerError", "no", ""]])
        good, stale, failed = wire.receive(other)
        one.close()
        assert wire.receive(other) is None
    assert wire.heard(good) == (5, 6)
    assert isinstance(wire.heard(stale), StaleError)
    assert str(wire.heard(failed)) == "no"
    for wrong in ([6, 5], [-1, 5], ["OSError", "x", ""], [1], "text", None, [1, 2, 3]):
        with pytest.raises(wire.WireError):
            wire.heard(wrong)  # type: ignore[arg-type]


def test_what_finds_no_room_is_refused_and_the_rest_is_committed() -> None:
    """Of what is handed in together; nothing is taken once it is closed."""
    go, taken = threading.Event(), threading.Event()

    def commit(items: Sequence[str]) -> list[str]:
        taken.set()
        assert go.wait(60)
        return [item.upper() for item in items]

    committer: Committer[str, str] = Committer(commit, lambda: None, capacity=2, group=8, linger=0.0)
    first = committer.submit("x")
    assert taken.wait(60)
    with ThreadPoolExecutor(1) as pool:
        rest = pool.submit(committer.submit_all, ["a", "b", "c"])
        until(lambda: committer.pending == 2)
        go.set()
        one, two, full = rest.result(60)
    assert (first.result(60), one, two) == ("X", "A", "B")
    assert isinstance(full, LedgerFullError)
    assert committer.submit_all([]) == []
    committer.close(60)
    assert [str(answer) for answer in committer.submit_all(["d", "e"])] == ["the ledger is closed"] * 2
