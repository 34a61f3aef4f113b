"""Asks a policy's checks about a text that grows, each through a follower of its own, group by group and fail closed."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from time import perf_counter
from typing import cast

from guard.batching import Answer
from guard.chain import Chain, context_for
from guard.decide import EARLY_STOP, blocks
from guard.following import (
    Distant,
    Followable,
    FollowedElsewhere,
    Follower,
    MaybeQuick,
    Progress,
    is_by_sentence,
    is_elsewhere,
    is_quick,
    is_sometimes_quick,
)
from guard.made import QuickResult
from guard.rules import CheckSpec
from guard.streaming.frontier import Frontier
from guard.types import CheckResult, Content, Context, Finding, Place, Scan, Span, Status

AT_ONCE = 4096
"""New code points up to which a check is asked on the event loop."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What is known of a text so far."""

    judged: int
    """Up to which code point it may leave, as far as its findings go."""
    results: tuple[CheckResult, ...]
    """Of the text up to there, in the policy's order of checks."""
    context: Context
    """Of the text up to there."""


class Measuring:
    """One text. Calls come one after another.

    What a check said holds for all that it settled then, however long the text is by now. So between two ends of sentences only
    those are asked again that keep text back which the others have settled.
    """

    def __init__(self, chain: Chain, frontier: Frontier) -> None:
        """`chain`: of a policy of which every check can follow a text."""
        self._chain = chain
        self._frontier = frontier
        self._asked = {spec.name: _Asked(chain, spec) for spec in chain.policy.checks}
        self._names = [spec.name for spec in chain.policy.checks]
        self._groups: list[list[CheckSpec]] | None = None
        """What reads such contents."""
        self.waits = False
        """Whether more can be settled at the end of a sentence alone: nobody else keeps anything back."""

    async def __call__(self, content: Content, *, ending: bool, between: bool = False) -> Measured:
        """Measure the text as it is by now. The time of its request is that of all its verdicts.

        `ending`: it is whole. `between`: no sentence has ended since the last measure.
        """
        found: dict[str, CheckResult] = {}
        settled, stopped = content.length, False
        judged: int | None = None
        bound = self._sentences(content) if between else content.length
        last = len(self._chain.groups) - 1
        if self._groups is None:
            applies = [[one for one in group if one.applies(content.stage, content.modality)] for group in self._chain.groups]
            self._groups = applies
        for number, specs in enumerate(self._groups):
            if stopped:
                found |= {spec.name: self._asked[spec.name].stopped() for spec in specs}
            elif specs:
                settled = min(settled, *await self._measure(specs, content, found, bound, ending=ending))
                judged = self._judged(content, settled, found, ending=ending)
                if number < last:
                    stopped = blocks(self._chain.policy, self._clipped(found, judged), self._context(content, judged))
        if judged is None:
            judged = self._judged(content, settled, found, ending=ending)
        bound = self._sentences(content)
        kept = [one.settled for one in self._asked.values() if one.result]
        self.waits = bound < content.length and min(kept, default=bound) >= bound
        return Measured(judged, self._clipped(found, judged), self._context(content, judged))

    def _sentences(self, content: Content) -> int:
        """What is settled by those that are asked about whole sentences; the length of the text where there are none."""
        return min([one.settled for one in self._asked.values() if one.by_sentence], default=content.length)

    async def _measure(
        self, specs: Sequence[CheckSpec], content: Content, found: dict[str, CheckResult], bound: int, *, ending: bool
    ) -> list[int]:
        """Ask a group: its results go into `found`, and what each has settled is returned. Nobody is asked beyond `bound`."""
        asked = [(spec, self._asked[spec.name]) for spec in specs]
        slow: list[tuple[CheckSpec, _Asked]] = []
        for spec, one in asked:
            if one.result is not None and not ending and bound < content.length and one.settled >= bound:
                found[spec.name] = one.result
            elif (result := one.quickly(content, ending=ending)) is not None:
                found[spec.name] = result
            else:
                slow.append((spec, one))
        if len(slow) == 1:
            found[slow[0][0].name] = await slow[0][1](content, ending=ending)
        elif slow:
            results = await asyncio.gather(*(one(content, ending=ending) for _, one in slow))
            found |= {spec.name: result for (spec, _), result in zip(slow, results, strict=True)}
        return [one.settled for _, one in asked]

    def _judged(self, content: Content, settled: int, found: dict[str, CheckResult], *, ending: bool) -> int:
        return content.length if ending else self._frontier(content.text, settled, found)

    def _context(self, content: Content, judged: int) -> Context:
        origin = content.origin.generator
        return context_for(content.request, content.stage, content.modality, origin, judged, self._frontier.time)

    def _clipped(self, found: dict[str, CheckResult], judged: int) -> tuple[CheckResult, ...]:
        return tuple([_clip(found[name], judged) for name in self._names if name in found])


class _Asked:
    """One check and what it said so far. One that failed is not asked again: it may have lost its place."""

    def __init__(self, chain: Chain, spec: CheckSpec) -> None:
        self._chain, self._spec = chain, spec
        self._follower: Follower | None = None
        self._distant: Distant | None = None
        self._seconds = 0.0
        self.result: CheckResult | None = None
        """What it said last."""
        self.settled = 0
        """Before which code point that is settled."""
        self.by_sentence = self.quick = self.failed = False
        self._sometimes: MaybeQuick | None = None
        self._read_to = 0

    async def __call__(self, content: Content, *, ending: bool) -> CheckResult:
        """What it says of a text as it is by now."""
        result, settled = await self._ask(content, ending)
        self._seconds += result.latency_us / 1e6
        return self._noted(content, _at(result, result.findings, result.scanned, round(self._seconds * 1e6)), settled)

    def quickly(self, content: Content, *, ending: bool) -> CheckResult | None:
        """The same from the event loop; None where that would take too long."""
        if self.failed and self.result is not None:
            self.settled = content.length
            return self.result
        follower, sometimes = self._follower, self._sometimes
        if follower is None or not (self.quick or sometimes) or content.length - self._read_to > AT_ONCE:
            return None
        began, settled = perf_counter(), 0
        answer: Answer
        try:
            progress = sometimes.quickly(content.text, ending=ending) if sometimes else follower(content.text, ending=ending)
            if progress is not None:
                answer, settled = progress.scan, progress.settled
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - the chain tells what went wrong
            answer = error
        else:
            if progress is None:
                self._seconds += perf_counter() - began
                return None
        seconds = perf_counter() - began
        result = self._chain.heard(self._spec, content, answer, seconds, self._seconds)
        self._seconds += seconds
        return self._noted(content, result, settled)

    def _noted(self, content: Content, result: CheckResult, settled: int) -> CheckResult:
        self.result = result
        self.failed = result.status is not Status.OK
        self.settled = content.length if self.failed else min(settled, content.length)
        self._read_to = content.length
        self.by_sentence = self.by_sentence and not self.failed
        return result

    def stopped(self) -> CheckResult:
        """What is said of it when it is not asked any more."""
        check = self._chain.checks[self._spec.name]
        said = (self._spec.name, self._spec.use, check.version, check.digest)
        known = self.result if self.failed else None
        return known or CheckResult(*said, Status.SKIPPED, latency_us=round(self._seconds * 1e6), error=EARLY_STOP)

    async def _ask(self, content: Content, ending: bool) -> tuple[CheckResult, int]:
        """The result, and what is settled."""
        check, said = self._chain.checks[self._spec.name], list[Progress]()
        if is_elsewhere(check):
            return await self._ask_there(check, content, ending)

        def read() -> list[Scan]:
            said.append(self._read(content.text, ending))
            return [said[0].scan]

        (result,) = await self._chain.measure(self._spec, [content], read)
        return result, said[0].settled if said else 0

    async def _ask_there(self, check: FollowedElsewhere, content: Content, ending: bool) -> tuple[CheckResult, int]:
        said: list[Progress] = []
        follower = self._distant = self._distant or check.follow_there()

        async def hear() -> list[Scan]:
            said.append(await follower.ask(content, self._spec.deadline_ms / 1000, ending=ending))
            return [said[0].scan]

        (result,) = await self._chain.measure(self._spec, [content], there=hear)
        self.by_sentence = is_by_sentence(follower)
        return result, said[0].settled if said else 0

    def _read(self, text: str, ending: bool) -> Progress:
        """What the follower says."""
        if self._follower is None:
            check = self._chain.checks[self._spec.name]
            self._follower = cast("Followable", check).follow()  # for others a policy is buffered
            self.by_sentence, self.quick = is_by_sentence(self._follower), is_quick(self._follower)
            self._sometimes = self._follower if is_sometimes_quick(self._follower) else None
        return self._follower(text, ending=ending)


def _clip(result: CheckResult, end: int) -> CheckResult:
    """The result for the text up to `end`: the findings that begin before it. No finding whose place counts goes on behind."""
    if result.status is not Status.OK or not isinstance(result.scanned, Span):
        return result
    if not result.findings:
        within = result.scanned.end <= end
        return result if within else _at(result, (), Span(result.scanned.start, end), result.latency_us)
    kept = tuple(one for one in (_clip_finding(each, end) for each in result.findings) if one is not None)
    return _at(result, kept, Span(result.scanned.start, min(end, result.scanned.end)), result.latency_us)


def _at(result: CheckResult, findings: tuple[Finding, ...], scanned: Place | None, latency_us: int) -> CheckResult:
    """The result with these: `replace` takes ten times as long."""
    of = (result.check, result.use, result.version, result.digest, result.status)
    return QuickResult(*of, findings, scanned, latency_us, result.error)


def _clip_finding(finding: Finding, end: int) -> Finding | None:
    where = finding.where
    if not isinstance(where, Span) or where.end <= end:
        return finding
    return replace(finding, where=Span(where.start, end)) if where.start < end else None
