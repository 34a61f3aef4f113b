"""A check that runs elsewhere, as the chain here knows it: asked under the same deadlines, and failed when nothing comes back.

There is nothing of Ray in here: what is asked is a `Line`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from time import monotonic
from typing import Any, Protocol
from uuid import uuid4

from guard import errors
from guard.batching import Answer, Asking, Figures
from guard.errors import BusyError, CheckError, GenguardError, ModelError, describe
from guard.following import Progress, why_whole
from guard.instrument import Instrument, cancelled
from guard.protocols import Check
from guard.round import QUEUE_WAIT_S
from guard.rules import CheckSpec
from guard.traits import Traits, traits_of
from guard.types import Content, Examples, Modality, Scan
from guard.workers import Overdue

WAY_S = 2.0
"""How long question and answer may be on their way, besides the deadline and the wait for a turn."""
PLAIN_S = 300.0
"""How long a check that is called plainly may take."""
DIED = "the replica that was asked died, or cannot be reached"


@dataclass(frozen=True, slots=True)
class Fault:
    """Why there is no scan, in a form that any process can read. It quotes no content."""

    kind: str
    """`overdue`, `busy`, the name of an error of ours, or `other`."""
    told: str
    begun: bool = True
    """Of `overdue`: whether the call had its turn."""
    retry_after_s: int = 1
    """Of `busy`."""


@dataclass(frozen=True, slots=True)
class Identity:
    """What a replica is."""

    version: str
    digest: str
    trouble: str = ""
    """Why it is not ready; empty when it is."""


@dataclass(frozen=True, slots=True)
class Followed:
    """What a follower in a replica says."""

    progress: Progress
    by_sentence: bool


class Line(Protocol):
    """The way to the replicas of one check."""

    def open(self) -> Identity:
        """See that there are replicas, and say what they are; blocking. Raises GenguardError where there are none."""

    async def ask(self, contents: Sequence[Content], seconds: float, wait: float, /) -> Sequence[Scan | Fault] | Fault:
        """One answer a content, or one Fault for all; a cancelled call is cancelled there. Raises whatever goes wrong."""

    def ask_and_wait(self, contents: Sequence[Content], seconds: float, wait: float, /) -> Sequence[Scan | Fault] | Fault:
        """The same, blocking."""

    async def follow(self, key: str, text: str, seconds: float, wait: float, /, *, ending: bool) -> Followed | Fault:
        """As `guard.following.Follower`, of the text with this key; a cancelled call is cancelled there."""


def fault_of(error: BaseException) -> Fault:
    """How an answer that is no scan goes back over the line."""
    if isinstance(error, Overdue):
        return Fault("overdue", "", begun=error.begun)
    if isinstance(error, BusyError):
        return Fault("busy", str(error), retry_after_s=error.retry_after_s)
    if isinstance(error, GenguardError):
        return Fault(type(error).__name__, str(error))
    return Fault("other", describe(error))


def error_of(fault: Fault) -> Exception:
    """What to raise, or to record, for a fault: the error that it was, or CheckError where that is not ours."""
    if fault.kind == "overdue":
        return Overdue("no answer in time", begun=fault.begun)
    if fault.kind == "busy":
        return BusyError(fault.told, retry_after_s=fault.retry_after_s, advice=f"Ask again in {fault.retry_after_s} s.")
    kind: Any = getattr(errors, fault.kind, None)
    if isinstance(kind, type) and issubclass(kind, GenguardError):
        return kind(fault.told)
    return CheckError(f"it raised {fault.told}")


def ours(error: BaseException) -> bool:
    """Whether an error was raised in this process as one of ours: what comes wrapped from another quotes its traceback."""
    return isinstance(error, GenguardError) and type(error).__module__ == errors.__name__


def _read(said: Sequence[Scan | Fault] | Fault, count: int) -> list[Answer]:
    """Answers as the chain reads them. Raises BusyError, and CheckError for what cannot be an answer."""
    if isinstance(said, Fault):
        error = error_of(said)
        if isinstance(error, BusyError):
            raise error
        return [error] * count
    answers: list[Answer] = [error_of(one) if isinstance(one, Fault) else one for one in said]
    if len(answers) != count:
        raise CheckError(f"found {len(answers)} scans of the cluster, expected {count}")
    return answers


class RemoteCheck:
    """A check whose replicas measure; what it says of itself before it is loaded is what it says here, too."""

    blocking = True

    def __init__(self, check: Check, line: Line) -> None:
        """`check`: the same one, built here and never loaded."""
        self._here, self.line = check, line
        self._identity: Identity | None = None

    @property
    def version(self) -> str:
        """As of the replicas."""
        return self._identity.version if self._identity else self._here.version

    @property
    def digest(self) -> str:
        """As the first replica had it; each scan brings its own."""
        return self._identity.digest if self._identity else ""

    @property
    def modalities(self) -> frozenset[Modality]:
        """What it reads."""
        return self._here.modalities

    @property
    def labels(self) -> Mapping[str, str]:
        """What it can report."""
        return self._here.labels

    @property
    def examples(self) -> Examples:
        """As of the check."""
        return self._here.examples

    @property
    def traits(self) -> Traits:
        """As of the check."""
        return traits_of(self._here)

    @property
    def whole(self) -> str:
        """As of the check."""
        return why_whole(self._here)

    def follow_there(self) -> RemoteFollower:
        """See `guard.following.FollowedElsewhere`."""
        return RemoteFollower(self.line)

    def load(self) -> None:
        """Wait until a replica is ready. Raises ModelError, with the trouble of the replica."""
        found = self.line.open()
        if found.trouble:
            raise ModelError(f"its replica is not ready: {found.trouble}")
        self._identity = found

    def __call__(self, batch: Sequence[Content], /) -> Sequence[Scan]:
        """Ask and wait. Raises what the check raised, and CheckError when its replica died."""
        try:
            answers = _read(self.line.ask_and_wait(batch, PLAIN_S, QUEUE_WAIT_S), len(batch))
        except Exception as error:
            if ours(error):
                raise
            raise CheckError(f"{DIED} ({type(error).__name__})") from None
        scans: list[Scan] = []
        for one in answers:
            if isinstance(one, BaseException):
                raise one
            scans.append(one)
        return scans


class RemoteFollower:
    """Follows one text through replicas, any of which may be asked next.

    One that has not seen the text before may settle less of it than another has: what was said then still holds.
    """

    by_sentence = False

    def __init__(self, line: Line) -> None:
        """`line`: the way to them."""
        self._line, self._key = line, uuid4().hex
        self._last: Progress | None = None

    async def ask(self, content: Content, seconds: float, *, ending: bool) -> Progress:
        """See `guard.following.Distant`. Raises Overdue, CheckError, and what the check raised."""
        limit = seconds + QUEUE_WAIT_S + WAY_S
        try:
            async with asyncio.timeout(limit):
                said = await self._line.follow(self._key, content.text, seconds, QUEUE_WAIT_S, ending=ending)
        except TimeoutError:
            raise Overdue(f"no answer within {limit} s") from None
        except (Exception, asyncio.CancelledError) as error:
            if cancelled(error) or ours(error):
                raise
            raise CheckError(f"{DIED} ({type(error).__name__})") from None
        if isinstance(said, Fault):
            raise error_of(said)
        self.by_sentence = said.by_sentence
        if self._last is None or ending or said.progress.settled >= self._last.settled:
            self._last = said.progress
        return self._last


@dataclass(slots=True, eq=False)
class _Asked(Asking):
    """Somebody who waits for an answer over the line."""

    task: asyncio.Task[None] | None = None


class Asker:
    """Asks the replicas of a check; their own batchers gather what comes from all gateways."""

    def __init__(self, line: Line) -> None:
        """`line`: the way to them."""
        self._line = line
        self._running: set[_Asked] = set()
        self._figures = Figures(0, 0, 0, 0, 0, 0.0, 0, 0, 0, 0)

    def begin(self, batch: Sequence[Content], seconds: float, *, wait: float = 0.0) -> Asking:
        """As `guard.batching.Asks`."""
        loop = asyncio.get_running_loop()
        asked = _Asked(loop, loop.create_future(), seconds, [], open=len(batch))
        self._running.add(asked)
        asked.task = loop.create_task(self._ask(asked, batch, wait))
        return asked

    def leave(self, asking: Asking, /) -> None:
        """As `guard.batching.Asks`: a question that is under way is cancelled there."""
        assert isinstance(asking, _Asked)
        if asking.task is not None and not asking.task.done():
            asking.task.cancel()
            self._running.discard(asking)  # it may not even have begun
            self._count(withdrawn=asking.open)
        if not asking.future.done():
            asking.future.cancel()
        elif not asking.future.cancelled():
            asking.future.exception()  # somebody else's was raised first

    def figures(self) -> Figures:
        """What was asked from here: `running` is what is under way, `calls` questions, not calls of the check."""
        return replace(self._figures, running=len(self._running))

    def _count(self, **more: int) -> None:
        self._figures = replace(self._figures, **{name: getattr(self._figures, name) + one for name, one in more.items()})

    async def _ask(self, asked: _Asked, batch: Sequence[Content], wait: float) -> None:
        self._count(calls=1, contents=len(batch))
        if len(batch) > self._figures.largest:
            self._figures = replace(self._figures, largest=len(batch))
        try:
            answers = await self._answers(batch, asked.seconds, wait)
        except BusyError as error:
            self._count(refused=len(batch))
            if not asked.future.done():
                asked.future.set_exception(error)
            return
        finally:
            self._running.discard(asked)
        self._count(overdue=sum(isinstance(one, Overdue) for one in answers))
        asked.answers, asked.open, asked.took_s = answers, 0, monotonic() - asked.since
        if not asked.future.done():
            asked.future.set_result(answers)

    async def _answers(self, batch: Sequence[Content], seconds: float, wait: float) -> list[Answer]:
        limit = seconds + wait + WAY_S
        try:
            async with asyncio.timeout(limit):
                return _read(await self._line.ask(batch, seconds, wait), len(batch))
        except TimeoutError:
            return [Overdue(f"no answer within {limit} s") for _ in batch]
        except (Exception, asyncio.CancelledError) as error:  # whatever became of the replica, nothing was measured
            if cancelled(error) or (isinstance(error, BusyError) and ours(error)):
                raise
            if ours(error):
                return [error] * len(batch)
            return [CheckError(f"{DIED} ({type(error).__name__})")] * len(batch)


class RemoteInstrument(Instrument):
    """A check that runs elsewhere, with the way to it."""

    def __init__(self, spec: CheckSpec, check: RemoteCheck) -> None:
        """See `guard.instrument.Instrument`."""
        super().__init__(spec, check)
        self.batcher = Asker(check.line)
