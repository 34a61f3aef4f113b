"""How likely a chance match is, and how close a match has to be in a bank of some size.

For each method, `chance.json` holds how many pairs of unrelated pictures came how close (measured by
benchmarks/matching_chance.py, which writes it): the logarithm of the share at some distances, apart for pictures rich in
detail and plain ones (drawings, logos). Between two measured points it is interpolated. Beyond the last, where too few pairs
came that close to be counted, it goes on at the mean steepness of the last two stretches. The true curve falls faster and
faster there, so that overstates the chance; still it is an extrapolation, and `Curve.reach` is where it begins.

A picture meets a chance match among N works with the probability N p, p being the share for one pair. So the limit for N works
and a wanted rate r of false matches a picture is where p = r / N.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType

from guard.errors import ModelError

PLAIN = 0.28
"""Share of one brightness (`hashes.plainness`) from which a picture counts as plain: below that of every one of 1,000 logos."""
RATE = 1e-4
"""Wanted chance matches a picture: one picture in 10,000 at most, since the curves overstate. At 1,000 works that is 1e-7 a
comparison, which still finds the copies that were measured."""
LEAST = 6
"""Bits within which a hash always matches: a copy as it is, even where a bank is so large that arithmetic leaves no limit."""
MOST: Mapping[str, Mapping[str, int]] = MappingProxyType(
    {
        "pdq": MappingProxyType({"rich": 72, "plain": 48}),
        "phash": MappingProxyType({"rich": 72, "plain": 48}),
        "dhash": MappingProxyType({"rich": 31, "plain": 16}),
        "both": MappingProxyType({"rich": 76, "plain": 52}),
    }
)
"""Limits that are never exceeded, however small the bank. Of 290,000 unrelated pairs the nearest to a rich picture were at 86
and 80 bits; of 758,000 with a plain one, at 48 and 42, and about one in 100,000 within 54 and 56.
By both together the nearest were at 88, and 58 with a plain one."""
BOTH = "both"
"""Stands for PDQ and pHash together: two pictures are as far apart as by the worse of the two."""
PAIR = ("pdq", "phash")
LEAST_DETAILS = 8
"""Details that must agree at least, however small the bank."""


@dataclass(frozen=True, slots=True)
class Curve:
    """The share of unrelated pairs at least as close as x, for x in the method's unit."""

    points: tuple[tuple[float, float], ...]
    """(x, log10 of the share), from common to rare."""

    @property
    def reach(self) -> float:
        """The rarest x that was measured: extrapolation begins beyond it."""
        return self.points[-1][0]

    def log_share(self, x: float) -> float:
        """log10 of the share."""
        for (left, high), (right, low) in zip(self.points, self.points[1:], strict=False):
            if min(left, right) <= x <= max(left, right):
                return high + (low - high) * (x - left) / (right - left)
        if (x - self.points[0][0]) * (self.points[-1][0] - self.points[0][0]) <= 0:
            return self.points[0][1]
        return self._last + self._steep * (x - self.reach)

    def where(self, log_share: float) -> float:
        """The x at which the share is that."""
        if log_share >= self.points[0][1]:
            return self.points[0][0]
        for (left, high), (right, low) in zip(self.points, self.points[1:], strict=False):
            if low <= log_share <= high:
                return left + (right - left) * (high - log_share) / (high - low)
        return self.reach + (log_share - self._last) / self._steep

    @property
    def _last(self) -> float:
        return self.points[-1][1]

    @property
    def _steep(self) -> float:
        """log10 by unit of x over the last two stretches."""
        (left, high), (right, low) = self.points[-3:][0], self.points[-1]
        return (low - high) / (right - left)


def limit(method: str, *, plain: bool, works: int, rate: float) -> int:
    """The largest distance of a hash that still counts, for a bank of that many works and that rate a picture.

    Raises ModelError for a method that was not measured.
    """
    kind = "plain" if plain else "rich"
    wanted = math.log10(rate / max(works, 1))
    return int(max(LEAST, min(MOST[method][kind], math.floor(curve(method, kind).where(wanted)))))


def details_needed(*, works: int, rate: float) -> int:
    """How many details must agree at least, for a bank of that many works and that rate a picture."""
    return max(LEAST_DETAILS, math.ceil(curve("local", "rich").where(math.log10(rate / max(works, 1)))))


def expected(method: str, x: float, *, plain: bool, works: int) -> str:
    """How many works of a bank match at least this closely by chance, such as `3e-09`; empty where that was not measured."""
    if method not in _curves():
        return ""
    share = curve(method, "plain" if plain and method != "local" else "rich").log_share(x)
    return f"{works * 10.0**share:.0e}"


def curve(method: str, kind: str) -> Curve:
    """What was measured of a method. Raises ModelError where nothing was."""
    try:
        return _curves()[method][kind]
    except KeyError:
        raise ModelError(
            f"the chance of a match by {method!r} was not measured",
            advice=f"Name its limit, or use {', '.join(sorted(_curves()))}.",
        ) from None


@cache
def _curves() -> Mapping[str, Mapping[str, Curve]]:
    measured = json.loads(Path(__file__).with_name("chance.json").read_text("utf-8"))
    return {
        method: {kind: Curve(tuple((x, y) for x, y in found["points"])) for kind, found in kinds.items()}
        for method, kinds in measured.items()
    }
