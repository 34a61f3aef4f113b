"""What is said to follow, follows: proofs on conditions are held against their values."""

from __future__ import annotations

import pytest
from hypothesis import assume, event, given, settings
from hypothesis import strategies as st

from guard.conditions import evaluate
from guard.rules import AllOf, AnyOf, Attribute, Clock, Condition, Found, Length, Not, ScoreAtLeast, ScoreByLanguage
from policies.implication import implies, never, normal, within
from tests.policies.worlds import CHECKS, conditions, worlds


def _weaker(condition: Condition, draw: st.DrawFn) -> Condition:
    """Something that often follows."""
    match condition:
        case ScoreAtLeast(check, label, score):
            return ScoreAtLeast(check, draw(st.sampled_from([label, "*"])), draw(st.sampled_from([0, score])))
        case Found(check):
            return draw(st.sampled_from([condition, Found(check)]))
        case AllOf(parts):
            return _weaker(draw(st.sampled_from(parts)), draw)
        case AnyOf(parts):
            return AnyOf((*(_weaker(part, draw) for part in parts), draw(conditions)))
        case Not(AnyOf(parts)):
            return Not(draw(st.sampled_from(parts)))
        case _:
            return draw(st.sampled_from([condition, AnyOf((condition, draw(conditions)))]))


@st.composite
def pairs(draw: st.DrawFn) -> tuple[Condition, Condition]:
    """A condition, and one that may follow from it."""
    premise = draw(conditions)
    return premise, _weaker(premise, draw) if draw(st.booleans()) else draw(conditions)


@settings(max_examples=200, deadline=None)
@given(pairs(), st.data())
def test_what_follows_is_true_wherever_its_premise_is(pair, data):
    """`implies` is sound against `guard.conditions.evaluate`."""
    premise, conclusion = pair
    assume(implies(premise, conclusion, CHECKS))
    for known, context in data.draw(st.lists(worlds, min_size=2, max_size=5)):
        held = evaluate(premise, known, context).value
        event(f"premise {held}")
        if held is True:
            assert evaluate(conclusion, known, context).value is True


@settings(max_examples=200, deadline=None)
@given(conditions, conditions, st.data())
def test_what_never_holds_is_true_nowhere(condition, other, data):
    """`never` is sound as well."""
    whole = AllOf((condition, other))
    for known, context in data.draw(st.lists(worlds, min_size=2, max_size=5)) if never(whole, CHECKS) else ():
        assert evaluate(whole, known, context).value is not True


@settings(max_examples=150, deadline=None)
@given(conditions, st.lists(worlds, min_size=1, max_size=4))
def test_the_normal_form_has_the_same_value(condition, several):
    """Also where it is unknown."""
    for known, context in several:
        assert evaluate(normal(condition), known, context).value is evaluate(condition, known, context).value


@settings(max_examples=150, deadline=None)
@given(st.text("ab*?[]", max_size=5), st.text("ab*?[]", max_size=5), st.text("ab[", max_size=5))
def test_patterns_within_patterns(pattern, other, value):
    """Whatever the one matches, the other does."""
    from fnmatch import fnmatchcase

    if within(pattern, other) and fnmatchcase(value, pattern):
        assert fnmatchcase(value, other)


A5, A8, ANY5 = ScoreAtLeast("x", "a", 500), ScoreAtLeast("x", "a", 800), ScoreAtLeast("x", "*", 500)
PROMPT, OUTPUT = Attribute("stage", ("prompt",)), Attribute("stage", ("output",))


@pytest.mark.parametrize(
    ("premise", "conclusion", "follows"),
    [
        (A8, A5, True),
        (A5, A8, False),
        (A5, ANY5, True),
        (ANY5, A5, False),
        (A5, Found("x"), True),
        (A5, Found("x", frozenset("b")), False),
        (Found("x"), ScoreAtLeast("x", "*", 0), True),
        (Not(A5), Not(A8), True),
        (Not(A8), Not(A5), False),
        (AllOf((A8, PROMPT)), A5, True),
        (A8, AllOf((A5, PROMPT)), False),
        (AnyOf((A8, AllOf((A5, PROMPT)))), A5, True),
        (AllOf((A8, OUTPUT)), AllOf((A5, Not(PROMPT))), True),
        (ScoreAtLeast("y", "a", 800), AllOf((ScoreAtLeast("y", "a", 500), PROMPT)), True),
        (Attribute("tenant", ("shop-1",)), Attribute("tenant", ("bank", "shop-*")), True),
        (Attribute("tenant", ("bank",)), Not(Attribute("tenant", ("shop-*",))), True),
        (Length(20), Length(10), True),
        (Length(20), Length(10, 60), False),
        (ScoreByLanguage("x", "a", (("*", 600), ("zh", 700))), A5, True),
        (A8, ScoreByLanguage("x", "a", (("*", 600), ("zh", 900))), False),
        (Clock(days=frozenset({5})), Clock(days=frozenset({5, 6})), True),
        (Clock(days=frozenset({5})), Clock(days=frozenset({5, 6}), zone="Asia/Tokyo"), False),
    ],
)
def test_what_an_author_would_call_covered_is_seen(premise, conclusion, follows):
    """The common forms, and their near misses."""
    assert implies(premise, conclusion, CHECKS) is follows


@pytest.mark.parametrize(
    ("condition", "nowhere"),
    [
        (AllOf((A8, Not(A5))), True),
        (AllOf((A5, Not(A8))), False),
        (AllOf((PROMPT, AnyOf((OUTPUT, AllOf((OUTPUT, A5)))))), True),
        (AllOf((PROMPT, AnyOf((OUTPUT, A5)))), False),
        (AllOf((Attribute("tenant", ("shop",)), Attribute("tenant", ("bank",)))), True),
        (AllOf((Attribute("tenant", ("sh*",)), Attribute("tenant", ("shop",)))), False),
        (AllOf((Length(60), Length(0, 60))), True),
        (AllOf((OUTPUT, ScoreAtLeast("y", "a", 500))), True),
    ],
)
def test_contradictions_are_seen(condition, nowhere):
    """Two parts that are never true together."""
    assert never(condition, CHECKS) is nowhere


def test_a_proof_that_takes_too_long_is_given_up():
    """Conditions of hundreds of parts end in a moment."""
    wide = AnyOf(tuple(AllOf((ScoreAtLeast("x", "a", n), ScoreAtLeast("y", "b", n))) for n in range(1, 300)))
    assert implies(wide, AnyOf(tuple(reversed(wide.conditions)))) in (True, False)
