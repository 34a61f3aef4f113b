"""How often somebody may ask: a bucket of tokens for each caller, in memory."""

from __future__ import annotations

import ipaddress
import math
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

ADDRESSES = 10_000
"""Callers that are remembered; the one that has not asked for longest is forgotten first."""
_NETWORK = 64
"""Bits of an IPv6 address that one caller has for itself as a rule."""


@dataclass(frozen=True, slots=True)
class Fill:
    """A bucket after somebody asked."""

    wait_s: int
    """0 when there was enough, else in how many seconds there will be."""
    most: int
    """How many it holds, which is how many a minute brings."""
    left: int
    full_s: float
    """In how many seconds it is full again."""


class Buckets:
    """Tokens that fill up evenly. Used from one event loop."""

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        """`per_minute`: how many a caller gets in a minute, and at once after a pause. `clock`: seconds."""
        self._most, self._clock = per_minute, clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, address: str) -> int:
        """Take a token for an address: 0 when there was one, else in how many seconds there will be."""
        return self.draw(network(address)).wait_s

    def draw(self, who: str, cost: float = 1.0, *, need: float | None = None, per_minute: int | None = None) -> Fill:
        """Take `cost` tokens where there are `need`, or `cost` when left out. `per_minute`: of this caller."""
        least, most = cost if need is None else need, per_minute or self._most
        left = self._left(who, most)
        granted = left >= least
        if granted:
            left -= cost
        self._keep(who, left)
        wait = 0 if granted else max(1, math.ceil((least - left) * 60 / most))
        return Fill(wait, most, max(0, math.floor(left)), (most - left) * 60 / most)

    def charge(self, who: str, cost: float, *, per_minute: int | None = None) -> None:
        """Take tokens for what was done already, whether they are there or not: what is owed fills up first."""
        self._keep(who, self._left(who, per_minute or self._most) - cost)

    def _left(self, who: str, most: int) -> float:
        now = self._clock()
        left, since = self._buckets.get(who, (most, now))
        return min(most, left + (now - since) * most / 60)

    def _keep(self, who: str, left: float) -> None:
        self._buckets[who] = (left, self._clock())
        self._buckets.move_to_end(who)
        if len(self._buckets) > ADDRESSES:
            self._buckets.popitem(last=False)


def network(address: str) -> str:
    """Whose address it is: of IPv6 its network, since a caller has all of that."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped is not None:
            return str(found.ipv4_mapped)
        return str(ipaddress.ip_network((found, _NETWORK), strict=False))
    return str(found)
