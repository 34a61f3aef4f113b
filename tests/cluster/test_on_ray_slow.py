"""More of the engine ray, for those who have the time."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
from postgres import MISSING, Server, binaries, fresh_schema

from audit.query import Row, query
from bulk.sources import open_source
from tests.cluster.conftest import PATIENCE_S, Cluster
from tests.cluster.test_on_ray import SERVED, gateway, results, until
from tests.cluster.test_spread import POLICY, judged, parts, pictures

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]
SCORED = """policy: scored
version: 1
status: live
checks:
  secrets: {use: secrets, deadline_ms: 60000}
  toxicity: {use: toxicity, deadline_ms: 60000}
rules:
  - {id: token, when: {secrets: any}, action: redact, category: privacy, with: {operator: replace}}
  - {id: rude, when: {toxicity.toxicity: 0.5}, action: block, category: harassment}
"""


@pytest.mark.parametrize(("count", "policy"), [(10_000, SCORED), (500, POLICY)], ids=["texts", "images"])
def test_both_engines_say_the_same(cluster: Cluster, tmp_path: Path, count: int, policy: str) -> None:
    """Of each content: what follows, why, and what may leave."""
    (tmp_path / "policy.yaml").write_text(policy, "utf-8")
    given = parts(tmp_path / "in", count, group=3000) if policy is SCORED else pictures(tmp_path / "in", count)
    out = tmp_path / ("out.jsonl" if policy is SCORED else "out")
    done = cluster.genguard("bulk", "check", "in", out.name, "--policy", "policy.yaml", "--engine", "ray", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    alone = judged(tmp_path, open_source(given), "alone", text=policy)
    assert len(alone) == count
    assert results(out if out.is_file() else out / "results.jsonl") == alone
    assert len({one["action"] for one in alone}) > 1


def test_deadlines_queues_and_callers_who_go(cluster: Cluster, tmp_path: Path) -> None:
    """Late is a timeout; too many are busy; who was cancelled leaves room for others."""
    script = Path(__file__).with_name("asking_on_ray.py")
    done = cluster.python(str(script), str(tmp_path), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert told == {
        "loaded": {},
        "late": ["timeout 0"],
        "same": "RemoteInstrument",
        "full": ["BusyError"],
        "after": ["ok 1"],
    }


SPREAD = """engine = "ray"
generators = ["echo"]
ledger = "{ledger}"
key_folder = "{keys}"

[ray.checks.plug]
cpus = 0.5
replicas = 2
"""


@dataclass
class Told:
    """What callers were told."""

    decisions: list[str] = field(default_factory=list)
    """With an answer: they have to be in the ledger."""
    actions: Counter[str] = field(default_factory=Counter)
    broken: int = 0
    """Connections that broke off, as with a gateway that died."""
    unrecorded: int = 0
    """503: the ledger took nothing, so nothing was released."""

    def answered(self, answer: httpx.Response) -> None:
        """Note an answer."""
        if answer.status_code == 503:
            assert "secret" not in answer.text
            assert "[word]" not in answer.text
            self.unrecorded += 1
            return
        assert answer.status_code == 200, answer.text
        self.decisions.append(answer.headers["x-genguard-decision"])
        self.actions[answer.json()["action"]] += 1


def calling(urls: list[str], told: Told, over: threading.Event) -> None:
    """Ask the gateways in turns until it is over."""
    with httpx.Client(timeout=PATIENCE_S) as http:
        for at in itertools.count():
            if over.is_set():
                return
            try:
                answer = http.post(f"{urls[at % len(urls)]}/v1/check", json={"text": f"Number {at} is a secret."})
            except httpx.HTTPError:
                told.broken += 1
                continue
            told.answered(answer)


@contextmanager
def load(urls: list[str], callers: int = 4) -> Iterator[Told]:
    """Callers who ask all the time. What one of them found wrong is raised in the end."""
    told, over = Told(), threading.Event()
    with ThreadPoolExecutor(callers) as pool:
        asking = [pool.submit(calling, urls, told, over) for _ in range(callers)]
        try:
            yield told
        finally:
            over.set()
        for one in asking:
            one.result(PATIENCE_S)


def spread(folder: Path, ledger: str) -> None:
    """What the gateways are given."""
    (folder / "keys").mkdir()
    (folder / "served.yaml").write_text(SERVED.format(folder=folder), "utf-8")
    (folder / "genguard.toml").write_text(SPREAD.format(ledger=ledger, keys=folder / "keys"), "utf-8")


@pytest.mark.parametrize("cluster", [2], indirect=True)
def test_two_nodes_lose_a_replica_a_node_and_a_gateway(cluster: Cluster, tmp_path: Path, postgres: str) -> None:
    """On one ledger in PostgreSQL, under load: nothing that was answered is lost, nothing unmeasured leaves; it recovers."""
    ledger = fresh_schema(postgres)
    spread(tmp_path, ledger)
    with gateway(cluster, tmp_path) as (first, _), gateway(cluster, tmp_path) as (second, doomed):  # noqa: SIM117
        with load([first, second]) as told:
            _grows(told, 20)
            httpx.post(f"{first}/v1/check", json={"text": "leave your name"}, timeout=PATIENCE_S)
            os.kill(int(next(tmp_path.glob("*.here")).stem), signal.SIGKILL)
            _grows(told, 20)
            cluster.order("node")
            _grows(told, 20)
            doomed.kill()
            _grows(told, 20)
            until(lambda: _action(first) == "redact")
    assert told.actions["redact"] > told.actions["block"]
    assert told.broken
    _sound(cluster, tmp_path, ledger, told)


@pytest.mark.parametrize("cluster", [2], indirect=True)
def test_two_nodes_lose_the_database(cluster: Cluster, tmp_path: Path, database: Server) -> None:
    """Killed under load: what cannot be recorded does not leave, and the gateways go on by themselves when it is back."""
    ledger = fresh_schema(database.url("postgres"))
    spread(tmp_path, ledger)
    with gateway(cluster, tmp_path) as (first, _), gateway(cluster, tmp_path) as (second, _):  # noqa: SIM117
        with load([first, second]) as told:
            _grows(told, 20)
            database.kill()
            until(lambda: told.unrecorded >= 10)
            assert "ledger" in _troubles(first)
            database.up()
            _grows(told, 20)
            for url in (first, second):
                until(lambda url=url: _action(url) == "redact")
                until(lambda url=url: not _troubles(url))
    assert set(told.actions) == {"redact"}
    assert not told.broken
    _sound(cluster, tmp_path, ledger, told)


@pytest.mark.parametrize("cluster", [2], indirect=True)
def test_two_nodes_lose_their_head(cluster: Cluster, tmp_path: Path, postgres: str) -> None:
    """Under load: the gateways say so, block what no replica measures, and join the cluster that is started anew."""
    ledger = fresh_schema(postgres)
    spread(tmp_path, ledger)
    with gateway(cluster, tmp_path) as (first, one), gateway(cluster, tmp_path) as (second, other):
        with load([first, second]) as told:
            _grows(told, 20)
            cluster.order("head")
            for url in (first, second):
                until(lambda url=url: "cluster" in _troubles(url))
            before = told.actions["block"]
            until(lambda: told.actions["block"] >= before + 5)  # they have left it
            cluster.order("again")
            for url in (first, second):
                until(lambda url=url: not _troubles(url))
            _grows(told, 20)
            assert {_action(first), _action(second)} == {"redact"}
        assert (one.poll(), other.poll()) == (None, None)
    assert not told.broken
    assert not told.unrecorded
    _sound(cluster, tmp_path, ledger, told)


@pytest.fixture
def database() -> Iterator[Server]:
    """A server that a test may kill."""
    if binaries() is None:
        pytest.skip(MISSING)
    server = Server.start()
    try:
        yield server
    finally:
        server.close()


def _sound(cluster: Cluster, folder: Path, ledger: str, told: Told) -> None:
    """What was answered is recorded, nothing was released unmeasured, and the ledger verifies."""
    assert set(told.actions) <= {"redact", "block"}  # a word was found, or the check failed
    assert set(told.decisions) <= {str(row.decision) for row in _all(ledger)}
    verified = subprocess.run(
        [sys.executable, "-m", "cli", "audit", "verify", "--ledger", ledger],
        cwd=folder, env=cluster.environment | {"GENGUARD_KEY_FOLDER": str(folder / "keys")},
        capture_output=True, text=True, timeout=PATIENCE_S, check=False,
    )  # fmt: skip
    assert verified.returncode == 0, verified.stdout + verified.stderr


def _troubles(url: str) -> dict[str, str]:
    return httpx.get(f"{url}/readyz", timeout=PATIENCE_S).json()["troubles"]


def _grows(told: Told, more: int) -> None:
    start = len(told.decisions)
    until(lambda: len(told.decisions) >= start + more)


def _action(url: str) -> str:
    return httpx.post(f"{url}/v1/check", json={"text": "a secret"}, timeout=PATIENCE_S).json()["action"]


def _all(ledger: str) -> Iterator[Row]:
    before = None
    while page := query(ledger, "kind:decision", limit=500, before=before).rows:
        yield from page
        before = page[-1].idx
