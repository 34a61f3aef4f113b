"""Two gateways with a folder of banks each, on one ledger in PostgreSQL: what is registered at one blocks at the other."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from ports import free_port
from postgres import MISSING, binaries, fresh_schema, statement
from processes import command, environment, ready
from starlette.testclient import TestClient

from audit.ledger import open_ledger
from guard.errors import LedgerError
from service import create_app
from serving.bank_watch import BankWatcher
from serving.settings import Settings
from serving.shared_banks import shared_banks
from serving.works import changing
from tests.matching.prose import prose
from tests.matching.works import hashed, many
from tests.service.test_banks import png

pytestmark = [
    pytest.mark.skipif(binaries() is None and "GENGUARD_TEST_POSTGRES" not in os.environ, reason=MISSING),
    pytest.mark.timeout(600),
]
POLICY = """
policy: works
version: 1
status: live
checks:
  pictures: {use: image_match, bank: pictures, deadline_ms: 60000}
  passages: {use: text_match, bank: texts, deadline_ms: 60000}
rules:
  - {id: picture, when: {pictures: matched}, action: block, category: intellectual_property}
  - {id: passage, when: {passages: verbatim}, action: block, category: intellectual_property}
"""


def until(found: Callable[[], bool], log: Callable[[], str] = lambda: "") -> None:
    end = time.monotonic() + 120
    while not found():
        assert time.monotonic() < end, log()
        time.sleep(0.05)


@contextmanager
def process(folder: Path, ledger: str, **given: str) -> Iterator[str]:
    """A gateway in a process of its own, which itself matches nothing; its URL."""
    folder.mkdir()
    port, log = free_port(), folder / "log"
    asked = command(folder, port, "--generators", "echo")
    asked[asked.index("--ledger") + 1] = ledger
    url = f"http://127.0.0.1:{port}"
    with log.open("w") as file:
        running = subprocess.Popen(asked, env=environment(**given), cwd=folder, stdout=file, stderr=file)
    try:
        until(lambda: ready(url) or running.poll() is not None, log.read_text)
        assert running.poll() is None, log.read_text()
        yield url
    finally:
        running.send_signal(signal.SIGTERM)
        try:
            running.wait(60)
        finally:
            running.kill()
            running.wait(60)


@pytest.fixture
def ledger(postgres: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "keys").mkdir()
    monkeypatch.setenv("GENGUARD_KEY_FOLDER", str(tmp_path / "keys"))
    monkeypatch.delenv("GENGUARD_MASTER_KEY", raising=False)
    return fresh_schema(postgres)


def test_what_is_registered_at_one_blocks_at_the_other(ledger: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A gateway with an empty folder has the banks when it is ready; a picture, a text and the end of a work reach it."""
    (tmp_path / "works.yaml").write_text(POLICY, "utf-8")
    key = os.urandom(16).hex()
    head = {"authorization": f"Bearer {key}"}
    monkeypatch.setenv("GENGUARD_BANKS", str(tmp_path / "one-banks"))
    with open_ledger(ledger) as opened:
        for bank, data in (("pictures", {"image": png(1)}), ("texts", {"text": prose(1, 400)})):
            _register(opened, bank, "first", data)
    given = {"key_folder": str(tmp_path / "keys"), "banks": str(tmp_path / "one-banks"), "api_keys": f"op+admin:{key}"}
    monkeypatch.setenv("GENGUARD_BANKS", str(tmp_path / "two-banks"))
    settings = Settings(
        policies=(str(tmp_path / "works.yaml"),), ledger=ledger, generators=("echo",), api_keys=f"op+admin:{key}"
    )
    with process(tmp_path / "one", ledger, **given) as one, TestClient(create_app(settings), headers=head) as two:
        assert two.get("/readyz").status_code == 200

        def action(**data: str) -> str:
            return str(two.post("/v1/check", json=data).json()["action"])

        assert action(image=png(1, turned=True)) == "block"
        picture, text = {"image": png(5, turned=True)}, {"text": f"As it says: {prose(2, 400)} That is all."}
        assert (action(**picture), action(**text)) == ("allow", "allow")
        for bank, data in (("pictures", {"image": png(5)}), ("texts", {"text": prose(2, 400)})):
            work = {"id": "new", "title": "New", **data}
            answer = httpx.post(f"{one}/v1/banks/{bank}/works", json=work, headers=head, timeout=60)
            assert answer.status_code == 201, answer.text
        since = time.monotonic()
        until(lambda: (action(**picture), action(**text)) == ("block", "block"))
        print(f"blocks {time.monotonic() - since:.2f} s after it was registered elsewhere")
        digests = [
            httpx.get(f"{one}/v1/banks/pictures", headers=head, timeout=60).json()["digest"],
            two.get("/v1/banks/pictures").json()["digest"],
        ]
        assert digests[0] == digests[1]
        assert two.delete("/v1/banks/pictures/works/new").json()["retired"] == 1
        assert action(**picture) == "allow"
        until(lambda: httpx.get(f"{one}/v1/banks/pictures/works/new", headers=head, timeout=60).json()["retired"])
        httpx.post(
            f"{one}/v1/banks/texts/works", json={"id": "x", "title": "X", "text": prose(3, 400)}, headers=head, timeout=60
        )
        until(lambda: two.get("/v1/banks/texts").json()["works"] == 3)
        statement(ledger, "SET session_replication_role = replica; UPDATE bank_batch SET data = '\\x00' WHERE bank = 'texts'")
        (tmp_path / "two-banks" / "texts").rename(tmp_path / "aside")
        until(lambda: "texts" in two.get("/readyz").json().get("banks", {}))
        answer = two.get("/readyz")
        assert answer.status_code in {200, 503}, answer.text  # the check cannot read its bank
        refused = two.post("/v1/banks/texts/works", json={"id": "y", "title": "Y", "text": prose(4, 400)})
        assert (refused.status_code, "nothing was changed" in refused.text) == (409, True)


def _register(ledger: Any, bank: str, name: str, data: dict[str, str]) -> None:
    from serving.banks import WorkRequest
    from serving.works import add

    with changing(bank, ledger) as (opened, _):
        add(opened, WorkRequest(id=name, title=name, **data).work(), actor="ann", source="test")


def test_a_service_is_not_ready_until_it_has_all(ledger: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says what is missing; a ledger that cannot be read is no reason to think that nothing is."""
    monkeypatch.setenv("GENGUARD_BANKS", str(tmp_path / "one"))
    with open_ledger(ledger) as opened:
        for number in range(3):
            with changing("works", opened) as (bank, _):
                bank.add(many(2, 2 * number))
        monkeypatch.setenv("GENGUARD_BANKS", str(tmp_path / "two"))
        shared = shared_banks(opened)
        assert shared is not None

        async def looks() -> None:
            watcher = BankWatcher(shared)
            with monkeypatch.context() as patch:
                patch.setattr("audit.banks.heads", _away)
                await watcher.start()
            assert "cannot be followed: LedgerError" in watcher.missing["(ledger)"]
            monkeypatch.setattr("serving.bank_watch.SLICE_S", 0.0)
            await watcher.look()
            assert watcher.missing == {"works": "bank 'works' lacks 3 batches of changes"}
            monkeypatch.setattr("serving.bank_watch.SLICE_S", 60.0)
            await watcher.look()
            assert (watcher.missing, watcher.troubles) == ({}, {})
            monkeypatch.setenv("GENGUARD_BANKS", str(tmp_path / "one"))
            with changing("works", opened) as (bank, _):
                bank.add([hashed("more", 9)])
            monkeypatch.setenv("GENGUARD_BANKS", str(tmp_path / "two"))
            monkeypatch.setattr("serving.bank_watch.SLICE_S", 0.0)
            await watcher.look()
            assert watcher.missing == {}, "it was ready once"

        asyncio.run(looks())


def _away(*_: object) -> None:
    raise LedgerError("the database is away")
