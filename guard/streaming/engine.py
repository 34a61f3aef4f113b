"""The way of one request whose outputs leave while they are made: from the judged prompt to the last decision."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from guard import watching
from guard.admission import Limits
from guard.bench import Seat
from guard.decide import refuse, settle
from guard.errors import GenerationError, GenguardError, InputError, LedgerError, describe
from guard.ids import uuid7
from guard.protocols import Generator, Ledger, Piece, StreamingGenerator, TokenMark
from guard.redaction_key import RedactionKey
from guard.rules import Policy
from guard.streaming.events import Called, Delta, Ended, Event
from guard.streaming.pieces import pieces
from guard.streaming.plan import plan_of
from guard.streaming.window import Window
from guard.types import (
    Action,
    Content,
    Decision,
    Ending,
    Making,
    Mark,
    Modality,
    Opening,
    Origin,
    Receipt,
    Release,
    Shadow,
    Stage,
    Streamed,
    StreamMode,
    Verdict,
)

_log = logging.getLogger(__name__)
CHANGED = "a mark would change text that had left"
_closing: set[asyncio.Task[Any]] = set()
"""Recordings of streams that nobody reads any more: a task that nobody holds might be dropped half-way."""


@dataclass(frozen=True, slots=True)
class House:
    """What a guard does for its streams."""

    ledger: Ledger
    limits: Limits
    key: RedactionKey | None
    activate: Callable[[Policy], Awaitable[None]]
    """See that the ledger has a policy's document."""
    record: Callable[[Seat, Decision, int], Awaitable[Release]]
    """Commit a decision on an output that began to be made at a time (`guard.watching.Watch.decided`)."""
    judge: Callable[[Content], Awaitable[Release]]
    """Judge and record a whole output."""
    dress: Callable[[Window, Verdict, UUID], Awaitable[tuple[Content | None, tuple[Mark, ...]]]]
    """Put the marks on an edited text that is whole."""
    shadows: Callable[[Window], Awaitable[tuple[Shadow, ...]]]
    """What policies in shadow say of a whole output."""


@dataclass(slots=True)
class _Choice:
    """One output on its way."""

    number: int
    window: Window
    decision: UUID
    opening: asyncio.Task[int] | None
    """None where nothing leaves before the decision."""
    since: int
    """When it began, where somebody watches (`guard.watching.now`)."""
    over: bool = False

    async def opened(self) -> None:
        """That it began is on record. Raises LedgerError when it is not."""
        if self.opening is not None:
            await self.opening


class Stream:
    """The outputs of one prompt that was judged and may be answered."""

    def __init__(self, house: House, seat: Seat | None, generator: Generator, prompt: Content, parent: Receipt) -> None:
        """`seat`: who judges the outputs; None where no policy covers them. `parent`: of the prompt's decision."""
        self._house, self._seat, self._generator = house, seat, generator
        self._prompt, self._parent = prompt, parent
        self._mode = plan_of(seat.policy, seat.chain.checks).mode if seat else StreamMode.BUFFER
        self._choices: dict[int, _Choice] = {}
        self._ending = Ending.CANCELLED
        """How what is open ends when nobody reads on."""

    async def run(
        self, generator: StreamingGenerator, parameters: Mapping[str, Any], mark: TokenMark | None
    ) -> AsyncGenerator[Event]:
        """Yield the events. `mark`: what goes into the outputs while they are made. Raises as `Guard.stream` does."""
        wanted, done = parameters.get("n", 1), 0
        try:
            async with aclosing(pieces(generator, self._prompt, parameters, mark)) as batches:
                async for batch in batches:
                    async with aclosing(self._read(batch)) as events:
                        async for event in events:
                            yield event
                            done += isinstance(event, Ended)
                    if done == wanted and not self._open():
                        return  # no choice may say more
            if self._open():
                raise GenerationError(f"generator {generator.name!r} ended without the whole of an output")  # noqa: TRY301
        except Exception as error:
            self._ending = Ending.FAILED
            if not isinstance(error, LedgerError):
                for choice in self._open():
                    yield await self._end(choice, Ending.FAILED)
            raise
        finally:
            await self._close()

    def _is_over(self, number: int) -> bool:
        return number in self._choices and self._choices[number].over

    def _open(self) -> list[_Choice]:
        return [one for one in self._choices.values() if not one.over]

    async def _read(self, batch: Sequence[Piece]) -> AsyncGenerator[Event]:
        for piece in batch:
            for event in await self._one(piece):
                yield event
        for choice in self._open():
            if choice.window.due:
                for event in await self._step(choice):
                    yield event

    async def _one(self, piece: Piece) -> list[Event]:
        content = piece.content
        if self._is_over(piece.choice):
            return []  # a choice that was stopped calls no tools either
        if content is not None and _is_call(content):
            return [Called(piece.choice, await self._house.judge(content))]
        if self._mode is StreamMode.WINDOW:
            return await self._take(piece)
        if self._seat is not None and piece.choice not in self._choices:
            await self._begin(piece.choice)
        if content is None:
            return []
        if piece.choice in self._choices:
            self._choices[piece.choice].over = True
        return whole(piece.choice, await self._house.judge(content))

    async def _take(self, piece: Piece) -> list[Event]:
        choice = self._choices.get(piece.choice) or await self._begin(piece.choice)
        try:
            choice.window.add(piece.text)
        except InputError as error:
            return [await self._end(choice, Ending.BLOCKED, error)]
        if piece.content is None:
            return []
        if piece.content.text != choice.window.text:
            raise GenerationError(f"generator {self._generator.name!r} streamed another text than it made")
        choice.window.content = piece.content
        return await self._finish(choice)

    async def _begin(self, number: int) -> _Choice:
        """A choice has its first piece: what is written down before anything of it may leave."""
        assert self._seat is not None
        request, policy, now = self._prompt.request, self._seat.policy, datetime.now(UTC)
        await self._house.activate(policy)
        origin = Origin(self._generator.name)
        empty = Content(Modality.TEXT, "", "text/plain", Stage.OUTPUT, origin, request)
        window = Window(self._seat, empty, now, self._house.key, self._house.limits)
        decision = uuid7()
        known = (decision, self._parent.decision, request, self._generator.name, number, policy.id, policy.revision)
        opening = None
        if self._mode is StreamMode.WINDOW:
            opening = asyncio.create_task(self._house.ledger.begin_stream(Opening(*known)))
            opening.add_done_callback(lambda done: done.cancelled() or done.exception())
        choice = self._choices[number] = _Choice(number, window, decision, opening, watching.now())
        return choice

    async def _step(self, choice: _Choice) -> list[Event]:
        window = choice.window
        verdict = await window.step()
        if verdict.action is Action.BLOCK:
            return [await self._end(choice, Ending.BLOCKED)]
        if not window.held and window.edited:
            await choice.opened()
            if text := window.leaving():
                watching.left(window.waited())
                return [Delta(choice.number, text)]
        return []

    async def _finish(self, choice: _Choice) -> list[Event]:
        """The text is whole: decide on all of it, commit, and let the rest go."""
        window, marks = choice.window, tuple[Mark, ...]()
        released: Content | None = None
        verdict = await window.step(ending=True)
        if verdict.action.releases:
            released, marks = await self._house.dress(window, verdict, choice.decision)
            if released is not None and not released.text.startswith(window.sent):
                marks = (*marks, Mark("stream", "", "", verified=False, error=CHANGED))
            verdict = settle(verdict, window.seat.policy, marks)
        if released is None or not verdict.action.releases:
            released, sent, ending = None, window.sent, ended_by(verdict)
        else:
            sent, ending = released.text, Ending.COMPLETE
        choice.over = True
        fields = {"content": window.content, "released": released, "verdict": verdict, "marks": marks}
        release = await self._record(choice, ending, sent, **fields, shadows=await self._house.shadows(window))
        rest: list[Event] = [Delta(choice.number, sent[len(window.sent) :])] if len(sent) > len(window.sent) else []
        return [*rest, Ended(choice.number, release, ending, sent, told(window.content.making, verdict))]

    async def _end(self, choice: _Choice, ending: Ending, refusal: GenguardError | None = None) -> Ended:
        """The text does not go on: the decision is on what was judged of it."""
        choice.over = True
        window, verdict = choice.window, choice.window.verdict
        if refusal is not None or verdict is None:
            why = refusal or InputError("the output ended before any of it was judged")
            verdict = refuse(why, window.seat.policy)
            release = await self._record(choice, ending, window.sent, content=None, released=None, verdict=verdict, results=())
        else:
            content = replace(window.content, data=window.text[: window.measured.judged])
            released = replace(content, data=window.sent) if verdict.action.releases else None
            release = await self._record(choice, ending, window.sent, content=content, released=released, verdict=verdict)
        return Ended(choice.number, release, ending, window.sent)

    async def _record(self, choice: _Choice, ending: Ending, sent: str, **fields: Any) -> Release:
        window = choice.window
        await choice.opened()
        stream = Streamed(self._mode, ending, window.measured.judged, len(sent), window.steps)
        known: dict[str, Any] = {"results": window.measured.results, "parent": self._parent.decision, "stream": stream}
        context, request = window.measured.context, self._prompt.request
        decision = Decision(id=choice.decision, time=window.time, context=context, request=request, **{**known, **fields})
        return await self._house.record(window.seat, decision, choice.since)

    async def _close(self) -> None:
        """Record what is left when nobody reads any more, even while the reader's task is being cancelled."""
        if self._open():
            task = asyncio.create_task(self._abandon())
            _closing.add(task)
            task.add_done_callback(_closing.discard)
            await asyncio.shield(task)

    async def _abandon(self) -> None:
        for choice in self._open():
            try:
                await self._end(choice, self._ending)
            except GenguardError as error:  # its opening stands without a decision, which says as much
                _log.warning("a stream that was given up could not be recorded: %s", describe(error))


def _is_call(content: Content) -> bool:
    return content.making is not None and content.making.call is not None


def whole(choice: int, release: Release) -> list[Event]:
    """An output that leaves as a whole, after its commit."""
    content = release.decision.content
    making = content.making if content is not None else None
    sent = release.content.text if release.content is not None else ""
    ending = Ending.COMPLETE if release.content is not None else ended_by(release.verdict)
    deltas: list[Event] = [Delta(choice, sent)] if sent else []
    return [*deltas, Ended(choice, release, ending, sent, told(making, release.verdict))]


def ended_by(verdict: Verdict) -> Ending:
    """How what a verdict does not release has ended."""
    return Ending.HELD if verdict.action is Action.REVIEW else Ending.BLOCKED


def told(making: Making | None, verdict: Verdict) -> Making | None:
    """Without the scores that spell a text, where it was edited or may not leave."""
    if making is None or (verdict.action.releases and not verdict.edits):
        return making
    return replace(making, scores=())
