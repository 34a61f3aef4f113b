"""A generator of given pieces, and checks that follow a text: small real parts for tests of streams."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Any

from guard.following import BySentence, Follower, Progress
from guard.pipeline import Guard
from guard.protocols import Piece
from guard.streaming.events import Delta, Ended, Event
from guard.text.unfinished import Unfinished
from guard.traits import Places, Traits
from guard.types import Content, Finding, Making, Modality, Origin, Scan, Span, Stage
from tests.fakes import TEXT, FakeCheck, WordCheck, whole


def awaited(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """A test that is a coroutine function."""

    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        asyncio.run(test(*args, **kwargs))

    return run


class PieceGenerator:
    """Streams given pieces for every prompt; an exception among them is raised. Each choice is a list of its own."""

    name = "list"
    modality = Modality.TEXT

    def __init__(self, *choices: Sequence[str | BaseException], making: Making | None = None) -> None:
        self.choices, self.making = choices, making
        self.made = 0
        self.closed = False
        self.waits: asyncio.Event | None = None

    def load(self) -> None:
        """Nothing to load."""

    def content(self, text: str, choice: int, prompt: Content) -> Content:
        making = replace(self.making or Making(), choice=choice)
        return Content(Modality.TEXT, text, "text/plain", Stage.OUTPUT, Origin(self.name), prompt.request, making)

    async def __call__(
        self, prompts: Sequence[Content], parameters: Mapping[str, Any], /
    ) -> AsyncIterator[tuple[int, Content]]:
        for index, prompt in enumerate(prompts):
            for number, pieces in enumerate(self.choices):
                yield index, self.content("".join(one for one in pieces if isinstance(one, str)), number, prompt)

    async def stream(
        self, prompts: Sequence[Content], parameters: Mapping[str, Any], marks: Any = (), /
    ) -> AsyncGenerator[tuple[int, Piece]]:
        (prompt,) = prompts
        try:
            for place in range(max(map(len, self.choices), default=0)):
                for number, pieces in enumerate(self.choices):
                    if place >= len(pieces):
                        continue
                    piece = pieces[place]
                    if isinstance(piece, BaseException):
                        raise piece
                    if self.waits is not None:
                        await self.waits.wait()
                    self.made += 1
                    last = place == len(pieces) - 1
                    text = "".join(one for one in pieces if isinstance(one, str))
                    yield 0, Piece(number, piece, self.content(text, number, prompt) if last else None)
        finally:
            self.closed = True


class FollowingWords(WordCheck):
    """Finds whole words while a text is made."""

    whole = ""

    def follow(self) -> Follower:
        unfinished = Unfinished([(self.pattern.pattern, 2)])  # IGNORECASE

        def read(text: str, *, ending: bool) -> Progress:
            found = tuple(Finding("privacy", "word", 900, Span(*hit.span())) for hit in self.pattern.finditer(text))
            return Progress(Scan(found, Span(0, len(text))), len(text) if ending else unfinished.start(text))

        return read


class SentenceScore(FakeCheck):
    """Scores a text as a whole: 1000 when it holds a word, with the last window as the place."""

    whole = ""
    traits = Traits(Places.WORST, estimates=True)

    def __init__(self, word: str) -> None:
        super().__init__()
        self.word = word
        self.read: list[str] = []

    def scan(self, content: Content) -> Scan:
        return self._scan(content.text)

    def _scan(self, text: str) -> Scan:
        self.read.append(text)
        found = (Finding("violence", "dark", 1000, Span(0, len(text))),) if self.word in text else ()
        return Scan(found, Span(0, len(text)))

    def follow(self) -> Follower:
        return BySentence(self._scan)


class Unfollowing(FakeCheck):
    """Says nothing of following, as third parties' checks do."""

    modalities = TEXT

    def scan(self, content: Content) -> Scan:
        return Scan((), whole(content))


async def collect(
    guard: Guard,
    generator: Any,
    prompt: str = "say it",
    *,
    into: list[Event] | None = None,
    then: Callable[[], object] = lambda: None,
    **parameters: Any,
) -> list[Event]:
    """All events of a stream. `into`: where they are kept when it raises. `then`: done after each."""
    found = into if into is not None else []
    async with aclosing(guard.stream(generator, prompt, **parameters)) as events:
        async for event in events:
            found.append(event)
            then()
    return found


def said(events: Sequence[Event], choice: int = 0) -> str:
    """What left of a choice."""
    return "".join(event.text for event in events if isinstance(event, Delta) and event.choice == choice)


def ended(events: Sequence[Event], choice: int = 0) -> Ended:
    """How a choice ended."""
    (one,) = [event for event in events if isinstance(event, Ended) and event.choice == choice]
    return one
