"""`genguard serve` as a process: it stops without losing what it took on, and does not begin what cannot work."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from ports import free_port
from processes import command, environment, ready
from service_client import POLICY, served

from audit.query import query
from guard.errors import InputError, LedgerError, PolicyError, RegistryError, SettingsError
from service import serve
from serving.server import listening
from serving.settings import Settings
from serving.turnstile import Full, Turnstile

THREADS = 16


@contextmanager
def process(folder: Path, *more: str, policy: str = "", **given: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A service that is ready, and its address."""
    port = free_port()
    with (folder / "log").open("w") as log:
        running = subprocess.Popen(
            command(folder, port, *more, policy=policy), env=environment(**given), cwd=folder, stderr=log, stdout=log, text=True
        )
    url = f"http://127.0.0.1:{port}"
    try:
        until = time.monotonic() + 120
        while not ready(url) and running.poll() is None and time.monotonic() < until:
            time.sleep(0.1)
        assert ready(url), (folder / "log").read_text()
        yield running, url
    finally:
        running.kill()
        running.wait(60)


@dataclass
class Told:
    """What became of the requests of all threads."""

    complete: list[tuple[str, str]] = field(default_factory=list)
    """Subject and decision."""
    refused: list[str] = field(default_factory=list)
    """Subjects of those that were sent away, or whose connection was not taken."""
    lost: list[str] = field(default_factory=list)
    """Subjects of those whose answer began and did not end."""
    lock: threading.Lock = field(default_factory=threading.Lock)


def crowd(url: str, number: int, told: Told) -> None:
    """Ask in turns for all kinds of answers, until the service is gone."""
    with httpx.Client(base_url=url, timeout=90) as client:
        for turn in range(100_000):
            subject = f"s-{number}-{turn}"
            named = {"model": "language", "max_tokens": 16} if (number + turn) % 4 == 0 else {"model": "echo"}
            body = {
                **named,
                "messages": [{"role": "user", "content": f"Good morning, this is number {turn}. It rains. We stay here."}],
                "stream": turn % 2 == 0,
            }
            begun, decision = False, ""
            try:
                with client.stream(
                    "POST", "/v1/chat/completions", json=body, headers={"x-genguard-subject": subject}
                ) as answer:
                    begun = answer.status_code == 200
                    decision = whole(answer.read().decode(), stream=turn % 2 == 0) if begun else ""
            except httpx.TransportError:
                decision = ""
            with told.lock:
                if decision:
                    told.complete.append((subject, decision))
                else:
                    (told.lost if begun else told.refused).append(subject)
            if not decision:
                return


def whole(text: str, *, stream: bool) -> str:
    """The decision of a complete answer; empty when it is not."""
    if not stream:
        return str(json.loads(text)["genguard"][-1]["decision"])
    lines = [line.removeprefix("data: ") for line in text.split("\n\n") if line.startswith("data: ")]
    if lines[-1:] != ["[DONE]"]:
        return ""
    return str(json.loads(lines[-2])["genguard"][-1]["decision"])


def test_sigterm_under_load_loses_nothing_that_was_accepted(tmp_path: Path) -> None:
    """Each request has its whole answer and its decision in the ledger, which verifies, or was never taken on."""
    told = Told()
    with (
        process(tmp_path, "--generators", "echo", "--generators", "language", lame_duck_s="0.5") as (running, url),
        ThreadPoolExecutor(THREADS) as pool,
    ):
        threads = [pool.submit(crowd, url, number, told) for number in range(THREADS)]
        until = time.monotonic() + 120
        while len(told.complete) < 48 and not told.refused and time.monotonic() < until:
            time.sleep(0.05)
        running.send_signal(signal.SIGTERM)
        leaving = [state(url) for _ in range(3)]
        assert running.wait(120) == 0, (tmp_path / "log").read_text()
        for one in threads:
            one.result(120)
    assert {503} <= {*leaving} <= {503, None}
    assert len(told.complete) >= 48
    assert told.lost == []
    assert len(told.refused) == THREADS
    ledger = f"sqlite:///{tmp_path / 'ledger.db'}"
    for subject, decision in told.complete:
        assert decision in {row.decision for row in query(ledger, f"subject:{subject} stage:output").rows}
    for subject in told.refused:
        assert not query(ledger, f"subject:{subject}").rows
    verified = subprocess.run(
        [sys.executable, "-m", "cli", "audit", "verify", "--ledger", ledger],
        env=environment(),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert verified.returncode == 0, verified.stdout + verified.stderr


def state(url: str) -> int | None:
    """What `/readyz` answers; None when nobody listens any more."""
    try:
        return httpx.get(f"{url}/readyz", timeout=30).status_code
    except httpx.TransportError:
        return None


def test_a_second_signal_ends_it_at_once(tmp_path: Path) -> None:
    with process(tmp_path, "--generators", "echo", lame_duck_s="600") as (running, url):
        running.send_signal(signal.SIGTERM)
        until = time.monotonic() + 60
        while state(url) != 503 and time.monotonic() < until:
            time.sleep(0.02)
        answer = httpx.get(f"{url}/v1/models")
        assert (answer.status_code, answer.headers["connection"]) == (200, "close")
        assert running.poll() is None
        running.send_signal(signal.SIGTERM)
        assert running.wait(60) == -signal.SIGTERM


@pytest.mark.parametrize(
    ("what", "error", "told"),
    [
        ("port", SettingsError, "cannot listen on 127.0.0.1 port"),
        ("policy", PolicyError, "desk.yaml"),
        ("ledger", LedgerError, "ledger.db"),
        ("key", LedgerError, "key"),
        ("anchors", InputError, "ftp://"),
        ("hook", SettingsError, "GENGUARD_WEBHOOK_SECRET"),
        ("generator", RegistryError, "nosuch"),
    ],
)
def test_what_cannot_work_does_not_begin(tmp_path: Path, what: str, error: type[Exception], told: str) -> None:
    """Known before a server runs, so that the terminal tells it in one message; nothing stays open."""
    (tmp_path / "desk.yaml").write_text("policy: desk\nversion: many\n" if what == "policy" else POLICY, "utf-8")
    given: dict[str, Any] = {"generators": ("nosuch",) if what == "generator" else ("echo",)}
    if what == "ledger":
        (tmp_path / "ledger.db").write_bytes(b"no database at all, and long enough to be seen as such" * 40)
    elif what == "key":
        with served(tmp_path):
            pass
        (tmp_path / "ledger.db.key").unlink()
    elif what == "anchors":
        given["anchors"] = ("ftp://nowhere.example/anchor",)
    elif what == "hook":
        given["review_webhook"] = "https://hook.example/x"
    port = free_port()
    files = (str(tmp_path / "desk.yaml"),)
    settings = Settings(policies=files, ledger=f"sqlite:///{tmp_path / 'ledger.db'}", port=port, **given)
    with socket.socket() as taken:
        if what == "port":
            taken.bind(("127.0.0.1", port))
            taken.listen()
        with pytest.raises(error) as caught:
            serve(settings)
    assert told in caught.value.diagnostics()  # type: ignore[attr-defined]
    for one in listening(settings):
        one.close()


def test_the_terminal_tells_in_one_message_why_it_does_not_begin(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        ended = subprocess.run(
            command(tmp_path, taken.getsockname()[1], "--generators", "echo"),
            env=environment(),
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    assert ended.returncode == 64
    assert ended.stderr.startswith("genguard: cannot listen on 127.0.0.1 port")
    assert ended.stderr.count("\n") == 2


def test_all_addresses_of_a_name_are_listened_on() -> None:
    made = listening(Settings(host="localhost", port=free_port()))
    assert {one.getsockname()[0] for one in made} <= {"127.0.0.1", "::1"}
    for one in made:
        one.close()
    with pytest.raises(SettingsError, match="cannot listen on 203"):
        listening(Settings(host="203.0.113.1", port=free_port()))


def test_readiness_names_what_is_missing(tmp_path: Path) -> None:
    """A service that is stopping, a ledger that is gone, a check that is not loaded."""
    with served(tmp_path) as client:
        assert client.get("/readyz").status_code == 200
        turnstile: Turnstile = client.app.state.turnstile  # type: ignore[attr-defined]
        turnstile.leaving = True
        answer = client.get("/readyz")
        assert (answer.status_code, answer.json()["troubles"]) == (503, {"service": "it is being stopped"})
        assert not isinstance(turnstile.enter(None), Full)
        turnstile.leave("", None, 0)
        turnstile.leaving = False
        (tmp_path / "ledger.db").rename(tmp_path / "elsewhere.db")
        answer = client.get("/readyz")
        assert answer.status_code == 503
        assert "ledger.db" in answer.json()["troubles"]["ledger"]
        (tmp_path / "elsewhere.db").rename(tmp_path / "ledger.db")
