"""A real service on a free port of this machine, with the policy and the generators that a test gives."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import uvicorn
from openai import OpenAI
from ports import free_port

from guard.protocols import Generator
from service import create_app
from serving.connections import patient
from serving.settings import Settings
from serving.wiring import Wired, wire
from tests import placed

POLICY = """
policy: desk
version: 1
status: live
checks:
  secrets: {use: secrets, deadline_ms: 60000}
  works: {use: image_match, bank: protected-works, deadline_ms: 60000}
rules:
  - id: private-key
    when: {secrets: PRIVATE_KEY}
    action: block
    category: privacy
    basis: House rules 1
    message: {en: A key was withheld., zh: 密钥已被拦截。}
  - {id: work, when: {works: matched}, action: block, category: intellectual_property, basis: House rules 3}
  - id: token
    when: {secrets: [GITHUB_TOKEN, AWS_ACCESS_KEY]}
    action: redact
    category: privacy
    basis: House rules 2
    with: {operator: replace}
"""
PRIVATE_KEY = (
    "-----BEGIN PRIVATE KEY-----\n"
    + "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj\n" * 6
    + "-----END PRIVATE KEY-----"
)
TOKEN = "ghp_" + "aB3dE5fG7hJ9kL1mN3pQ5rS7tU9vW1xY3zA5"


@dataclass
class Running:
    """Where it is, and clients of it."""

    url: str
    http: httpx.Client
    client: OpenAI
    wired: Wired

    def entry(self, decision: str) -> dict[str, Any]:
        """The body of a decision's entry."""
        return self.http.get(f"/v1/decisions/{decision}").raise_for_status().json()["entry"]

    def rows(self, query: str) -> list[dict[str, Any]]:
        """Decisions in the ledger, newest first."""
        return self.http.get("/v1/decisions", params={"q": query, "limit": 500}).raise_for_status().json()["decisions"]


@contextmanager
def running(
    folder: Path,
    generators: Callable[[], Mapping[str, Generator]] | None = None,
    *,
    policy: str = POLICY,
    key: str = "",
    **given: Any,
) -> Iterator[Running]:
    """Start it, and stop it."""
    file = folder / "desk.yaml"
    file.write_text(policy, "utf-8")
    port = free_port()
    ledger = given.pop("ledger", "") or placed.ledger(folder / "ledger.db")
    known = {"policies": (str(file),), "ledger": ledger, "port": port, "generators": ("echo",), **placed.engine()}
    settings = Settings(**known, **given)
    made: list[Wired] = []

    def make(asked: Settings) -> Wired:
        wired = wire(asked)
        made.append(replace(wired, generators={**wired.generators, **(generators() if generators else {})}))
        return made[-1]

    server = uvicorn.Server(
        uvicorn.Config(create_app(settings, make=make), port=port, log_level="warning", http=patient(settings))
    )
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    until = time.monotonic() + placed.START_S
    while not server.started and thread.is_alive() and time.monotonic() < until:
        time.sleep(0.02)
    assert server.started, "the service did not start"
    url = f"http://127.0.0.1:{port}"
    headers = {"authorization": f"Bearer {key}"} if key else {}
    try:
        client = OpenAI(base_url=f"{url}/v1", api_key=key or "unused", max_retries=0)
        with httpx.Client(base_url=url, timeout=60, headers=headers) as http, client:
            yield Running(url, http, client, made[0])
    finally:
        server.should_exit = True
        thread.join(60)
