"""How often callers without a key may ask: a bucket of tokens for each address, in memory."""

from __future__ import annotations

import ipaddress
import math
import time
from collections import OrderedDict
from collections.abc import Callable

ADDRESSES = 10_000
"""Addresses that are remembered; the one that has not asked for longest is forgotten first."""
_NETWORK = 64
"""Bits of an IPv6 address that one caller has for itself as a rule."""


class Buckets:
    """Tokens that fill up evenly; each request takes one. Used from one event loop."""

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        """`per_minute`: how many an address gets in a minute, and at once after a pause. `clock`: seconds."""
        self._most, self._clock = float(per_minute), clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, address: str) -> int:
        """Take a token: 0 when there was one, else in how many seconds there will be."""
        who, now = _caller(address), self._clock()
        left, since = self._buckets.pop(who, (self._most, now))
        left = min(self._most, left + (now - since) * self._most / 60)
        granted = left >= 1
        self._buckets[who] = (left - granted, now)
        if len(self._buckets) > ADDRESSES:
            self._buckets.popitem(last=False)
        return 0 if granted else max(1, math.ceil((1 - left) * 60 / self._most))


def _caller(address: str) -> str:
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
