"""Judges the examples beside rules: each shows its own rule alone, so that it stays true whatever other rules are added."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from guard.conditions import measured
from guard.decide import decide
from guard.rules import Policy, Rule
from guard.types import Content, Context, FiredRule, Modality, Origin, Request, Stage, Verdict
from policies.loaded import RuleTest
from policies.testing.measure import Measured
from policies.testing.pictures import MissingFileError, read_image
from policies.testing.released import CONVERSATION, image_mismatch, mismatch
from policies.testing.report import Outcome, Result
from policies.testing.scores import checks_of, excesses, shortfalls
from policies.testing.seen import Seen
from policies.testing.situation import situate

_QUOTED = 40


@dataclass(frozen=True, slots=True)
class Example:
    """An example that is ready to be measured."""

    test: RuleTest
    rule: Rule
    name: str
    content: Content | None
    context: Context
    becomes: Content | None = None
    """With `redacts` of an image: the picture that has to leave."""
    trouble: str = ""
    """Why there is no content."""


def prepare(policy: Policy, tests: Iterable[RuleTest]) -> list[Example]:
    """Examples with their contents; a file that cannot be read is the example's trouble."""
    rules = {rule.id: rule for rule in policy.rules}
    return [_prepare(policy, rules[test.rule], test) for test in tests]


def title(test: RuleTest) -> str:
    """What a report calls an example: `threat flags 'I will find you …'`."""
    return f"{test.rule}: {test.name}" if test.name else f"{test.rule} {test.expects} {_quoted(test)}"


def _quoted(test: RuleTest) -> str:
    if test.image is not None:
        return str(test.image)
    text = " ".join(test.text.split())
    return repr(text if len(text) <= _QUOTED else text[: _QUOTED - 1].rstrip() + "…")


def _prepare(policy: Policy, rule: Rule, test: RuleTest) -> Example:
    modality = Modality.TEXT if test.image is None else Modality.IMAGE
    context = situate(policy, rule, test, modality, len(test.text))
    request = Request(
        "test",
        tenant=context.tenant,
        language=context.language,
        conversation=CONVERSATION,
        purpose=context.purpose,
        consent=context.consent,
    )
    origin, name = Origin(context.generator), title(test)
    if test.image is None:
        return Example(test, rule, name, Content(modality, test.text, "text/plain", context.stage, origin, request), context)
    try:
        content = read_image(test.image, test.at, context.stage, origin, request)
        becomes = read_image(test.becomes_image, test.at, Stage.OUTPUT, origin, request) if test.becomes_image else None
    except MissingFileError as error:
        return Example(test, rule, name, None, context, trouble=str(error))
    return Example(test, rule, name, content, replace(context, length=content.length), becomes)


def judge(policy: Policy, example: Example, found: Measured | None) -> Result:
    """Tell whether the example shows what it says. `found`: what was measured; None for an example without a content."""
    test = example.test
    seconds = found.seconds if found else 0.0
    if example.content is None or found is None:
        why: tuple[str, ...] = (example.trouble,)
        outcome = Outcome.ERROR
    else:
        verdict = _alone(policy, example, found)
        troubles = broken(verdict.fired)
        why = troubles or _compare(example, example.content, verdict, found)
        outcome = Outcome.ERROR if troubles else Outcome.FAILED if why else Outcome.PASSED
    return Result(test.at, example.name, test.rule, test.expects, outcome, why, seconds)


def seen(example: Example, found: Measured) -> Seen:
    """What the example shows of its rule."""
    known = measured(found.results)
    return Seen(example.test.at, example.name, example.rule, example.test.expects != "passes", known, example.context)


def broken(fired: Sequence[FiredRule]) -> tuple[str, ...]:
    """The checks that gave no answer, each with why."""
    return tuple(f"the check could not run: {one.because}" for one in fired if one.rule.startswith("check:"))


def _alone(policy: Policy, example: Example, found: Measured) -> Verdict:
    """What the policy would say if it had this rule alone, and only the checks that the rule asks."""
    asked = checks_of(example.rule)
    checks = tuple(spec for spec in policy.checks if spec.name in asked)
    results = tuple(result for result in found.results if result.check in asked)
    return decide(replace(policy, rules=(example.rule,), checks=checks, exceptions=()), results, example.context)


def _compare(example: Example, content: Content, verdict: Verdict, found: Measured) -> tuple[str, ...]:
    test, rule, known = example.test, example.rule, measured(found.results)
    fired = next((one for one in verdict.fired if one.rule == rule.id), None)
    if test.expects == "passes":
        return () if fired is None else (f"expected to pass; {'; '.join(excesses(rule, known, example.context))}",)
    verb = "flag" if test.expects == "flags" else "redact"
    if fired is None:
        return (f"expected to {verb}; {'; '.join(shortfalls(rule, known, example.context))}",)
    if test.expects == "flags":
        return ()
    if fired.action is not rule.action:
        return (f"expected to redact; {fired.because}",)
    if example.becomes is not None:
        return image_mismatch(example.becomes, content, verdict.edits)
    return mismatch(test.becomes, content, verdict.edits)
