"""This process's place in a Ray cluster: taken, watched, given up when the cluster is lost, and taken again by itself.

    joined ── head or own node is silent ──> silent ── for PATIENCE_S, or own node gone ──────> away
      ^                                        │ └─── answers, as another cluster ────────────> away
      ├──────── answers, as the same ──────────┘                                                 │
      └───────────────────────── joined anew, lines opened anew, every RETRY_S ──────────────────┘

Ray's connection belongs to the process, so all engines of one share it. Ray itself ends a process whose head has been silent
for 60 s, and lets questions to replicas hang until then: whoever gives up earlier keeps serving. Nothing of Ray is asked while
the head is silent, for that would hang, too: a knock at its port tells.
"""

from __future__ import annotations

import logging
import socket
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from time import monotonic
from typing import Any, Protocol

from guard.errors import GenguardError, SettingsError, describe
from serving.cluster.joining import join, kept_signals, need_ray
from serving.cluster.section import Cluster

LOOK_S = 0.5
"""Seconds between two knocks at the ports of the cluster."""
KNOCK_S = 5.0
"""How long one may take."""
PATIENCE_S = 20.0
"""How long the head may be silent: replicas that live go on meanwhile. Ray ends the process after 60 s."""
RETRY_S = 2.0
"""Seconds between two tries to join anew, or to open what could not be opened."""
_log = logging.getLogger(__name__)
HERE, SILENT, GONE = "here", "silent", "gone"
"""What a knock can tell."""
_Port = tuple[str, int]


class Opened(Protocol):
    """A way to replicas that was opened: it has to be opened anew with another connection."""

    def lost(self) -> None:
        """There is no connection any more: what is asked fails, what was asked has failed."""

    def open(self) -> Any:
        """Deploy, and wait for a replica; blocking. Raises GenguardError."""


class Membership:
    """The connection. Safe to use from several threads."""

    def __init__(self, cluster: Cluster) -> None:
        """Join. Raises SettingsError where that cannot be. Use `enter`."""
        self.cluster, self.users = cluster, 0
        self.trouble = ""
        """Why this process is not, or not safely, on the cluster; empty when it is."""
        self._ray = need_ray("serve")
        self._lines: weakref.WeakSet[Opened] = weakref.WeakSet()
        self._lock, self._over = threading.Lock(), threading.Event()
        self._silent_since: float | None = None
        self.times = 0
        """How often it has joined: whatever was made with another connection is void."""
        self.joined = False
        self._join()
        self._thread = threading.Thread(target=self._watch, name="genguard-ray", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Disconnect; a cluster that was started here ends."""
        self._over.set()
        self._thread.join()
        with kept_signals():
            self._ray.shutdown()

    def follow(self, line: Opened) -> None:
        """Open a line anew whenever the connection is another one."""
        with self._lock:
            self._lines.add(line)

    def _join(self) -> None:
        with kept_signals():
            join(self._ray, self.cluster)
        context = self._ray.get_runtime_context()
        self._head, self._name = _port(context.gcs_address), _identity(context.gcs_address)
        self._node = _own_node(self._ray, context.get_node_id())
        self.times, self._silent_since, self.joined = self.times + 1, None, True

    def _watch(self) -> None:
        pause = LOOK_S
        while not self._over.wait(pause):
            try:
                self._look()
            except Exception as error:  # noqa: BLE001 - whatever it was, the next look may succeed
                _log.error("the Ray cluster cannot be watched: %s", describe(error))
            pause = LOOK_S if self.joined else RETRY_S

    def _look(self) -> None:
        if not self.joined:
            self._come_back()
            return
        node, head = _knock(self._node), _knock(self._head)
        if node == GONE:
            self._go("the Ray process of this machine is gone")
        elif (node, head) != (HERE, HERE):
            self._wait("head of the Ray cluster" if head != HERE else "Ray process of this machine")
        elif self._silent_since is not None:
            self._again()

    def _wait(self, what: str) -> None:
        if self._silent_since is None:
            self._silent_since = monotonic()
            self._tell(f"the {what} does not answer")
        if monotonic() - self._silent_since > PATIENCE_S:
            self._go(f"the {what} has not answered for {PATIENCE_S:.0f} s")

    def _again(self) -> None:
        if self._name and _identity(_text(self._head)) == self._name:
            self._silent_since = None
            self._tell("")
        else:
            self._go("the head of the Ray cluster answers again, as another cluster")

    def _go(self, why: str) -> None:
        self.joined = False
        self._tell(f"{why}; joining it anew")
        for line in self._now():
            line.lost()
        with kept_signals():
            self._ray.shutdown()

    def _come_back(self) -> None:
        try:
            self._join()
        except SettingsError as error:
            self._tell(f"the Ray cluster is lost: {error}")
            return
        self._tell("the Ray cluster was joined anew; replicas are starting")
        threading.Thread(target=self._open, args=(self.times,), name="genguard-ray-open", daemon=True).start()

    def _open(self, times: int) -> None:
        """Open what was open, side by side, for each waits for a model; until all is, or the connection is another again."""
        some = self._now()
        while self.times == times and self.joined:
            with ThreadPoolExecutor(max(1, len(some)), "genguard-ray-open") as pool:
                troubles = dict(zip(some, pool.map(_trouble, some), strict=True))
            some = [line for line, trouble in troubles.items() if trouble]
            if self.times == times and self.joined:
                self._tell("; ".join(sorted({troubles[line] for line in some})))
            if not some or self._over.wait(RETRY_S):
                return

    def _now(self) -> list[Opened]:
        with self._lock:
            return list(self._lines)

    def _tell(self, trouble: str) -> None:
        """Keep what is wrong; log it once."""
        if trouble and trouble != self.trouble:
            _log.error("%s", trouble)
        elif self.trouble and not trouble:
            _log.warning("the Ray cluster answers again")
        self.trouble = trouble


_HERE: list[Membership] = []
"""This process's, while there is one."""
_ENTERING = threading.Lock()


def enter(cluster: Cluster) -> Membership:
    """This process's membership, made by whoever comes first; for `leave`.

    Raises SettingsError where it cannot join, or is in another cluster.
    """
    with _ENTERING:
        if not _HERE:
            _HERE.append(Membership(cluster))
        (here,) = _HERE
        if here.cluster.address != cluster.address:
            raise SettingsError(
                "found a Ray cluster at another address that this process is in, expected the same",
                advice="A process is in one cluster.",
            )
        here.users += 1
        return here


def leave(here: Membership) -> None:
    """The last one disconnects."""
    with _ENTERING:
        here.users -= 1
        if not here.users:
            _HERE.remove(here)
            here.close()


def _trouble(line: Opened) -> str:
    """Why a line cannot be opened; empty when it is open."""
    try:
        line.open()
    except GenguardError as error:
        return str(error)
    return ""


def _knock(port: _Port | None) -> str:
    """Whether somebody listens: HERE, SILENT, or GONE where the machine says that nobody does."""
    if port is None:
        return HERE
    try:
        socket.create_connection(port, KNOCK_S).close()
    except ConnectionRefusedError:
        return GONE
    except OSError:
        return SILENT
    return HERE


def _port(address: str) -> _Port:
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


def _text(port: _Port) -> str:
    return f"[{port[0]}]:{port[1]}" if ":" in port[0] else f"{port[0]}:{port[1]}"


def _identity(address: str) -> str:
    """What tells a cluster from one that was started anew at its place; empty where Ray does not tell."""
    try:
        from ray import _raylet

        client: Any = vars(_raylet)["GcsClient"](address=address)
        return str(client.cluster_id.hex())
    except Exception:  # noqa: BLE001 - no part of Ray's promises: without it, each silence ends in joining anew
        return ""


def _own_node(ray: Any, ident: str) -> _Port | None:
    """Where the node process of this machine listens."""
    for one in ray.nodes():
        if one["NodeID"] == ident:
            return one["NodeManagerAddress"], one["NodeManagerPort"]
    return None
