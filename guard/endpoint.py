"""Asks services that speak OpenAI's HTTP shapes, within a budget of time, and never says more than it must.

The key is read from an environment variable that the policy names; policies, records and logs never hold it. Errors name the
address, the status and the number of tries; they quote neither what was sent nor what came back.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from guard.errors import EndpointError, RegistryError

if TYPE_CHECKING:
    import httpx

T = TypeVar("T")

MAX_ANSWER_BYTES = 8 << 20
AT_ONCE = 8
"""Requests of one batch that are under way at the same time."""
FIRST_PAUSE_S = 0.1
"""Before the second try; doubled before each further one. A server's Retry-After is kept when it asks for more."""
AGAIN = frozenset({408, 429, 500, 502, 503, 504})
"""Statuses after which the same request may be answered."""
_VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]{0,99}")
ADVICE = {
    401: "Look at the key in the environment variable that the policy names.",
    403: "Look at what the key may do.",
    404: "Look at base_url and at the model's name.",
    429: "The service's limit is reached: ask for a higher one, or send less.",
}


class Endpoint:
    """One path of one service. Safe to use from several event loops at once."""

    def __init__(self, base_url: str, path: str, *, api_key_env: str | None, timeout_ms: int, retries: int) -> None:
        """`timeout_ms`: for all tries of a batch together. Raises RegistryError for settings that cannot be meant."""
        self.url = address(base_url) + path
        require_variable(api_key_env)
        if not 1 <= timeout_ms <= 60_000:
            raise RegistryError(f"timeout_ms is {timeout_ms}, expected 1 to 60000")
        if not 0 <= retries <= 10:
            raise RegistryError(f"retries is {retries}, expected 0 to 10")
        self._variable, self._timeout_ms, self._retries = api_key_env, timeout_ms, retries
        self._headers: dict[str, str] = {}
        self._tls: Any = None

    def load(self) -> None:
        """Read the key. Raises EndpointError when its variable is not set, or holds what cannot be a key."""
        import httpx

        self._tls = httpx.create_ssl_context()
        if self._variable is not None:
            self._headers = {"Authorization": f"Bearer {read_key(self._variable, self.url)}"}

    async def ask_all(self, questions: Sequence[tuple[Mapping[str, Any], Callable[[Any], T]]]) -> list[T]:
        """Send the body of each question; return what its reader makes of the answer, in order.

        A reader may raise EndpointError, or what comes of reading an answer of another shape.
        Raises EndpointError when one question has no answer that can be read in time.
        """
        import httpx

        if self._tls is None:
            raise EndpointError(f"{self.url} is not ready to be asked", advice="Call load() before the first batch.")
        gate = asyncio.Semaphore(AT_ONCE)
        try:
            async with (
                asyncio.timeout(self._timeout_ms / 1000) as scope,
                httpx.AsyncClient(headers=self._headers, verify=self._tls, timeout=self._timeout_ms / 1000) as client,
            ):
                return await _gather([self._ask(client, gate, body, read) for body, read in questions])
        except TimeoutError as error:
            if not scope.expired():
                raise
            raise EndpointError(
                f"{self.url}: no answer within {self._timeout_ms} ms",
                advice="Raise timeout_ms, and the check's deadline_ms above it, or look at the service.",
            ) from error

    async def _ask(
        self, client: httpx.AsyncClient, gate: asyncio.Semaphore, body: Mapping[str, Any], read: Callable[[Any], T]
    ) -> T:
        async with gate:
            data = await self._post(client, json.dumps(body).encode())
        try:
            return read(json.loads(data))
        except EndpointError as error:
            raise EndpointError(f"{self.url}: {error}", advice=error.advice) from None
        except (LookupError, TypeError, ValueError, ArithmeticError, AttributeError, RecursionError) as error:
            raise EndpointError(
                f"{self.url}: found an answer of another shape ({type(error).__name__}), expected the one OpenAI's API has"
            ) from None

    async def _post(self, client: httpx.AsyncClient, data: bytes) -> bytes:
        """The body of a good answer, after as many tries as the settings allow."""
        import httpx

        for tried in range(1, self._retries + 2):
            pause = FIRST_PAUSE_S * 2 ** (tried - 1)
            try:
                async with client.stream(
                    "POST", self.url, content=data, headers={"Content-Type": "application/json"}
                ) as response:
                    if response.status_code == 200:
                        return await self._body(response)
                    again, why = response.status_code in AGAIN, f"answered {response.status_code}"
                    advice, pause = ADVICE.get(response.status_code, ""), max(pause, asked_pause(response))
            except (httpx.TransportError, httpx.DecodingError) as error:
                again, why, advice = True, f"cannot be reached ({type(error).__name__})", "Look at base_url and the service."
            if not again or tried > self._retries:
                break
            await asyncio.sleep(pause)
        tries = "1 try" if tried == 1 else f"{tried} tries"
        raise EndpointError(f"{self.url} {why} ({tries})", advice=advice)

    async def _body(self, response: httpx.Response) -> bytes:
        parts, size = [], 0
        async for part in response.aiter_bytes():
            parts.append(part)
            size += len(part)
            if size > MAX_ANSWER_BYTES:
                raise EndpointError(f"{self.url}: found an answer over {MAX_ANSWER_BYTES} bytes, expected a smaller one")
        return b"".join(parts)


def number(value: Any, what: str) -> float:
    """A finite number of an answer. Raises EndpointError for anything else; `what` names it and quotes nothing."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < float("inf"):
        raise EndpointError(f"found {type(value).__name__} for {what}, expected a finite number")
    return float(value)


async def _gather(calls: Sequence[Awaitable[T]]) -> list[T]:
    """All results in order; the first error ends the other calls."""
    tasks = [asyncio.ensure_future(call) for call in calls]
    try:
        return list(await asyncio.gather(*tasks))
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def require_variable(api_key_env: str | None) -> None:
    """Raise RegistryError for what cannot be the name of a key's environment variable; None is fine."""
    if api_key_env is not None and not _VARIABLE.fullmatch(api_key_env):
        # It may be a key that was put here by mistake: it is not repeated.
        raise RegistryError(
            "api_key_env is no name of an environment variable, expected one such as OPENAI_API_KEY",
            advice="Put the key into the environment, and its variable's name here. A key that stood in a file is known.",
        )


def read_key(variable: str, url: str) -> str:
    """The key in an environment variable. Raises EndpointError when it is not set, or holds what cannot be a key."""
    key = os.environ.get(variable, "").strip()
    if not key or not key.isascii() or not key.isprintable():
        found = "an empty or unset variable" if not key else "characters that no key has"
        raise EndpointError(
            f"{variable}: found {found}, expected the key for {url}",
            advice="Set the variable for the process that asks the service.",
        )
    return key


def address(base_url: str) -> str:
    """The address without a slash at its end. Raises RegistryError for one that is none, or that holds a secret."""
    try:
        parts = urlsplit(base_url)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise RegistryError("base_url is no address, expected one such as https://api.openai.com/v1")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise RegistryError("base_url holds a user, a password or a query, expected an address alone: policies are recorded")
    return base_url.rstrip("/")


def asked_pause(response: httpx.Response) -> float:
    """Seconds that a server asks to wait for; 0 when it asks for nothing that can be read."""
    asked = response.headers.get("retry-after", "")
    return float(asked) if re.fullmatch(r"[0-9]{1,6}(\.[0-9]{1,3})?", asked) else 0.0
