"""Recorded decisions as columns, made from decisions, for tests that need no ledger."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import numpy as np

from guard.conditions import covers
from guard.decide import EARLY_STOP, decide, settle
from guard.recorded import EARLY, FAILED, OK, TIMEOUT, Findings, Recorded, Results, Source
from guard.rules import Policy
from guard.types import CheckResult, Context, Decision, Mark, Request, Status

NOW = datetime(2026, 11, 27, 9, 30, tzinfo=UTC)


def decided(
    policy: Policy, results: Sequence[CheckResult], context: Context, marks: Sequence[Mark] = (), **more: Any
) -> Decision:
    """What a guard records: the verdict after marks, which are only tried on what may leave."""
    context = replace(context, time=context.time or NOW)
    verdict = decide(policy, results, context)
    tried = tuple(marks) if verdict.action.releases else ()
    fields = {"parent": None, **more}
    return Decision(
        UUID(int=7), context.time or NOW, None, context, Request("r", context.tenant), tuple(results),
        settle(verdict, policy, tried), None, tried, **fields,
    )  # fmt: skip


def columns(decisions: Sequence[Decision]) -> Recorded:
    """A batch of them, in this order."""
    sources: dict[Source, int] = {}
    labels: dict[str, int] = {}
    results = [(row, result) for row, one in enumerate(decisions) for result in one.results]
    findings = [(place, finding) for place, (_, result) in enumerate(results) for finding in result.findings]
    contexts, verdicts = [one.context for one in decisions], [one.verdict for one in decisions]
    return Recorded(
        purpose=[one.context.purpose for one in decisions],
        consent=[one.context.consent for one in decisions],
        index=list(range(len(decisions), 0, -1)),
        time=[one.time.isoformat(timespec="microseconds").replace("+00:00", "Z") for one in decisions],
        policy=[one.policy for one in verdicts],
        revision=[one.revision for one in verdicts],
        action=[one.action.value for one in verdicts],
        stage=[one.stage.value for one in contexts],
        modality=[one.modality.value for one in contexts],
        generator=[one.generator for one in contexts],
        tenant=[one.tenant for one in contexts],
        language=[one.language for one in contexts],
        length=np.array([one.length for one in contexts]),
        refused=np.zeros(len(decisions), bool),
        unmarked=np.array([any(not mark.verified for mark in one.marks) for one in decisions], bool),
        results=Results(
            row=np.array([row for row, _ in results], int),
            source=np.array(
                [sources.setdefault(Source(one.check, one.version, one.digest), len(sources)) for _, one in results], int
            ),
            status=np.array([_status(one) for _, one in results], np.int8),
            whole=np.array([covers(one.scanned, contexts[row]) for row, one in results], bool),
            latency_us=np.array([one.latency_us for _, one in results], int),
        ),
        sources=list(sources),
        findings=Findings(
            result=np.array([place for place, _ in findings], int),
            label=np.array([labels.setdefault(one.label, len(labels)) for _, one in findings], int),
            score=np.array([one.score for _, one in findings], int),
            placed=np.array([one.where is not None for _, one in findings], bool),
        ),
        labels=list(labels),
        decision=decisions.__getitem__,
        fired=lambda row: {one.rule: one.action.value for one in decisions[row].verdict.fired},
    )


def _status(result: CheckResult) -> int:
    if result.status is Status.SKIPPED and result.error == EARLY_STOP:
        return EARLY
    return {Status.OK: OK, Status.TIMEOUT: TIMEOUT}.get(result.status, FAILED)
