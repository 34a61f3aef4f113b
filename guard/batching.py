"""Many callers, one call: contents that wait for a check while it is busy go into its next call together.

Nobody waits for others to come: the thread that runs the check takes, whenever it is free, what has gathered meanwhile. A lone
caller is served at once. A batch holds contents of like length (padding is not paid for), taken from the tenants in turns, and
only so many that the call is expected to end well within the deadlines of all of them. The queue is bounded (`guard.lines`).

Callers may be on several event loops. Each gets its own answers alone: when a call fails or runs late, those who shared it are
asked about one by one, and nobody hears of another's content, error or result.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from math import ceil
from time import monotonic
from typing import Protocol

from guard.errors import BusyError
from guard.lines import Full, Lines
from guard.types import Content, Modality, Scan, Stage
from guard.workers import Overdue, Worker

MOST_WAITING = 1024
"""Contents that may wait for one check."""
PROMPTS_SHARE = 0.75
"""How much of that prompts may fill: what was generated already finds room longer than what was only asked for."""
MOST_TOGETHER = 64
"""Contents in one call."""
MOST_AT_ONCE = 256
"""Contents of one caller that wait at once; a longer batch is measured in parts of this size."""
SHARE = 0.25
"""How much of the shortest deadline a batch is expected to take, as far as earlier calls tell."""
RETRY_DEADLINES = 2
"""For how many of its deadlines a content may wait to be asked about alone, after the call that it shared had failed."""
_SHORT, _STEP = 7, 2
"""Texts of fewer than 256 code points are alike; then a kind spans a factor of four."""
_SLOWLY = 0.3

Call = Callable[[Sequence[Content]], Sequence[Scan]]
Answer = Scan | BaseException
"""What the check says of one content, or why it does not: `Overdue`, or what it raised."""


_MISSING = RuntimeError("no answer yet")


@dataclass(frozen=True, slots=True)
class Figures:
    """What a batcher has done so far."""

    waiting: int
    """Contents that wait now."""
    running: int
    """Calls that run now, abandoned ones among them."""
    calls: int
    contents: int
    """Contents in all calls: divided by `calls`, how many share one."""
    largest: int
    """Contents in the largest call."""
    waited_s: float
    """Seconds that the contents of all calls had waited, summed."""
    repeated: int
    """Contents that were asked about again, alone, after a call that they shared."""
    overdue: int
    """Contents without an answer in time."""
    refused: int
    """Contents that found no room or gave way to another tenant's."""
    withdrawn: int
    """Contents whose caller was gone before they had an answer."""


@dataclass(slots=True, eq=False)
class Asking:
    """Somebody who waits on an event loop for answers about some contents."""

    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[list[Answer]]
    seconds: float
    answers: list[Answer]
    """Those that are there yet stand at the places of theirs."""
    tickets: list[_Ticket] = field(default_factory=list)
    open: int = 0
    timer: asyncio.TimerHandle | None = None
    since: float = field(default_factory=monotonic)
    took_s: float = 0.0
    """From the question to the last answer."""


@dataclass(slots=True, eq=False)
class _Ticket:
    """One content that waits or is being measured."""

    caller: Asking
    at: int
    content: Content
    tenant: str
    kind: Hashable
    since: float
    until: float
    """By when its turn has to come."""
    run: _Run | None = None
    repeated: bool = False
    over: bool = False
    """Whether it has its answer, or nobody wants one."""


@dataclass(slots=True, eq=False)
class _Run:
    """One call of the check."""

    future: Future[None] | None = None
    tickets: list[_Ticket] = field(default_factory=list)
    began: float = 0.0
    given_up: bool = False

    @property
    def limit(self) -> float:
        """Seconds after which none of its callers waits."""
        return max(ticket.caller.seconds for ticket in self.tickets)


def kind_of(content: Content) -> Hashable:
    """What contents have in common that may share a call: modality, and length to a factor of four."""
    return content.modality is Modality.TEXT, max(0, (content.length.bit_length() - _SHORT) // _STEP)


class Asks(Protocol):
    """What a chain asks a check through."""

    def begin(self, batch: Sequence[Content], seconds: float, *, wait: float = 0.0) -> Asking:
        """Ask, without waiting: one answer a content comes to `future`, in order, on this event loop. `leave` in any case.

        The clock of `seconds` starts when the call begins, which has to be within `seconds` + `wait`. Raises BusyError when
        there is no room, here or from `future`.
        """

    def leave(self, asking: Asking, /) -> None:
        """Wait no longer: what has not begun does not."""

    def figures(self) -> Figures:
        """Counters and the depth of the queue, as they are now."""


class Batcher:
    """Gathers the calls of one check on one worker. Safe to use from several threads and event loops."""

    def __init__(self, call: Call, worker: Worker, *, together: int = MOST_TOGETHER, most: int = MOST_WAITING) -> None:
        """`together`: contents in one call at most, 1 for never two; `most`: contents that may wait."""
        self._call, self._worker, self._together, self._most = call, worker, together, most
        self._lock = threading.Lock()
        self._lines: Lines[_Ticket] = Lines()
        self._again: deque[_Ticket] = deque()
        self._pending = False
        self._running: set[_Run] = set()
        self._costs: dict[Hashable, float] = {}
        self._calls = self._contents = self._largest = self._repeated = 0
        self._overdue = self._refused = self._withdrawn = 0
        self._waited_s = 0.0

    def figures(self) -> Figures:
        """Counters and the depth of the queue, as they are now."""
        with self._lock:
            return Figures(
                waiting=len(self._lines) + len(self._again),
                running=len(self._running),
                calls=self._calls,
                contents=self._contents,
                largest=self._largest,
                waited_s=self._waited_s,
                repeated=self._repeated,
                overdue=self._overdue,
                refused=self._refused,
                withdrawn=self._withdrawn,
            )

    async def run(self, batch: Sequence[Content], seconds: float, *, wait: float = 0.0) -> list[Answer]:
        """One answer a content, in order: its Scan, Overdue, or what the check raised over it alone.

        The clock starts when a content's call begins. It is Overdue when that takes more than `seconds`, or did not begin
        within `seconds` + `wait`; a content whose shared call ran late is asked about once more, alone. Raises BusyError when
        there is no room for all of the batch, or no longer because of other tenants: then nothing of it is answered.
        """
        answers: list[Answer] = []
        for first in range(0, len(batch), MOST_AT_ONCE):
            asking = self.begin(batch[first : first + MOST_AT_ONCE], seconds, wait=wait)
            try:
                answers += await asking.future
            finally:
                self.leave(asking)
        return answers

    def begin(self, batch: Sequence[Content], seconds: float, *, wait: float = 0.0) -> Asking:
        """Ask, as `run` does, without waiting: the answers come to `future`, on this event loop. `leave` in any case."""
        loop = asyncio.get_running_loop()
        asking = Asking(loop, loop.create_future(), seconds, [_MISSING] * len(batch), open=len(batch))
        since, until = asking.since, asking.since + seconds + wait
        asking.tickets = [
            _Ticket(asking, at, content, content.request.tenant, kind_of(content), since, until)
            for at, content in enumerate(batch)
        ]
        with self._lock:
            self._admit(asking.tickets)
            self._schedule()
        asking.timer = loop.call_later(seconds, self._look, asking)
        return asking

    def leave(self, asking: Asking) -> None:
        """Wait no longer: what waits is not begun, and what runs is watched until its deadline."""
        if asking.timer is not None:
            asking.timer.cancel()
        if not asking.future.done():
            asking.future.cancel()
        elif not asking.future.cancelled():
            asking.future.exception()  # somebody else's was raised first
        if asking.open:
            self._withdraw(asking)

    # --- in and out of the queue; all of it under the lock ------------------------------------------------------------

    def _admit(self, tickets: Sequence[_Ticket]) -> None:
        """Let tickets of one caller wait. Contents of one request that name several tenants wait in several lines."""
        prompts = all(ticket.content.stage is Stage.PROMPT for ticket in tickets)
        most = int(self._most * PROMPTS_SHARE) if prompts else self._most
        lines: dict[str, list[_Ticket]] = {}
        for ticket in tickets:
            lines.setdefault(ticket.tenant, []).append(ticket)
        given_way: list[_Ticket] = []
        try:
            for line in lines.values():
                given_way += self._lines.add(line, most)
        except Full:
            self._lines.discard(tickets)
            self._refused += len(tickets)
            raise self._busy() from None
        finally:
            for caller in dict.fromkeys(ticket.caller for ticket in given_way):
                self._turn_away(caller)

    def _turn_away(self, caller: Asking) -> None:
        """One who waited gives way to another tenant."""
        self._refused += self._close(caller)
        error = self._busy()
        self._on_loop(caller.loop, lambda: _refuse(caller, error))

    def _close(self, caller: Asking) -> int:
        """Forget what a caller still waits for; how much that was. What runs goes on, unheard."""
        left = [ticket for ticket in caller.tickets if not ticket.over]
        for ticket in left:
            ticket.over = True
            self._take_out(ticket)
        return len(left)

    def _take_out(self, ticket: _Ticket) -> None:
        if ticket.run is None:
            self._lines.discard([ticket])
            if ticket in self._again:
                self._again.remove(ticket)

    def _busy(self) -> BusyError:
        costs = list(self._costs.values())
        expected = len(self._lines) * sum(costs) / len(costs) if costs else 0.0
        seconds = min(60, max(1, ceil(expected)))
        return BusyError(
            f"found {len(self._lines)} contents waiting for this check, expected room within {self._most}",
            retry_after_s=seconds,
            advice=f"Ask again in {seconds} s.",
        )

    def _schedule(self) -> None:
        """See that the worker comes for what waits; it takes what is there when its turn comes, not now."""
        if not self._pending and (self._again or self._lines):
            self._pending = True
            run = _Run()
            run.future = self._worker.submit(lambda: self._serve(run))

    def _next(self) -> list[_Ticket]:
        """What the next call is about."""
        if self._again:
            return [self._again.popleft()]
        seed = self._lines.first()
        if seed is None:
            return []
        batch, cost, least = [seed], self._costs.get(seed.kind, 0.0), seed.caller.seconds
        while len(batch) < self._together and cost * (len(batch) + 1) <= SHARE * least:
            ticket = self._lines.like(seed.kind)
            if ticket is None:
                break
            batch.append(ticket)
            least = min(least, ticket.caller.seconds)
        return batch

    def _repeat(self, ticket: _Ticket, now: float) -> None:
        """Ask about a content again, alone, before all others."""
        ticket.run, ticket.repeated = None, True
        ticket.since, ticket.until = now, now + RETRY_DEADLINES * ticket.caller.seconds
        self._again.append(ticket)
        self._repeated += 1

    def _answer(self, ticket: _Ticket, answer: Answer) -> Asking | None:
        """Note an answer; the caller, when it was the last one missing."""
        caller = ticket.caller
        ticket.over = True
        caller.answers[ticket.at] = answer
        caller.open -= 1
        caller.took_s = monotonic() - caller.since
        self._overdue += isinstance(answer, Overdue)
        return None if caller.open else caller

    # --- on the worker's thread ---------------------------------------------------------------------------------------

    def _serve(self, run: _Run) -> None:
        with self._lock:
            self._pending = False
            run.tickets, run.began = self._next(), monotonic()
            if not run.tickets:
                return
            for ticket in run.tickets:
                ticket.run = run
                self._waited_s += run.began - ticket.since
            self._running.add(run)
            self._calls += 1
            self._contents += len(run.tickets)
            self._largest = max(self._largest, len(run.tickets))
            self._schedule()
        scans, error = _called(self._call, [ticket.content for ticket in run.tickets])
        self._settle(run, scans, error)

    def _settle(self, run: _Run, scans: list[Scan], error: Exception | None) -> None:
        now, served = monotonic(), list[Asking]()
        with self._lock:
            self._running.discard(run)
            if error is None:
                self._learn(run.tickets[0].kind, (now - run.began) / len(run.tickets))
            for at, ticket in enumerate(run.tickets):
                if ticket.over or ticket.run is not run:
                    continue
                if error is not None and len(run.tickets) > 1:
                    self._repeat(ticket, now)
                elif caller := self._answer(ticket, scans[at] if error is None else error):
                    served.append(caller)
            self._schedule()
        self._tell(served)

    def _learn(self, kind: Hashable, seconds: float) -> None:
        """What a content of a kind takes: believed at once when it is more than thought, slowly when it is less."""
        known = self._costs.get(kind, seconds)
        self._costs[kind] = max(seconds, known + _SLOWLY * (seconds - known))

    def _tell(self, callers: Iterable[Asking]) -> None:
        """Wake callers, each loop once."""
        loops: dict[asyncio.AbstractEventLoop, list[Asking]] = {}
        for caller in callers:
            loops.setdefault(caller.loop, []).append(caller)
        for loop, mine in loops.items():
            self._on_loop(loop, lambda mine=mine: _wake(mine))  # type: ignore[misc]

    @staticmethod
    def _on_loop(loop: asyncio.AbstractEventLoop, call: Callable[[], object]) -> None:
        try:
            loop.call_soon_threadsafe(call)
        except RuntimeError:  # the loop was closed: nobody waits there any more
            return

    # --- on the caller's event loop -----------------------------------------------------------------------------------

    def _look(self, caller: Asking) -> None:
        """See what has run out of time, and look again when the next thing may."""
        now, soonest = monotonic(), float("inf")
        with self._lock:
            self._give_up_hung(now)
            for ticket in caller.tickets:
                if not ticket.over:
                    soonest = min(soonest, self._due(ticket, now))
            self._schedule()
            done = not caller.open
        if done:
            _wake([caller])
        elif not caller.future.done():
            caller.timer = caller.loop.call_later(max(0.0, soonest - now), self._look, caller)

    def _due(self, ticket: _Ticket, now: float) -> float:
        """When to look at a ticket again; one that is overdue has its answer then, or waits to be asked about alone."""
        run, seconds = ticket.run, ticket.caller.seconds
        if run is None:
            if now < ticket.until:
                return min(ticket.until, now + seconds)
            self._take_out(ticket)
            self._answer(ticket, Overdue(f"no turn within {ticket.until - ticket.since:.3f} s", begun=ticket.repeated))
            return now
        if now < run.began + seconds:
            return run.began + seconds
        self._give_up(run)
        if len(run.tickets) > 1:
            self._repeat(ticket, now)
            return now + seconds
        self._answer(ticket, Overdue(f"no answer within {seconds} s"))
        return now

    def _give_up(self, run: _Run) -> None:
        if not run.given_up and run.future is not None:
            run.given_up = True
            self._worker.give_up(run.future)

    def _give_up_hung(self, now: float) -> None:
        """Calls whose callers are all gone may hang, too."""
        for run in self._running:
            if now >= run.began + run.limit:
                self._give_up(run)

    def _withdraw(self, caller: Asking) -> None:
        """Forget what a caller waits for, and see to it that a call which hangs does not hang for ever."""
        with self._lock:
            runs = {ticket.run for ticket in caller.tickets if ticket.run is not None and not ticket.over}
            self._withdrawn += self._close(caller)
            ends = [run.began + run.limit for run in runs if run in self._running]
        if ends:
            caller.loop.call_later(max(0.0, max(ends) - monotonic()), self._sweep)

    def _sweep(self) -> None:
        with self._lock:
            self._give_up_hung(monotonic())


def _called(call: Call, contents: list[Content]) -> tuple[list[Scan], Exception | None]:
    """What a call gave, one Scan a content, or how it failed."""
    try:
        scans = call(contents)
        if len(scans) == len(contents):
            return list(scans), None
        return [], ValueError(f"found {len(scans)} scans, expected {len(contents)}")
    except Exception as error:  # noqa: BLE001 - told to the one whose content it was
        return [], error
    except BaseException as error:  # noqa: BLE001 - a library's sys.exit() must not end the event loop
        return [], RuntimeError(f"the call raised {type(error).__name__}")


def _refuse(caller: Asking, error: BusyError) -> None:
    if not caller.future.done():
        caller.future.set_exception(error)


def _wake(callers: Iterable[Asking]) -> None:
    for caller in callers:
        if not caller.future.done():
            caller.future.set_result(caller.answers)
