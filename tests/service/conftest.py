"""A real service with the bundled default, started once: uvicorn on a free port of this machine."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import uvicorn
from ports import free_port

from service import create_app
from serving.settings import Settings
from tests import placed
from tests.service.issuer import Issuer, issuing


@dataclass
class Server:
    url: str
    http: httpx.Client
    ledger: str

    def recorded(self, query: str = "") -> list[dict]:
        """Decisions in the ledger, newest first."""
        return self.http.get("/v1/decisions", params={"q": query, "limit": 500}).raise_for_status().json()["decisions"]


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    ledger = placed.ledger(tmp_path_factory.mktemp("service") / "ledger.db")
    port = free_port()
    settings = Settings(ledger=ledger, port=port, **placed.engine())
    running = uvicorn.Server(uvicorn.Config(create_app(settings), port=port, log_level="warning"))
    thread = threading.Thread(target=running.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + placed.START_S
    while not running.started and thread.is_alive() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert running.started, "the service did not start"
    url = f"http://127.0.0.1:{port}"
    with httpx.Client(base_url=url, timeout=60) as http:
        yield Server(url, http, ledger)
    running.should_exit = True
    thread.join(30)


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    """An issuer of tokens on this machine."""
    with issuing() as made:
        yield made


@pytest.fixture
def works() -> Path:
    """The protected works that the bundled bank knows."""
    return Path(__file__).parents[2] / "training" / "diffusion" / "works"
