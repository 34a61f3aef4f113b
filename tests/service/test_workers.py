"""`genguard serve --workers N`: processes that answer as one, and what ends them one by one, or all."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import httpx
import pytest
from openai import OpenAI
from ports import free_port
from postgres import Server, binaries, fresh, fresh_schema
from processes import command, environment, ready
from prometheus_client.parser import text_string_to_metric_families

from audit.anchor import FileAnchor
from audit.checkpoint import Checkpoint
from audit.ledger import open_ledger
from audit.log_key import need_log_key
from audit.query import identity, query
from audit.verify import verify
from guard.errors import SettingsError
from guard.note import Note
from guard.types import Rollout, Step
from policies import load
from serving.settings import Settings
from serving.workers.supervisor import supervise

pytestmark = pytest.mark.timeout(600)  # of several processes, each with all that a service has
HELLO = {"model": "echo", "messages": [{"role": "user", "content": "Good morning. It rains."}]}


@dataclass
class Running:
    """A service of several processes."""

    process: subprocess.Popen[str]
    url: str
    ledger: str
    log: Path

    def children(self, what: str) -> list[int]:
        """Ids of its processes whose command has this word."""
        found = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return [int(one) for one in found if what in Path(f"/proc/{one}/cmdline").read_text()]

    def post(self, **more: object) -> httpx.Response:
        """One question over a connection of its own."""
        return httpx.post(f"{self.url}/v1/chat/completions", json={**HELLO, **more}, timeout=60)

    def metrics(self) -> dict[str, dict[str, float]]:
        """Sums by name and worker."""
        sums: dict[str, dict[str, float]] = {}
        for family in text_string_to_metric_families(httpx.get(f"{self.url}/metrics", timeout=60).text):
            for sample in family.samples:
                one = sums.setdefault(sample.name, {})
                worker = sample.labels.get("worker", "")
                one[worker] = one.get(worker, 0.0) + sample.value
        return sums


@contextmanager
def serving(folder: Path, ledger: str, *more: str, workers: int = 2, **given: str) -> Iterator[Running]:
    """A service that is ready."""
    folder.mkdir(exist_ok=True)
    port, log = free_port(), folder / "log"
    with log.open("w") as file:
        asked = [*command(folder, port, "--workers", str(workers), "--generators", "echo", *more)]
        asked[asked.index("--ledger") + 1] = ledger
        process = subprocess.Popen(asked, env=environment(**given), cwd=folder, stderr=file, stdout=file, text=True)
    running = Running(process, f"http://127.0.0.1:{port}", ledger, log)
    try:
        until(lambda: ready(running.url) or process.poll() is not None, log)
        assert process.poll() is None, log.read_text()
        yield running
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(60)
        finally:
            process.kill()
            process.wait(60)


def until(found: Callable[[], bool], log: Path, seconds: float = 120.0) -> None:
    end = time.monotonic() + seconds
    while not found():
        assert time.monotonic() < end, log.read_text()
        time.sleep(0.05)


@dataclass
class Load:
    """Threads that ask, each over connections of its own, until they are stopped."""

    url: str
    decisions: list[str] = field(default_factory=list)
    """Of complete answers."""
    failures: list[tuple[int, str]] = field(default_factory=list)
    """Statuses of other answers, 0 for a connection that broke or was not taken; and whom the request was about."""
    stop: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def running(self, threads: int = 6) -> Iterator[Load]:
        """While it asks."""
        with ThreadPoolExecutor(threads) as pool:
            work = [pool.submit(self._ask) for _ in range(threads)]
            try:
                yield self
            finally:
                self.stop.set()
                for one in work:
                    one.result(120)

    def _ask(self) -> None:
        while not self.stop.is_set():
            status, decision, subject = 0, "", f"s-{uuid4()}"
            try:
                more = {"headers": {"x-genguard-subject": subject}, "timeout": 60}
                answer = httpx.post(f"{self.url}/v1/chat/completions", json=HELLO, **more)  # type: ignore[arg-type]
                status, decision = answer.status_code, answer.headers.get("x-genguard-decision", "")
            except httpx.TransportError:
                time.sleep(0.02)
            with self.lock:
                if status == 200:
                    self.decisions.append(decision)
                else:
                    self.failures.append((status, subject))

    def more(self, log: Path, count: int = 20) -> None:
        """Wait for so many more complete answers."""
        enough = len(self.decisions) + count
        until(lambda: len(self.decisions) >= enough, log)


def recorded(ledger: str, what: str = "decision") -> set[str]:
    """Ids of all outputs in the ledger, or whom they are about."""
    found: set[str] = set()
    before: int | None = None
    while True:
        page = query(ledger, "stage:output", limit=500, before=before)
        found |= {getattr(row, what) for row in page.rows}
        if page.older is None:
            return found
        before = page.older


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


def test_two_workers_answer_as_one_and_outlive_each_other(tmp_path: Path) -> None:
    """On a file: what is read back, counted and proven whoever is asked; a worker, who commits, and all of it ended in turn."""
    ledger = f"sqlite:///{tmp_path / 'ledger.db'}"
    with serving(tmp_path, ledger, lame_duck_s="0.3", anchors=str(tmp_path / "anchor")) as service:
        with OpenAI(base_url=f"{service.url}/v1", api_key="unused", max_retries=0) as client:
            said = client.chat.completions.create(model="echo", messages=[{"role": "user", "content": "Hello"}])
            assert said.choices[0].message.content == "Hello"
            asked = client.chat.completions.create(model="echo", messages=[{"role": "user", "content": "Hi you"}], stream=True)
            assert "".join(one.choices[0].delta.content or "" for one in asked if one.choices) == "Hi you"
            assert not client.moderations.create(input=["one", "two"]).results[1].flagged
        for _ in range(8):  # whichever worker answers, it reads what the other wrote
            answer = service.post()
            receipt, decision = answer.json()["genguard"][-1]["receipt"], answer.headers["x-genguard-decision"]
            for path in (f"/v1/decisions/{decision}", f"/v1/decisions/{decision}/proof"):
                assert httpx.get(f"{service.url}{path}", timeout=60).status_code == 200
            shown = httpx.get(f"{service.url}/v1/decisions/{decision}", timeout=60).json()
            assert (shown["index"], shown["leaf_hash"]) == (receipt["index"], receipt["leaf_hash"])
        until(lambda: len(service.metrics().get("genguard_verdicts_total", {})) == 2 or not service.post(), service.log)
        counted = service.metrics()
        assert counted["genguard_worker_up"] == {"0": 1.0, "1": 1.0}
        assert sum(counted["genguard_verdicts_total"].values()) >= 22
        assert len(counted["genguard_checkpoint_age_seconds"]) == 1  # one signs

        load = Load(service.url)
        with load.running():
            load.more(service.log)
            for what in ("workers.part", "committer"):
                (victim, *_) = service.children(what)
                kill(victim)
                load.more(service.log)
                until(lambda victim=victim, what=what: {victim} < {victim, *service.children(what)}, service.log)  # type: ignore[misc]
            until(lambda: service.metrics().get("genguard_worker_up") == {"0": 1.0, "1": 1.0}, service.log)
            until(lambda: ready(service.url), service.log)
            load.more(service.log)
            assert sum(service.metrics()["genguard_processes_restarted_total"].values()) == 2
            before = len(load.failures)
            service.process.send_signal(signal.SIGTERM)
            until(lambda: service.process.poll() is not None, service.log)
        assert service.process.returncode == 0, service.log.read_text()
    assert {status for status, _ in load.failures} <= {0, 503}, service.log.read_text()  # 503: the committer took long to start
    assert {status for status, _ in load.failures[before:]} <= {0}
    subjects = {subject for _, subject in load.failures[before:]}
    assert subjects
    assert not subjects & recorded(ledger, "subject")  # what was taken on when it was stopped was answered
    assert {*load.decisions} <= recorded(ledger)
    assert "Traceback" not in service.log.read_text()
    key = need_log_key(tmp_path / "ledger.db", identity(ledger))
    anchor = FileAnchor(tmp_path / "anchor")
    report = verify(ledger, anchors=[anchor], log_keys=[key.public])
    assert report.ok
    assert Checkpoint.parse(Note.parse(anchor.notes()[-1]).text).size == report.size  # what was decided last is signed, too


def test_what_cannot_work_does_not_begin_and_is_told_once(tmp_path: Path) -> None:
    """No policy, no port: one message, the status of a mistake, and no process left."""
    (tmp_path / "wrong.yaml").write_text("policy: desk\nversion: many\n", "utf-8")
    asked = command(tmp_path, free_port(), "--workers", "3", policy=str(tmp_path / "wrong.yaml"))
    done = subprocess.run(asked, env=environment(), cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 64, done.stderr
    assert done.stderr.count("genguard: ") == 1
    assert "wrong.yaml" in done.stderr


@pytest.mark.slow
def test_the_last_of_a_team_ends_when_its_supervisor_is_killed(tmp_path: Path) -> None:
    """Nobody is left who would start them again, or end them."""
    ledger = f"sqlite:///{tmp_path / 'ledger.db'}"
    with serving(tmp_path, ledger) as service:
        parts = [*service.children("workers.part"), *service.children("committer")]
        assert len(parts) == 3
        decision = service.post().headers["x-genguard-decision"]
        service.process.kill()
        service.process.wait(60)
        until(lambda: not any(alive(one) for one in parts), service.log)
    assert decision in recorded(ledger)
    assert verify(ledger).ok


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.skipif(binaries() is None, reason="needs a PostgreSQL server of its own")
@pytest.mark.slow
def test_two_gateways_of_two_workers_outlive_the_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """PostgreSQL is crashed and started again under load: nothing acknowledged is lost, and all go on by themselves."""
    server = Server.start()
    try:
        ledger = fresh(server.url("postgres"))
        keys = tmp_path / "keys"
        keys.mkdir()
        monkeypatch.setenv("GENGUARD_KEY_FOLDER", str(keys))
        given = {"key_folder": str(keys)}
        with serving(tmp_path / "one", ledger, **given) as one, serving(tmp_path / "two", ledger, **given) as two:
            assert one.children("committer") == []
            loads = [Load(one.url), Load(two.url)]
            with loads[0].running(4), loads[1].running(4):
                for load, service in zip(loads, (one, two), strict=True):
                    load.more(service.log)
                kill(one.children("workers.part")[0])
                server.down()
                server.up()
                for load, service in zip(loads, (one, two), strict=True):
                    load.more(service.log, 40)
                until(lambda: ready(one.url) and ready(two.url), one.log)
        assert {status for load in loads for status, _ in load.failures} <= {0, 503, 504}
        assert {*loads[0].decisions, *loads[1].decisions} <= recorded(ledger)
        assert verify(ledger).ok
    finally:
        server.close()


def test_a_policy_that_is_activated_at_one_gateway_judges_at_all(
    postgres: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two gateways on one database, one of two workers: a step, a key and its end reach all."""
    ledger, keys = fresh_schema(postgres), tmp_path / "keys"
    keys.mkdir()
    monkeypatch.setenv("GENGUARD_KEY_FOLDER", str(keys))
    given = {"key_folder": str(keys), "api_keys": "admin+admin+author+auditor:" + "k" * 24}
    head = {"authorization": "Bearer " + "k" * 24}
    with serving(tmp_path / "one", ledger, **given) as one, serving(tmp_path / "two", ledger, workers=1, **given) as two:

        def asked(service: Running, key: str) -> int:
            more = {"headers": {"authorization": f"Bearer {key}"}, "timeout": 60}
            return httpx.post(f"{service.url}/v1/chat/completions", json=HELLO, **more).status_code

        made = httpx.post(f"{one.url}/v1/keys", headers=head, json={"name": "app", "roles": ["caller"]}, timeout=60).json()
        assert [asked(service, made["key"]) for service in (one, two, two, one)] == [200] * 4
        httpx.post(f"{two.url}/v1/keys/{made['id']}/revoke", headers=head, json={}, timeout=60).raise_for_status()
        for service in (one, two):
            until(lambda service=service: asked(service, made["key"]) == 401, service.log)  # type: ignore[misc]
        new = (tmp_path / "one" / "desk.yaml").read_text().replace("version: 1", "version: 2")
        (tmp_path / "new.yaml").write_text(new, "utf-8")
        policy = load(str(tmp_path / "new.yaml"))
        with open_ledger(ledger) as opened:
            opened.activate_sync(policy.id, policy.version, policy.revision, policy.document)
            step = Rollout(policy.id, 2, policy.revision, Step.ACTIVATE, "ann", "because", datetime.now(UTC))
            opened.roll_out_sync(step)
            since = time.monotonic()

        def judges(service: Running) -> bool:
            answer = httpx.post(f"{service.url}/v1/chat/completions", json=HELLO, headers=head, timeout=60)
            return bool(answer.json()["genguard"][-1]["revision"] == policy.revision)

        for service in (one, two):
            until(lambda service=service: all(judges(service) for _ in range(4)), service.log)  # type: ignore[misc]
            print(f"judges by it {time.monotonic() - since:.2f} s after the step, asked four times")
    assert verify(ledger).ok


def test_a_team_on_a_cluster_is_refused() -> None:
    with pytest.raises(SettingsError, match="found 3 workers with the engine ray, expected one"):
        supervise(Settings.read(workers=3, engine="ray"))
