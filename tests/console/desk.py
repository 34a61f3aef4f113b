"""A real service with what a worked demo left in its ledger, and people with a browser before it."""

from __future__ import annotations

import asyncio
import base64
import io
import os
import secrets
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import uvicorn
from playwright.sync_api import Browser, BrowserContext, Page
from pydantic import SecretStr
from rich.console import Console

from service import create_app
from serving.identity.sessions import SESSION
from serving.settings import Settings
from serving.wiring import open_guard
from terminal.demo import POLICY, generate, run_demo
from tests import placed
from tests.ports import free_port
from tests.sounds import wav

ROLES = ("caller", "author", "approver", "officer", "reviewer", "auditor", "admin")
PEOPLE = {
    **{role: ("", role) for role in ROLES},
    "second": ("", "reviewer"),
    "ours": ("default", "officer"),
    "theirs": ("umbrella", "officer"),
}
"""By name: tenant and role. `second` is another reviewer; `ours` and `theirs` see one tenant alone."""

HOLDS = (
    "She laughed, left a pot of honey on the sill and went home before the tide, and for nine days he entered the honey under "
    "supplies, a spoon at a time, until the jar was empty and there was nothing left to enter but the hour at which he began "
    "to watch the causeway."
)
"""Resembles a passage of a protected work."""


@dataclass
class Desk:
    """The service, and who may come."""

    url: str
    folder: Path
    ledger: str
    keys: Mapping[str, str] = field(repr=False)
    held: str = ""
    """A decision that waits for a person."""

    def http(self, who: str) -> httpx.Client:
        """A client of the API with somebody's key; close it."""
        return httpx.Client(base_url=self.url, headers={"authorization": f"Bearer {self.keys[who]}"}, timeout=60)

    def ask(self, who: str, method: str, path: str, **sent: Any) -> Any:
        """One answer of the API, as JSON."""
        with self.http(who) as http:
            return http.request(method, path, **sent).raise_for_status().json()

    def decision(self, query: str) -> str:
        """The id of the latest decision that fits."""
        return str(self.ask("auditor", "GET", "/v1/decisions", params={"q": query, "limit": 1})["decisions"][0]["decision"])

    def hold(self, text: str = HOLDS) -> str:
        """Have a text judged that waits for a person then; its decision's id."""
        answer = self.ask("caller", "POST", "/v1/check", json={"text": text})["genguard"]
        assert answer["action"] == "review", answer
        return str(answer["decision"])

    def sound(self) -> str:
        """Have a short audio file judged; its decision's id."""
        sent = base64.b64encode(wav(0.4)).decode()
        return str(self.ask("caller", "POST", "/v1/check", json={"audio": sent})["genguard"]["decision"])

    def cookie(self, who: str) -> str:
        """A session of somebody's, begun as the page for it does."""
        with httpx.Client(base_url=self.url, timeout=60) as http:
            answer = http.post("/auth/login", data={"key": self.keys[who]}, headers={"origin": self.url})
            assert answer.status_code == 303, answer.text
            return answer.cookies[SESSION]


def demo(folder: Path, seed: int = 7) -> None:
    """Run it into a folder. Where ledgers are databases, their URL is noted there."""
    with ThreadPoolExecutor(1) as aside:  # a browser's event loop may run in this thread
        if not placed.ELSEWHERE:
            assert aside.submit(run_demo, seed, folder, Console(file=io.StringIO())).result() == 0
            return
        url = placed.ledger(folder / "genguard.db")
        aside.submit(_demo, url, seed, folder).result()
        (folder / "genguard.url").write_text(url, "utf-8")


def _demo(url: str, seed: int, folder: Path) -> None:
    """What the demo records, without its look at the file."""
    (folder / "released").mkdir(parents=True)
    guard, ledger = open_guard([POLICY], url)
    try:
        asyncio.run(generate(guard, seed, folder / "released", Console(file=io.StringIO())))
    finally:
        ledger.close()


@contextmanager
def desk(folder: Path, **given: Any) -> Iterator[Desk]:
    """Serve what a worked demo left in a folder, or nothing yet, on a free port of this machine."""
    keys = {name: secrets.token_urlsafe(24) for name in PEOPLE}
    entries = [f"{name}{f'@{tenant}' if tenant else ''}+{role}:{keys[name]}" for name, (tenant, role) in PEOPLE.items()]
    ledger = placed.ledger_like(folder / "genguard.db")
    port = free_port()
    known: dict[str, Any] = {
        "ledger": ledger,
        "port": port,
        "api_keys": SecretStr(",".join(entries)),
        "generators": ("echo",),
    } | placed.engine()
    app = create_app(Settings(**{**known, **given}))
    running = uvicorn.Server(uvicorn.Config(app, port=port, log_level="warning"))
    thread = threading.Thread(target=running.run, daemon=True)
    with _own_banks(folder / "banks"):
        thread.start()
        until = time.monotonic() + max(300, placed.START_S)
        while not running.started and thread.is_alive() and time.monotonic() < until:
            time.sleep(0.05)
    assert running.started, "the service did not start"
    yield Desk(f"http://127.0.0.1:{port}", folder, ledger, keys)
    running.should_exit = True
    thread.join(60)


@contextmanager
def _own_banks(folder: Path) -> Iterator[None]:
    """Banks are found by the environment, which is this process's: those of the service while it starts."""
    before = os.environ.get("GENGUARD_BANKS")
    os.environ["GENGUARD_BANKS"] = str(folder)
    try:
        yield
    finally:
        if before is None:
            del os.environ["GENGUARD_BANKS"]
        else:
            os.environ["GENGUARD_BANKS"] = before


@dataclass
class Person:
    """Somebody at a browser. What the browser complained of, and whom it asked, is kept for tests to look at."""

    desk: Desk
    page: Page
    complaints: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def open(self, path: str) -> Page:
        """Open a page, and wait until its scripts have run."""
        self.page.goto(f"{self.desk.url}{path}", wait_until="load")
        return self.page


@contextmanager
def person(
    desk: Desk,
    browser: Browser,
    who: str = "",
    *,
    language: str = "en",
    theme: str = "light",
    width: int = 1280,
    height: int = 900,
) -> Iterator[Person]:
    """Somebody who is signed in; a stranger for no name."""
    context: BrowserContext = browser.new_context(
        locale={"en": "en-GB", "zh": "zh-CN"}[language],
        timezone_id="Europe/Berlin",
        color_scheme="dark" if theme == "dark" else "light",
        viewport={"width": width, "height": height},
        permissions=["clipboard-read", "clipboard-write"],
    )
    context.set_default_timeout(30_000)
    if who:
        context.add_cookies([{"name": SESSION, "value": desk.cookie(who), "url": desk.url}])
    found = Person(desk, context.new_page())
    found.page.on("console", lambda said: found.complaints.append(said.text) if said.type in {"error", "warning"} else None)
    found.page.on("pageerror", lambda error: found.complaints.append(str(error)))
    found.page.on("request", lambda request: found.asked.append(request.url))
    try:
        yield found
    finally:
        context.close()
