"""guard.made: values that are made quickly are the same values."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.made import QuickResult, QuickVerdict
from guard.types import Action, CheckResult, Edit, Finding, FiredRule, Region, Span, Status, Verdict

WORDS = st.text(max_size=8)
NUMBERS = st.integers(-5, 2**40)
PLACES = st.builds(Span, NUMBERS, NUMBERS) | st.builds(Region, NUMBERS, NUMBERS, NUMBERS, NUMBERS)
FINDINGS = st.builds(Finding, WORDS, WORDS, NUMBERS, st.none() | PLACES, st.none(), WORDS)
FIRED = st.builds(FiredRule, WORDS, WORDS, st.sampled_from(Action), WORDS, WORDS, WORDS, WORDS)
EDITS = st.builds(Edit, PLACES, WORDS, WORDS, WORDS)
RESULTS = st.tuples(
    WORDS,
    WORDS,
    WORDS,
    WORDS,
    st.sampled_from(Status),
    st.lists(FINDINGS, max_size=2).map(tuple),
    st.none() | PLACES,
    NUMBERS,
    WORDS,
)
VERDICTS = st.tuples(
    st.sampled_from(Action),
    st.lists(FIRED, max_size=2).map(tuple),
    WORDS,
    WORDS,
    NUMBERS,
    WORDS,
    st.lists(EDITS, max_size=2).map(tuple),
    st.lists(st.tuples(WORDS, WORDS), max_size=2).map(tuple),
)


def same(one: Any, other: Any) -> None:
    """Nothing that a value can be asked tells them apart."""
    assert type(one) is type(other)
    assert one == other
    assert other == one
    assert hash(one) == hash(other)
    assert repr(one) == repr(other)
    assert dataclasses.astuple(one) == dataclasses.astuple(other)
    assert pickle.dumps(one) == pickle.dumps(other)
    assert pickle.loads(pickle.dumps(one)) == one
    assert copy.deepcopy(one) == one
    assert not hasattr(one, "__dict__")


@given(RESULTS)
def test_a_result_is_the_same_however_it_is_made(fields: tuple[Any, ...]) -> None:
    """Type, equality, hash, words, pickle, copies."""
    same(QuickResult(*fields), CheckResult(*fields))
    changed = dataclasses.replace(QuickResult(*fields), latency_us=7)
    assert changed == dataclasses.replace(CheckResult(*fields), latency_us=7)


@given(VERDICTS)
def test_a_verdict_is_the_same_however_it_is_made(fields: tuple[Any, ...]) -> None:
    """Type, equality, hash, words, pickle, copies."""
    same(QuickVerdict(*fields), Verdict(*fields))
    assert dataclasses.replace(QuickVerdict(*fields), version=7) == dataclasses.replace(Verdict(*fields), version=7)


@pytest.mark.parametrize(("quick", "usual"), [(QuickResult, CheckResult), (QuickVerdict, Verdict)])
def test_they_take_the_fields_in_their_order(quick: type, usual: type) -> None:
    """Who adds a field is reminded of the other place."""
    assert list(inspect.signature(quick).parameters) == [field.name for field in dataclasses.fields(usual)]


@pytest.mark.parametrize(
    "value",
    [
        QuickResult("a", "b", "1", "", Status.OK, (), Span(0, 1), 2, ""),
        QuickVerdict(Action.ALLOW, (), "Released.", "p", 1, "", (), ()),
    ],
)
def test_nobody_changes_them_afterwards(value: Any) -> None:
    """They are frozen like all values."""
    for field in dataclasses.fields(value):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(value, field.name, None)
        with pytest.raises(dataclasses.FrozenInstanceError):
            delattr(value, field.name)
