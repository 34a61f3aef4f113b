"""Wrong keys and tokens: how many one address may show in a minute. What is over is answered before a secret is hashed.

Keys that were right here before are known without that, and never wait. One that was not is hashed as often as its own id may
be tried from its address, so whoever guesses other keys beside it does not keep it out. In memory, of the last addresses; all
workers of a service have it together.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from guard.errors import BusyError
from serving.rate import Buckets, network
from serving.workers.table import Store


class GuessedError(BusyError):
    """An address has shown too many wrong keys just now."""


class Guesses:
    """Of one service. For one event loop."""

    def __init__(
        self,
        per_minute: int,
        *,
        clock: Callable[[], float] = time.monotonic,
        stores: Callable[[str], Store] | None = None,
    ) -> None:
        """`stores`: makes by name where buckets lie."""
        self._missed, self._tried = (
            Buckets(per_minute, clock, stores(name) if stores else None) for name in ("missed", "tried")
        )

    def missed(self, address: str) -> None:
        """Something wrong was shown. Raises GuessedError when that was once too often."""
        self._draw(self._missed, network(address))

    def tries(self, address: str, key: str) -> None:
        """The secret of a key is about to be hashed; `key`: its id. Raises GuessedError when that was done too often."""
        self._draw(self._tried, f"{network(address)} {key}")

    def right(self, address: str, key: str) -> None:
        """It was the right one: that try is not counted."""
        self._tried.charge(f"{network(address)} {key}", -1.0)

    def _draw(self, buckets: Buckets, who: str) -> None:
        if wait := buckets.draw(who).wait_s:
            raise GuessedError("found too many wrong keys from this address", retry_after_s=wait)
