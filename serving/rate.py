"""How often somebody may ask: a bucket of tokens for each caller, in memory or in that of all workers of a service."""

from __future__ import annotations

import ipaddress
import math
import time
from collections.abc import Callable
from dataclasses import dataclass

from serving.workers.table import Memory, Store

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

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.monotonic, store: Store | None = None) -> None:
        """`per_minute`: how many a caller gets in a minute, and at once after a pause. `clock`: seconds.

        `store`: where they lie; in the memory of this process when left out.
        """
        self._most, self._clock = per_minute, clock
        self._store: Store = store or Memory()

    def take(self, address: str) -> int:
        """Take a token for an address: 0 when there was one, else in how many seconds there will be."""
        return self.draw(network(address)).wait_s

    def draw(self, who: str, cost: float = 1.0, *, need: float | None = None, per_minute: int | None = None) -> Fill:
        """Take `cost` tokens where there are `need`, or `cost` when left out. `per_minute`: of this caller."""
        least, most = cost if need is None else need, per_minute or self._most
        with self._store.locked():
            now = self._clock()
            left = self._left(who, most, now)
            granted = left >= least
            if granted:
                left -= cost
            self._store.put(who, left, now)
        wait = 0 if granted else max(1, math.ceil((least - left) * 60 / most))
        return Fill(wait, most, max(0, math.floor(left)), (most - left) * 60 / most)

    def charge(self, who: str, cost: float, *, per_minute: int | None = None) -> None:
        """Take tokens for what was done already, whether they are there or not: what is owed fills up first."""
        with self._store.locked():
            now = self._clock()
            self._store.put(who, self._left(who, per_minute or self._most, now) - cost, now)

    def _left(self, who: str, most: int, now: float) -> float:
        left, since = self._store.get(who) or (most, now)
        return min(most, left + max(0.0, now - since) * most / 60)


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
