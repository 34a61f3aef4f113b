"""Runs a check over labelled rows through `guard.chain.Chain`, as the guard would, and sums up how it did.

A row whose check failed, timed out or read only a part counts as an error: it is in no figure, and never counts as clean.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from evaluation import metrics
from evaluation.labels import Labelled, holds_spans, read_classes, read_spans
from evaluation.reader import Row
from evaluation.spans import Agreement, agreement, by_type
from evaluation.subject import ANY, Subject
from guard.admission import Limits, admit
from guard.chain import Chain, context_of
from guard.conditions import covers
from guard.errors import InputError, ModelError, TooLargeError
from guard.rules import Policy
from guard.types import CALLER, CheckResult, Content, Finding, Request, Span, Status

BATCH = 64
"""Texts that the check is given at once."""
TIMED = 100
"""Texts that are also run one by one, for the latency."""
_TIMED_SECONDS = 30
_LIMITS = Limits()
_SECRET = ("key", "token", "secret", "password")
_ONE_CLASS = "all rows that were measured are of one class"


@dataclass(frozen=True, slots=True)
class Plan:
    """What to measure beside the check itself."""

    positive: tuple[str, ...] = ()
    """Labels that count as positive; empty: they speak for themselves."""
    renamed: Mapping[str, str] = field(default_factory=dict)
    """Other names for the types of the file's spans; an empty one leaves the type out."""
    false_positive_rate: float | None = None
    """Also choose the lowest threshold with at most this rate, 0 to 1."""


@dataclass(frozen=True, slots=True)
class Measured:
    """One row that the check answered for."""

    findings: tuple[Finding, ...]
    positive: bool
    spans: tuple[Labelled, ...] = ()


@dataclass(slots=True)
class Report:
    """All that was measured. `summary` is ready for JSON; `scores` and `truths` are what plots draw."""

    summary: dict[str, Any]
    scores: list[int] = field(repr=False)
    truths: list[bool] = field(repr=False)


@dataclass(slots=True)
class _Times:
    load: float = 0.0
    batches: float = 0.0
    singles: list[float] = field(default_factory=list)


def evaluate(subject: Subject, rows: Sequence[Row], plan: Plan, progress: Callable[[int], None] = lambda _: None) -> Report:
    """Measure a check over rows. `progress` is called with the number of rows done, after each batch.

    Raises InputError for labels that cannot be read, ModelError for a check that cannot be loaded.
    """
    if plan.false_positive_rate is not None and not 0 <= plan.false_positive_rate <= 1:
        raise InputError(f"found a false positive rate of {plan.false_positive_rate}, expected 0 to 1")
    spans, left_out = None, set[str]()
    if not plan.positive and holds_spans(rows):
        spans, left_out = _asked(subject, read_spans(rows, plan.renamed))
    classes = read_classes(rows, plan.positive) if spans is None else [None if one is None else bool(one) for one in spans]
    if plan.renamed and spans is None:
        raise InputError("found other names for types, and labels that are no spans", advice="Leave --map out.")
    found, errors, times = asyncio.run(_run(subject, rows, classes, progress))
    measured = [
        Measured(findings, bool(classes[number]), (spans[number] or ()) if spans is not None else ())
        for number, findings in sorted(found.items())
    ]
    report = _report(subject, plan, len(rows), measured, errors, times, spans=spans is not None)
    if spans is not None:
        report.summary["spans"]["left_out_types"] = sorted(left_out)
    return report


def _asked(
    subject: Subject, spans: Sequence[tuple[Labelled, ...] | None]
) -> tuple[list[tuple[Labelled, ...] | None], set[str]]:
    """The spans of the labels that count, and the types that do not: no rule asks for them, or `--finding` names another."""
    if ANY in subject.thresholds:
        return list(spans), set()
    kept = [one if one is None else tuple(span for span in one if span.type in subject.thresholds) for one in spans]
    return kept, {span.type for one in spans for span in one or ()} - set(subject.thresholds)


# --- measuring ---------------------------------------------------------------------------------------------------------


async def _run(
    subject: Subject, rows: Sequence[Row], classes: Sequence[bool | None], progress: Callable[[int], None]
) -> tuple[dict[int, tuple[Finding, ...]], Counter[str], _Times]:
    spec, times, errors = subject.spec, _Times(), Counter[str]()
    chain = Chain(Policy("eval", 1, "draft", "", "", (spec,), ()), {spec.name: subject.check})
    started = time.perf_counter()
    trouble = await chain.load()
    times.load = time.perf_counter() - started
    if trouble:
        raise ModelError(f"check {spec.name!r} could not be loaded: {trouble[spec.name]}")
    contents: dict[int, Content] = {}
    for number, (row, positive) in enumerate(zip(rows, classes, strict=True)):
        content = _content(subject, row, positive)
        if isinstance(content, str):
            errors[content] += 1
        else:
            contents[number] = content
    found: dict[int, tuple[Finding, ...]] = {}
    numbers = list(contents)
    if numbers:
        await chain.run([contents[numbers[0]]])  # the first call of a model allocates what later ones use
    for first in range(0, len(numbers), BATCH):
        part = numbers[first : first + BATCH]
        started = time.perf_counter()
        results = await chain.run([contents[number] for number in part])
        times.batches += time.perf_counter() - started
        for number, (result,) in zip(part, results, strict=True):
            if wrong := _wrong(contents[number], result):
                errors[wrong] += 1
            else:
                found[number] = result.findings
        progress(first + len(part) + len(rows) - len(numbers))
    if found:
        times.singles = await _singles(chain, [contents[number] for number in found])
    return found, errors, times


async def _singles(chain: Chain, contents: Sequence[Content]) -> list[float]:
    """Milliseconds for up to TIMED texts, evenly spread, one at a time."""
    times, ends = [], time.perf_counter() + _TIMED_SECONDS
    step = max(1, len(contents) // TIMED)
    for content in contents[::step][:TIMED]:
        started = time.perf_counter()
        await chain.run([content])
        times.append((time.perf_counter() - started) * 1000)
        if time.perf_counter() > ends:
            break
    return times


def _content(subject: Subject, row: Row, positive: bool | None) -> Content | str:
    """The row's text as a content, or why it cannot be measured."""
    if row.text is None:
        return "no text"
    if positive is None:
        return "no label"
    try:
        request = Request(f"row-{row.number}", actor="eval")
        return admit(row.text, request=request, stage=subject.stage, origin=CALLER, media_type="", limits=_LIMITS)
    except TooLargeError:
        return f"text of more than {_LIMITS.text} characters"
    except InputError:
        return "text that is no Unicode"


def _wrong(content: Content, result: CheckResult) -> str:
    """Why a result says nothing of the whole text; empty when it does."""
    if result.status is not Status.OK:
        return f"{result.status.value}: {result.error}"
    return "" if covers(result.scanned, context_of(content)) else "failed: it read only a part"


# --- summing up --------------------------------------------------------------------------------------------------------


def _report(
    subject: Subject, plan: Plan, rows: int, measured: Sequence[Measured], errors: Counter[str], times: _Times, *, spans: bool
) -> Report:
    scores = [subject.score(one.findings) for one in measured]
    truths = [one.positive for one in measured]
    texts = metrics.confusion([subject.flags(one.findings) for one in measured], truths)
    thresholds = {label: score / 1000 for label, score in sorted(subject.thresholds.items())}
    summary: dict[str, Any] = {
        "check": subject.spec.name,
        "use": subject.spec.use,
        "version": subject.check.version,
        "digest": subject.check.digest,
        "parameters": {name: _shown(name, value) for name, value in subject.spec.parameters.items()},
        "level": "spans" if spans else "texts",
        "rows": rows,
        "n": len(measured),
        "positives": sum(truths),
        "errors": errors.total(),
        "error_reasons": dict(errors.most_common(10)),
        "threshold": next(iter(thresholds.values())) if len(set(thresholds.values())) == 1 else None,
        "thresholds": thresholds,
        "threshold_source": subject.source,
        "roc_auc": metrics.roc_auc(scores, truths),
        "average_precision": metrics.average_precision(scores, truths),
        "precision": texts.precision,
        "recall": texts.recall,
        "f2": texts.f2,
        "fp_per_1000": texts.fp_per_1000,
        "ece": metrics.calibration_error(scores, truths),
        "texts_per_s": len(measured) / times.batches if measured else None,
        "latency_ms": {"median": metrics.percentile(times.singles, 0.5), "p95": metrics.percentile(times.singles, 0.95)},
        "load_s": times.load,
    }
    if spans:
        summary |= _span_fields(subject, measured)
    if plan.false_positive_rate is not None:
        summary["chosen"] = _chosen(scores, truths, plan.false_positive_rate)
    summary["reasons"] = _reasons(summary, truths)
    return Report(_rounded(summary), scores, truths)


def _span_fields(subject: Subject, measured: Sequence[Measured]) -> dict[str, Any]:
    found = [
        [
            Labelled(finding.label, finding.where.start, finding.where.end)
            for finding in one.findings
            if isinstance(finding.where, Span) and subject.reaches(finding)
        ]
        for one in measured
    ]
    expected = [one.spans for one in measured]
    whole = agreement(found, expected)
    known = set(subject.check.labels)
    return {
        "precision": whole.overlap.precision,
        "recall": whole.overlap.recall,
        "f2": whole.overlap.f2,
        "spans": {
            **_agreement_fields(whole),
            "any_type": _agreement_fields(agreement(found, expected, typed=False)),
            "by_type": {name: _agreement_fields(one) for name, one in by_type(found, expected).items()},
            "unknown_types": sorted({span.type for spans in expected for span in spans} - known),
        },
    }


def _agreement_fields(one: Agreement) -> dict[str, Any]:
    return {
        name: {
            "precision": counts.precision,
            "recall": counts.recall,
            "f2": counts.f2,
            "found": counts.true_positives + counts.false_positives,
            "expected": counts.true_positives + counts.false_negatives,
            "common": counts.true_positives,
        }
        for name, counts in (("overlap", one.overlap), ("exact", one.exact))
    }


def _chosen(scores: Sequence[int], truths: Sequence[bool], rate: float) -> dict[str, Any]:
    threshold = metrics.choose_threshold(scores, truths, rate)
    if threshold is None:
        why = "no negatives" if all(truths) else "more negatives than that score 1"
        return {"rate": rate, "threshold": None, "reason": why}
    counts = metrics.confusion([score >= threshold for score in scores], truths)
    return {
        "rate": rate,
        "threshold": threshold / 1000,
        "negatives": counts.false_positives + counts.true_negatives,
        "precision": counts.precision,
        "recall": counts.recall,
        "f2": counts.f2,
        "fp_per_1000": counts.fp_per_1000,
    }


def _reasons(summary: Mapping[str, Any], truths: Sequence[bool]) -> dict[str, str]:
    """Why a figure is missing, for each that is."""
    spans = summary["level"] == "spans"
    why = {
        "threshold": "labels have different thresholds",
        "roc_auc": _ONE_CLASS,
        "average_precision": "no positives",
        "precision": "nothing was found" if spans else "nothing was flagged",
        "recall": "no spans to find" if spans else "no positives",
        "f2": "no spans, neither found nor to find" if spans else "no positives, and nothing was flagged",
        "fp_per_1000": "no negatives",
        "ece": "no rows were measured",
        "texts_per_s": "no rows were measured",
    }
    if not truths:
        why = {name: reason if name == "threshold" else "no rows were measured" for name, reason in why.items()}
    return {name: reason for name, reason in why.items() if summary[name] is None}


def _shown(name: str, value: Any) -> Any:
    """A parameter as it may stand in a report that is passed on."""
    return "***" if isinstance(value, str) and any(word in name.lower() for word in _SECRET) else value


def _rounded(value: Any) -> Any:
    """Figures with six digits behind the point: more would only pretend."""
    if isinstance(value, dict):
        return {key: _rounded(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_rounded(inner) for inner in value]
    return round(value, 6) if isinstance(value, float) else value
