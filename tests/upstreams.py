"""A service on this machine that speaks OpenAI's API, well or badly: what `openai` and `openai_images` are tested against."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import io
import json
import random
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from PIL import Image

KEY = "sk-test-0123456789abcdef"
SECRET = "the prompt that nobody may repeat"


@dataclass
class Asked:
    """One request as it came."""

    target: str
    headers: dict[str, str]
    body: Any
    left: threading.Event = field(default_factory=threading.Event)
    """Set when the client has closed the connection."""


Script = Callable[["Talk"], Awaitable[None]]


@dataclass
class Service:
    """Where it is, what it does next, and what it was asked. The last script is used again and again."""

    url: str
    scripts: list[Script]
    asked: list[Asked] = field(default_factory=list)


class Talk:
    """One request and the means to answer it."""

    def __init__(self, asked: Asked, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.asked, self.body = asked, asked.body
        self._reader, self._writer = reader, writer

    async def head(self, status: int = 200, kind: str = "text/event-stream", length: int | None = None, **headers: str) -> None:
        """The status and headers; without a length the answer ends with the connection."""
        given = {"content-type": kind, "connection": "close", **{name.replace("_", "-"): at for name, at in headers.items()}}
        given |= {} if length is None else {"content-length": str(length)}
        lines = [f"HTTP/1.1 {status} Status", *(f"{name}: {value}" for name, value in given.items()), "", ""]
        await self.raw("\r\n".join(lines).encode())

    async def raw(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def event(self, data: Any) -> None:
        await self.raw(b"data: " + (data if isinstance(data, bytes) else json.dumps(data).encode()) + b"\n\n")

    async def answer(self, data: Any, status: int = 200, kind: str = "application/json", **headers: str) -> None:
        """A whole answer."""
        sent = data if isinstance(data, bytes) else json.dumps(data).encode()
        await self.head(status, kind, len(sent), **headers)
        await self.raw(sent)

    async def gone(self) -> None:
        """Wait until the client has left."""
        with contextlib.suppress(OSError):
            while await self._reader.read(1024):
                pass
        self.asked.left.set()


def chunk(index: int = 0, *, finish: str | None = None, **delta: Any) -> dict[str, Any]:
    """An event of a streamed answer."""
    return {"object": "chat.completion.chunk", "choices": [{"index": index, "delta": delta, "finish_reason": finish}]}


def message(index: int = 0, *, finish: str = "stop", **said: Any) -> dict[str, Any]:
    """A choice of a whole answer."""
    return {"index": index, "message": {"role": "assistant", **said}, "finish_reason": finish}


def made_up(body: Any, index: int) -> str:
    """A reply that depends on messages, seed and choice alone."""
    words = ("one", "two", "three", "vier", "fünf", "六七", "acht")
    rng = random.Random(json.dumps([body["messages"], body.get("seed"), index]))
    return " ".join(rng.choices(words, k=9))


def painted(body: Any, index: int) -> str:
    """A picture that depends on prompt, seed and choice alone, in base64."""
    rng = random.Random(json.dumps([body["prompt"], body.get("seed"), index]))
    width, height = map(int, body.get("size", "64x64").split("x"))
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), (rng.randrange(256), rng.randrange(256), rng.randrange(256))).save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


async def well(talk: Talk) -> None:
    """As a good service does: whole or streamed, with counts where they are asked for."""
    body = talk.body
    if talk.asked.target.partition("?")[0].endswith("/images/generations"):
        await talk.answer({"data": [{"b64_json": painted(body, at)} for at in range(body.get("n", 1))]})
        return
    count, usage = body.get("n", 1), {"prompt_tokens": 11, "completion_tokens": 9 * body.get("n", 1)}
    if not body.get("stream"):
        choices = [message(index, content=made_up(body, index)) for index in range(count)]
        await talk.answer({"object": "chat.completion", "choices": choices, "usage": usage})
        return
    await talk.head()
    for index in range(count):
        await talk.event(chunk(index, role="assistant", content=""))
    for at in range(9):
        for index in range(count):
            word = made_up(body, index).split(" ")[at]
            await talk.event(chunk(index, content=word if at == 8 else word + " "))
    for index in range(count):
        await talk.event(chunk(index, finish="stop"))
    if body.get("stream_options", {}).get("include_usage"):
        await talk.event({"choices": [], "usage": usage})
    await talk.event(b"[DONE]")


async def idle() -> None:
    """Return when no other task is left: what httpx had open closes within a few turns of the loop."""
    while len(asyncio.all_tasks()) > 1:  # noqa: ASYNC110 - this is the test: the timeout of all tests ends it
        await asyncio.sleep(0)


@contextmanager
def upstream(*scripts: Script) -> Iterator[Service]:
    """A server on a free port of this machine, in a thread of its own."""
    service = Service("", list(scripts) or [well])
    loop = asyncio.new_event_loop()
    talks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        talks.add(task)
        try:
            first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().strip().split("\r\n")
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
            body = json.loads(await reader.readexactly(int(headers["content-length"])))
            asked = Asked(first.split(" ")[1], headers, body)
            service.asked.append(asked)
            script = service.scripts.pop(0) if len(service.scripts) > 1 else service.scripts[0]
            await script(Talk(asked, reader, writer))
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            talks.discard(task)
            writer.close()

    async def start() -> asyncio.Server:
        return await asyncio.start_server(serve, "127.0.0.1", 0)

    async def stop(server: asyncio.Server) -> None:
        server.close()
        for task in list(talks):
            task.cancel()
        await asyncio.gather(*talks, return_exceptions=True)
        await server.wait_closed()

    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    server = asyncio.run_coroutine_threadsafe(start(), loop).result(30)
    service.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    try:
        yield service
    finally:
        asyncio.run_coroutine_threadsafe(stop(server), loop).result(30)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
