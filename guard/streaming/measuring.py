"""Asks a policy's checks about a text that grows, each through a follower of its own, group by group and fail closed."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace

from guard.chain import Chain, context_of
from guard.decide import EARLY_STOP, blocks
from guard.following import Followable, Follower
from guard.rules import CheckSpec
from guard.streaming.frontier import Frontier
from guard.types import CheckResult, Content, Context, Finding, Scan, Span, Status


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
    """One text. Calls come one after another."""

    def __init__(self, chain: Chain, frontier: Frontier) -> None:
        """`chain`: of a policy of which every check can follow a text."""
        self._chain = chain
        self._frontier = frontier
        self._asked = {spec.name: _Asked(chain, spec) for spec in chain.policy.checks}

    async def __call__(self, content: Content, *, ending: bool) -> Measured:
        """Measure the text as it is by now. `ending`: it is whole. The time of its request is that of all its verdicts."""
        length = content.length
        found: dict[str, CheckResult] = {}
        settled, stopped = length, False
        for group in self._chain.groups:
            specs = [spec for spec in group if spec.applies(content.stage, content.modality)]
            if stopped:
                found |= {spec.name: self._asked[spec.name].stopped() for spec in specs}
                continue
            answers = await asyncio.gather(*(self._asked[spec.name](content, ending=ending) for spec in specs))
            found |= {spec.name: result for spec, (result, _) in zip(specs, answers, strict=True)}
            settled = min([settled, *(place for _, place in answers)])
            judged = length if ending else self._frontier(content.text, settled, found)
            stopped = blocks(self._chain.policy, self._clipped(found, judged), self._context(content, judged))
        judged = length if ending else self._frontier(content.text, settled, found)
        return Measured(judged, self._clipped(found, judged), self._context(content, judged))

    def _context(self, content: Content, judged: int) -> Context:
        return replace(context_of(content, self._frontier.time), length=judged)

    def _clipped(self, found: dict[str, CheckResult], judged: int) -> tuple[CheckResult, ...]:
        names = [spec.name for spec in self._chain.policy.checks]
        return tuple(_clip(found[name], judged) for name in names if name in found)


class _Asked:
    """One check and what it said so far. One that failed is not asked again: it may have lost its place."""

    def __init__(self, chain: Chain, spec: CheckSpec) -> None:
        self._chain, self._spec = chain, spec
        self._follower: Follower | None = None
        self._failed: CheckResult | None = None
        self._latency = 0

    async def __call__(self, content: Content, *, ending: bool) -> tuple[CheckResult, int]:
        """What it says, and before which code point that is settled."""
        if self._failed is not None:
            return self._failed, content.length
        settled = [0]
        (result,) = await self._chain.measure(self._spec, [content], lambda: [self._read(content.text, settled, ending)])
        self._latency += result.latency_us
        result = replace(result, latency_us=self._latency)
        if result.status is not Status.OK:
            self._failed = result
            return result, content.length
        return result, min(settled[0], content.length)

    def stopped(self) -> CheckResult:
        """What is said of it when it is not asked any more."""
        check = self._chain.checks[self._spec.name]
        said = (self._spec.name, self._spec.use, check.version, check.digest)
        return self._failed or CheckResult(*said, Status.SKIPPED, latency_us=self._latency, error=EARLY_STOP)

    def _read(self, text: str, settled: list[int], ending: bool) -> Scan:
        check = self._chain.checks[self._spec.name]
        if self._follower is None:
            assert isinstance(check, Followable)
            self._follower = check.follow()
        progress = self._follower(text, ending=ending)
        settled[0] = progress.settled
        return progress.scan


def _clip(result: CheckResult, end: int) -> CheckResult:
    """The result for the text up to `end`: the findings that begin before it. No finding whose place counts goes on behind."""
    if result.status is not Status.OK or not isinstance(result.scanned, Span):
        return result
    kept: Sequence[Finding] = [one for one in (_clip_finding(each, end) for each in result.findings) if one is not None]
    return replace(result, findings=tuple(kept), scanned=Span(result.scanned.start, min(end, result.scanned.end)))


def _clip_finding(finding: Finding, end: int) -> Finding | None:
    where = finding.where
    if not isinstance(where, Span) or where.end <= end:
        return finding
    return replace(finding, where=Span(where.start, end)) if where.start < end else None
