"""A guarded stream as server-sent events: what may leave as it may leave, the end after its commit."""

from __future__ import annotations

import asyncio
import json
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import AsyncGenerator, Mapping
from typing import Any

import orjson
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from guard.errors import GenerationError
from guard.marks.aigc import envelope
from guard.pipeline import Guard
from guard.protocols import Generator
from guard.streaming.events import Called, Delta, Ended, Event
from guard.types import Content, Ending, Making, Release, Request
from serving.gate import failure_response, refusal_response
from serving.openai import answers
from serving.schemas import evidence, message_of

QUIET_S = 15.0
"""After so long without anything to send, a comment says that the connection lives: proxies cut silent ones."""
_STOPPED = frozenset({Ending.BLOCKED, Ending.HELD})


class Shape(ABC):
    """How the chunks of one route look."""

    def __init__(self, head: Mapping[str, Any], language: str, *, usage: bool) -> None:
        """`head`: what stands in each chunk. `language`: of what the policy says. `usage`: whether tokens are counted."""
        self.head = dict(head)
        self.language = language
        self.usage = usage

    @abstractmethod
    def opening(self, choice: int) -> dict[str, Any] | None:
        """What comes before all else of a choice; None for nothing."""

    @abstractmethod
    def text(self, choice: int, text: str) -> dict[str, Any]:
        """Some more of what a choice says."""

    @abstractmethod
    def call(self, choice: int, number: int, release: Release) -> dict[str, Any]:
        """The tool call with this number."""

    @abstractmethod
    def refusal(self, choice: int, message: str) -> dict[str, Any] | None:
        """What the policy says instead of the rest; None where there is no place for it."""

    @abstractmethod
    def closing(self, choice: int, finish: str, scores: list[dict[str, Any]] | None) -> dict[str, Any]:
        """Why a choice ended."""


async def stream(
    guard: Guard, generator: Generator, prompt: Content, request: Request, parameters: Mapping[str, Any], shape: Shape
) -> Response:
    """Answer with events, or with an error that is known before the first. Raises as `Guard.stream` does until then."""
    events = guard.stream(generator, prompt, request=request, **parameters)
    try:
        first = await anext(events, None)
    except BaseException:
        await events.aclose()
        raise
    if first is None:
        raise GenerationError(f"generator {generator.name!r} made nothing")
    if isinstance(first, Ended) and first.release.refused:
        await events.aclose()
        return refusal_response(first.release)
    return EventStream(_Telling(guard, shape).lines(first, events))


class _Telling:
    """One stream being told."""

    def __init__(self, guard: Guard, shape: Shape) -> None:
        self._guard, self._shape = guard, shape
        self._opened: set[int] = set()
        self._calls: Counter[int] = Counter()
        self._withheld: set[int] = set()
        self._evidence: dict[int, list[dict[str, Any]]] = {}
        self._closed: set[int] = set()
        self._asked: list[int | None] = []
        self._answered: list[int | None] = []

    async def lines(self, first: Event, events: AsyncGenerator[Event]) -> AsyncGenerator[bytes]:
        """The events as they are sent. Closes the stream when it is closed."""
        waiting: asyncio.Task[Event | None] | None = None
        event: Event | None = first
        try:
            while event is not None:
                for chunk in self._chunks(event):
                    yield _line(chunk)
                waiting = asyncio.ensure_future(anext(events, None))
                while not waiting.done():
                    await asyncio.wait([waiting], timeout=QUIET_S)
                    if not waiting.done():
                        yield b": still here\n\n"
                event = waiting.result()
            for choice in sorted(self._opened - self._closed):  # calls alone, without a text that could end
                yield _line(self._closing(choice, "stop", None))
            if self._shape.usage and (counts := self._usage()):
                yield _line(self._shape.head | {"choices": [], "usage": counts})
            yield b"data: [DONE]\n\n"
        except Exception as error:  # noqa: BLE001 - the status is sent already: the stream itself has to say it
            yield _line(json.loads(bytes(failure_response(error).body)))
        finally:
            if waiting is not None and not waiting.done():
                waiting.cancel()
                await asyncio.wait([waiting])
            await events.aclose()

    def _chunks(self, event: Event) -> list[dict[str, Any]]:
        opening = [] if event.choice in self._opened else [self._shape.opening(event.choice)]
        self._opened.add(event.choice)
        told = [*opening, *self._told(event)]
        return [one for one in told if one is not None]

    def _told(self, event: Event) -> list[dict[str, Any] | None]:
        shape = self._shape
        match event:
            case Delta(choice, text):
                return [shape.text(choice, text)]
            case Called(choice, release) if release.content is not None:
                self._proves(choice, release)
                self._calls[choice] += 1
                return [shape.call(choice, self._calls[choice] - 1, release)]
            case Called(choice, release):
                self._proves(choice, release)
                self._withheld.add(choice)
                return [shape.refusal(choice, message_of(release, shape.language))]
            case Ended():
                return self._ended(event)

    def _ended(self, event: Ended) -> list[dict[str, Any] | None]:
        shape, choice, making = self._shape, event.choice, event.making
        self._asked.append(making.prompt_tokens if making else None)
        self._answered.append(making.output_tokens if making else None)
        self._closed.add(choice)
        self._proves(choice, event.release)
        if event.ending is Ending.FAILED:  # the error follows
            return []
        refusal = None
        if event.ending in _STOPPED:
            self._withheld.add(choice)
            refusal = shape.refusal(choice, message_of(event.release, shape.language))
        closing = self._closing(choice, making.finish if making else "stop", making)
        if label := envelope(event.release, self._guard.operator):
            closing["AIGC"] = label
        return [refusal, closing]

    def _closing(self, choice: int, finish: str, making: Making | None) -> dict[str, Any]:
        told = answers.FILTERED if choice in self._withheld else "tool_calls" if self._calls[choice] else finish
        scores = answers.scored(making) if making and making.scores and told != answers.FILTERED else None
        return self._shape.closing(choice, told, scores) | {"genguard": self._evidence.get(choice, [])}

    def _proves(self, choice: int, release: Release) -> None:
        self._evidence.setdefault(choice, []).append(evidence(release) | {"choice": choice})

    def _usage(self) -> dict[str, int] | None:
        asked, answered = self._asked, [one for one in self._answered if one is not None]
        if not asked or asked[0] is None or len(answered) < len(self._answered):
            return None
        return answers.counted(asked[0], sum(answered))


def _line(fields: Mapping[str, Any]) -> bytes:
    return b"data: " + orjson.dumps(fields) + b"\n\n"


class EventStream(Response):
    """Sends lines until they end or the client leaves; either way, what makes them is closed before the answer is over."""

    media_type = "text/event-stream"

    def __init__(self, lines: AsyncGenerator[bytes]) -> None:
        """`lines`: whole events."""
        super().__init__(headers={"cache-control": "no-store", "x-accel-buffering": "no"})
        del self.headers["content-length"]
        self._lines = lines

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send them, as long as somebody reads."""
        sending = asyncio.create_task(self._send(_patient(send, scope["app"].state.settings.send_s)))
        leaving = asyncio.create_task(_left(receive))
        try:
            await asyncio.wait([sending, leaving], return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (sending, leaving):
                task.cancel()
            await asyncio.wait([sending, leaving])
            await self._lines.aclose()
        if not sending.cancelled() and (error := sending.exception()) is not None and not isinstance(error, OSError):
            raise error

    async def _send(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        async for line in self._lines:
            await send({"type": "http.response.body", "body": line, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


def _patient(send: Send, seconds: float) -> Send:
    """Send, and raise ConnectionError when the reader takes nothing for so long."""

    async def sending(message: Message) -> None:
        try:
            async with asyncio.timeout(seconds) as scope:
                await send(message)
        except TimeoutError:
            if not scope.expired():
                raise
            raise ConnectionError("the reader takes nothing") from None

    return sending


async def _left(receive: Receive) -> None:
    """Return when the client has gone."""
    while (await receive())["type"] != "http.disconnect":
        pass
