"""A check that does nothing in genguard's stream."""

import asyncio
import tempfile
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any

from playing import Work, play
from streaming import Watch

from audit.ledger import open_ledger
from benchmarks.stream import Nothing
from guard.chain import Chain
from guard.pipeline import Guard
from guard.protocols import Piece
from guard.streaming.events import Delta
from guard.types import Content, Making, Modality, Origin, Stage
from policies import loads

POLICY = """
policy: bench
version: 1
status: live
checks: {one: {use: secrets, deadline_ms: 10000}}
rules:
  - {id: one, when: {one: any}, action: block, category: operation}
"""


class Watched(Nothing):
    """Tells how far it has read."""

    def __init__(self, watch: Watch) -> None:
        self.watch = watch

    def __call__(self, given: Any, /, **more: bool) -> Any:
        """As a check for contents, and as a follower for a text."""
        if isinstance(given, str):
            self.watch.checked(len(given))
        else:
            self.watch.checked(max((one.length for one in given if one.stage is Stage.OUTPUT), default=0))
        return super().__call__(given, **more)


class Paced:
    """The answer as a generator."""

    name, modality = "paced", Modality.TEXT

    def __init__(self, watch: Watch) -> None:
        self.watch = watch

    def load(self) -> None:
        """Nothing to load."""

    def __call__(self, _prompts: Sequence[Content], _parameters: Mapping[str, Any], /) -> Any:
        raise TypeError("it makes pieces alone, expected a call of `stream`")

    async def stream(
        self, prompts: Sequence[Content], _parameters: Mapping[str, Any], _marks: Any = (), /
    ) -> AsyncGenerator[tuple[int, Piece]]:
        """Token by token."""
        (prompt,) = prompts
        text, made = self.watch.text, 0
        content = Content(Modality.TEXT, text, "text/plain", Stage.OUTPUT, Origin(self.name), prompt.request, Making())
        async for token in self.watch.paced():
            made += len(token)
            yield 0, Piece(0, token, content if made == len(text) else None)


def prepare(case: str, folder: Path) -> Work:
    """Through a guard with a ledger."""
    watch = Watch(case, folder)
    scratch, policy = tempfile.TemporaryDirectory(dir=folder), loads(POLICY)
    ledger = open_ledger(f"sqlite:///{scratch.name}/ledger.db")
    guard = Guard(policy, ledger, chains={policy.id: Chain(policy, {"one": Watched(watch)})})
    asyncio.run(guard.load())

    async def stream(_kept: object = scratch) -> None:
        async with aclosing(guard.stream(Paced(watch), "Where is my parcel?")) as events:
            async for event in events:
                if isinstance(event, Delta):
                    watch.released(event.text)

    return watch.work(stream)


if __name__ == "__main__":
    play(prepare)
