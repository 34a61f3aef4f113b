"""Judges the tests of suites: a content goes through the whole policy, a prompt before its reply, as in production."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from guard.chain import context_of
from guard.conditions import evaluate, measured
from guard.decide import decide
from guard.rules import Clock, Condition, Policy, Rule
from guard.types import Action, Content, Context, Edit, Modality, Origin, Region, Request, Span, Stage, Verdict
from policies import suite_schema as schema
from policies.schema import Picture
from policies.testing.example import broken
from policies.testing.measure import Measured
from policies.testing.pictures import MissingFileError, read_image
from policies.testing.released import CONVERSATION, mismatch
from policies.testing.report import Outcome, Result
from policies.testing.scores import Known, checks_of, excesses, leaves, shortfalls
from policies.testing.seen import Seen
from policies.testing.situation import usual
from policies.testing.suite import SuiteTest


@dataclass(frozen=True, slots=True)
class Scenario:
    """A test of a suite that is ready to be measured."""

    test: SuiteTest
    contents: tuple[Content, ...]
    """In the order they are judged: at most a prompt and its reply."""
    time: datetime | None
    trouble: str = ""
    """Why there are no contents."""


@dataclass(frozen=True, slots=True)
class Step:
    """A content on which the policy decided."""

    content: Content
    context: Context
    known: Known
    verdict: Verdict


def prepare(policy: Policy, tests: Sequence[SuiteTest]) -> list[Scenario]:
    """Tests with their contents; a file that cannot be read is the test's trouble."""
    return [_prepare(policy, test) for test in tests]


def _prepare(policy: Policy, test: SuiteTest) -> Scenario:
    where, given = test.entry.context, test.entry.given
    tenant, generator = usual(policy)
    language = where.language or Request("").language
    request = Request(
        "test",
        tenant=where.tenant or tenant,
        language=language,
        conversation=CONVERSATION,
        purpose=where.purpose or "",
        consent=where.consent or "",
    )
    origin = Origin(where.generator or generator)
    whole = Picture(image=given.image) if given.image is not None else given.text
    asked: list[tuple[str | Picture | None, Stage]] = [
        (whole, Stage(where.stage or Stage.OUTPUT)),
        (given.prompt, Stage.PROMPT),
        (given.reply, Stage.OUTPUT),
    ]
    time = datetime.fromisoformat(where.time) if where.time else None
    try:
        contents = [_content(data, stage, test, origin, request) for data, stage in asked if data is not None]
    except MissingFileError as error:
        return Scenario(test, (), time, str(error))
    return Scenario(test, tuple(contents), time)


def _content(data: str | Picture, stage: Stage, test: SuiteTest, origin: Origin, request: Request) -> Content:
    if isinstance(data, str):
        return Content(Modality.TEXT, data, "text/plain", stage, origin, request)
    return read_image(Path(data.image), test.at, stage, origin, request)


def steps(policy: Policy, scenario: Scenario, found: Sequence[Measured]) -> list[Step]:
    """What the policy decides on each content; a reply is never made to a prompt that is withheld."""
    taken: list[Step] = []
    for content, one in zip(scenario.contents, found, strict=True):
        context = context_of(content, scenario.time)
        taken.append(Step(content, context, measured(one.results), decide(policy, one.results, context)))
        if not taken[-1].verdict.action.releases:
            break
    return taken


def judge(policy: Policy, scenario: Scenario, taken: Sequence[Step], seconds: float) -> Result:
    """Tell whether the policy decides what the test expects. `taken`: empty for a test without contents."""
    expected = scenario.test.entry.expect
    outcome = Outcome.ERROR
    troubles = (scenario.trouble,) if scenario.trouble else tuple(why for step in taken for why in _troubles(policy, step))
    why = tuple(dict.fromkeys(troubles))
    if not why:
        why = tuple(_compare(policy, expected, taken[-1]))
        if expected.prompt is not None:
            why = (*(f"prompt: {line}" for line in _compare(policy, expected.prompt, taken[0])), *why)
        if len(taken) < len(scenario.contents) and why:
            why = ("the prompt was withheld, so there is no reply", *why)
        outcome = Outcome.FAILED if why else Outcome.PASSED
    return Result(scenario.test.at, scenario.test.entry.name, "", "suite", outcome, why, seconds)


def seen(policy: Policy, scenario: Scenario, taken: Sequence[Step]) -> Iterator[Seen]:
    """What the test shows of the rules that it says something about."""
    expected = scenario.test.entry.expect
    pairs = [(expected, taken[-1])] + ([(expected.prompt, taken[0])] if expected.prompt else [])
    for part, step in pairs:
        for rule in policy.rules:
            fires = _expects(part, rule)
            if fires is not None:
                yield Seen(scenario.test.at, scenario.test.entry.name, rule, fires, step.known, step.context)


def _expects(expected: schema.Expectation, rule: Rule) -> bool | None:
    """Whether the rule has to fire; None where the test would not notice."""
    if rule.id in (*(expected.rules or ()), *(expected.fires or ())):
        return True
    stricter = expected.action is not None and rule.action.strength > Action(expected.action).strength
    if stricter or expected.rules is not None or rule.id in (expected.not_ or ()):
        return False
    return None


def _troubles(policy: Policy, step: Step) -> Iterator[str]:
    yield from broken(step.verdict.fired)
    if step.context.time is None and _depends_on_time(policy, step):
        yield "the outcome depends on the time, and the test names none: give `context: {time: 2026-12-24T20:00:00+01:00}`"


def _depends_on_time(policy: Policy, step: Step) -> bool:
    """Whether a condition on time is all that is missing, or an exception might set a rule aside that fired."""
    fired = {one.rule for one in step.verdict.fired}
    if any(fired & set(one.rules) and _may_hold(one.when, step) for one in policy.exceptions):
        return True
    return any(
        evaluate(rule.when, step.known, step.context).value is None and checks_of(rule) <= set(step.known)
        for rule in policy.rules
        if any(isinstance(leaf, Clock) for leaf, _ in leaves(rule.when))
    )


def _may_hold(condition: Condition | None, step: Step) -> bool:
    return condition is None or evaluate(condition, step.known, step.context).value is not False


# --- what was expected, against what was decided -----------------------------------------------------------------------


def _compare(policy: Policy, expected: schema.Expectation, step: Step) -> Iterator[str]:
    verdict = step.verdict
    if expected.action is not None and verdict.action is not Action(expected.action):
        yield f"expected action {expected.action}, found {verdict.action.value}: {verdict.explanation}"
    yield from _rules(policy, expected, step)
    told = dict(verdict.message)
    for language, text in (expected.message or {}).items():
        if told.get(language) != text:
            yield f"expected message in {language}: {text!r}, found {told.get(language, 'none')!r}"
    if expected.edits is not None:
        yield from _edits(expected.edits, step)
    if expected.released is not None:
        yield from _released(expected.released, step)


def _rules(policy: Policy, expected: schema.Expectation, step: Step) -> Iterator[str]:
    rules = {rule.id: rule for rule in policy.rules}
    fired = {one.rule: one for one in step.verdict.fired}
    for name in dict.fromkeys((*(expected.rules or ()), *(expected.fires or ()))):
        if name not in fired:
            yield f"expected {name} to fire; {'; '.join(shortfalls(rules[name], step.known, step.context))}"
    unwanted = [] if expected.rules is None else [name for name in fired if name not in expected.rules]
    for name in dict.fromkeys((*unwanted, *(name for name in expected.not_ or () if name in fired))):
        why = "; ".join(excesses(rules[name], step.known, step.context)) if name in rules else fired[name].because
        yield f"expected {name} not to fire; {why}"


def _edits(expected: Sequence[schema.ExpectedEdit], step: Step) -> Iterator[str]:
    left = list(dict.fromkeys(step.verdict.edits))
    # What is said most precisely chooses first, so that a vague expectation takes no edit that a precise one needs.
    for one in sorted(expected, key=lambda edit: -len(edit.model_fields_set)):
        match = next((edit for edit in left if _is(one, edit, step.content)), None)
        if match is None:
            said = ", ".join(f"{key} {value!r}" for key, value in one.model_dump(exclude_none=True).items())
            yield f"expected an edit with {said}; found {_listing(left, step.content)}"
        else:
            left.remove(match)
    if left:
        yield f"expected no further edit; found {_listing(left, step.content)}"


def _is(expected: schema.ExpectedEdit, edit: Edit, content: Content) -> bool:
    where = edit.where
    place = [where.start, where.end] if isinstance(where, Span) else [where.left, where.top, where.right, where.bottom]
    stood = content.text[where.start : where.end] if isinstance(where, Span) else None
    pairs = (
        (expected.rule, edit.rule),
        (expected.label, edit.label),
        (expected.text, stood),
        (expected.span, place),
        (expected.region, place),
    )
    return all(wanted is None or wanted == found for wanted, found in pairs)


def _listing(edits: Sequence[Edit], content: Content) -> str:
    return ", ".join(_told(edit, content) for edit in edits) or "none"


def _told(edit: Edit, content: Content) -> str:
    where = edit.where
    if isinstance(where, Region):
        return f"{edit.rule} {edit.label} at {where.left}, {where.top} to {where.right}, {where.bottom}"
    return f"{edit.rule} {edit.label} {content.text[where.start : where.end]!r} at {where.start} to {where.end}"


def _released(expected: str, step: Step) -> Iterator[str]:
    verdict = step.verdict
    if not verdict.action.releases:
        yield f"expected {expected!r} to be released; {verdict.explanation}"
    elif step.content.modality is Modality.TEXT:
        yield from mismatch(expected, step.content, verdict.edits)
