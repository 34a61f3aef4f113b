"""guard.recorded: columns of words of which few are different."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from guard.recorded import Coded

COLUMNS = st.lists(st.sampled_from(["allow", "block", "", "no body's"]) | st.text(max_size=2), max_size=9)


@given(COLUMNS, st.integers(0, 9), st.integers(0, 9))
def test_a_coded_column_is_the_column(column: list[str], first: int, last: int) -> None:
    """Whoever reads it row by row, in parts, or asks what is in it, hears the same."""
    coded = Coded.of(column)
    assert Coded.of(coded) is coded
    assert list(coded) == column == [coded[row] for row in range(len(coded))]
    assert list(coded[first:last]) == column[first:last]
    assert sorted(coded.used()) == sorted(set(column))
    assert [word in coded for word in ("allow", "zz")] == [word in column for word in ("allow", "zz")]
    assert coded.each(len, np.int64).tolist() == [len(word) for word in column]


def test_words_that_stand_nowhere_are_not_asked_about() -> None:
    """A table of words may serve several columns."""
    coded = Coded(["a", "other", "b"], np.array([2, 0, 2]))
    assert coded.used() == ["a", "b"]
    assert coded.each({"a": 1, "b": 2}.__getitem__, np.int8).tolist() == [2, 1, 2]
    assert Coded(["a"], np.array([], np.int64)).used() == []
