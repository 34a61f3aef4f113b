"""serving.identity.guesses: wrong keys are answered before they cost anything, and right ones go on."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from starlette.datastructures import Headers
from starlette.testclient import TestClient

from audit import api_keys
from audit.api_keys import make_key
from audit.ledger import open_ledger
from guard.errors import SettingsError
from service import create_app
from serving.identity.authenticate import Authenticator
from serving.identity.guesses import GuessedError, Guesses
from serving.server import Server
from serving.settings import Settings
from serving.turnstile import Turnstile
from tests.service.plain import HOME, KEY, plain

BAD, GOOD = "198.51.100.7", "203.0.113.9"


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A service that needs no model, and takes three wrong keys a minute."""
    monkeypatch.setattr(api_keys, "COST", 2)
    monkeypatch.delenv("GENGUARD_MASTER_KEY", raising=False)
    return plain(tmp_path, api_keys=SecretStr(f"kim+admin:{KEY}"), wrong_keys_per_minute=3)


class Desk:
    """Keys of a ledger, a clock, and how often a secret was hashed."""

    def __init__(self, settings: Settings, monkeypatch: pytest.MonkeyPatch, names: tuple[str, ...] = ("one", "two")) -> None:
        self.now, self.hashed = 0.0, 0
        with open_ledger(settings.ledger) as ledger:
            self.tokens = [make_key(ledger, name, ["caller"], actor="root").token for name in names]
        self.callers = Authenticator(settings)
        self.callers.guesses = Guesses(settings.wrong_keys_per_minute, clock=lambda: self.now)
        opens = api_keys.ApiKey.opens

        def counted(key: Any, secret: str) -> bool:
            self.hashed += 1
            return opens(key, secret)

        monkeypatch.setattr(api_keys.ApiKey, "opens", counted)

    async def ask(self, token: str, address: str = BAD) -> Any:
        """Who that is; a number: how many seconds to wait."""
        try:
            found = await self.callers.principal(Headers({"authorization": f"Bearer {token}", "host": "h"}), address)
        except GuessedError as error:
            return error.retry_after_s
        return found.name if found is not None else None

    def wrong(self, number: int = 0) -> str:
        """The key with another secret."""
        token = self.tokens[number]
        return token[:-1] + ("a" if token[-1] != "a" else "b")


def test_wrong_keys_are_answered_before_they_are_hashed(settings, monkeypatch):
    """After three in a minute; one more each twenty seconds. Another address is another matter."""

    async def go() -> None:
        desk = Desk(settings, monkeypatch)
        assert [await desk.ask(desk.wrong()) for _ in range(5)] == [None, None, None, 20, 20]
        assert desk.hashed == 3
        assert await desk.ask(desk.wrong(), GOOD) is None
        desk.now = 20.0
        assert [await desk.ask(desk.wrong()) for _ in range(2)] == [None, 20]

    asyncio.run(go())


def test_keys_that_are_right_go_on(settings, monkeypatch):
    """One that was shown before, one of the settings, and one that is new here: none is kept out by who guesses beside it."""

    async def go() -> None:
        desk = Desk(settings, monkeypatch)
        assert await desk.ask(desk.tokens[0]) == "one"
        unknown = f"gg_{'0' * 12}_{'a' * 43}"
        assert [await desk.ask(unknown) for _ in range(5)] == [None, None, None, 20, 20]
        assert [await desk.ask("nonsense"), await desk.ask(desk.wrong(0))] == [20, 20]
        assert await desk.ask(desk.tokens[0]) == "one"
        assert await desk.ask(KEY) == "kim"
        assert await desk.ask(desk.tokens[1]) == "two"
        assert await desk.ask(desk.tokens[1]) == "two"

    asyncio.run(go())


def test_many_at_once_are_no_way_around(settings, monkeypatch):
    """A try counts before it is hashed; right ones are not counted."""

    async def go() -> None:
        desk = Desk(settings, monkeypatch)
        found = await asyncio.gather(*(desk.ask(desk.wrong()) for _ in range(20)))
        assert (found.count(None), desk.hashed) == (3, 3)
        other = Desk(settings, monkeypatch, ("three", "four", "five", "six", "seven"))
        assert [await other.ask(token) for token in other.tokens] == ["three", "four", "five", "six", "seven"]

    asyncio.run(go())


def test_an_address_is_a_network_of_ipv6(settings, monkeypatch):
    """A caller has all of a /64."""

    async def go() -> None:
        desk = Desk(settings, monkeypatch)
        found = [await desk.ask("nonsense", f"2001:db8::{number:x}") for number in range(4)]
        assert found == [None, None, None, 20]

    asyncio.run(go())


def test_the_service_says_when_to_come_again(settings):
    """429 in place of 401; what is open stays so, and the page for a key says it, too."""
    with TestClient(create_app(settings), base_url=HOME, follow_redirects=False) as client:
        wrong, right = ({"authorization": f"Bearer {key}"} for key in ("wrong" * 5, KEY))
        assert [client.get("/v1/decisions", headers=wrong).status_code for _ in range(3)] == [401, 401, 401]
        answer = client.get("/v1/decisions", headers=wrong)
        assert (answer.status_code, answer.json()["error"]["code"]) == (429, "rate_limit_exceeded")
        assert 0 < int(answer.headers["retry-after"]) <= 20
        assert client.get("/healthz", headers=wrong).status_code == 200
        assert client.get("/v1/decisions", headers=right).status_code == 200
        assert client.get("/v1/decisions").status_code == 401
        page = client.post("/auth/login", data={"key": "wrong" * 5}, headers={"origin": HOME})
        assert (page.status_code, "set-cookie" in page.headers) == (429, False)
        assert client.post("/auth/login", data={"key": KEY}, headers={"origin": HOME}).status_code == 303


def test_a_service_without_keys_counts_nothing(settings):
    """On loopback whatever is shown is local: clients of OpenAI always show something."""
    open_one = settings.model_copy(update={"api_keys": SecretStr("")})
    with TestClient(create_app(open_one), base_url=HOME) as client:
        for _ in range(6):
            assert client.get("/v1/decisions", headers={"authorization": "Bearer unused"}).status_code == 200


@pytest.mark.parametrize(
    ("proxies", "trusted"), [((), False), (("127.0.0.1",), True), (("127.0.0.0/8",), True), (("192.0.2.1",), False)]
)
def test_only_proxies_of_the_settings_say_where_a_request_comes_from(settings, monkeypatch, proxies, trusted):
    """Nobody else's `X-Forwarded-For` counts, whatever the environment says; nor what stands before the proxy's own word."""
    monkeypatch.setenv("FORWARDED_ALLOW_IPS", "*")
    seen: list[Any] = []

    async def app(scope: Any, _receive: Any, _send: Any) -> None:
        seen.append(scope["client"])

    told = Settings.read(**{**settings.model_dump(), "proxies": proxies})
    config = Server(app, told, Turnstile(told)).config
    config.load()
    headers = [(b"x-forwarded-for", f"{GOOD}, {BAD}".encode())]
    scope = {"type": "http", "client": ("127.0.0.1", 5), "headers": headers, "scheme": "http"}
    asyncio.run(config.loaded_app(scope, None, None))
    assert seen[0][0] == (BAD if trusted else "127.0.0.1")


def test_a_proxy_that_is_no_address_is_refused():
    """`*` would believe everybody."""
    for wrong in ("*", "proxy.example", "10.0.0.0/99"):
        with pytest.raises(SettingsError, match="proxies"):
            Settings.read(proxies=wrong)
