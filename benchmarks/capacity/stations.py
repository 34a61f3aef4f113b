"""The parts of a simulated service: cores, threads, checks that gather what waits, committers, and the lock that they share.

Times are seconds. Each part counts for how long it was taken (`busy`), so that `busy` / (elapsed x places) is its utilisation.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any

import simpy

Steps = Generator[Any, Any, Any]
"""A SimPy process, or a part of one."""
Weight = Callable[[], float]
"""By how much more something takes just now than by itself."""

Piece = tuple[float | Callable[[], float], simpy.Event | None]
"""Seconds, or what says how many when it has a place; and what to tell when it is done."""

SHORT_S = 0.0002
"""Of a turn while somebody is in a hurry (`audit.turns`)."""
_LEAST = 1e-12


class FullError(Exception):
    """There was no room to wait."""


@dataclass(frozen=True, slots=True)
class Curve:
    """What a batch takes by its size: straight lines between what was measured, and beyond it on as the last of them."""

    points: tuple[tuple[float, float], ...]
    """Size, seconds; ordered, at least one. One alone says what each item takes."""

    @classmethod
    def line(cls, fixed: float, each: float) -> Curve:
        """`fixed` seconds, and `each` for each item."""
        return cls(((1, fixed + each), (2, fixed + 2 * each)))

    def __call__(self, count: float) -> float:
        """Seconds for so many together."""
        if len(self.points) == 1:
            size, seconds = self.points[0]
            return seconds * count / size
        at = next((at for at, (size, _) in enumerate(self.points[1:-1], 1) if size >= count), len(self.points) - 1)
        (low, least), (high, most) = self.points[at - 1 : at + 1]
        return max(0.0, least + (count - low) * (most - least) / (high - low))

    def times(self, factor: float) -> Curve:
        """So many times as much, of every size."""
        return Curve(tuple((size, seconds * factor) for size, seconds in self.points))

    def within(self, count: float) -> float:
        """The same, but beyond what was measured as at its end."""
        return self(min(max(count, self.points[0][0]), self.points[-1][0]))

    def each(self, count: float) -> float:
        """Seconds an item, of so many together."""
        return self(count) / count

    @property
    def marginal(self) -> float:
        """Seconds that one item more adds to the largest batches."""
        (low, least), (high, most) = self.points[-2:] if len(self.points) > 1 else ((0, 0.0), self.points[0])
        return max(0.0, (most - least) / (high - low))


class Server:
    """So many places, in order of arrival; each holds its taker to the end of a turn, and then sends it to the back.

    Who is urgent comes first, and lets who is served go on for `SHORT_S` at most.
    """

    def __init__(self, env: simpy.Environment, count: int = 1, turn: float = float("inf"), under: Server | None = None) -> None:
        """`turn`: the longest that one is served while others wait, by the clock; infinite: to its end.

        `under`: whose places who is served here needs besides, as who has Python's lock needs a core.
        """
        self._under = under
        self._env, self._places, self.turn = env, simpy.PriorityResource(env, count), turn
        self._cuts: list[simpy.Event] = []
        self._hurried = 0
        self.count, self.busy = count, 0.0

    def work(self, seconds: float, *, urgent: bool = False) -> Steps:
        """Be served for so long, in turns."""
        yield from self.work_off(deque([(seconds, None)]), urgent=urgent)

    def work_off(self, pieces: deque[Piece], *, urgent: bool = False) -> Steps:
        """Be served for one piece after the other, without leaving in between; each may tell when it is done."""
        while pieces:
            with self._places.request(priority=not urgent) as place:
                yield from self._come(place, urgent=urgent)
                turn = self.turn
                while pieces and (turn > 0 or not self._places.queue):
                    given, done = pieces.popleft()
                    left = given() if callable(given) else given
                    since = self._env.now
                    spent, cut = yield from self._slice(min(left, turn if turn > 0 else self.turn))
                    self.busy += spent
                    turn -= max(spent, self._env.now - since)
                    if cut or turn <= _LEAST:
                        turn = 0.0
                    if left - spent > _LEAST:
                        pieces.appendleft((left - spent, done))
                    elif done is not None:
                        done.succeed()

    def _come(self, place: simpy.Event, *, urgent: bool) -> Steps:
        """Wait for a place."""
        if urgent and not place.triggered:
            self._hurried += 1
            self._env.process(self._hurry())
            yield place
            self._hurried -= 1
        else:
            yield place

    def _slice(self, seconds: float) -> Generator[Any, Any, tuple[float, bool]]:
        """Be served for so long, or until somebody is in a hurry: how long that was, and which."""
        if self._under is not None:
            return (yield from self._slice_under(self._under, seconds))
        if seconds <= SHORT_S:
            yield self._env.timeout(seconds)
            return seconds, False
        since, cut = self._env.now, self._env.event()
        self._cuts.append(cut)
        yield self._env.timeout(seconds) | cut
        self._cuts.remove(cut)
        return self._env.now - since, cut.triggered

    def _slice_under(self, under: Server, seconds: float) -> Generator[Any, Any, tuple[float, bool]]:
        """The same in turns of those below."""
        until, spent, cut = self._env.now + self.turn, 0.0, self._env.event()
        self._cuts.append(cut)
        while seconds - spent > _LEAST:
            spent += yield from under.share(min(under.turn, seconds - spent), cut)
            if cut.triggered or self._env.now >= until:
                break
        self._cuts.remove(cut)
        return spent, cut.triggered

    def share(self, seconds: float, cut: simpy.Event) -> Generator[Any, Any, float]:
        """Wait for a place and be served there for so long, or until `cut`: how long that was."""
        with self._places.request(priority=1) as place:
            yield place
            since = self._env.now
            yield self._env.timeout(seconds) | cut
            spent = self._env.now - since if cut.triggered else seconds
            self.busy += spent
            return spent

    def _hurry(self) -> Steps:
        yield self._env.timeout(SHORT_S)
        if self._hurried:
            for one in self._cuts:
                if not one.triggered:
                    one.succeed()

    def hold(self, steps: Steps) -> Steps:
        """Have a place for as long as other steps take."""
        with self._places.request() as place:
            yield place
            since = self._env.now
            yield from steps
            self.busy += self._env.now - since


class Loop:
    """An event loop: one thread that goes on for as long as there is anything to do."""

    def __init__(self, env: simpy.Environment, python: Server) -> None:
        self._env, self._python = env, python
        self._ready: deque[Piece] = deque()
        self._since: float | None = None
        self._busy = 0.0

    @property
    def busy(self) -> float:
        """Seconds that it had something to do."""
        return self._busy + (self._env.now - self._since if self._since is not None else 0.0)

    def compute(self, seconds: float) -> simpy.Event:
        """Do something when all that came before is done."""
        done = self._env.event()
        self._ready.append((seconds, done))
        if self._since is None:
            self._since = self._env.now
            self._env.process(self._run())
        return done

    def _run(self) -> Steps:
        yield from self._python.work_off(self._ready)
        self._busy, self._since = self.busy, None


@dataclass(slots=True)
class Ticket:
    """One item that waits in a `Gatherer`."""

    done: simpy.Event
    kind: int = 0


@dataclass(slots=True)
class Gathered:
    """What a `Gatherer` has served."""

    calls: int = 0
    items: int = 0
    refused: int = 0
    busy: float = 0.0


class Gatherer(ABC):
    """A thread that takes, whenever it is free, what has gathered meanwhile, as `guard.batching` and `audit.committer` do.

    `most` items of the first one's kind go into one call; `room` may wait.
    """

    def __init__(self, env: simpy.Environment, most: int, room: int) -> None:
        self._env, self._most, self._room = env, most, room
        self._waiting: deque[Ticket] = deque()
        self._awake: simpy.Event | None = None
        self.seen = Gathered()
        env.process(self._serve())

    def ask(self, kind: int = 0, share: float = 1.0) -> simpy.Event:
        """Wait in line. `share`: of the room, for this item. Raises FullError."""
        if len(self._waiting) >= int(self._room * share):
            self.seen.refused += 1
            raise FullError
        ticket = Ticket(self._env.event(), kind)
        self._waiting.append(ticket)
        if self._awake is not None:
            self._awake.succeed()
            self._awake = None
        return ticket.done

    def __len__(self) -> int:
        """Items that wait."""
        return len(self._waiting)

    def _serve(self) -> Steps:
        while True:
            if not self._waiting:  # else it is never without work, and sleeps for nobody
                self._awake = self._env.event()
                yield self._awake
            yield from self._before()
            batch, since = list[Ticket](), self._env.now

            def taken(batch: list[Ticket] = batch) -> int:
                batch.extend(self._take())
                return len(batch)

            yield from self._call(taken)
            self.seen.calls += 1
            self.seen.items += len(batch)
            self.seen.busy += self._env.now - since
            for one in batch:
                one.done.succeed()

    def _take(self) -> list[Ticket]:
        kind, batch, others = self._waiting[0].kind, list[Ticket](), list[Ticket]()
        while self._waiting and len(batch) < self._most:
            one = self._waiting.popleft()
            (batch if one.kind == kind else others).append(one)
        self._waiting.extendleft(reversed(others))
        return batch

    def _before(self) -> Steps:
        """What it does before it takes a batch: nothing."""
        yield from ()

    @abstractmethod
    def _call(self, taken: Callable[[], int]) -> Steps:
        """What a batch takes. `taken`: takes it, as soon as the thread has a core, and gives its size."""


class Check(Gatherer):
    """The thread of one check: it takes a batch and prepares it with Python's lock, and then computes without it."""

    def __init__(
        self,
        env: simpy.Environment,
        python: Server,
        cost: Curve,
        most: int,
        room: int,
        weight: Weight = lambda: 1.0,
        cores: Server | None = None,
        native: float = 0.0,
    ) -> None:
        """`native`: the part of a call that needs a core of `cores` alone, and not Python's lock."""
        self._python, self._cost, self._weight = python, cost, weight
        self._cores, self._native = cores, native if cores else 0.0
        super().__init__(env, most, room)

    def _call(self, taken: Callable[[], int]) -> Steps:
        whole: list[float] = []

        def begin() -> float:
            whole.append(self._cost(taken()) * self._weight())
            return (1 - self._native) * whole[0]

        yield from self._python.work_off(deque([(begin, None)]))
        if self._cores is not None:
            yield from self._cores.work(self._native * whole[0])


@dataclass(frozen=True, slots=True)
class Commit:
    """What a group of entries takes."""

    outside: Curve
    """CPU of the process before and after it has the write lock."""
    locked: Curve
    """CPU of the process while it has it."""
    waits: Curve
    """For the disk, or for the database's server, while it has it."""

    def held(self, count: float) -> float:
        """Seconds that the lock is held for so many entries, where the process need not wait for a core."""
        return self.locked(count) + self.waits(count)

    def cpu(self, count: float) -> float:
        """Seconds of the process's CPU."""
        return self.outside(count) + self.locked(count)


@dataclass(frozen=True, slots=True)
class Linger:
    """For how long a group may wait for company (`audit.committer`)."""

    most: float = 0.02
    lull: float = 0.0005


class Committer(Gatherer):
    """The thread of one process that commits what waits, under a lock that others may hold."""

    def __init__(
        self,
        env: simpy.Environment,
        python: Server,
        lock: Server,
        cost: Commit,
        group: int,
        room: int,
        linger: Linger,
        weight: Weight = lambda: 1.0,
    ) -> None:
        self._python, self._lock, self._cost, self._linger, self._weight = python, lock, cost, linger, weight
        self._previous, self._took = 1, 0.0
        super().__init__(env, group, room)

    def _before(self) -> Steps:
        """After a group of several it waits for as many again, as long as they keep coming."""
        if self._previous > 1:
            until, seen, wanted = self._env.now + min(self._linger.most, self._took), 0, min(self._previous, self._most)
            while seen < (now := len(self)) < wanted and self._env.now < until:
                seen = now
                yield self._env.timeout(self._linger.lull)

    def _call(self, taken: Callable[[], int]) -> Steps:
        since, counts = self._env.now, list[int]()

        def outside() -> float:
            counts.append(taken())
            return self._cost.outside(counts[0]) * self._weight()

        yield from self._python.work_off(deque([(outside, None)]))
        yield from self._lock.hold(self._locked(counts[0]))
        self._previous, self._took = counts[0], self._env.now - since

    def _locked(self, count: int) -> Steps:
        yield from self._python.work(self._cost.locked(count) * self._weight(), urgent=True)
        yield self._env.timeout(self._cost.waits(count))
