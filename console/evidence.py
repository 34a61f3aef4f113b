"""What one decision rests on, as its page shows it: the way from prompt to release, scores by thresholds, works found."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from typing import Any

from audit.follow import Followed
from audit.query import Row, Shown
from guard.errors import GenguardError
from guard.matching import bank as banks
from guard.rules import AllOf, AnyOf, Condition, Not, ScoreAtLeast, ScoreByLanguage
from guard.types import Action, Decision, Finding, Match, Modality, Place, Region, Span, Stage
from policies.explain import Explanation, RuleTrace

WIDTH = 1000
"""Of a strip that stands for a whole text, in its own units."""


@dataclass(frozen=True, slots=True)
class Step:
    """One stop on the way. Its words are `decision.step.NAME`, filled with `values`."""

    name: str
    time: str = ""
    values: dict[str, object] = field(default_factory=dict)
    link: str = ""
    action: str = ""


@dataclass(frozen=True, slots=True)
class Threshold:
    """A score from which on a rule's condition holds, per mille."""

    rule: str
    score: int
    fired: bool


@dataclass(frozen=True, slots=True)
class Bar:
    """The highest score that a check reported for a label, per mille, and what it is compared with."""

    check: str
    label: str
    score: int
    """Zero where nothing was reported."""
    thresholds: tuple[Threshold, ...]

    @property
    def over(self) -> bool:
        """Whether a threshold was reached."""
        return any(one.score <= self.score for one in self.thresholds)


@dataclass(frozen=True, slots=True)
class Piece:
    """A finding's place on a strip."""

    x: float
    width: float
    label: str


@dataclass(frozen=True, slots=True)
class Work:
    """A registered work that a content reproduces."""

    match: Match
    score: int
    where: Place | None
    owner: str
    """Whose it was when the decision was made; empty where that is not known here."""
    thumbnail: bool
    """Whether the bank has a small picture of it."""


def way(shown: Shown, decision: Decision, prompt: Row | None, after: Sequence[Followed]) -> tuple[Step, ...]:
    """The stops from prompt to release, and what came after, the oldest first."""
    return (*_before(decision, prompt), *_judged(shown, decision), *_after(after))


def _before(decision: Decision, prompt: Row | None) -> Iterator[Step]:
    request, context = decision.request, decision.context
    yield Step("asked", values={"actor": request.actor, "tenant": request.tenant})
    if decision.reviewed is not None:
        one = decision.reviewed
        yield Step("held", link=str(one.held))
        yield Step("let_go", values={"actor": one.actor, "code": one.code}, link=str(one.entry))
    if prompt is not None:
        yield Step("prompt", prompt.time, link=prompt.decision, action=prompt.action)
    if context.stage is not Stage.PROMPT:
        yield Step("made", values={"generator": context.generator})
    if decision.stream is not None:
        yield Step("streamed", values={"sent": decision.stream.sent, "judged": decision.stream.judged})


def _judged(shown: Shown, decision: Decision) -> Iterator[Step]:
    verdict = decision.verdict
    slowest = max((one.latency_us for one in decision.results), default=0)
    found = sum(len(one.findings) for one in decision.results)
    yield Step("checked", values={"checks": len(decision.results), "found": found, "slowest": f"{slowest / 1000:.1f}"})
    yield Step("judged", values={"policy": verdict.policy, "version": verdict.version}, action=verdict.action.value)
    if verdict.edits:
        yield Step("edited", values={"edits": len(verdict.edits)})
    if decision.marks:
        good = sum(one.verified for one in decision.marks)
        yield Step("marked", values={"marks": len(decision.marks), "good": good})
    yield Step("recorded", str(shown.body["time"]), {"index": shown.idx})
    if verdict.action.releases:
        yield Step("passed_on" if decision.context.stage is Stage.PROMPT else "released")
    else:
        yield Step("waits" if verdict.action is Action.REVIEW else "withheld")


def _after(after: Sequence[Followed]) -> Iterator[Step]:
    for one in after:
        if one.decision:
            yield Step("output", one.time, link=one.decision, action=one.action)
        else:
            yield Step(f"then.{one.kind}", one.time, {"actor": one.actor}, str(one.idx))


def bars(found: Explanation | None, decision: Decision, *, all_rules: bool) -> tuple[Bar, ...]:
    """Scores by check and label, those over a threshold first. `all_rules`: also thresholds of rules that did not fire."""
    tops: dict[tuple[str, str], int] = {}
    for result in decision.results:
        for one in result.findings:
            key = result.check, one.label
            tops[key] = max(tops.get(key, 0), one.score)
    limits: dict[tuple[str, str], list[Threshold]] = {key: [] for key in tops}
    ran = {result.check for result in decision.results}
    for rule in found.rules if found is not None else ():
        if all_rules or rule.fired is not None:
            for check, label, score in _scores(rule.rule.when, decision.context.language):
                keys = [key for key in tops if key[0] == check] if label == "*" else [(check, label)]
                for key in keys if check in ran else ():
                    limits.setdefault(key, []).append(_threshold(rule, score))
    made = [Bar(*key, tops.get(key, 0), tuple(sorted(known, key=lambda one: one.score))) for key, known in limits.items()]
    return tuple(sorted(made, key=lambda bar: (not bar.over, -bar.score, bar.check, bar.label)))


def _threshold(rule: RuleTrace, score: int) -> Threshold:
    return Threshold(rule.rule.id, score, rule.fired is not None)


def _scores(condition: Condition, language: str) -> Iterator[tuple[str, str, int]]:
    """Check, label and score of all conditions on scores in a tree."""
    match condition:
        case AllOf(conditions) | AnyOf(conditions):
            for one in conditions:
                yield from _scores(one, language)
        case Not(inner):
            yield from _scores(inner, language)
        case ScoreAtLeast(check, label, score):
            yield check, label, score
        case ScoreByLanguage(check, label):
            yield check, label, condition.at(language)


def findings(decision: Decision) -> tuple[tuple[str, Finding], ...]:
    """What was found, with the check that found it; the highest score first."""
    found = [(result.check, one) for result in decision.results for one in result.findings]
    return tuple(sorted(found, key=lambda pair: -pair[1].score))


def strip(decision: Decision) -> tuple[Piece, ...]:
    """Where in a text something was found, the longest first, so that none hides another."""
    length = decision.context.length
    if decision.context.modality is not Modality.TEXT or not length:
        return ()
    spans = {(one.where.start, one.where.end, one.label) for _, one in findings(decision) if isinstance(one.where, Span)}
    return tuple(
        Piece(start / length * WIDTH, max(4.0, (end - start) / length * WIDTH), label)
        for start, end, label in sorted(spans, key=lambda span: span[0] - span[1])
    )


def works(decision: Decision) -> tuple[Work, ...]:
    """Registered works that were found, the nearest first, with what their banks tell here."""
    found = [
        _work(result.digest, one, one.match) for result in decision.results for one in result.findings if one.match is not None
    ]
    return tuple(sorted(found, key=lambda work: -work.score))


def _work(digest: str, finding: Finding, match: Match) -> Work:
    owner, thumbnail = "", False
    with suppress(GenguardError, OSError):
        bank = banks.load(match.bank, empty=True)
        now = bank.find(match.work)
        thumbnail = now is not None and bool(now.work.thumbnail)
        if (then := bank.find(match.work, at=digest)) is not None:
            owner = then.work.owner
    return Work(match, finding.score, finding.where, owner, thumbnail)


def places(decision: Decision) -> list[dict[str, Any]]:
    """Places of findings for the script that shows a revealed content; whole ones are left out where there are others."""
    found = []
    for check, one in findings(decision):
        if isinstance(one.where, (Span, Region)):
            found.append({"check": check, "label": one.label, "score": one.score, **asdict(one.where)})
    return found


def place_words(where: Place | None) -> str:
    """A place in numbers; empty for the whole."""
    match where:
        case Span(start, end):
            return f"{start}–{end}"
        case Region(left, top, right, bottom):
            return f"{left}, {top} – {right}, {bottom}"
    return ""
