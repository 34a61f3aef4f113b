"""Batchers whose worker is kept busy, so that tests decide what waits together."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from typing import Any

from guard.batching import Batcher
from guard.types import Content, Finding, Request, Scan, Span
from guard.workers import Worker
from tests.fakes import text

PATIENCE = 30.0


def content(data: str, tenant: str = "default", **fields: Any) -> Content:
    return text(data, request=Request("r", tenant=tenant), **fields)


def echo(batch: Sequence[Content]) -> list[Scan]:
    """What each content says of itself alone: its text, where nobody else may see it."""
    return [Scan((Finding("privacy", one.text, 900),), Span(0, one.length)) for one in batch]


def said(answer: Any) -> str:
    assert isinstance(answer, Scan), answer
    return answer.findings[0].label


class Door:
    """A call that keeps everybody waiting behind its first content until it is opened."""

    def __init__(self, call: Callable[[Sequence[Content]], list[Scan]] = echo) -> None:
        self.call, self.batches = call, list[list[str]]()
        self.entered, self.opened = threading.Event(), threading.Event()

    def __call__(self, batch: Sequence[Content]) -> list[Scan]:
        self.batches.append([one.text for one in batch])
        if not self.entered.is_set():
            self.entered.set()
            assert self.opened.wait(PATIENCE)
        return self.call(batch)


async def gathered(batcher: Batcher, count: int) -> None:
    """Until so many contents wait."""
    while batcher.figures().waiting != count:  # noqa: ASYNC110 - other threads fill it, too
        await asyncio.sleep(0)


class Queue:
    """A batcher whose worker is busy with a first content, so that all others wait until `go`."""

    def __init__(self, call: Callable[[Sequence[Content]], list[Scan]] = echo, **given: Any) -> None:
        self.door = Door(call)
        self.batcher = Batcher(self.door, Worker("test"), **given)
        self.tasks: list[asyncio.Task[Any]] = []

    async def shut(self) -> None:
        self.ask(content("first"))
        await asyncio.to_thread(self.door.entered.wait, PATIENCE)

    def ask(self, *contents: Content, seconds: float = PATIENCE) -> asyncio.Task[Any]:
        task = asyncio.create_task(self.batcher.run(contents, seconds, wait=PATIENCE))
        self.tasks.append(task)
        return task

    async def waiting(self, count: int) -> None:
        await gathered(self.batcher, count)

    async def go(self) -> list[Any]:
        self.door.opened.set()
        return await asyncio.gather(*self.tasks, return_exceptions=True)
