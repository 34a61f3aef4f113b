"""The place in a cluster: when it is given up, when it is kept, and what happens to those who ask meanwhile. Ray is feigned."""

from __future__ import annotations

import asyncio
import ctypes
import signal
import threading
import time
from collections.abc import Callable, Iterator
from socketserver import BaseRequestHandler, TCPServer
from types import SimpleNamespace

import pytest
from ports import free_port

from guard.errors import GenerationError, ModelError, SettingsError
from guard.types import Modality
from serving.cluster import membership
from serving.cluster.asking import DIED, Asker
from serving.cluster.engine import RayLine
from serving.cluster.generators import RemoteGenerator
from serving.cluster.joining import kept_signals
from serving.cluster.membership import enter, leave
from serving.cluster.section import Cluster, Placement
from tests.fakes import text


class Listener(TCPServer):
    """Takes each connection and ends it."""

    allow_reuse_address = True


class Feigned:
    """A head and the node of this machine: two ports; and how often one joined and left."""

    def __init__(self) -> None:
        self.ports = {"head": free_port(), "node": free_port()}
        self.open: dict[str, Listener] = {}
        self.name, self.joins, self.leaves = "one", 0, 0
        self.up("head", "node")

    def up(self, *names: str) -> None:
        for name in names:
            made = self.open[name] = Listener(("127.0.0.1", self.ports[name]), BaseRequestHandler)
            threading.Thread(target=made.serve_forever, args=(0.01,), daemon=True).start()

    def down(self, *names: str) -> None:
        for name in names:
            made = self.open.pop(name)
            made.shutdown()
            made.server_close()

    def join(self, *_: object) -> None:
        if "head" not in self.open:
            raise SettingsError("cannot join")
        self.joins += 1

    def shutdown(self) -> None:
        self.leaves += 1

    def get_runtime_context(self) -> SimpleNamespace:
        return SimpleNamespace(gcs_address=f"127.0.0.1:{self.ports['head']}", get_node_id=lambda: "n1")

    def nodes(self) -> list[dict[str, object]]:
        return [{"NodeID": "n1", "NodeManagerAddress": "127.0.0.1", "NodeManagerPort": self.ports["node"]}]


class Line:
    """Counts."""

    def __init__(self, *troubles: str) -> None:
        self.opens, self.losses, self.troubles = 0, 0, list(troubles)

    def open(self) -> None:
        self.opens += 1
        if self.troubles and (trouble := self.troubles.pop(0)):
            raise ModelError(trouble)

    def lost(self) -> None:
        self.losses += 1


@pytest.fixture
def ray(monkeypatch: pytest.MonkeyPatch) -> Iterator[Feigned]:
    made = Feigned()
    monkeypatch.setattr(membership, "need_ray", lambda _: made)
    monkeypatch.setattr(membership, "join", made.join)
    monkeypatch.setattr(membership, "_identity", lambda _: made.name)
    monkeypatch.setattr(membership, "LOOK_S", 0.01)
    monkeypatch.setattr(membership, "RETRY_S", 0.01)
    yield made
    made.down(*made.open)


@pytest.fixture
def here(ray: Feigned) -> Iterator[membership.Membership]:
    made = enter(Cluster())
    yield made
    leave(made)


def until(found: Callable[[], object]) -> None:
    end = time.monotonic() + 60
    while not found():
        assert time.monotonic() < end
        time.sleep(0.005)


def test_a_head_that_comes_back_as_it_was_changes_nothing(ray, here):
    """As with one that keeps its state elsewhere."""
    line = Line()
    here.follow(line)
    ray.down("head")
    until(lambda: here.trouble == "the head of the Ray cluster does not answer")
    assert here.joined
    ray.up("head")
    until(lambda: not here.trouble)
    assert (ray.joins, ray.leaves, line.losses, line.opens) == (1, 0, 0, 0)


@pytest.mark.parametrize("name", ["two", ""])
def test_a_head_without_a_memory_is_another_cluster(ray, here, name):
    """So is one of which that cannot be told: lines are lost, and opened anew there."""
    line = Line()
    here.follow(line)
    ray.down("head")
    until(lambda: here.trouble)
    ray.name = name
    ray.up("head")
    until(lambda: line.opens and not here.trouble)
    assert (ray.joins, ray.leaves, line.losses) == (2, 1, 1)
    assert here.times == 2


def test_a_head_that_stays_away_is_left(ray, here, monkeypatch):
    """Before Ray ends the process; and one joins when there is one again, though lines may take a while."""
    monkeypatch.setattr(membership, "PATIENCE_S", 0.05)
    line, slow = Line(), Line("no room yet", "no room yet")
    here.follow(line)
    here.follow(slow)
    ray.down("head")
    until(lambda: here.trouble.startswith("the Ray cluster is lost"))
    assert not here.joined
    assert (line.losses, slow.losses, ray.leaves) == (1, 1, 1)
    ray.up("head")
    until(lambda: not here.trouble)
    assert (line.opens, slow.opens) == (1, 3)


def test_without_its_own_node_one_leaves_at_once(ray, here):
    """Contents go through its memory."""
    ray.down("node")
    until(lambda: ray.leaves)
    ray.up("node")
    until(lambda: here.joined and not here.trouble)


def test_engines_of_a_process_share_it(ray):
    """The last one leaves; another cluster is refused."""
    first, second = enter(Cluster()), enter(Cluster())
    assert first is second
    with pytest.raises(SettingsError, match="another address"):
        enter(Cluster(address="10.0.0.5:6379"))
    leave(first)
    assert (ray.joins, ray.leaves) == (1, 0)
    leave(second)
    assert ray.leaves == 1


def test_what_a_signal_does_is_kept():
    """Whatever Ray makes of it, below Python, in any thread."""
    heard: list[int] = []

    def meddle() -> None:
        with kept_signals():
            ctypes.pythonapi.PyOS_setsig(int(signal.SIGTERM), ctypes.c_void_p(int(signal.SIG_IGN)))

    before = signal.signal(signal.SIGTERM, lambda number, _: heard.append(number))
    try:
        meddling = threading.Thread(target=meddle)
        meddling.start()
        meddling.join()
        signal.raise_signal(signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert heard == [signal.SIGTERM]


class Handle:
    """Of replicas that never answer."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.cancelled = 0

    def remote(self, *_: object) -> Handle:
        return self

    def options(self, **_: object) -> Handle:
        return self

    def cancel(self) -> None:
        self.cancelled += 1
        raise RuntimeError("Ray is not there any more")

    def __await__(self):
        self.asked.set()
        return asyncio.sleep(600).__await__()

    def __anext__(self) -> Handle:
        return self


@pytest.fixture
def line() -> RayLine:
    made = RayLine(SimpleNamespace(), "name", object, None, Placement())
    made._handle = Handle()
    return made


def test_who_asks_when_the_cluster_is_lost_hears_at_once(line):
    """Ray would let them wait; and from then on nobody waits."""
    handle = line._handle

    async def ask():
        asker = Asker(line)
        asked = asker.begin([text("plain")], 300.0)
        await handle.asked.wait()
        line.lost()
        before = await asked.future
        return before, await asker.begin([text("plain")], 300.0).future

    answers = asyncio.run(asyncio.wait_for(ask(), 60))
    assert [str(one) for (one,) in answers] == [f"{DIED} (ConnectionError)"] * 2
    assert handle.cancelled == 1


def test_a_stream_ends_with_the_connection(line):
    """As one whose generator failed."""
    handle, made = line._handle, RemoteGenerator("far", Modality.TEXT, line)

    async def read():
        reading = asyncio.ensure_future(anext(aiter(made([text("x")], {}))))
        await handle.asked.wait()
        line.lost()
        with pytest.raises(GenerationError, match="died"):
            await reading
        with pytest.raises(GenerationError, match="died"):
            await anext(aiter(made([text("x")], {})))

    asyncio.run(asyncio.wait_for(read(), 60))
    assert handle.cancelled == 1
