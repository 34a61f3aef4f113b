"""How well scores tell two classes apart, in plain Python.

Scores are per mille, 0 to 1000, and tie often; tied scores are always taken together, so that no figure depends on the order of
rows. Definitions are those of scikit-learn's `roc_auc_score`, `average_precision_score` and `fbeta_score`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise

BINS = 10
"""Bins of the calibration error: 0 to 99 per mille, 100 to 199, …, 900 to 1000."""


@dataclass(frozen=True, slots=True)
class Confusion:
    """How often what was flagged should have been."""

    true_positives: int
    false_positives: int
    false_negatives: int
    true_negatives: int = 0

    @property
    def precision(self) -> float | None:
        """Share of the flagged that should be; None when nothing is flagged."""
        return _ratio(self.true_positives, self.true_positives + self.false_positives)

    @property
    def recall(self) -> float | None:
        """Share of those that should be flagged which are; None when there are none."""
        return _ratio(self.true_positives, self.true_positives + self.false_negatives)

    @property
    def f2(self) -> float | None:
        """F-measure in which recall weighs twice as much as precision (van Rijsbergen, beta 2); None without any positive."""
        weighted = 5 * self.true_positives
        return _ratio(weighted, weighted + 4 * self.false_negatives + self.false_positives)

    @property
    def fp_per_1000(self) -> float | None:
        """Flagged ones among 1,000 negatives; None when there are no negatives."""
        rate = _ratio(self.false_positives, self.false_positives + self.true_negatives)
        return None if rate is None else 1000 * rate


@dataclass(frozen=True, slots=True)
class Bin:
    """One bin of the reliability diagram: its rows, their mean score and share of positives, both from 0 to 1."""

    count: int
    mean_score: float
    positive_share: float


def confusion(flagged: Sequence[bool], truths: Sequence[bool]) -> Confusion:
    """Count agreement, row by row. Raises ValueError for sequences of different lengths."""
    pairs = list(zip(flagged, truths, strict=True))
    return Confusion(
        pairs.count((True, True)), pairs.count((True, False)), pairs.count((False, True)), pairs.count((False, False))
    )


def ranking(scores: Sequence[int], truths: Sequence[bool]) -> list[tuple[int, int, int]]:
    """(threshold, true positives, false positives) for each score that occurs, highest first; ties are taken together."""
    ordered = sorted(zip(scores, truths, strict=True), key=lambda pair: -pair[0])
    points, hits, alarms = [], 0, 0
    for score, group in groupby(ordered, key=lambda pair: pair[0]):
        tied = [truth for _, truth in group]
        hits += sum(tied)
        alarms += len(tied) - sum(tied)
        points.append((score, hits, alarms))
    return points


def roc_curve(scores: Sequence[int], truths: Sequence[bool]) -> list[tuple[float, float]]:
    """(false positive rate, true positive rate) from (0, 0) to (1, 1); empty when one of the classes is missing."""
    positives = sum(truths)
    negatives = len(truths) - positives
    if not positives or not negatives:
        return []
    return [(0.0, 0.0), *((alarms / negatives, hits / positives) for _, hits, alarms in ranking(scores, truths))]


def roc_auc(scores: Sequence[int], truths: Sequence[bool]) -> float | None:
    """Area under the ROC curve, half of each tie included; None when one of the classes is missing."""
    curve = roc_curve(scores, truths)
    if not curve:
        return None
    return sum((right[0] - left[0]) * (right[1] + left[1]) / 2 for left, right in pairwise(curve))


def average_precision(scores: Sequence[int], truths: Sequence[bool]) -> float | None:
    """Precision at each threshold, weighted by the recall it adds, without interpolation; None without positives."""
    positives = sum(truths)
    if not positives:
        return None
    total, before = 0.0, 0
    for _, hits, alarms in ranking(scores, truths):
        total += (hits - before) / positives * hits / (hits + alarms)
        before = hits
    return total


def reliability(scores: Sequence[int], truths: Sequence[bool]) -> list[Bin]:
    """The bins of equal width that hold rows, lowest first."""
    bins: list[list[tuple[int, bool]]] = [[] for _ in range(BINS)]
    for score, truth in zip(scores, truths, strict=True):
        bins[min(score * BINS // 1000, BINS - 1)].append((score, truth))
    return [
        Bin(len(rows), sum(score for score, _ in rows) / len(rows) / 1000, sum(truth for _, truth in rows) / len(rows))
        for rows in bins
        if rows
    ]


def calibration_error(scores: Sequence[int], truths: Sequence[bool]) -> float | None:
    """Expected calibration error (Naeini, Cooper, Hauskrecht 2015): the bins' mean |score - share of positives|, by size.

    0 when of the rows scored 300 per mille 30 in 100 are positive, and so on. None for no rows.
    """
    if not scores:
        return None
    found = reliability(scores, truths)
    return sum(one.count * abs(one.mean_score - one.positive_share) for one in found) / len(scores)


def choose_threshold(scores: Sequence[int], truths: Sequence[bool], rate: float) -> int | None:
    """The lowest threshold, 1 to 1000 per mille, at which at most this share of the negatives is flagged.

    None when there are no negatives to tell by, or when too many of them score 1000. Raises ValueError for a rate that is not
    from 0 to 1.
    """
    if not 0 <= rate <= 1:
        raise ValueError(f"found a false positive rate of {rate}, expected 0 to 1")
    negatives = sorted((score for score, truth in zip(scores, truths, strict=True) if not truth), reverse=True)
    if not negatives:
        return None
    # A hair's breadth forgives that 0.29 * 100 is 28.999…
    allowed = int(rate * len(negatives) + 1e-9)
    # The highest negative that must not be flagged any more: the threshold is just above it.
    threshold = negatives[allowed] + 1 if allowed < len(negatives) else 1
    return threshold if threshold <= 1000 else None


def percentile(values: Sequence[float], share: float) -> float | None:
    """The value that this share of the values does not exceed, interpolated between neighbours; None for no values."""
    if not values:
        return None
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None
