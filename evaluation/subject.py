"""What is measured: a check with its parameters, and the thresholds at which it counts as having flagged a text."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from guard.errors import InputError, RegistryError
from guard.protocols import Check
from guard.registry import checks
from guard.rules import AllOf, AnyOf, CheckSpec, Condition, Found, Policy, ScoreAtLeast
from guard.types import Action, Finding, Modality, Stage

ANY = "*"
"""Stands for every label of a check."""
DEFAULT_THRESHOLD = 500
DEADLINE_MS = 600_000
"""For a batch. A measurement may wait longer than a person who waits for an answer."""


@dataclass(frozen=True, slots=True)
class Subject:
    """A check that is measured."""

    spec: CheckSpec
    check: Check
    thresholds: Mapping[str, int]
    """Least score, per mille, by label (ANY: all of them); 0 for a label that counts however low its score."""
    source: str
    """Where the thresholds come from: `default`, `given`, or the policy."""

    @property
    def stage(self) -> Stage:
        """As what the texts are given to it: as outputs, unless it reads prompts alone."""
        return next(stage for stage in (Stage.OUTPUT, Stage.PROMPT, Stage.CHUNK) if stage in self.spec.stages)

    def counts(self, finding: Finding) -> bool:
        """Whether a finding counts at all, whatever its score."""
        return ANY in self.thresholds or finding.label in self.thresholds

    def reaches(self, finding: Finding) -> bool:
        """Whether a finding counts and reaches its threshold."""
        return any(finding.score >= self.thresholds[key] for key in (ANY, finding.label) if key in self.thresholds)

    def score(self, findings: Sequence[Finding]) -> int:
        """A text's score, per mille: the highest of the findings that count, 0 without any."""
        return max((finding.score for finding in findings if self.counts(finding)), default=0)

    def flags(self, findings: Sequence[Finding]) -> bool:
        """Whether a text with these findings counts as flagged."""
        return any(map(self.reaches, findings))


def registered(name: str, given: Mapping[str, str]) -> Subject:
    """A check by its name in the registry, with its defaults and the `given` parameters.

    A parameter `report_from` is 0 unless it is given: weak findings are dropped for policies' sake, and ranking needs them.
    Raises InputError for an unknown check, a parameter that does not fit and a check that does not read text; ModelError for a
    model that is not there.
    """
    if name not in checks.names():
        raise InputError(f"found no check {name!r}, expected one of: {', '.join(checks.names())}")
    parameters = _typed(name, given)
    if "report_from" in checks.signature(name).parameters:
        parameters.setdefault("report_from", 0)
    return _subject(CheckSpec(name, name, parameters), {ANY: DEFAULT_THRESHOLD}, "default")


def from_policy(policy: Policy, name: str, given: Mapping[str, str]) -> Subject:
    """A check by its name in a policy: with the policy's parameters (those `given` come first) and its rules' thresholds.

    Of several rules that ask for one label the lowest threshold counts; what else a rule asks (stage, tenant, another check) is
    left aside, and so are rules that allow and conditions under `not`. Raises InputError for a check that the policy does not
    name, or that does not read text.
    """
    spec = next((spec for spec in policy.checks if spec.name == name), None)
    if spec is None:
        raise InputError(
            f"policy {policy.id!r} has no check {name!r}, expected one of: {', '.join(spec.name for spec in policy.checks)}",
            advice="Name a check as the policy's `checks` do.",
        )
    thresholds: dict[str, int] = {}
    for rule in policy.rules:
        if rule.action is not Action.ALLOW:
            for label, score in _asked(rule.when, name):
                thresholds[label] = min(score, thresholds.get(label, score))
    spec = replace(spec, parameters={**spec.parameters, **_typed(spec.use, given)})
    if not thresholds:
        return _subject(spec, {ANY: DEFAULT_THRESHOLD}, f"default, for no rule of policy {policy.id} asks this check")
    return _subject(spec, thresholds, f"policy {policy.id} version {policy.version}")


def narrowed(subject: Subject, label: str | None, threshold: float | None) -> Subject:
    """The subject for one label alone, and with another threshold (above 0, at most 1) for all that counts.

    Raises InputError for a label that the check does not have, and for a threshold out of range.
    """
    if label is not None:
        if label not in subject.check.labels:
            raise InputError(
                f"check {subject.spec.use!r} has no label {label!r}, expected one of: {', '.join(sorted(subject.check.labels))}"
            )
        known = [subject.thresholds[key] for key in (label, ANY) if key in subject.thresholds]
        source = subject.source if known else f"default, for no rule asks for {label}"
        subject = replace(subject, thresholds={label: min(known, default=DEFAULT_THRESHOLD)}, source=source)
    if threshold is not None:
        if not 0 < threshold <= 1:
            raise InputError(f"found threshold {threshold}, expected more than 0 and at most 1")
        score = math.ceil(round(threshold * 1000, 6))
        subject = replace(subject, thresholds=dict.fromkeys(subject.thresholds, score), source="given")
    return subject


def _subject(spec: CheckSpec, thresholds: Mapping[str, int], source: str) -> Subject:
    try:
        check = checks.make(spec.use, spec.parameters)
    except RegistryError as error:  # a policy's own parameters were accepted when it was loaded: these are the caller's
        raise InputError(str(error), advice=error.advice) from None
    if Modality.TEXT not in check.modalities:
        raise InputError(
            f"check {spec.use!r} reads {', '.join(sorted(check.modalities))}, expected a check that reads text",
            advice="Only checks of text can be measured over a file of texts.",
        )
    return Subject(replace(spec, modalities=check.modalities, deadline_ms=DEADLINE_MS), check, thresholds, source)


def _asked(condition: Condition, check: str) -> Iterator[tuple[str, int]]:
    """Labels that a condition asks this check for, with the least score."""
    match condition:
        case ScoreAtLeast(name, label, score) if name == check:
            yield label, score
        case Found(name, labels) if name == check:
            yield from ((label, 0) for label in sorted(labels) or [ANY])
        case AllOf(parts) | AnyOf(parts):
            for part in parts:
                yield from _asked(part, check)
        case _:
            return


def _typed(name: str, given: Mapping[str, str]) -> dict[str, Any]:
    """Parameters from words, as the factory's annotations say; a list is written as JSON or with commas."""
    from pydantic import TypeAdapter, ValidationError

    takes = checks.signature(name).parameters
    values: dict[str, Any] = {}
    for key, word in given.items():
        if key not in takes:
            raise InputError(f"check {name!r} has no parameter {key!r}, expected one of: {', '.join(takes) or 'none'}")
        adapter: TypeAdapter[Any] = TypeAdapter(takes[key].annotation)
        for value in (_plain(word), word, tuple(part.strip() for part in word.split(","))):
            try:
                values[key] = adapter.validate_python(value)
                break
            except ValidationError:
                continue
        else:
            raise InputError(f"check {name!r}: found a value for {key!r} that does not fit, expected {takes[key].annotation}")
    return values


def _plain(word: str) -> Any:
    import json

    try:
        return json.loads(word)
    except (ValueError, RecursionError):
        return word
