"""guard.trace: a condition's tree with what was measured."""

from __future__ import annotations

from guard.conditions import evaluate, measured
from guard.rules import AllOf, AnyOf, Attribute, Found, Length, Not, ScoreAtLeast, ScoreByLanguage
from guard.trace import trace
from tests.fakes import context, finding, result

RESULTS = measured([result("a", finding("word", 410), finding("word", 300), finding("dark", 100)), result("b")])


def test_a_score_says_how_far_it_is_from_its_threshold() -> None:
    """Below and above, by the highest score of the label, or of any."""
    below = trace(ScoreAtLeast("a", "word", 600), RESULTS, context())
    assert (below.value, below.measured, below.distance) == (False, "0.410", -190)
    above = trace(ScoreAtLeast("a", "*", 400), RESULTS, context())
    assert (above.value, above.measured, above.distance) == (True, "word 0.410", 10)
    silent = trace(ScoreAtLeast("b", "word", 400), RESULTS, context())
    assert (silent.value, silent.measured, silent.distance) == (False, "not reported", None)


def test_a_check_without_result_is_unknown_and_says_so() -> None:
    """Whatever is asked of it."""
    for condition in (ScoreAtLeast("c", "word", 1), Found("c"), Not(Found("c")), AllOf((Found("c"),))):
        step = trace(condition, RESULTS, context())
        assert step.value is None
        assert not step.answered


def test_thresholds_by_language_name_the_one_that_counts() -> None:
    """For the language of the content."""
    condition = ScoreByLanguage("a", "word", (("*", 600), ("zh", 400)))
    chinese = trace(condition, RESULTS, context(language="zh-Hans"))
    assert (chinese.value, chinese.distance) == (True, 10)
    assert chinese.words.endswith("here 0.400 (zh-Hans)")
    assert trace(condition, RESULTS, context(language="en")).value is False


def test_the_tree_has_the_values_of_its_parts() -> None:
    """`all`, `any`, `not` with each condition under them."""
    condition = AllOf(
        (AnyOf((Found("b"), Found("a", frozenset({"word"})))), Not(Length(below=5)), Attribute("stage", ("prompt",)))
    )
    step = trace(condition, RESULTS, context())
    assert (step.words, step.value) == ("all", False)
    either, contrary, stage = step.parts
    assert [part.measured for part in either.parts] == ["nothing", "word (2)"]
    assert (contrary.words, contrary.value, contrary.parts[0].measured) == ("not", True, "length is 10")
    assert (stage.value, stage.measured) == (False, "stage is output")
    assert step.value is evaluate(condition, RESULTS, context()).value
