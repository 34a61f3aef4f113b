"""Runs the checks of a policy over a batch of contents: groups side by side, each check under its deadline, fail closed.

A check never makes the chain raise. One that crashes, times out, could not be loaded, or answers something that cannot be
true gives a result that says so, and `guard.decide` lets the policy's `on_failure` speak. Only when there is no room to wait
for a check, BusyError is raised: nothing was judged then, and the caller may come again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import datetime
from itertools import groupby
from time import perf_counter

from guard import watching
from guard.batching import MOST_AT_ONCE, Answer
from guard.decide import EARLY_STOP, blocks
from guard.errors import PolicyError, describe
from guard.instrument import Instrument, cancelled
from guard.made import QuickResult
from guard.protocols import Check
from guard.round import QUEUE_WAIT_S, Question, Timed, ask
from guard.rules import CheckSpec, Policy
from guard.sieve import sieve
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

MOST_FINDINGS = 20_000
"""Of one check about one content. What finds more is a fault of the check, or a text made to fill the ledger."""
_OK, _IMAGE = Status.OK, Modality.IMAGE
_PLACES = {Modality.TEXT: Span, Modality.IMAGE: Region, Modality.AUDIO: Span}
_Asked = tuple[CheckSpec, Sequence[Content], Sequence[int]]
"""A check, the contents that it is asked about, and their places among those that are judged together."""
_log = logging.getLogger(__name__)


class _NotLoadedError(Exception):
    """What a check answers that could not be loaded, and why."""


class Chain:
    """The checks of one policy, in the order they run."""

    def __init__(
        self,
        policy: Policy,
        checks: Mapping[str, Check] | None = None,
        *,
        shared: Iterable[Instrument] = (),
        make: Callable[[CheckSpec], Instrument] = Instrument,
    ) -> None:
        """`checks`: built checks by their name in the policy; when left out, `make` makes what asks them.

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
            or (make(spec) if checks is None else Instrument(spec, checks[spec.name]))
            for spec in policy.checks
        }
        self.checks = {name: one.check for name, one in self.instruments.items()}
        ordered = sorted(policy.checks, key=lambda spec: spec.group)
        self._groups = [list(group) for _, group in groupby(ordered, key=lambda spec: spec.group)]
        self._as_run = [spec.name for spec in ordered] == [spec.name for spec in policy.checks]
        """Whether checks run in the order in which their results are told."""
        self._applying: dict[tuple[int, Stage, Modality], list[CheckSpec]] = {}
        """Which checks of a group apply, as far as anyone has asked."""
        self._loaded = False
        """Whether all checks are known to be ready."""

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

        `time`: when they are judged; groups that come later are skipped when a rule blocks at that time. Raises BusyError.
        """
        results: list[dict[str, CheckResult]] = [{} for _ in contents]
        unmeasured = sieve(self.policy).unmeasured
        for at, group in enumerate(self._groups):
            going = range(len(contents)) if not (at or unmeasured) else self._going(contents, results, time)
            await self._run_group(group, contents, going, results)
        if self._as_run:
            return [tuple(found.values()) for found in results]
        return [tuple([found[name] for name in self.checks if name in found]) for found in results]

    def _going(
        self, contents: Sequence[Content], results: Sequence[dict[str, CheckResult]], time: datetime | None
    ) -> Sequence[int]:
        """Those that no rule blocks yet."""
        found = enumerate(zip(contents, results, strict=True))
        return [at for at, (one, known) in found if not blocks(self.policy, [*known.values()], context_of(one, time))]

    async def _run_group(
        self,
        group: Sequence[CheckSpec],
        contents: Sequence[Content],
        going: Sequence[int],
        results: Sequence[dict[str, CheckResult]],
    ) -> None:
        """Measure the contents that `going` counts; of the others it is noted that nothing was asked about them."""
        if len(going) < len(contents):
            self._skip(group, contents, going, results)
        asked = self._asked(group, contents, going)
        since = watching.now()
        answered = await self._ask(asked, len(contents))
        if len(contents) == 1:
            found, content = results[0], contents[0]
            for (spec, _, _), ((answer, seconds),) in zip(asked, answered):  # noqa: B905 - one of `ask` for each
                found[spec.name] = self._read(spec, content, answer, seconds)
        else:
            for (spec, batch, some), given in zip(asked, answered, strict=True):
                for at, content, (answer, seconds) in zip(some, batch, given, strict=True):
                    results[at][spec.name] = self._read(spec, content, answer, seconds)
        if since:
            watching.checked(self.policy.id, [results[at][spec.name] for spec, _, some in asked for at in some], since)

    def _asked(self, group: Sequence[CheckSpec], contents: Sequence[Content], going: Sequence[int]) -> list[_Asked]:
        """Which check is asked about which of the contents that `going` counts, with their numbers."""
        if len(contents) == len(going) == 1:
            kind = group[0].group, contents[0].stage, contents[0].modality
            applying = self._applying.get(kind)
            if applying is None:
                applying = self._applying[kind] = [spec for spec in group if spec.applies(*kind[1:])]
            return [(spec, contents, going) for spec in applying]
        owed = [(spec, [at for at in going if spec.applies(contents[at].stage, contents[at].modality)]) for spec in group]
        return [(spec, [contents[at] for at in some], some) for spec, some in owed if some]

    def _skip(
        self,
        group: Sequence[CheckSpec],
        contents: Sequence[Content],
        going: Sequence[int],
        results: Sequence[dict[str, CheckResult]],
    ) -> None:
        for at in set(range(len(contents))).difference(going):
            for spec in group:
                if spec.applies(contents[at].stage, contents[at].modality):
                    results[at][spec.name] = self._result(spec, Status.SKIPPED, EARLY_STOP)

    async def measure(
        self,
        spec: CheckSpec,
        batch: Sequence[Content],
        call: Callable[[], Sequence[Scan]] | None = None,
        *,
        here: bool = False,
        there: Callable[[], Awaitable[Sequence[Scan]]] | None = None,
    ) -> list[CheckResult]:
        """What one check of the policy says of contents that it applies to, whatever others say. Raises BusyError.

        `call`: how it is asked, if not as usual; it computes, and is run as the check would be, or `here`, in the event loop.
        `there`: the same where it is asked elsewhere, by whom its deadline is kept.
        """
        if call is not None or there is not None:
            return await self._called(spec, batch, call, there, here=here)
        if not batch:
            return []
        (given,) = await self._ask([(spec, batch, ())], len(batch))
        return [self._read(spec, content, *answer) for content, answer in zip(batch, given, strict=True)]

    def heard(self, spec: CheckSpec, content: Content, answer: Answer, seconds: float, before: float = 0.0) -> CheckResult:
        """What an answer says that was computed on the event loop in so many seconds.

        `before`: what the check took for earlier answers about the same text; the result tells the sum.
        """
        deadline = spec.deadline_ms / 1000
        if seconds > deadline and not isinstance(answer, BaseException):
            answer = Overdue(f"no answer within {deadline} s", begun=True)
        return self._read(spec, content, answer, before + seconds)

    async def _called(
        self,
        spec: CheckSpec,
        batch: Sequence[Content],
        call: Callable[[], Sequence[Scan]] | None,
        there: Callable[[], Awaitable[Sequence[Scan]]] | None,
        *,
        here: bool,
    ) -> list[CheckResult]:
        troubles = await self._troubles([spec.name]) if not self.instruments[spec.name].loaded else {}
        if troubles:
            return [self._result(spec, Status.FAILED, troubles[spec.name])] * len(batch)
        began, answers = perf_counter(), list[Answer]()
        try:
            deadline = spec.deadline_ms / 1000
            if call is None:
                answers += await there() if there else ()
            else:
                answers += call() if here else await self.instruments[spec.name].worker.run(call, deadline, wait=QUEUE_WAIT_S)
            if here and perf_counter() - began > deadline:
                raise Overdue(f"no answer within {deadline} s", begun=True)  # noqa: TRY301 - told as for every other call
            if len(answers) != len(batch):
                answers = [ValueError(f"found {len(answers)} scans, expected {len(batch)}")] * len(batch)
        except (Exception, asyncio.CancelledError) as error:
            if cancelled(error):
                raise
            answers = [error] * len(batch)
        seconds = perf_counter() - began
        return [self._read(spec, content, answer, seconds) for content, answer in zip(batch, answers, strict=True)]

    async def _ask(self, asked: Sequence[_Asked], most: int) -> Sequence[Sequence[Timed]]:
        """What several checks answer side by side, in parts that are small enough to be shared with others.

        `most`: no check is asked about more contents.
        """
        instruments = self.instruments
        troubles = {} if self._loaded else await self._load([spec.name for spec, _, _ in asked])
        if not troubles and most <= MOST_AT_ONCE:
            return await ask([Question(instruments[spec.name], spec.deadline_ms / 1000, batch) for spec, batch, _ in asked])
        answers: list[list[Timed]] = [
            [(_NotLoadedError(troubles[spec.name]), 0.0)] * len(batch) if spec.name in troubles else []
            for spec, batch, _ in asked
        ]
        ready = [one for one, (spec, _, _) in enumerate(asked) if spec.name not in troubles]
        for first in range(0, max([len(asked[one][1]) for one in ready], default=0), MOST_AT_ONCE):
            some = [one for one in ready if first < len(asked[one][1])]
            parts = [(asked[one][0], asked[one][1][first : first + MOST_AT_ONCE], ()) for one in some]
            for one, given in zip(some, await self._ask(parts, MOST_AT_ONCE), strict=True):
                answers[one] += given
        return answers

    async def _load(self, names: Sequence[str]) -> dict[str, str]:
        """Load those of some checks that are not; which of them cannot be, and why."""
        missing = [name for name in names if not self.instruments[name].loaded]
        self._loaded = all(one.loaded for one in self.instruments.values())
        return await self._troubles(missing) if missing else {}

    async def _troubles(self, names: Sequence[str]) -> dict[str, str]:
        """Which of some checks cannot be loaded, and why."""
        loads = await asyncio.gather(*(self.instruments[name].load() for name in names))
        return {name: f"could not be loaded: {trouble}" for name, trouble in zip(names, loads, strict=True) if trouble}

    def _read(self, spec: CheckSpec, content: Content, answer: Answer, seconds: float) -> CheckResult:
        if isinstance(answer, BaseException):
            return self._failure(spec, answer, seconds)
        try:
            read = answer.scanned if type(answer) is Scan else None
            if type(read) is Span and read.start == 0 and read.end == len(content.data) and content.modality is not _IMAGE:
                wrong = ""  # as nearly always
            else:
                wrong = _misread(content, answer)
            if not wrong and len(answer.findings):
                wrong = _too_many(answer) or self._faults(spec, content, answer.findings)
        except Exception as error:  # noqa: BLE001 - not even the shape of an answer
            wrong = f"found an answer that is no Scan: {type(error).__name__}"
        if wrong:
            return self._result(spec, Status.FAILED, wrong, seconds)
        if answer.scanned is None:
            return self._result(spec, Status.SKIPPED, "it read nothing", seconds)
        return self._result(spec, _OK, "", seconds, answer)

    def _failure(self, spec: CheckSpec, error: BaseException, seconds: float) -> CheckResult:
        if isinstance(error, Overdue):
            waited = "no turn in time: too much waits for this check"
            told = f"no answer within {spec.deadline_ms} ms" if error.begun else waited
            return self._result(spec, Status.TIMEOUT, told, seconds)
        if isinstance(error, _NotLoadedError):
            return self._result(spec, Status.FAILED, str(error))
        _log.warning("check %s failed: %s", spec.name, type(error).__name__)
        return self._result(spec, Status.FAILED, describe(error), seconds)

    def _faults(self, spec: CheckSpec, content: Content, findings: Sequence[Finding]) -> str:
        """What is wrong with the first of them with which anything is."""
        return next(filter(None, (self._fault(spec, content, one) for one in findings)), "")

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
        self, spec: CheckSpec, status: Status, error: str, seconds: float = 0.0, scan: Scan | None = None
    ) -> CheckResult:
        check, digest = self.checks[spec.name], ""
        findings: tuple[Finding, ...] = ()
        scanned: Place | None = None
        if scan is not None:
            findings, scanned, digest = tuple(scan.findings), scan.scanned, scan.digest
        try:
            version, digest = check.version, digest or check.digest
        except Exception:  # noqa: BLE001 - it did not load the model that it would tell of; the result says what is wrong
            version = digest = ""
        return QuickResult(spec.name, spec.use, version, digest, status, findings, scanned, round(seconds * 1e6), error)


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
    if isinstance(read, Span) and not 0 <= read.start <= read.end <= len(content.data):
        return f"it read {read.start} to {read.end}, expected a range inside 0 to {content.length}"
    return ""


def _too_many(scan: Scan) -> str:
    """How far a check goes beyond MOST_FINDINGS; empty when it does not."""
    found = len(scan.findings)
    return f"it found {found} things in one content, expected at most {MOST_FINDINGS}" if found > MOST_FINDINGS else ""


def _misplaced(content: Content, where: Place) -> str:
    """What is impossible about the place of a finding; empty when it can be true."""
    if not isinstance(where, _PLACES[content.modality]):
        return f"found a {type(where).__name__} on {content.modality.value}"
    if isinstance(where, Span) and not 0 <= where.start < where.end <= content.length:
        return f"found span {where.start} to {where.end}, expected one inside 0 to {content.length}"
    if isinstance(where, Region) and not (0 <= where.left < where.right and 0 <= where.top < where.bottom):
        return f"found region {where.left}, {where.top} to {where.right}, {where.bottom}, expected a box inside the image"
    return ""
