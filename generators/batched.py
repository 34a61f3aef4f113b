"""Many callers, one generator's call: prompts that wait while it is busy go into its next call together.

Outputs are those that each caller would have got alone. A `JointGenerator` makes outputs of any parameters side by side, seeded
ones too. Of others only calls that leave the seed to the generator, and otherwise ask for the same, are joined: a seed that a
caller gives counts up along the prompts of one call, and would reach strangers' prompts.

Nobody waits for others to come: a lone caller's prompts leave in the same turn of the event loop, and what comes while all
lanes are taken is gathered for the next free one, in turns by tenant and like lengths together (`guard.lines`). Callers of one
event loop share; those of another one have lanes of their own. A call whose callers are all gone is stopped.

A call that fails before one of those who share it has an output is repeated for each of these alone: nobody hears of another's
prompt, outputs or error.
"""

from __future__ import annotations

import asyncio
import json
import threading
import weakref
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Any, cast

from generators.base import MAX_SEED
from generators.desk import Caller, Desk, Figures, Item, Order, Settings
from guard.batching import kind_of
from guard.errors import GenerationError
from guard.protocols import Asked, Generator, JointGenerator, Piece, StreamingGenerator, TokenGenerator, TokenMark
from guard.types import Content


def batched(generator: Generator, settings: Settings | None = None) -> Generator:
    """The generator with its concurrent calls joined; itself where that gains nothing.

    It gains where outputs are made in this process by one pass for several: a JointGenerator or a TokenGenerator.
    """
    if not isinstance(generator, JointGenerator | TokenGenerator):
        return generator
    settings = settings or Settings()
    if isinstance(generator, TokenGenerator):
        return (BatchedTokenStream if isinstance(generator, StreamingGenerator) else BatchedTokens)(generator, settings)
    return (BatchedStream if isinstance(generator, StreamingGenerator) else Batched)(generator, settings)


class Batched:
    """A generator whose concurrent calls share its model. Safe to use on several event loops."""

    def __init__(self, generator: Generator, settings: Settings) -> None:
        """See `batched`, which makes the form that has all that the generator has."""
        self.inner, self.settings = generator, settings
        self.name, self.modality = generator.name, generator.modality
        self._figures = Figures()
        self._desks: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Desk] = weakref.WeakKeyDictionary()
        self._lock = threading.Lock()

    def load(self) -> None:
        """Load the generator; raises as it does."""
        self.inner.load()

    def figures(self) -> Figures:
        """Counters and the depth of the queue, as they are now."""
        with self._lock:
            desks = list(self._desks.values())
        return replace(
            self._figures, waiting=sum(desk.waiting for desk in desks), running=sum(len(desk.calls) for desk in desks)
        )

    def __call__(self, prompts: Sequence[Content], parameters: Mapping[str, Any], /) -> AsyncIterator[tuple[int, Content]]:
        """As the generator's own; raises BusyError when too many wait already, or no turn comes in time."""
        return self._whole(prompts, parameters, ())

    async def _whole(
        self, prompts: Sequence[Content], parameters: Mapping[str, Any], marks: Sequence[TokenMark | None]
    ) -> AsyncGenerator[tuple[int, Content]]:
        async with aclosing(self._ask(prompts, parameters, marks, pieces=False)) as items:
            async for index, piece in items:
                if piece.content is None:
                    raise GenerationError(f"generator {self.name!r} yielded a piece, expected whole outputs")
                yield index, piece.content

    async def _ask(
        self, prompts: Sequence[Content], parameters: Mapping[str, Any], marks: Sequence[TokenMark | None], *, pieces: bool
    ) -> AsyncGenerator[Item]:
        if not prompts:
            return
        caller, desk = Caller(), self._desk()
        caller.orders = self._orders(caller, prompts, parameters, list(marks) or [None] * len(prompts), pieces=pieces)
        try:
            desk.add(caller)
            while (item := await caller.items.get()) is not None:
                if isinstance(item, BaseException):
                    raise item
                yield item
        finally:
            desk.leave(caller)

    def _orders(
        self,
        caller: Caller,
        prompts: Sequence[Content],
        parameters: Mapping[str, Any],
        marks: Sequence[TokenMark | None],
        *,
        pieces: bool,
    ) -> list[Order]:
        joint = isinstance(self.inner, JointGenerator)
        each = _apart(parameters, len(prompts), joint=joint)
        if each is None:
            asked = [Asked(prompt, parameters, mark) for prompt, mark in zip(prompts, marks, strict=True)]
            return [Order(caller, range(len(prompts)), asked, pieces, object())]
        same = "" if joint else json.dumps(parameters, sort_keys=True, default=repr)
        return [
            Order(caller, [place], [Asked(prompt, own, mark)], pieces, (pieces, same, kind_of(prompt)))
            for place, (prompt, own, mark) in enumerate(zip(prompts, each, marks, strict=True))
        ]

    def _desk(self) -> Desk:
        with self._lock:
            return self._desks.setdefault(asyncio.get_running_loop(), Desk(self.inner, self.settings, self._figures))


class BatchedTokens(Batched):
    """Of a generator that draws tokens."""

    def marked(
        self, prompts: Sequence[Content], parameters: Mapping[str, Any], marks: Sequence[TokenMark | None], /
    ) -> AsyncIterator[tuple[int, Content]]:
        """As the generator's own, raises as a call does; prompts with a mark and without one share calls."""
        return self._whole(prompts, parameters, marks)

    def tokens(self, text: str, /) -> Sequence[int]:
        """As the generator's own."""
        return cast("TokenGenerator", self.inner).tokens(text)


class BatchedStream(Batched):
    """Of a generator that streams."""

    def stream(
        self, prompts: Sequence[Content], parameters: Mapping[str, Any], marks: Sequence[TokenMark | None] = (), /
    ) -> AsyncIterator[tuple[int, Piece]]:
        """As the generator's own, raises as a call does; a caller that reads slowly holds nobody up."""
        return self._ask(prompts, parameters, marks, pieces=True)


class BatchedTokenStream(BatchedTokens, BatchedStream):
    """Of a generator that draws tokens, and streams."""


def _apart(parameters: Mapping[str, Any], count: int, *, joint: bool) -> list[Mapping[str, Any]] | None:
    """Parameters with which each prompt of a call gets alone what it gets beside the others; None when there are none.

    The seeds of a call's outputs count up along its prompts, by as many as each has outputs (`generators.base.output_seeds`).
    """
    seed, n = parameters.get("seed"), parameters.get("n", 1)
    if seed is None or (joint and count == 1):
        return [parameters] * count
    if not joint or type(seed) is not int or type(n) is not int or n < 1 or not 0 <= seed <= MAX_SEED - n * count:
        return None
    return [{**parameters, "seed": seed + at * n} for at in range(count)]
