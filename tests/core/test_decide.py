"""guard.decide and guard.conditions: from recorded results to a verdict."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.conditions import covers, evaluate, measured
from guard.decide import EARLY_STOP, REDACTION, blocks, decide, refuse, settle
from guard.errors import InputError, PolicyError, TooLargeError
from guard.rules import AllOf, AnyOf, Attribute, Condition, Found, MarkSpec, Not, Policy, ScoreAtLeast
from guard.types import Action, CheckResult, Edit, Mark, Match, Modality, Region, Span, Stage, Status
from tests.fakes import IMAGE, context, finding, policy, result, rule, spec

HIT = result("a", finding("word", 700, Span(0, 4)))
MISS = result("a")
FAILED = result("a", finding("word", 999), status=Status.FAILED, error="ValueError")
HALF = result("a", scanned=Span(0, 5))
HALF_HIT = result("a", finding("word", 700, Span(0, 4)), scanned=Span(0, 5))
ASKED = Found("a")
TRUE, FALSE = Attribute("generator", ("list",)), Attribute("generator", ("other",))


@pytest.mark.parametrize(
    ("condition", "results", "expected"),
    [
        (ScoreAtLeast("a", "word", 700), [HIT], True),
        (ScoreAtLeast("a", "word", 701), [HIT], False),
        (ScoreAtLeast("a", "*", 700), [HIT], True),
        (ScoreAtLeast("a", "dark", 0), [HIT], False),
        (Found("a", frozenset({"word"})), [HIT], True),
        (Found("a", frozenset({"dark"})), [HIT], False),
        (ASKED, [MISS], False),
        (Not(ASKED), [MISS], True),
        (Not(ASKED), [HIT], False),
        # A check that did not run: neither true nor false, and neither is the contrary.
        (ASKED, [FAILED], None),
        (Not(ASKED), [FAILED], None),
        (ASKED, [], None),
        (Not(ASKED), [], None),
        (Not(Not(ASKED)), [FAILED], None),
        (ASKED, [result("a", finding(), status=Status.TIMEOUT)], None),
        (ASKED, [result("a", finding(), status=Status.SKIPPED)], None),
        # A check that read a part: what it found is there, what it did not find may be.
        (ASKED, [HALF_HIT], True),
        (ASKED, [HALF], None),
        (Not(ASKED), [HALF], None),
        (Not(ASKED), [HALF_HIT], False),
        (ScoreAtLeast("a", "word", 800), [HALF_HIT], None),
        # Kleene's tables.
        (AllOf((TRUE, ASKED)), [FAILED], None),
        (AllOf((FALSE, ASKED)), [FAILED], False),
        (AllOf((TRUE, ASKED)), [HIT], True),
        (AnyOf((TRUE, ASKED)), [FAILED], True),
        (AnyOf((FALSE, ASKED)), [FAILED], None),
        (AnyOf((FALSE, ASKED)), [MISS], False),
        (Not(AllOf((TRUE, ASKED))), [FAILED], None),
        (Not(AnyOf((FALSE, ASKED))), [FAILED], None),
        (Attribute("stage", ("out*",)), [], True),
        (Attribute("stage", ("prompt", "chunk")), [], False),
        (Attribute("modality", ("text",)), [], True),
        (Attribute("generator", ("LIST",)), [], False),
    ],
)
def test_a_condition_has_three_values(condition: Condition, results: list[CheckResult], expected: bool | None) -> None:
    """True and false need a check that ran; everything else is unknown."""
    assert evaluate(condition, measured(results), context()).value is expected


@pytest.mark.parametrize("status", [Status.FAILED, Status.TIMEOUT, Status.SKIPPED])
@pytest.mark.parametrize("when", [ASKED, Not(ASKED), ScoreAtLeast("a", "*", 0), Not(ScoreAtLeast("a", "*", 0))])
def test_a_check_that_did_not_run_fires_no_rule(status: Status, when: Condition) -> None:
    """What such a check reported counts for nothing, and its silence for nothing either."""
    verdict = decide(
        policy([spec("a", on_failure=Action.LABEL)], [rule(Action.BLOCK, when)]),
        [result("a", finding(), status=status)],
        context(),
    )
    assert [fired.rule for fired in verdict.fired] == ["check:a"]
    assert verdict.action is Action.LABEL


@pytest.mark.parametrize(("span", "whole"), [(Span(0, 10), True), (Span(0, 11), True), (Span(1, 10), False), (None, False)])
def test_a_text_is_covered_from_its_first_to_its_last_code_point(span: Span | None, whole: bool) -> None:
    """A range that starts later or ends earlier is a part."""
    assert covers(span, context()) is whole


def test_an_image_is_read_whole_or_not_at_all() -> None:
    """Any region means the image was read; a span or nothing means that it was not."""
    seen = context(modality=Modality.IMAGE)
    assert covers(Region(0, 0, 1, 1), seen)
    assert not covers(Span(0, 10), seen)
    assert not covers(None, seen)


@pytest.mark.parametrize("strictest", list(Action))
def test_the_strictest_action_wins_whatever_the_order_of_rules(strictest: Action) -> None:
    """Rules of every weaker action fire too, before and after it."""
    actions = [action for action in Action if action.strength <= strictest.strength]
    for order in (actions, actions[::-1]):
        rules = [rule(action, ASKED) for action in order]
        verdict = decide(policy([spec("a")], rules), [HIT], context())
        assert verdict.action is strictest
        assert len(verdict.fired) == len(actions)
        assert verdict.fired[0].action is strictest


def test_the_explanation_names_rule_check_score_and_threshold() -> None:
    """An officer reads why, without any of the content."""
    verdict = decide(policy([spec("a")], [rule(Action.BLOCK, ScoreAtLeast("a", "word", 600), "threat")]), [HIT], context())
    assert verdict.explanation == "Blocked. Rule threat: a.word 0.700 is at least 0.600."


def test_a_matched_work_is_named_with_its_distance() -> None:
    """The title and the distance say which work, and how near."""
    match = Match("bank", "w1", "Three Boats", "pdq", 12, 31)
    found = finding("matched")
    found = type(found)(found.category, found.label, 1000, None, match)
    verdict = decide(policy([spec("a")], [rule(Action.BLOCK, ASKED)]), [result("a", found)], context())
    assert "'Three Boats' (pdq distance 12 of 31)" in verdict.explanation


def test_no_rule_fired_allows_and_says_how_many_checks_read_it() -> None:
    """Clean follows from checks that ran."""
    verdict = decide(policy([spec("a")], [rule(Action.BLOCK, ASKED)]), [MISS], context())
    assert (verdict.action, verdict.fired) == (Action.ALLOW, ())
    assert verdict.explanation == "Released. 1 checks read all of it and no rule fired."


# --- redaction -------------------------------------------------------------------------------------------------------


def test_edits_of_all_firing_redact_rules_apply() -> None:
    """Two rules on two checks: the places of both are edited, each with its own operator."""
    rules = [
        rule(Action.REDACT, Found("a"), "cards", operator="mask", parameters=(("keep_last", "4"),)),
        rule(Action.REDACT, Found("b"), "names", operator="replace"),
        rule(Action.REDACT, Found("b", frozenset({"other"})), "silent", operator="remove"),
    ]
    results = [HIT, result("b", finding("dark", where=Span(5, 7)), finding("dark", where=Span(8, 9)))]
    verdict = decide(policy([spec("a"), spec("b")], rules), results, context())
    assert verdict.edits == (
        Edit(Span(0, 4), "mask", "word", "cards", (("keep_last", "4"),)),
        Edit(Span(5, 7), "replace", "dark", "names"),
        Edit(Span(8, 9), "replace", "dark", "names"),
    )


def test_a_finding_without_a_place_turns_redaction_into_a_block() -> None:
    """What is somewhere in the text, but nobody knows where, cannot be cut out."""
    results = [result("a", finding(where=Span(0, 1)), finding(where=None))]
    verdict = decide(policy([spec("a")], [rule(Action.REDACT, ASKED)]), results, context())
    assert (verdict.action, verdict.edits) == (Action.BLOCK, ())
    assert "without a place" in verdict.explanation


def test_a_redact_rule_on_the_context_alone_blocks() -> None:
    """Nothing was found, so there is nothing to cut out, and yet the rule wants it cut."""
    assert decide(policy([spec("a")], [rule(Action.REDACT, TRUE)]), [MISS], context()).action is Action.BLOCK


def test_one_finding_that_satisfies_two_branches_is_edited_once() -> None:
    """`any` and `all` over the same finding still redact, with one edit."""
    both = (Found("a"), ScoreAtLeast("a", "word", 500))
    for when in (AnyOf(both), AllOf(both)):
        verdict = decide(policy([spec("a")], [rule(Action.REDACT, when)]), [HIT], context())
        assert (verdict.action, len(verdict.edits)) == (Action.REDACT, 1)


# --- checks that did not do their work -------------------------------------------------------------------------------


@pytest.mark.parametrize("action", list(Action))
@pytest.mark.parametrize(
    ("results", "why"),
    [
        ([FAILED], "failed: ValueError"),
        ([result("a", status=Status.TIMEOUT, error="no answer within 5 ms")], "timeout: no answer"),
        ([result("a", status=Status.SKIPPED, error="it read nothing")], "skipped: it read nothing"),
        ([], "it gave no result"),
        ([HALF], "it read 0 to 5 of 10"),
        ([result("b")], "it gave no result"),
    ],
)
def test_on_failure_follows_from_a_check_that_gave_no_answer(action: Action, results: list[CheckResult], why: str) -> None:
    """Failed, timed out, skipped, missing, partial: each is named, and the policy decides."""
    verdict = decide(policy([spec("a", on_failure=action)]), results, context())
    assert verdict.action is action
    assert [fired.rule for fired in verdict.fired] == ["check:a"]
    assert why in verdict.fired[0].because


def test_a_check_owes_no_answer_for_what_it_does_not_read() -> None:
    """A check of other stages or modalities is not missed."""
    specs = [spec("a"), spec("b", stages=frozenset({Stage.PROMPT}))]
    assert decide(policy(specs), [MISS], context()).action is Action.ALLOW


def test_a_stopped_check_is_no_failure_while_something_blocks() -> None:
    """Early stop spares the work, it does not add a reason."""
    early = result("b", status=Status.SKIPPED, error=EARLY_STOP)
    specs = [spec("a"), spec("b", group=2)]
    verdict = decide(policy(specs, [rule(Action.BLOCK, ASKED)]), [HIT, early], context())
    assert [fired.rule for fired in verdict.fired] == ["block"]


def test_a_stopped_check_is_a_failure_once_nothing_blocks() -> None:
    """Replayed under a milder policy, what was never read does not pass as clean."""
    early = result("b", status=Status.SKIPPED, error=EARLY_STOP)
    specs = [spec("a"), spec("b", group=2)]
    verdict = decide(policy(specs, [rule(Action.LABEL, ASKED)]), [HIT, early], context())
    assert verdict.action is Action.BLOCK
    assert {fired.rule for fired in verdict.fired} == {"label", "check:b"}


@pytest.mark.parametrize("stage", [Stage.OUTPUT, Stage.CHUNK])
def test_an_output_that_no_check_reads_is_blocked(stage: Stage) -> None:
    """A policy for texts does not let images through unseen."""
    verdict = decide(policy([spec("a")]), [], context(stage=stage, modality=Modality.IMAGE))
    assert verdict.action is Action.BLOCK
    assert [fired.rule for fired in verdict.fired] == ["no-check"]


def test_a_prompt_that_no_check_reads_passes() -> None:
    """Its output is still judged; many policies ask nothing of prompts."""
    only_outputs = spec("a", stages=frozenset({Stage.OUTPUT}))
    assert decide(policy([only_outputs]), [], context(stage=Stage.PROMPT)).action is Action.ALLOW


def test_blocks_asks_only_rules_that_block_and_hold() -> None:
    """Early stop needs a certainty: no weaker rule, no failed check."""
    house = policy([spec("a")], [rule(Action.BLOCK, ASKED), rule(Action.REVIEW, TRUE)])
    assert blocks(house, [HIT], context())
    assert not blocks(house, [MISS], context())
    assert not blocks(house, [FAILED], context())
    assert not blocks(house, [], context())


# --- what the person is told -----------------------------------------------------------------------------------------


def test_the_message_is_the_one_of_the_rule_that_decided() -> None:
    """A weaker rule's message is not used, and a released output has none."""
    own = (("en", "No."),)
    rules = [rule(Action.LABEL, ASKED, message=(("en", "Labelled."),)), rule(Action.BLOCK, ASKED, message=own)]
    assert decide(policy([spec("a")], rules), [HIT], context()).message == own
    assert decide(policy([spec("a")], rules[:1]), [HIT], context()).message == ()


@pytest.mark.parametrize(("action", "word"), [(Action.BLOCK, "withheld"), (Action.REVIEW, "review")])
def test_a_rule_without_a_message_gets_the_default_one(action: Action, word: str) -> None:
    """Both languages have it."""
    message = dict(decide(policy([spec("a")], [rule(action, ASKED)]), [HIT], context()).message)
    assert word in message["en"]
    assert message["zh"]


# --- settle and refuse -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("follows", "expected"), [(one, one) for one in (Action.BLOCK, Action.REVIEW, Action.ALLOW)])
def test_an_unmarkable_output_follows_the_policy(follows: Action, expected: Action) -> None:
    """`on_unmarkable` decides, and the mark that is missing is named."""
    house = policy([spec("a")], marks=[MarkSpec("watermark", Modality.IMAGE, on_unmarkable=follows)])
    verdict = settle(decide(house, [MISS], context()), house, [Mark("watermark", "x", "", verified=False, error="too small")])
    assert verdict.action is expected
    assert "watermark: too small" in verdict.explanation


def test_an_allowed_unmarkable_output_keeps_its_stricter_action() -> None:
    """A mark that could not be put on never weakens a verdict."""
    house = policy(
        [spec("a")], [rule(Action.LABEL, ASKED)], [MarkSpec("watermark", Modality.IMAGE, on_unmarkable=Action.ALLOW)]
    )
    verdict = decide(house, [HIT], context())
    assert settle(verdict, house, [Mark("watermark", "", "", verified=False)]).action is Action.LABEL


def test_of_two_lines_for_one_marker_the_stricter_one_holds() -> None:
    """A marker named for images and for texts does not inherit the milder line."""
    for order in ((Action.BLOCK, Action.ALLOW), (Action.ALLOW, Action.BLOCK)):
        marks = [
            MarkSpec("m", modality, on_unmarkable=one)
            for modality, one in zip((Modality.TEXT, Modality.IMAGE), order, strict=True)
        ]
        house = policy([spec("a")], marks=marks)
        verdict = settle(decide(house, [MISS], context()), house, [Mark("m", "", "", verified=False)])
        assert verdict.action is Action.BLOCK


def test_an_unknown_mark_and_a_failed_redaction_block() -> None:
    """What no line of the policy speaks of is not waved through."""
    house = policy([spec("a")])
    for kind in (REDACTION, "stranger"):
        assert settle(decide(house, [MISS], context()), house, [Mark(kind, "", "", verified=False)]).action is Action.BLOCK


def test_verified_marks_leave_the_verdict_as_it_is() -> None:
    """The very same value comes back."""
    house = policy([spec("a")])
    verdict = decide(house, [MISS], context())
    assert settle(verdict, house, [Mark("watermark", "x", "00", verified=True)]) is verdict
    assert settle(verdict, house, []) is verdict


@pytest.mark.parametrize(
    ("error", "name"),
    [
        (InputError("found a damaged file"), "input-unreadable"),
        (TooLargeError("found 9, expected 3"), "input-too-large"),
        (PolicyError("no policy covers it"), "no-policy"),
    ],
)
@pytest.mark.parametrize("house", [None, policy([spec("a")])])
def test_refuse_blocks_and_says_why(error: Exception, name: str, house: Policy | None) -> None:
    """The reason is in the verdict and in the message, with and without a policy."""
    verdict = refuse(error, house)  # type: ignore[arg-type]
    assert verdict.action is Action.BLOCK
    assert [fired.rule for fired in verdict.fired] == [name]
    assert str(error) in verdict.explanation
    assert verdict.policy == (house.id if house else "")


# --- properties ------------------------------------------------------------------------------------------------------

CHECKS, LABELS = ("a", "b"), ("word", "dark")
SPANS = st.tuples(st.integers(0, 9), st.integers(1, 10)).filter(lambda pair: pair[0] < pair[1]).map(lambda pair: Span(*pair))
FINDINGS = st.builds(finding, st.sampled_from(LABELS), st.integers(0, 1000), st.none() | SPANS)
RESULTS = st.builds(
    lambda check, found, status, end: result(check, *found, status=status, scanned=Span(0, end)),
    st.sampled_from(CHECKS),
    st.lists(FINDINGS, max_size=3),
    st.sampled_from([Status.OK, Status.OK, Status.OK, *Status]),
    st.sampled_from([10, 10, 4]),
)
LEAVES = (
    st.builds(ScoreAtLeast, st.sampled_from(CHECKS), st.sampled_from(("*", *LABELS)), st.integers(0, 1000))
    | st.builds(Found, st.sampled_from(CHECKS), st.frozensets(st.sampled_from(LABELS)))
    | st.sampled_from([TRUE, FALSE])
)


def _trees(*, negated: bool) -> st.SearchStrategy[Condition]:
    def grow(inner: st.SearchStrategy[Condition]) -> st.SearchStrategy[Condition]:
        several = st.lists(inner, min_size=1, max_size=3).map(tuple)
        nodes = st.builds(AllOf, several) | st.builds(AnyOf, several)
        return nodes | st.builds(Not, inner) if negated else nodes

    return st.recursive(LEAVES, grow, max_leaves=4)


def _policies(*, negated: bool) -> st.SearchStrategy[Policy]:
    rules = st.lists(st.builds(rule, st.sampled_from(list(Action)), _trees(negated=negated)), max_size=4)
    failing = st.tuples(st.sampled_from(list(Action)), st.sampled_from(list(Action)))
    return st.builds(
        lambda found, on_failure: policy(
            [spec(name, on_failure=one) for name, one in zip(CHECKS, on_failure, strict=True)], found
        ),
        rules,
        failing,
    )


def _each_once(found: list[CheckResult]) -> list[CheckResult]:
    return list({one.check: one for one in found}.values())


ANSWERS = st.lists(RESULTS, max_size=2).map(_each_once)


@given(_policies(negated=True), ANSWERS)
def test_decide_is_pure_and_never_weaker_than_a_rule_that_fired(house: Policy, results: list[CheckResult]) -> None:
    """Same inputs, same verdict; and its action is the strictest of all that fired."""
    verdict = decide(house, results, context())
    assert verdict == decide(house, list(results), context())
    assert verdict == decide(house, results[::-1], context())
    assert all(verdict.action.strength >= fired.action.strength for fired in verdict.fired)
    assert verdict.action is Action.ALLOW or verdict.action in {fired.action for fired in verdict.fired}


@given(_policies(negated=True), ANSWERS)
def test_a_shortfall_is_never_weaker_than_on_failure(house: Policy, results: list[CheckResult]) -> None:
    """Every check that owes an answer has given a whole one, or the verdict is at least its `on_failure`."""
    verdict = decide(house, results, context())
    whole = {one.check for one in results if one.status is Status.OK and covers(one.scanned, context())}
    for line in house.checks:
        assert line.name in whole or verdict.action.strength >= line.on_failure.strength


@given(_policies(negated=False), ANSWERS, st.sampled_from(CHECKS), FINDINGS)
def test_one_finding_more_never_weakens_the_action(house: Policy, results: list[CheckResult], check: str, more: object) -> None:
    """Without `not`, whoever finds more releases no more."""
    richer = [
        result(one.check, *one.findings, more, status=one.status, scanned=one.scanned) if one.check == check else one  # type: ignore[arg-type]
        for one in results
    ]
    before, after = decide(house, results, context()), decide(house, richer, context())
    assert after.action.strength >= before.action.strength


def test_an_image_check_is_not_missed_on_texts() -> None:
    """A text policy may carry image checks."""
    specs = [spec("a"), spec("b")]
    specs[1] = type(specs[1])("b", "b", modalities=IMAGE)
    assert decide(policy(specs), [MISS], context()).action is Action.ALLOW
