"""What runs in a replica: a check behind its own batcher, or a generator behind its desk. They know nothing of Ray."""

from __future__ import annotations

import asyncio
import os
from collections import OrderedDict
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, cast

from generators.batched import batched
from guard.batching import Answer, Batcher
from guard.errors import BusyError, describe
from guard.following import Followable, Follower, is_by_sentence
from guard.instrument import Instrument
from guard.protocols import Generator, StreamingGenerator
from guard.round import Question, ask
from guard.rules import CheckSpec
from guard.types import Content, Scan
from serving.cluster.asking import Fault, Followed, Identity, fault_of
from serving.heap import freeze
from serving.offered import offered

FOLLOWERS = 256
"""Texts that a replica remembers while they grow; one that it has forgotten is read from its beginning."""


@dataclass(frozen=True, slots=True)
class CheckRecipe:
    """A check as a replica builds it. Ray carries it there."""

    spec: CheckSpec
    around: tuple[tuple[str, str], ...]
    """Variables that checks look for."""


@dataclass(frozen=True, slots=True)
class GeneratorRecipe:
    """A generator as a replica builds it."""

    named: str
    """As the settings name it."""
    name: str
    around: tuple[tuple[str, str], ...]


class CheckReplica:
    """One check. Questions of all gateways meet in its batcher, which has them in turns and like with like."""

    async def __init__(self, recipe: CheckRecipe) -> None:  # type: ignore[misc] # Serve awaits it
        """Build it and load its model. What fails is told by `identity`, and tried again later."""
        os.environ.update(dict(recipe.around))
        self._instrument = await asyncio.to_thread(Instrument, recipe.spec)
        await self._instrument.load()
        freeze()
        self._followers: OrderedDict[str, Follower] = OrderedDict()

    async def identity(self) -> Identity:
        """What it is, and whether it is ready."""
        trouble = await self._instrument.load()
        check = self._instrument.check
        return Identity("", "", trouble) if trouble else Identity(check.version, check.digest)

    async def __call__(self, contents: Sequence[Content], seconds: float, wait: float) -> list[Scan | Fault] | Fault:
        """One answer a content, each scan with the digest of what made it."""
        if trouble := await self._instrument.load():
            return Fault("ModelError", f"could not be loaded: {trouble}")
        try:
            answers = await self._answers(contents, seconds, wait)
        except BusyError as error:
            return fault_of(error)
        digest = self._instrument.check.digest
        return [
            fault_of(one) if isinstance(one, BaseException) else replace(one, digest=one.digest or digest) for one in answers
        ]

    async def follow(self, key: str, text: str, seconds: float, wait: float, ending: bool) -> Followed | Fault:
        """What is settled of a text that grows, of which this replica may have seen less than others."""
        if trouble := await self._instrument.load():
            return Fault("ModelError", f"could not be loaded: {trouble}")
        said: list[Followed] = []

        def read() -> list[Scan]:
            said.append(self._followed(key, text, ending=ending))
            return []

        try:
            await self._instrument.worker.run(read, seconds, wait=wait)
        except Exception as error:  # noqa: BLE001 - told to whoever asks
            return fault_of(error)
        return said[0]

    def _followed(self, key: str, text: str, *, ending: bool) -> Followed:
        """In the thread of the check. A follower that raises is not asked again."""
        check = self._instrument.check
        follower = self._followers.pop(key, None) or cast("Followable", check).follow()
        progress = follower(text, ending=ending)
        if not ending:
            self._followers[key] = follower
            if len(self._followers) > FOLLOWERS:
                self._followers.popitem(last=False)
        scan = replace(progress.scan, digest=progress.scan.digest or check.digest)
        return Followed(replace(progress, scan=scan), is_by_sentence(follower))

    async def _answers(self, contents: Sequence[Content], seconds: float, wait: float) -> list[Answer]:
        if self._instrument.check.blocking:
            return await cast("Batcher", self._instrument.batcher).run(contents, seconds, wait=wait)
        (timed,) = await ask([Question(self._instrument, seconds, contents)])
        return [answer for answer, _ in timed]


class GeneratorReplica:
    """One generator. Calls of all gateways are joined as those of one process are."""

    async def __init__(self, recipe: GeneratorRecipe) -> None:  # type: ignore[misc] # Serve awaits it
        """Build it and load its model. What fails is told by `identity`."""
        os.environ.update(dict(recipe.around))
        made: dict[str, Generator] = await asyncio.to_thread(offered, [recipe.named])
        self._generator = batched(made[recipe.name])
        self._trouble = ""
        try:
            await asyncio.to_thread(self._generator.load)
        except Exception as error:  # noqa: BLE001 - told to whoever waits for it
            self._trouble = describe(error)
        freeze()

    async def identity(self) -> Identity:
        """Whether it is ready."""
        return Identity("", "", self._trouble)

    async def whole(self, prompts: Sequence[Content], parameters: Mapping[str, Any]) -> AsyncGenerator[Any]:
        """Outputs with the places of their prompts, and a Fault in the end when it failed."""
        async for one in _guarded(partial(self._generator, prompts, parameters)):
            yield one

    async def pieces(self, prompts: Sequence[Content], parameters: Mapping[str, Any]) -> AsyncGenerator[Any]:
        """The same in pieces."""
        assert isinstance(self._generator, StreamingGenerator)
        async for one in _guarded(partial(self._generator.stream, prompts, parameters)):
            yield one


async def _guarded(begin: Callable[[], AsyncIterator[Any]]) -> AsyncGenerator[Any]:
    """What a generator yields; a Fault in place of what it raises."""
    try:
        async with aclosing(cast("AsyncGenerator[Any]", begin())) as items:
            async for item in items:
                yield item
    except Exception as error:  # noqa: BLE001 - told in words that any process can read
        yield fault_of(error)
