"""How likely a chance match is, and the limits that follow."""

from __future__ import annotations

import itertools

import pytest

from guard.errors import ModelError
from guard.matching import chance
from guard.matching.chance import Curve

CURVE = Curve(((100.0, -2.0), (90.0, -3.0), (80.0, -5.0)))
RISING = Curve(((4.0, -3.0), (6.0, -4.0), (8.0, -6.0)))


@pytest.mark.parametrize(
    ("x", "share"),
    [(120, -2), (100, -2), (95, -2.5), (90, -3), (85, -4), (80, -5), (70, -6.5), (60, -8)],
)
def test_shares_are_interpolated_then_extrapolated(x: float, share: float) -> None:
    """Along the line between points, beyond the last at the mean steepness of two stretches, before the first not at all."""
    assert CURVE.log_share(x) == pytest.approx(share)
    if x <= 100:
        assert CURVE.where(share) == pytest.approx(x)


def test_details_count_the_other_way() -> None:
    """More is rarer; the same arithmetic."""
    assert [RISING.log_share(x) for x in (2, 4, 5, 8, 10)] == pytest.approx([-3, -3, -3.5, -6, -7.5])
    assert [RISING.where(y) for y in (-1, -3.5, -7.5)] == pytest.approx([4, 5, 10])
    assert (CURVE.reach, RISING.reach) == (80, 8)


@pytest.mark.parametrize("method", ["pdq", "phash"])
def test_limits_tighten_as_banks_grow(method: str) -> None:
    """Never beyond what was seen among unrelated pictures, never below a re-encoded copy; plain pictures have to be closer."""
    sizes = (1, 100, 10_000, 1_000_000, 100_000_000)
    for plain in (True, False):
        limits = [chance.limit(method, plain=plain, works=works, rate=1e-4) for works in sizes]
        assert limits == sorted(limits, reverse=True)
        assert limits[0] <= chance.MOST[method]["plain" if plain else "rich"]
        assert limits[-1] >= chance.LEAST
        assert len(set(limits)) > 2
    for works in sizes:
        rich, plain_ = (chance.limit(method, plain=plain, works=works, rate=1e-4) for plain in (False, True))
        assert plain_ <= rich


def test_a_limit_keeps_the_wanted_rate() -> None:
    """At the limit, the works that match by chance are no more than wanted; one bit further there would be more."""
    for works, rate in itertools.product((100_000, 10_000_000), (1e-3, 1e-5)):
        limit = chance.limit("phash", plain=False, works=works, rate=rate)
        assert float(chance.expected("phash", limit, plain=False, works=works)) <= rate * 1.05
        assert float(chance.expected("phash", limit + 1, plain=False, works=works)) > rate * 0.95


def test_large_banks_ask_for_more_details() -> None:
    """At least eight, and their odds keep the wanted rate."""
    needed = [chance.details_needed(works=works, rate=1e-4) for works in (1, 1_000, 1_000_000)]
    assert needed == sorted(needed)
    assert chance.LEAST_DETAILS <= needed[0] < needed[2]
    assert float(chance.expected("local", needed[2], plain=False, works=1_000_000)) <= 1.1e-4


def test_what_was_not_measured_has_no_odds() -> None:
    """An empty text instead of a number, and no limit by arithmetic."""
    assert chance.expected("crop_resistant", 3, plain=False, works=10) == ""
    with pytest.raises(ModelError, match="was not measured"):
        chance.curve("crop_resistant", "rich")


def test_the_measured_curves_fall() -> None:
    """Every bundled curve goes from common to rare, the last point measured on several pairs."""
    for method, kinds in chance._curves().items():
        for curve in kinds.values():
            shares = [share for _, share in curve.points]
            assert shares == sorted(shares, reverse=True), method
            assert len(set(shares)) == len(shares) >= 2
