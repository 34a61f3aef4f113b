"""Agreement of spans, worked out by hand."""

from __future__ import annotations

from evaluation.labels import Labelled
from evaluation.metrics import Confusion
from evaluation.spans import agreement, by_type

CARD, NAME = "CREDIT_CARD", "PERSON"


def test_half_of_the_union_is_enough_by_overlap_and_not_exactly():
    """5 of 10 code points in common agree, 4 of 11 do not."""
    expected = [[Labelled(CARD, 0, 10)], [Labelled(CARD, 0, 9)]]
    found = [[Labelled(CARD, 0, 5)], [Labelled(CARD, 5, 11)]]
    one = agreement(found, expected)
    assert one.overlap == Confusion(1, 1, 1)
    assert one.exact == Confusion(0, 2, 2)


def test_each_span_is_used_once():
    """Two findings on one name are one hit and one false alarm; the better one is taken."""
    one = agreement([[Labelled(NAME, 0, 6), Labelled(NAME, 0, 8)]], [[Labelled(NAME, 0, 8)]])
    assert (one.overlap, one.exact) == (Confusion(1, 1, 0), Confusion(1, 1, 0))


def test_types_have_to_agree_unless_they_are_set_aside():
    """A card taken for a name is a miss and a false alarm; places alone agree."""
    found, expected = [[Labelled(NAME, 3, 9)]], [[Labelled(CARD, 3, 9)]]
    assert agreement(found, expected).exact == Confusion(0, 1, 1)
    assert agreement(found, expected, typed=False).exact == Confusion(1, 0, 0)
    assert {name: one.overlap for name, one in by_type(found, expected).items()} == {
        CARD: Confusion(0, 0, 1),
        NAME: Confusion(0, 1, 0),
    }


def test_spans_of_one_text_never_meet_those_of_another():
    """The same place in the next text is another place."""
    assert agreement([[Labelled(NAME, 0, 3)], []], [[], [Labelled(NAME, 0, 3)]]).overlap == Confusion(0, 1, 1)
