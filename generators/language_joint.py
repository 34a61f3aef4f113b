"""Outputs of several calls of one language model, side by side: they join the batch that runs, and leave it when they are done.

Everything of a batch happens on the model's own thread, a step at a time: those who left go, those who came are read (a forward
pass over their prompts alone), and one token is drawn for every output. What does not fit waits, first come first served. Where
a model's cache takes no strangers (`Forward.takes`), a second batch runs beside the first, and they take turns.

A pass that fails ends the call that had it to itself. Of several that shared it, each that has nothing yet begins again alone;
the others are told that it failed, and nothing of why: that may be about somebody else's prompt.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

from generators.base import Worker
from generators.language_model import LanguageModel
from generators.reply import Reply
from generators.residency import Slot
from generators.sampling import Batch, Drawn
from guard.errors import GenerationError
from guard.protocols import Piece

Item = tuple[int, Piece]
Replies = Callable[[LanguageModel], Sequence[tuple[int, Reply]]]
"""Makes a call's outputs to be: (index of what was asked, reply). May be asked again, for fresh ones."""

_ALIKE = 4
"""Prompts are read together when the longest has at most this many times the tokens of the shortest: padding is paid for."""


@dataclass(eq=False)
class _Call:
    """One call of `joint`, as the thread of the model sees it."""

    replies: Replies
    gone: Callable[[int], bool]
    pieces: bool
    loop: asyncio.AbstractEventLoop
    brought: asyncio.Queue[list[Item] | Exception | None] = field(default_factory=asyncio.Queue)
    """What its caller reads: outputs, then None or an error."""
    hold: ExitStack = field(default_factory=ExitStack)
    """Keeps the model in memory."""
    open: int = 0
    """Outputs that are not done."""
    alone: bool = False
    """Whether it shares no batch, for one that it shared has failed."""
    served: bool = False
    left: bool = False
    """Whether its caller has gone."""

    def give(self, what: list[Item] | Exception | None) -> None:
        self.served = True
        try:
            self.loop.call_soon_threadsafe(self.brought.put_nowait, what)
        except RuntimeError:  # its loop is closed
            self.left = True

    def end(self, error: Exception | None = None) -> None:
        self.open = 0
        self.hold.close()
        self.give(error)


@dataclass(eq=False)
class _Row:
    call: _Call
    index: int
    reply: Reply


class Company:
    """The outputs of one model that are being made for calls of `joint`. Calls may come from any event loop."""

    def __init__(self, worker: Worker, slot: Slot[LanguageModel], most: int) -> None:
        """`worker`: the thread that enters the model; `most`: outputs side by side."""
        self._worker, self._slot, self._most = worker, slot, most
        self._lock = threading.Lock()
        self._arrived: list[_Call] = []
        self._busy = False
        # What follows is used on the worker's thread alone.
        self._waiting: deque[_Row] = deque()
        self._rows: dict[int, _Row] = {}
        """Of all batches, by name."""
        self._batches: list[Batch] = []
        self._names = 0

    async def call(self, replies: Replies, gone: Callable[[int], bool], *, pieces: bool) -> AsyncGenerator[Item]:
        """Yield what its outputs bring, until all are done. Raises what `replies` raises, and GenerationError."""
        call = _Call(replies, gone, pieces, asyncio.get_running_loop())
        with self._lock:
            self._arrived.append(call)
            begin, self._busy = not self._busy, True
        if begin:
            self._worker.later(self._turn)
        try:
            while (some := await call.brought.get()) is not None:
                if isinstance(some, Exception):
                    raise some
                for item in some:
                    yield item
        finally:
            call.left = True

    def _turn(self) -> None:
        """One step of everything; the thread is free for others before the next."""
        with self._lock:
            arrived, self._arrived = self._arrived, []
        for call in arrived:
            self._admit(call)
        try:
            self._part()
            for batch in list(self._batches):
                self._step(batch)
            self._begin()
        except Exception as error:  # noqa: BLE001 - nobody is to wait for ever, whatever it was
            self._stop(error)
        with self._lock:
            self._busy = bool(self._arrived or self._rows or self._waiting)
            again = self._busy
        if again:
            self._worker.later(self._turn)

    def _admit(self, call: _Call) -> None:
        try:
            loaded = call.hold.enter_context(self._slot.use())
            rows = [_Row(call, index, reply) for index, reply in call.replies(loaded)]
        except Exception as error:  # noqa: BLE001 - told to the one who asked for it
            call.end(self._worker.failure(error))
            return
        call.open = len(rows)
        self._waiting.extend(rows)
        if not rows:
            call.end()

    def _part(self) -> None:
        """Let the outputs go that nobody waits for."""

        def gone(row: _Row) -> bool:
            return row.call.left or row.call.gone(row.index)

        left = {row for row in self._waiting if gone(row)}
        self._waiting = deque(row for row in self._waiting if row not in left)
        names = {name for name, row in self._rows.items() if gone(row)}
        self._leave(names)
        for row in (*left, *[self._rows.pop(name) for name in names]):
            self._done(row)

    def _leave(self, names: set[int]) -> None:
        for batch in self._batches:
            if not names.isdisjoint(batch.names):
                batch.leave(names)
        self._batches = [batch for batch in self._batches if batch.names]

    def _done(self, row: _Row) -> None:
        row.call.open -= 1
        if not row.call.open:
            row.call.end()

    def _begin(self) -> None:
        """Read the prompts of those who wait, as far as there is room; they draw their first token and join."""
        rows = self._next()
        if not rows:
            return
        names = range(self._names, self._names + len(rows))
        self._names += len(rows)
        self._rows.update(zip(names, rows, strict=True))
        try:
            # Held by the row's own call.
            forward = self._slot.get().forward([row.reply.order.prompt for row in rows])
            batch = Batch(forward, [row.reply.order for row in rows], names)
        except Exception as error:  # noqa: BLE001 - told to those it is about
            self._failed(names, error)
            return
        self._batches.append(batch)
        if self._step(batch) and batch in self._batches:
            self._join(batch)

    def _next(self) -> list[_Row]:
        room = self._most - len(self._rows)
        rows: list[_Row] = []
        while self._waiting and len(rows) < room and self._suits(self._waiting[0], rows):
            rows.append(self._waiting.popleft())
        return rows

    def _suits(self, row: _Row, others: Sequence[_Row]) -> bool:
        calls = {one.call for one in (row, *others)}
        if len(calls) > 1 and any(call.alone for call in calls):
            return False
        sizes = [len(one.reply.order.prompt) for one in (row, *others)]
        return max(sizes) <= _ALIKE * min(sizes)

    def _join(self, batch: Batch) -> None:
        if self._alone(batch):
            return
        for host in self._batches:
            if host is not batch and not self._alone(host) and host.takes(batch):
                names = [*host.names, *batch.names]
                self._batches.remove(batch)
                try:
                    host.join(batch)
                except Exception as error:  # noqa: BLE001 - told to those it is about
                    self._batches.remove(host)
                    self._failed(names, error)
                return

    def _alone(self, batch: Batch) -> bool:
        return any(self._rows[name].call.alone for name in batch.names)

    def _step(self, batch: Batch) -> bool:
        """Draw a token for each row of a batch and hand out what that brings; whether it went well."""
        names = batch.names
        try:
            ends = self._slot.get().ends
            drawn = batch.step(ends, lambda name, token: self._rows[name].reply.add(token))
            found = [(self._rows[one.row], one, self._rows[one.row].reply.piece(one)) for one in drawn]
        except Exception as error:  # noqa: BLE001 - told to those it is about
            self._batches.remove(batch)
            self._failed(names, error)
            return False
        if not batch.names:
            self._batches.remove(batch)
        self._hand_out(found)
        return True

    def _hand_out(self, found: Sequence[tuple[_Row, Drawn, Piece]]) -> None:
        given: dict[_Call, list[Item]] = {}
        for row, one, piece in found:
            if piece.content is not None and not row.call.pieces:
                given.setdefault(row.call, []).append((row.index, Piece(piece.choice, piece.content.text, piece.content)))
            elif row.call.pieces and (piece.text or piece.content is not None):
                given.setdefault(row.call, []).append((row.index, piece))
            if one.finish:
                del self._rows[one.row]
        for call, items in given.items():
            call.give(items)
        for row, one, _ in found:
            if one.finish:
                self._done(row)

    def _stop(self, error: Exception) -> None:
        calls = {row.call for row in (*self._waiting, *self._rows.values())}
        self._waiting.clear()
        self._rows.clear()
        self._batches.clear()
        for call in calls:
            call.end(self._worker.failure(error))

    def _failed(self, names: Sequence[int], error: Exception) -> None:
        """End the calls whose outputs a pass was about, or begin again alone with those that have nothing yet."""
        calls = list(dict.fromkeys(self._rows[name].call for name in names))
        for call in calls:
            mine = {name for name, row in self._rows.items() if row.call is call}
            self._leave(mine)
            for name in mine:
                del self._rows[name]
            self._waiting = deque(row for row in self._waiting if row.call is not call)
            if len(calls) == 1:
                call.end(self._worker.failure(error))
            elif call.served:
                call.end(GenerationError("a pass that several calls shared failed before it was done", advice="Ask again."))
            else:
                call.alone = True
                call.hold.close()
                self._admit(call)
