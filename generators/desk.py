"""Where prompts for one generator gather on one event loop, and leave for its calls: the inside of `generators.batched`."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Hashable, Sequence
from dataclasses import dataclass, field
from math import ceil
from time import monotonic

from guard.errors import BusyError, GenerationError
from guard.lines import Full, Lines
from guard.protocols import Asked, Generator, JoiningGenerator, JointGenerator, Piece, StreamingGenerator, TokenGenerator
from guard.types import Content

Item = tuple[int, Piece]
_SLOWLY = 0.3


@dataclass(frozen=True, slots=True)
class Settings:
    """How calls are gathered."""

    waiting: int = 256
    """Orders that may wait on one event loop."""
    together: int = 32
    """Orders in one call."""
    lanes: int = 2
    """Calls at a time: with one alone, a short answer would wait for the end of a long one.

    Neither concerns a JoiningGenerator: each order is a call of its own, as long as it makes their outputs side by side.
    """
    wait_s: float = 60.0
    """How long an order may wait for its call to begin, in seconds."""


@dataclass(slots=True)
class Figures:
    """What was done so far, on all event loops. An order is one prompt, or several that one seed ties together."""

    waiting: int = 0
    """Orders that wait now."""
    running: int = 0
    """Calls that run now."""
    calls: int = 0
    orders: int = 0
    """Orders in all calls: divided by `calls`, how many share one."""
    largest: int = 0
    """Orders in the largest call; of a JoiningGenerator, orders that ran at a time."""
    waited_s: float = 0.0
    """Seconds that the orders of all calls had waited, summed."""
    repeated: int = 0
    """Orders that were asked for again, alone, after a call that they shared had failed."""
    refused: int = 0
    """Orders that found no room or no turn in time, or gave way to another tenant's."""
    withdrawn: int = 0
    """Orders whose caller had gone before they were done."""


class Caller:
    """Who waits for the outputs of some orders."""

    def __init__(self) -> None:
        self.items: asyncio.Queue[Item | BaseException | None] = asyncio.Queue()
        """What is there for it; None after the last."""
        self.orders: list[Order] = []
        self.timer: asyncio.TimerHandle | None = None

    def end(self, order: Order, error: BaseException | None = None) -> None:
        """An order is done, or failed: then the caller leaves."""
        if not order.over:
            order.over = True
            if error is not None:
                self.items.put_nowait(error)
            elif all(one.over for one in self.orders):
                self.items.put_nowait(None)


@dataclass(slots=True, eq=False)
class Order:
    """Prompts of one caller that stay together: one, unless a seed ties them to each other."""

    caller: Caller
    places: Sequence[int]
    """Of its prompts among the caller's."""
    asked: Sequence[Asked]
    pieces: bool
    """Whether its outputs are wanted in pieces."""
    kind: Hashable
    """Orders of one kind may share a call."""
    since: float = field(default_factory=monotonic)
    begun: bool = False
    served: bool = False
    """Whether its caller has something of it."""
    over: bool = False

    @property
    def tenant(self) -> str:
        """Whose it is."""
        return self.asked[0].prompt.request.tenant

    @property
    def outputs(self) -> int:
        """How many it is for, as far as its parameters say."""
        counts = [one.parameters.get("n", 1) for one in self.asked]
        return sum(max(1, count) if type(count) is int else 1 for count in counts)


class Desk:
    """The queue of one event loop, and the calls that run for it. Used on that loop alone."""

    def __init__(self, generator: Generator, settings: Settings, figures: Figures) -> None:
        """`figures`: where to count; shared with the desks of other loops."""
        self._generator, self._settings, self._figures = generator, settings, figures
        self._beside = generator.beside if isinstance(generator, JoiningGenerator) else 0
        self._lines: Lines[Order] = Lines()
        self._again: deque[Order] = deque()
        self._due = False
        self._seconds = 0.0
        self.calls: dict[asyncio.Task[None], list[Order]] = {}

    @property
    def waiting(self) -> int:
        """Orders that wait."""
        return len(self._lines) + len(self._again)

    def add(self, caller: Caller) -> None:
        """Let a caller's orders wait, all or none of them. Raises BusyError when there is no room."""
        lines: dict[str, list[Order]] = {}
        for order in caller.orders:
            lines.setdefault(order.tenant, []).append(order)
        try:
            for line in lines.values():
                for gone in self._lines.add(line, self._settings.waiting):
                    self._refuse(gone)
        except Full:
            self._lines.discard(caller.orders)
            self._figures.refused += len(caller.orders)
            raise self._busy() from None
        caller.timer = asyncio.get_running_loop().call_later(self._settings.wait_s, self._expire, caller)
        self._soon()

    def leave(self, caller: Caller) -> None:
        """The caller is served, or gone: what it still waits for is not begun, and a call for nobody else is stopped."""
        if caller.timer is not None:
            caller.timer.cancel()
        left = [order for order in caller.orders if not order.over]
        for order in left:
            order.over = True
            self._take_out(order)
        self._figures.withdrawn += len(left)
        for task, batch in self.calls.items():
            if all(order.over for order in batch):
                task.cancel()

    def _expire(self, caller: Caller) -> None:
        for order in caller.orders:
            if not order.over and not order.begun:
                self._take_out(order)
                self._refuse(order)

    def _refuse(self, order: Order) -> None:
        self._figures.refused += 1
        order.caller.end(order, self._busy())

    def _take_out(self, order: Order) -> None:
        self._lines.discard([order])
        if order in self._again:
            self._again.remove(order)

    def _busy(self) -> BusyError:
        expected = self._seconds * self.waiting / (self._beside or self._settings.together * self._settings.lanes)
        seconds = min(60, max(1, ceil(expected)))
        return BusyError(
            f"found {self.waiting} prompts waiting for generator {self._generator.name!r}, "
            f"expected room within {self._settings.waiting} and a turn within {self._settings.wait_s:.0f} s",
            retry_after_s=seconds,
            advice=f"Ask again in {seconds} s.",
        )

    # --- calls --------------------------------------------------------------------------------------------------------

    def _soon(self) -> None:
        """Begin when all that happens in this turn of the loop has happened: callers of one turn go together."""
        if not self._due:
            self._due = True
            asyncio.get_running_loop().call_soon(self._begin)

    def _begin(self) -> None:
        self._due = False
        while self._free() and (batch := self._next()):
            now, figures = monotonic(), self._figures
            for order in batch:
                order.begun = True
                figures.waited_s += now - order.since
            figures.calls, figures.orders = figures.calls + 1, figures.orders + len(batch)
            task = asyncio.get_running_loop().create_task(self._call(batch))
            self.calls[task] = batch
            figures.largest = max(figures.largest, len(self.calls) if self._beside else len(batch))
            task.add_done_callback(self._ended)

    def _free(self) -> bool:
        """Whether one more call may begin."""
        if self._beside:
            return sum(order.outputs for batch in self.calls.values() for order in batch) < self._beside
        return len(self.calls) < self._settings.lanes

    def _ended(self, task: asyncio.Task[None]) -> None:
        del self.calls[task]
        if self.waiting:
            self._soon()

    def _next(self) -> list[Order]:
        if self._again:
            return [self._again.popleft()]
        batch: list[Order] = []
        order = self._lines.first()
        while order is not None:
            batch.append(order)
            more = len(batch) < self._settings.together and not self._beside
            order = self._lines.like(order.kind) if more else None
        return batch

    async def _call(self, batch: list[Order]) -> None:
        began = monotonic()
        owners = [(order, place) for order in batch for place in order.places]
        asked = [one for order in batch for one in order.asked]
        try:
            source = self._source(batch)
            try:
                async for index, piece in source:
                    order, place = self._owner(owners, index, piece, asked)
                    if not order.over:
                        order.served = True
                        order.caller.items.put_nowait((place, piece))
            finally:
                if isinstance(source, AsyncGenerator):
                    await source.aclose()
        except asyncio.CancelledError:
            for order in batch:
                order.caller.end(order, GenerationError(f"generator {self._generator.name!r} was stopped"))
            raise
        except Exception as error:  # noqa: BLE001 - told to the one who asked for it
            self._failed(batch, error)
        else:
            seconds = monotonic() - began
            self._seconds += _SLOWLY * (seconds - self._seconds) if self._seconds else seconds
            for order in batch:
                order.caller.end(order)

    def _failed(self, batch: Sequence[Order], error: Exception) -> None:
        """Alone, the error is its own. In company it may be about somebody else: nothing of it is told."""
        for order in batch:
            if order.over:
                continue
            if len(batch) == 1:
                order.caller.end(order, error)
            elif order.served:
                told = f"generator {self._generator.name!r}: a call that several shared failed before it was done"
                order.caller.end(order, GenerationError(told, advice="Ask again."))
            else:
                order.begun, order.since = False, monotonic()
                self._again.append(order)
                self._figures.repeated += 1

    def _source(self, batch: Sequence[Order]) -> AsyncIterator[Item]:
        generator, pieces = self._generator, batch[0].pieces
        owners = [order for order in batch for _ in order.asked]
        asked = [one for order in batch for one in order.asked]
        if isinstance(generator, JointGenerator) and len(asked) == len(batch):  # a seed may tie the prompts of one order
            return generator.joint(asked, lambda index: owners[index].over, pieces=pieces)
        prompts, parameters, marks = [one.prompt for one in asked], asked[0].parameters, [one.mark for one in asked]
        if pieces and isinstance(generator, StreamingGenerator):
            return generator.stream(prompts, parameters, marks)
        if any(marks) and isinstance(generator, TokenGenerator):
            return _in_one(generator.marked(prompts, parameters, marks))
        return _in_one(generator(prompts, parameters))

    def _owner(
        self, owners: Sequence[tuple[Order, int]], index: object, piece: object, asked: Sequence[Asked]
    ) -> tuple[Order, int]:
        """Whose a piece is. Raises GenerationError for one that is nobody's or another's than it says."""
        if type(index) is int and 0 <= index < len(owners) and isinstance(piece, Piece):
            content = piece.content
            if content is None or (isinstance(content, Content) and content.request == asked[index].prompt.request):
                return owners[index]
        raise GenerationError(
            f"generator {self._generator.name!r} yielded ({type(index).__name__}, {type(piece).__name__}), "
            f"expected (index of one of {len(owners)} prompts, its output)"
        )


async def _in_one(outputs: AsyncIterator[tuple[int, Content]]) -> AsyncGenerator[Item]:
    """Each output as a piece."""
    try:
        async for index, content in outputs:
            yield index, Piece(0, "", content)
    finally:
        if isinstance(outputs, AsyncGenerator):
            await outputs.aclose()
