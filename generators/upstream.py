"""A service that makes content, over HTTP in OpenAI's shapes: asked within limits of time, tried again only before it answers.

Errors name the address, the status and the number of tries, and the service's own word for what is wrong where it is one word;
they quote neither what was sent nor what came back. The key comes from an environment variable and is in no record or log.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from guard import watching
from guard.endpoint import ADVICE, AGAIN, address, asked_pause, read_key, require_variable
from guard.errors import EndpointError, GenerationError, RegistryError

if TYPE_CHECKING:
    import httpx

T = TypeVar("T")

AT_ONCE = 8
"""Requests of one call that are under way at the same time."""
MAX_ANSWER_BYTES = 64 << 20
"""Of one answer, streamed or not."""
MAX_EVENT_BYTES = 8 << 20
MAX_PAUSE_S = 60.0
"""A service that asks to wait longer than this is not asked again."""
FIRST_PAUSE_S = 0.25
"""Before the second try; doubled before each further one, and drawn between half and all of it."""
_DONE = "[DONE]"
_WORD = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,59}")
_LINE = re.compile(rb"\r\n|\n|\r")


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a service is waited for, in seconds, and how often it is asked again."""

    connect_s: float = 10.0
    read_s: float = 120.0
    """Without a byte of the answer."""
    total_s: float = 600.0
    """From the first try to the end of the answer, a slow reader's time included."""
    retries: int = 2

    def __post_init__(self) -> None:
        """Raise RegistryError for what cannot be meant."""
        for name in ("connect_s", "read_s", "total_s"):
            if not 0.01 <= getattr(self, name) <= 86_400:
                raise RegistryError(f"{name} is {getattr(self, name)}, expected 0.01 to 86400 seconds")
        if not 0 <= self.retries <= 10:
            raise RegistryError(f"retries is {self.retries}, expected 0 to 10")


class Upstream:
    """One service with its key. Safe to use from several event loops at once."""

    def __init__(
        self,
        base_url: str,
        *,
        api_key_env: str | None,
        auth: str = "bearer",
        api_version: str | None = None,
        patience: Patience,
    ) -> None:
        """`auth`: `bearer`, or `api-key` for Azure's header. `api_version`: Azure's query. Raises RegistryError."""
        self.url = address(base_url)
        require_variable(api_key_env)
        if auth not in {"bearer", "api-key"}:
            raise RegistryError(f"auth is {auth[:20]!r}, expected bearer or api-key")
        if api_version is not None and not re.fullmatch(r"[A-Za-z0-9.-]{1,40}", api_version):
            raise RegistryError("api_version is no version, expected one such as 2024-10-21")
        self._variable, self._auth = api_key_env, auth
        self._query = {} if api_version is None else {"api-version": api_version}
        self._patience = patience
        self._headers: dict[str, str] = {}
        self._tls: Any = None

    def load(self) -> None:
        """Read the key. Raises GenerationError when its variable is not set, or holds what cannot be a key."""
        import httpx

        self._tls = httpx.create_ssl_context()
        if self._variable is None:
            return
        try:
            key = read_key(self._variable, self.url)
        except EndpointError as error:
            raise GenerationError(str(error), advice=error.advice) from None
        self._headers = {"Authorization": f"Bearer {key}"} if self._auth == "bearer" else {"api-key": key}

    @asynccontextmanager
    async def patiently(self) -> AsyncIterator[None]:
        """A scope that lasts `total_s` at most; what goes wrong with the service in it is raised as GenerationError."""
        import httpx

        try:
            async with asyncio.timeout(self._patience.total_s) as scope:
                yield
        except TimeoutError:
            if not scope.expired():
                raise
            raise GenerationError(
                f"{self.url}: not done within {self._patience.total_s:g} s",
                advice="Raise total_s, ask for less, or look at the service.",
            ) from None
        except httpx.ReadTimeout:
            raise GenerationError(
                f"{self.url}: said nothing for {self._patience.read_s:g} s",
                advice="Raise read_s, or look at the service.",
            ) from None
        except (httpx.TransportError, httpx.DecodingError) as error:
            raise GenerationError(f"{self.url}: the answer broke off ({type(error).__name__})") from None

    async def whole(self, path: str, body: Mapping[str, Any]) -> Any:
        """The answer as JSON. To be called within `patiently`."""
        async with self._answer(path, body) as response:
            parts, size = [], 0
            async for part in response.aiter_bytes():
                size += len(part)
                self._require_size(size, MAX_ANSWER_BYTES, "an answer")
                parts.append(part)
        return self._parsed(b"".join(parts))

    async def events(self, path: str, body: Mapping[str, Any]) -> AsyncGenerator[Any]:
        """Each event of a streamed answer as JSON, up to `[DONE]` or its end. To be called within `patiently`, and closed.

        What comes after `[DONE]` is not read. Whether the answer was complete when it ended is for the caller to see.
        """
        async with self._answer(path, body) as response:
            kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
            if kind != "text/event-stream":
                # A page of a proxy, or a service that does not stream.
                shown = kind if re.fullmatch(r"[a-z]+/[a-z0-9.+-]{1,40}", kind) else "no readable content type"
                raise GenerationError(f"{self.url}: found {shown}, expected text/event-stream")
            async with aclosing(self._lines(response)) as lines:
                data: list[bytes] = []
                async for line in lines:
                    if line.startswith(b"data:"):
                        data.append(line[5:].removeprefix(b" "))
                    elif not line and data:
                        text = b"\n".join(data)
                        data = []
                        if text.strip() == _DONE.encode():
                            return
                        yield self._event(text)
                if data and b"\n".join(data).strip() != _DONE.encode():
                    raise GenerationError(f"{self.url}: the answer broke off in the middle of an event")

    def _event(self, text: bytes) -> Any:
        event = self._parsed(text)
        if isinstance(event, dict) and event.get("error"):
            raise GenerationError(f"{self.url}: sent an error in the middle of its answer{_said(event)}")
        return event

    async def _lines(self, response: httpx.Response) -> AsyncGenerator[bytes]:
        """Lines of an answer without their ends, which may be CR, LF, or both, cut anywhere."""
        rest, size = b"", 0
        async for part in response.aiter_bytes():
            size += len(part)
            self._require_size(size, MAX_ANSWER_BYTES, "an answer")
            # A CR at the edge may be half of an end of line: it waits for what follows.
            *lines, rest = _LINE.split(rest + part) if not (rest + part).endswith(b"\r") else [rest + part]
            self._require_size(len(rest), MAX_EVENT_BYTES, "a line")
            for line in lines:
                yield line
        *lines, rest = _LINE.split(rest)
        for line in (*lines, rest):
            yield line

    def _require_size(self, size: int, most: int, what: str) -> None:
        if size > most:
            raise GenerationError(f"{self.url}: found {what} over {most} bytes, expected a smaller one")

    def _parsed(self, data: bytes) -> Any:
        try:
            return json.loads(data)
        except (ValueError, RecursionError):
            raise GenerationError(f"{self.url}: found an answer that is no JSON, expected the one OpenAI's API has") from None

    @asynccontextmanager
    async def _answer(self, path: str, body: Mapping[str, Any]) -> AsyncIterator[httpx.Response]:
        """A good answer, of which nothing was read yet; its connection is closed at the end, whatever the end is."""
        import httpx

        if self._tls is None:
            raise GenerationError(f"{self.url} is not ready to be asked", advice="Call load() before the first prompt.")
        patience, data = self._patience, json.dumps(body).encode()
        headers = {**watching.headers(), "Content-Type": "application/json"}
        timeout = httpx.Timeout(patience.read_s, connect=patience.connect_s)
        async with httpx.AsyncClient(headers=self._headers, verify=self._tls, timeout=timeout) as client:
            for tried in range(1, patience.retries + 2):
                pause = FIRST_PAUSE_S * 2 ** (tried - 1) * random.uniform(0.5, 1)  # noqa: S311 - spreads tries, hides nothing
                request = client.build_request("POST", self.url + path, content=data, params=self._query, headers=headers)
                try:
                    response = await client.send(request, stream=True)
                except httpx.TransportError as error:
                    again, why, advice = (
                        True,
                        f"gave no answer ({type(error).__name__})",
                        "Look at base_url and the service.",
                    )
                else:
                    try:
                        if response.status_code == 200:
                            yield response
                            return
                        again, advice = response.status_code in AGAIN, ADVICE.get(response.status_code, "")
                        why = f"answered {response.status_code}{await self._reason(response)}"
                        pause = max(pause, asked_pause(response))
                    finally:
                        await response.aclose()
                if not again or tried > patience.retries or pause > MAX_PAUSE_S:
                    break
                await asyncio.sleep(pause)
        tries = "1 try" if tried == 1 else f"{tried} tries"
        raise GenerationError(f"{self.url} {why} ({tries})", advice=advice)

    async def _reason(self, response: httpx.Response) -> str:
        """The service's word for what is wrong; empty when it has none, or the answer is another one's."""
        import httpx

        found = b""
        try:
            async for part in response.aiter_bytes():
                found += part
                if len(found) > 1 << 16:
                    return ""
            return _said(json.loads(found))
        except (httpx.HTTPError, ValueError, RecursionError):
            return ""


async def gathered(
    upstream: Upstream, jobs: Sequence[Callable[[Callable[[T], Awaitable[None]]], Awaitable[None]]], ahead: int
) -> AsyncGenerator[T]:
    """Ask an upstream for several things, a few at a time, and yield what comes; all requests end when this ends.

    `jobs`: each makes its request and calls what it is given with everything that it gets; `ahead`: how much of that may wait
    for a slow reader before the service is made to wait.
    """
    ready: asyncio.Queue[tuple[T] | None] = asyncio.Queue()
    room, gate = asyncio.Semaphore(ahead), asyncio.Semaphore(AT_ONCE)

    async def emit(item: T) -> None:
        await room.acquire()
        ready.put_nowait((item,))

    async def one(job: Callable[[Callable[[T], Awaitable[None]]], Awaitable[None]]) -> None:
        async with gate, upstream.patiently():
            await job(emit)

    async def everything() -> None:
        tasks = [asyncio.ensure_future(one(job)) for job in jobs]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            ready.put_nowait(None)

    task = asyncio.create_task(everything())
    try:
        while (found := await ready.get()) is not None:
            room.release()
            yield found[0]
        await task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def _said(answer: Any) -> str:
    """` (code)` of an error in OpenAI's shape: words for programs, never the message, which may quote what was sent."""
    error = answer.get("error") if isinstance(answer, dict) else None
    words = (error.get(name) for name in ("code", "type")) if isinstance(error, dict) else ()
    word = next((one for one in words if isinstance(one, str) and _WORD.fullmatch(one)), "")
    return f" ({word})" if word else ""
