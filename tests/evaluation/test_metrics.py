"""The figures, against values worked out by hand and values that scikit-learn 1.9.1 gave."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation import metrics

SCIKIT_LEARN = [
    (97, 1, 0.7957181088314005, 0.8791925876121939, 0.7777777777777778, 0.711864406779661, 0.7241379310344828),
    (400, 50, 0.7830859375, 0.8502830604650947, 0.7511961722488039, 0.6541666666666667, 0.6715141146278871),
    (1000, 250, 0.7825041666666667, 0.8142517470315604, 0.7612781954887218, 0.675, 0.6906548431105047),
]
"""Rows, step of the scores; roc_auc_score, average_precision_score, precision_score, recall_score, fbeta_score (beta 2)."""


def made(rows: int, step: int) -> tuple[list[int], list[bool]]:
    """Scores and classes by a rule; the larger the step, the more ties."""
    truths = [(i * 7919 + i * i * 31) % 5 < 2 for i in range(rows)]
    return [((i * i * 37 + i * 101) % 701 + (250 if truth else 0)) // step * step for i, truth in enumerate(truths)], truths


@pytest.mark.parametrize("case", SCIKIT_LEARN)
def test_figures_are_those_of_scikit_learn_with_few_ties_and_with_many(case):
    """Area, average precision, precision, recall and F2 at 500 per mille."""
    rows, step, *expected = case
    scores, truths = made(rows, step)
    counts = metrics.confusion([score >= 500 for score in scores], truths)
    found = [
        metrics.roc_auc(scores, truths),
        metrics.average_precision(scores, truths),
        counts.precision,
        counts.recall,
        counts.f2,
    ]
    assert found == pytest.approx(expected, abs=1e-12)


def test_a_small_case_by_hand():
    """Of six pairs of a positive and a negative four are in order and one ties: 4.5 / 6."""
    scores, truths = [900, 600, 600, 400, 100], [True, False, True, True, False]
    assert metrics.roc_auc(scores, truths) == pytest.approx(4.5 / 6)
    assert metrics.average_precision(scores, truths) == pytest.approx((1 + 2 / 3 + 3 / 4) / 3)
    counts = metrics.confusion([score >= 500 for score in scores], truths)
    assert (counts.precision, counts.recall) == (pytest.approx(2 / 3), pytest.approx(2 / 3))
    assert counts.f2 == pytest.approx(5 * 2 / (5 * 2 + 4 * 1 + 1))
    assert counts.fp_per_1000 == 500


def test_a_file_of_one_class_has_no_area():
    """What cannot be said is None, not 0 and not 1."""
    assert metrics.roc_auc([1, 2], [True, True]) is None
    assert metrics.average_precision([1, 2], [False, False]) is None
    assert metrics.average_precision([1, 2], [True, True]) == 1
    assert metrics.confusion([True], [True]).fp_per_1000 is None
    assert metrics.confusion([False], [False]).f2 is None
    assert metrics.confusion([False], [True]).precision is None
    assert metrics.calibration_error([], []) is None


def test_calibration_is_measured_in_ten_bins():
    """Scores of 800 of which half are positive are 0.3 off; the highest score falls into the last bin."""
    assert metrics.calibration_error([800, 800], [True, False]) == pytest.approx(0.3)
    assert metrics.calibration_error([1000, 0], [True, False]) == 0
    assert metrics.calibration_error([800, 800, 1000, 0], [True, False, True, False]) == pytest.approx(0.15)
    assert [(one.count, one.mean_score) for one in metrics.reliability([99, 100, 199, 1000], [True] * 4)] == [
        (1, 0.099),
        (2, 0.1495),
        (1, 1.0),
    ]


rows = st.lists(st.tuples(st.integers(0, 20).map(lambda score: 50 * score), st.booleans()), min_size=1, max_size=60)


@given(rows, st.floats(0, 1))
def test_the_chosen_threshold_is_the_lowest_that_keeps_the_rate(pairs, rate):
    """It keeps the rate, and one per mille lower would not."""
    scores, truths = [score for score, _ in pairs], [truth for _, truth in pairs]
    negatives = [score for score, truth in pairs if not truth]
    chosen = metrics.choose_threshold(scores, truths, rate)

    def keeps(threshold: int) -> bool:
        return sum(score >= threshold for score in negatives) <= rate * len(negatives) + 1e-9

    if chosen is None:
        assert not negatives or not keeps(1000)
    else:
        assert keeps(chosen)
        assert chosen == 1 or not keeps(chosen - 1)


@given(rows)
def test_the_order_of_rows_changes_nothing(pairs):
    """Ties are taken together."""
    turned = list(reversed(pairs))
    for measure in (metrics.roc_auc, metrics.average_precision, metrics.calibration_error):
        one, other = (measure([score for score, _ in some], [truth for _, truth in some]) for some in (pairs, turned))
        assert one == (None if other is None else pytest.approx(other))


def test_percentiles_lie_between_neighbours():
    """As numpy's default method has them."""
    assert metrics.percentile([4, 1, 3, 2], 0.5) == 2.5
    assert metrics.percentile([10, 20], 0.95) == pytest.approx(19.5)
    assert metrics.percentile([], 0.5) is None
