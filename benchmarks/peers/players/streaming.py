"""What the players that stream share: an answer at the pace of a model, and what became of each character."""

from __future__ import annotations

import asyncio
import json
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

from playing import Work


class Watch:
    """One answer, again and again."""

    def __init__(self, case: str, folder: Path) -> None:
        self.tokens: list[str] = json.loads((folder / "tokens.json").read_text("utf-8"))
        self.text, self.seconds = "".join(self.tokens), 1 / float(case.partition(" ")[0])
        self.began = self.first = 0.0
        self.made = self.left = self.read = self.unread = 0
        self.held: list[int] = []

    async def paced(self) -> AsyncIterator[str]:
        """Token by token."""
        for token in self.tokens:
            await asyncio.sleep(self.seconds)
            self.grew(self.made + len(token))
            yield token

    def grew(self, made: int) -> None:
        """So many characters are there."""
        self.made = made
        self.held.append(self.made - self.left)

    def checked(self, until: int) -> None:
        """A check has read so far, and answered."""
        self.read = max(self.read, until)

    def released(self, part: str) -> None:
        """Characters that a reader has."""
        self.first = self.first or time.perf_counter() - self.began
        self.left += len(part)
        self.unread += max(0, self.left - max(self.read, self.left - len(part)))

    def work(self, stream: Callable[[], Awaitable[None]]) -> Work:
        """Measure one answer a call."""

        async def call() -> None:
            self.began, self.first = time.perf_counter(), 0.0
            self.made = self.left = self.read = self.unread = 0
            self.held.clear()
            await stream()
            if self.left != len(self.text):
                raise RuntimeError(f"{self.left} characters left, expected {len(self.text)}")

        def figures() -> dict[str, float]:
            held = {"held": statistics.median(self.held), "most": max(self.held)}
            return {"first_ms": self.first * 1e3, "unread": self.unread, **held}

        return Work(call, len(self.tokens), None, figures)
