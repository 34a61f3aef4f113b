"""The engine ray on a real cluster of one small node."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from ports import free_port

from bulk.sources import open_source
from tests.cluster.conftest import PATIENCE_S, Cluster
from tests.cluster.test_spread import POLICY, judged, parts

SERVED = """policy: served
version: 1
status: live
checks:
  words: {{use: plug, folder: "{folder}", deadline_ms: 60000}}
rules:
  - {{id: word, when: {{words: any}}, action: redact, category: privacy, with: {{operator: replace}}}}
"""
WAITS = "please wait"
"""What the check `plug` waits at."""
SETTINGS = """engine = "ray"
generators = ["echo"]

[ray.checks.plug]
cpus = 0.5

[ray.generators.echo]
cpus = 0.5
"""


def results(file: Path) -> list[dict]:
    found = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
    return [{key: value for key, value in one.items() if key not in {"decision", "receipt"}} for one in found]


def until(found: Callable[[], object]) -> object:
    """Wait until something is there."""
    end = time.monotonic() + PATIENCE_S
    while not (one := found()):
        assert time.monotonic() < end
        time.sleep(0.1)
    return one


@contextmanager
def gateway(cluster: Cluster, folder: Path) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """`genguard serve --engine ray`, ready: its address and process, which may be killed."""
    port = free_port()
    log_file = folder / f"gateway-{port}.log"
    with log_file.open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "cli", "serve", "--engine", "ray", "--policy", "served.yaml", "--port", str(port)],
            cwd=folder, env=cluster.environment, stdout=log, stderr=log,
        )  # fmt: skip
    url = f"http://127.0.0.1:{port}"

    def ready() -> bool:
        assert process.poll() is None, log_file.read_text("utf-8")
        try:
            return httpx.get(f"{url}/readyz", timeout=60).status_code == 200
        except httpx.HTTPError:
            return False

    try:
        until(ready)
        yield url, process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(PATIENCE_S)
        finally:
            process.kill()
    assert process.returncode in {0, -signal.SIGKILL}, log_file.read_text("utf-8")


@pytest.mark.timeout(1800)
def test_a_cluster_measures_and_serves(cluster: Cluster, tmp_path: Path) -> None:
    """One cluster for all of it, because starting one takes longest.

    Bulk: the same results as in one process. Serve: checks and generators in replicas, one of which dies in the middle.
    """
    (tmp_path / "quick.yaml").write_text(POLICY, "utf-8")
    source = parts(tmp_path / "in", 90)
    done = cluster.genguard(
        *("bulk", "check", "in", "out.jsonl", "--policy", "quick.yaml", "--batch", "8", "--engine", "ray", "--json"),
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["count"] == 90
    assert results(tmp_path / "out.jsonl") == judged(tmp_path, open_source(source), "alone")

    (tmp_path / "served.yaml").write_text(SERVED.format(folder=tmp_path), "utf-8")
    (tmp_path / "genguard.toml").write_text(SETTINGS, "utf-8")
    with gateway(cluster, tmp_path) as (url, _), httpx.Client(base_url=url, timeout=PATIENCE_S) as http:
        plain = http.post("/v1/check", json={"text": "It is a secret."}).json()
        assert (plain["action"], plain["text"]) == ("redact", "It is a [word].")
        made = http.post("/v1/chat/completions", json={"model": "echo", "messages": [{"role": "user", "content": "Hello."}]})
        assert made.status_code == 200, made.text
        assert "Hello." in made.json()["choices"][0]["message"]["content"]
        _kill_in_the_middle(http, tmp_path)


def _kill_in_the_middle(http: httpx.Client, folder: Path) -> None:
    answers: list[httpx.Response] = []
    asking = threading.Thread(target=lambda: answers.append(http.post("/v1/check", json={"text": f"{WAITS}, then go"})))
    asking.start()
    first = until(lambda: list(folder.glob("*.waits")))
    os.kill(int(first[0].stem), signal.SIGKILL)
    asking.join(PATIENCE_S)
    ((answer),) = answers
    assert answer.json()["action"] == "block"
    shown = http.get(f"/v1/decisions/{answer.headers['x-genguard-decision']}").json()["entry"]
    ((result),) = shown["results"]
    assert result["status"] == "failed"
    assert not result["findings"]
    until(lambda: http.post("/v1/check", json={"text": "Good morning."}).json()["action"] == "allow")
