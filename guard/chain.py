"""Runs the checks of a policy over a batch of contents: groups side by side, each check under its deadline, fail closed.

A check never makes the chain raise. One that crashes, times out, could not be loaded, or answers something that cannot be
true gives a result that says so, and `guard.decide` lets the policy's `on_failure` speak.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from itertools import groupby
from time import perf_counter
from typing import cast

from guard.decide import EARLY_STOP, blocks
from guard.errors import PolicyError, describe
from guard.instrument import Instrument, cancelled
from guard.protocols import Check
from guard.rules import CheckSpec, Policy
from guard.taxonomy import CATEGORIES
from guard.types import (
    NONE,
    CheckResult,
    Content,
    Context,
    Finding,
    Modality,
    Place,
    Region,
    Request,
    Scan,
    Span,
    Stage,
    Status,
)
from guard.workers import Overdue

QUEUE_WAIT_S = 60.0
"""How long a batch may wait for a check that is busy with others, on top of its deadline: load alone must not block."""
_PLACES = {Modality.TEXT: Span, Modality.IMAGE: Region}
_log = logging.getLogger(__name__)


class Chain:
    """The checks of one policy, in the order they run."""

    def __init__(self, policy: Policy, checks: Mapping[str, Check] | None = None, *, shared: Iterable[Instrument] = ()) -> None:
        """`checks`: built checks by their name in the policy; built from the registry when left out.

        `shared`: instruments of other chains, used where they measure the same with the same parameters.

        Raises PolicyError for a policy without checks, or when `checks` is not exactly what the policy names.
        """
        if not policy.checks:
            raise PolicyError(
                f"policy {policy.id!r} has no checks, expected at least one",
                advice="A chain that measures nothing would let everything pass.",
            )
        self.policy = policy
        expected = {spec.name for spec in policy.checks}
        if checks is not None and set(checks) != expected:
            raise PolicyError(f"found checks {sorted(checks)}, expected {sorted(expected)} as in policy {policy.id!r}")
        known = tuple(shared)
        self.instruments = {
            spec.name: next((one for one in known if checks is None and one.measures(spec)), None)
            or Instrument(spec, checks[spec.name] if checks is not None else None)
            for spec in policy.checks
        }
        self.checks = {name: one.check for name, one in self.instruments.items()}
        ordered = sorted(policy.checks, key=lambda spec: spec.group)
        self._groups = [list(group) for _, group in groupby(ordered, key=lambda spec: spec.group)]

    @property
    def groups(self) -> Sequence[Sequence[CheckSpec]]:
        """What runs side by side, in the order of the groups."""
        return self._groups

    async def load(self) -> dict[str, str]:
        """Load every check, once; return what went wrong by check, empty when all are ready."""
        troubles = await asyncio.gather(*(one.load() for one in self.instruments.values()))
        return {name: trouble for name, trouble in zip(self.checks, troubles, strict=True) if trouble}

    async def run(self, contents: Sequence[Content], time: datetime | None = None) -> list[tuple[CheckResult, ...]]:
        """Measure contents; one tuple of results a content, in the policy's order of checks.

        `time`: when they are judged; groups that come later are skipped when a rule blocks at that time.
        """
        contexts = [context_of(content, time) for content in contents]
        results: list[dict[str, CheckResult]] = [{} for _ in contents]
        for group in self._groups:
            stopped = [
                blocks(self.policy, tuple(found.values()), context) for found, context in zip(results, contexts, strict=True)
            ]
            await asyncio.gather(*(self._run_check(spec, contents, stopped, results) for spec in group))
        names = [spec.name for spec in self.policy.checks]
        return [tuple(found[name] for name in names if name in found) for found in results]

    async def _run_check(
        self, spec: CheckSpec, contents: Sequence[Content], stopped: Sequence[bool], results: list[dict[str, CheckResult]]
    ) -> None:
        owed = [index for index, content in enumerate(contents) if spec.applies(content.stage, content.modality)]
        asked = [index for index in owed if not stopped[index]]
        for index in owed:
            results[index][spec.name] = self._result(spec, Status.SKIPPED, error=EARLY_STOP)
        if asked:
            found = await self.measure(spec, [contents[index] for index in asked])
            for index, result in zip(asked, found, strict=True):
                results[index][spec.name] = result

    async def measure(
        self, spec: CheckSpec, batch: Sequence[Content], call: Callable[[], Sequence[Scan]] | None = None
    ) -> list[CheckResult]:
        """What one check of the policy says of contents that it applies to, whatever others say.

        `call`: how it is asked, if not as usual; it computes, and is run as the check would be.
        """
        trouble = await self.instruments[spec.name].load()
        if trouble:
            return [self._result(spec, Status.FAILED, error=f"could not be loaded: {trouble}")] * len(batch)
        started = perf_counter()
        try:
            scans = await self._call(spec, batch, call)
        except Overdue as late:
            error = (
                f"no answer within {spec.deadline_ms} ms" if late.begun else "no turn in time: too much waits for this check"
            )
            return [self._result(spec, Status.TIMEOUT, error=error, started=started)] * len(batch)
        except (Exception, asyncio.CancelledError) as error:
            if cancelled(error):
                raise
            if len(batch) > 1:  # one bad content must not fail its neighbours: find out which one it is
                return [result for content in batch for result in await self.measure(spec, [content])]
            _log.warning("check %s failed: %s", spec.name, type(error).__name__)
            return [self._result(spec, Status.FAILED, error=describe(error), started=started)]
        return [self._judge(spec, content, scan, started) for content, scan in zip(batch, scans, strict=True)]

    async def _call(
        self, spec: CheckSpec, batch: Sequence[Content], call: Callable[[], Sequence[Scan]] | None
    ) -> Sequence[Scan]:
        check, seconds = self.checks[spec.name], spec.deadline_ms / 1000
        if call is not None or check.blocking:
            plain = call or (lambda: cast("Sequence[Scan]", check(batch)))
            scans = await self.instruments[spec.name].worker.run(plain, seconds, wait=QUEUE_WAIT_S)
        else:
            try:
                async with asyncio.timeout(seconds) as scope:
                    answer = check(batch)
                    if isinstance(answer, Sequence):
                        raise TypeError("a check that is not blocking has to be a coroutine function")
                    scans = await answer
            except TimeoutError as error:
                if not scope.expired():
                    raise
                raise Overdue(f"no answer within {seconds} s") from error
        if len(scans) != len(batch):
            raise ValueError(f"found {len(scans)} scans, expected {len(batch)}")
        return scans

    def _judge(self, spec: CheckSpec, content: Content, scan: Scan, started: float) -> CheckResult:
        try:
            wrong = _misread(content, scan) or next(
                (fault for finding in scan.findings if (fault := self._fault(spec, content, finding))), ""
            )
        except Exception as error:  # noqa: BLE001 - not even the shape of an answer
            wrong = f"found an answer that is no Scan: {type(error).__name__}"
        if wrong:
            return self._result(spec, Status.FAILED, error=wrong, started=started)
        if scan.scanned is None:
            return self._result(spec, Status.SKIPPED, error="it read nothing", started=started)
        return self._result(spec, Status.OK, scan=scan, started=started)

    def _fault(self, spec: CheckSpec, content: Content, finding: Finding) -> str:
        """What is impossible about a finding, quoting none of its strings; empty when it can be true."""
        if finding.category not in CATEGORIES:
            return "found a category that is not in guard.taxonomy.CATEGORIES"
        if finding.label not in self.checks[spec.name].labels:
            return f"found a label that {spec.use} does not declare"
        # A float is refused rather than rounded: 0.93 would be meant as 930, and pass every threshold as 1.
        if type(finding.score) is not int:
            return f"found a score of type {type(finding.score).__name__}, expected int"
        if not 0 <= finding.score <= 1000:
            return f"found score {finding.score}, expected 0 to 1000 per mille"
        return _misplaced(content, finding.where) if finding.where is not None else ""

    def _result(
        self, spec: CheckSpec, status: Status, *, scan: Scan | None = None, error: str = "", started: float | None = None
    ) -> CheckResult:
        version, digest = _identity(self.checks[spec.name])
        digest = (scan.digest if scan else "") or digest
        elapsed = 0 if started is None else round((perf_counter() - started) * 1e6)
        findings = tuple(scan.findings) if scan else ()
        scanned = scan.scanned if scan else None
        return CheckResult(spec.name, spec.use, version, digest, status, findings, scanned, elapsed, error)


def context_of(content: Content, time: datetime | None = None) -> Context:
    """What a policy's conditions may ask about a content."""
    return context_for(content.request, content.stage, content.modality, content.origin.generator, content.length, time)


def context_for(
    request: Request, stage: Stage, modality: Modality, generator: str, length: int = 0, time: datetime | None = None
) -> Context:
    """The same of something that is not there, or not yet."""
    return Context(
        stage,
        modality,
        generator,
        request.tenant,
        request.language,
        length,
        time,
        request.purpose or NONE,
        request.consent or NONE,
    )


def _misread(content: Content, scan: Scan) -> str:
    """What is impossible about the range a check says it read; empty when it can be true."""
    if not isinstance(scan, Scan):
        return f"found {type(scan).__name__}, expected a Scan for each content"
    read = scan.scanned
    if read is None:
        return ""
    if not isinstance(read, _PLACES[content.modality]):
        return f"it read a {type(read).__name__} of {content.modality.value}"
    if isinstance(read, Span) and not 0 <= read.start <= read.end <= content.length:
        return f"it read {read.start} to {read.end}, expected a range inside 0 to {content.length}"
    return ""


def _misplaced(content: Content, where: Place) -> str:
    """What is impossible about the place of a finding; empty when it can be true."""
    if not isinstance(where, _PLACES[content.modality]):
        return f"found a {type(where).__name__} on {content.modality.value}"
    if isinstance(where, Span) and not 0 <= where.start < where.end <= content.length:
        return f"found span {where.start} to {where.end}, expected one inside 0 to {content.length}"
    if isinstance(where, Region) and not (0 <= where.left < where.right and 0 <= where.top < where.bottom):
        return f"found region {where.left}, {where.top} to {where.right}, {where.bottom}, expected a box inside the image"
    return ""


def _identity(check: Check) -> tuple[str, str]:
    """Version and digest; both empty for a check that cannot tell them, for want of the model that it did not load."""
    try:
        return check.version, check.digest
    except Exception:  # noqa: BLE001 - the result says what is wrong
        return "", ""
