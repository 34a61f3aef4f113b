"""Runs policies in shadow beside those that judge: what they would have said is recorded, and nothing follows from it.

A shadow takes over what the judging chain measured with the same check and parameters, and has the rest measured at the same
time. It never changes a verdict, whatever it raises, and a decision that is ready waits for it WAIT_S at most.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from typing import Protocol

from guard.bench import Seat
from guard.chain import Chain
from guard.decide import EARLY_STOP, decide
from guard.errors import describe
from guard.instrument import cancelled
from guard.rules import CheckSpec
from guard.types import CheckResult, Content, Context, Shadow, Status

WAIT_S = 2.0
"""How long after the judging policy's checks, in seconds, those of a shadow may still take."""
LATE = "not measured in time: a decision does not wait for a policy in shadow"

_log = logging.getLogger(__name__)


class Judged(Protocol):
    """A content that is judged, and what was measured of it so far."""

    content: Content | None
    context: Context
    results: tuple[CheckResult, ...]


class Shadowing:
    """One policy in shadow over some contents that another one judges: add, begin, judged, and then a shadow of each."""

    def __init__(self, seat: Seat, judge: Chain) -> None:
        """`judge`: the chain of the policy whose verdicts count."""
        self._seat, self._judge = seat, judge
        self._jobs: list[tuple[Judged, Content]] = []
        self._found: list[dict[str, CheckResult]] = []
        self._until = 0.0

    def add(self, job: Judged) -> None:
        """One more content, before it begins."""
        assert job.content is not None
        self._jobs.append((job, job.content))
        self._found.append({})

    def begin(self) -> None:
        """Have measured what the judge does not measure."""
        self._over = asyncio.get_running_loop().create_future()
        self._task = asyncio.create_task(self._run(self._over))
        self._task.add_done_callback(lambda done: done.cancelled() or done.exception())  # a failure is told by `shadow`

    def judged(self, until: float) -> None:
        """The judge's results are in the contents' jobs. `until`: when, by the event loop's time, nobody waits any more."""
        self._until = until
        if not self._over.done():
            self._over.set_result(None)

    def cancel(self) -> None:
        """Measure no further."""
        self._task.cancel()

    async def shadow(self, job: Judged) -> Shadow | None:
        """What the policy would have said of a content, where checks without time left timed out; None if it cannot say."""
        try:
            async with asyncio.timeout_at(self._until):
                await asyncio.shield(self._task)
        except (Exception, asyncio.CancelledError) as error:
            if cancelled(error):
                raise
            self.cancel()
            if not isinstance(error, TimeoutError | asyncio.CancelledError):
                self._failed(error)
        at = next(at for at, (one, _) in enumerate(self._jobs) if one is job)
        owed = (spec for spec in self._seat.policy.checks if self._owes(spec, at))
        results = tuple(self._found[at].get(spec.name) or _late(spec) for spec in owed)
        try:
            return Shadow(decide(self._seat.policy, results, job.context), results)
        except Exception as error:  # noqa: BLE001 - a shadow has no part in what is decided
            self._failed(error)
            return None

    def _failed(self, error: BaseException) -> None:
        _log.warning("policy %s failed in shadow: %s", self._seat.policy.id, describe(error))

    async def _run(self, over: asyncio.Future[None]) -> None:
        specs = self._seat.policy.checks
        twins = {spec.name: twin for spec in specs if (twin := self._twin(spec))}
        await asyncio.gather(*(self._measure(spec) for spec in specs if spec.name not in twins))
        await over
        for spec in specs:
            if spec.name in twins:
                self._take_over(spec, twins[spec.name])
        await asyncio.gather(*(self._measure(spec) for spec in specs if spec.name in twins))

    def _twin(self, spec: CheckSpec) -> CheckSpec | None:
        """The judge's line that measures the same."""
        mine = self._seat.chain.instruments[spec.name]
        return next((one for one in self._judge.policy.checks if self._judge.instruments[one.name] is mine), None)

    def _take_over(self, spec: CheckSpec, twin: CheckSpec) -> None:
        for found, (job, _) in zip(self._found, self._jobs, strict=True):
            result = next((one for one in job.results if one.check == twin.name), None)
            if result is None or result.error == EARLY_STOP:
                continue
            if result.status is not Status.TIMEOUT or spec.deadline_ms <= twin.deadline_ms:
                found[spec.name] = replace(result, check=spec.name)

    async def _measure(self, spec: CheckSpec) -> None:
        """What is still missing of one check."""
        owed = [at for at in range(len(self._jobs)) if self._owes(spec, at) and spec.name not in self._found[at]]
        if owed:
            results = await self._seat.chain.measure(spec, [self._jobs[at][1] for at in owed])
            for at, result in zip(owed, results, strict=True):
                self._found[at][spec.name] = result

    def _owes(self, spec: CheckSpec, at: int) -> bool:
        return spec.applies(self._jobs[at][1].stage, self._jobs[at][1].modality)


def _late(spec: CheckSpec) -> CheckResult:
    return CheckResult(spec.name, spec.use, "", "", Status.TIMEOUT, error=LATE)
