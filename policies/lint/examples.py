"""Lints on the examples beside rules."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations, permutations

from guard.rules import Rule
from guard.types import Modality, Stage
from policies.conditions import truths
from policies.implication import implies
from policies.lint.registry import Level, Note, lint
from policies.lint.subject import Subject
from policies.loaded import RuleTest

_FIRES = ("flags", "redacts")


@lint(
    "no-flagged-example",
    Level.WARNING,
    "A rule has no example that it must flag.",
    why="""An example is what the rule means, for those who read it and for the test that runs it: without one nobody notices
    when a change of a threshold, a label or a model makes the rule silent.""",
)
def _no_flagged_example(subject: Subject) -> Iterator[Note]:
    for rule, at in subject.rules():
        tests = _tests(subject, rule)
        if _meets(subject, rule, Modality.TEXT) and not any(test.expects in _FIRES for test in tests):
            yield Note(
                subject.rule(rule.id, "id"), f"rule {rule.id!r} without an example that it flags", "`tests: - flags: …`", at
            )


@lint(
    "no-passed-example",
    Level.ADVICE,
    "A rule has no example that it must leave alone.",
    why="""A rule that flags everything passes every test of what it must flag. A near miss, a harmless text with the same
    words, says where the rule ends.""",
)
def _no_passed_example(subject: Subject) -> Iterator[Note]:
    for rule, at in subject.rules():
        tests = _tests(subject, rule)
        if tests and _meets(subject, rule, Modality.TEXT) and all(test.expects in _FIRES for test in tests):
            found = f"rule {rule.id!r} without an example that it passes"
            yield Note(subject.rule(rule.id, "tests"), found, "`tests: - passes: …`, a near miss", at)


@lint(
    "no-image-example",
    Level.ADVICE,
    "A rule on images alone has no example.",
    why="""Rules on images are tested with image files beside the policy. Without one, only a bank or a model that is not there
    would be noticed.""",
)
def _no_image_example(subject: Subject) -> Iterator[Note]:
    for rule, at in subject.rules():
        meets = [one for one in (Modality.TEXT, Modality.IMAGE) if _meets(subject, rule, one)]
        if meets == [Modality.IMAGE] and not _tests(subject, rule):
            yield Note(subject.rule(rule.id, "id"), f"rule {rule.id!r} without an example", "`tests` with an image file", at)


@lint(
    "contradictory-examples",
    Level.ERROR,
    "An example must be flagged and must not be.",
    why="""The same example stands under `flags` and `passes` of one rule, or a rule flags it whose condition implies that of a
    rule which must pass it. Both cannot come true, so the policy's tests always fail.""",
)
def _contradictory_examples(subject: Subject) -> Iterator[Note]:
    rules = {rule.id: rule for rule in subject.policy.rules}
    for one, other in permutations(subject.loaded.tests, 2):
        if one.expects not in _FIRES or other.expects != "passes" or _content(one) != _content(other):
            continue
        flags, passes = rules[one.rule], rules[other.rule]
        same = flags is passes or (
            _stands(subject, flags) == _stands(subject, passes) and implies(flags.when, passes.when, subject.checks)
        )
        if same:
            told = "" if flags is passes else f", whose condition implies that of rule {passes.id!r}"
            yield Note(
                other.at,
                f"an example to pass that rule {flags.id!r}{told}, flags on line {one.at.line}",
                "one of the two",
                subject.rule(passes.id),
            )


@lint(
    "repeated-example",
    Level.ADVICE,
    "A rule has the same example twice.",
    why="""The second one tests nothing. Usually it was copied to be changed; change it, or take it out.""",
)
def _repeated_example(subject: Subject) -> Iterator[Note]:
    for one, other in combinations(subject.loaded.tests, 2):
        if one.rule == other.rule and one.expects == other.expects and _content(one) == _content(other):
            yield Note(other.at, f"the example of line {one.at.line} again", "another one", subject.rule(one.rule))


def _tests(subject: Subject, rule: Rule) -> list[RuleTest]:
    return [test for test in subject.loaded.tests if test.rule == rule.id]


def _content(test: RuleTest) -> tuple[object, ...]:
    return test.text, test.image, test.stage, test.language, test.tenant, test.generator


def _meets(subject: Subject, rule: Rule, modality: Modality) -> bool:
    """Whether a content of this modality can meet the rule."""
    return any(truths(rule.when, subject.loaded.checks, stage, modality)[0] for stage in Stage)


def _stands(subject: Subject, rule: Rule) -> Stage | None:
    """Where an example of the rule stands that does not say so: an output before a prompt."""
    places = (Stage.OUTPUT, Stage.PROMPT, Stage.CHUNK)
    held = (stage for stage in places if truths(rule.when, subject.loaded.checks, stage, Modality.TEXT)[0])
    return next(held, None)
