"""Refused logins on record: each by itself at first, and counted while there are many, so that nobody fills the ledger."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable

from audit.ledger import SqlLedger
from audit.sessions import record_refusals
from guard.errors import LedgerError
from serving.rate import Buckets

A_MINUTE = 12
"""Entries about refused logins in a minute, in all; those in between are counted in the next."""
_log = logging.getLogger(__name__)


class Refusals:
    """Of one service. For one event loop."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._buckets = Buckets(A_MINUTE, clock)
        self._waiting: Counter[str] = Counter()

    async def note(self, ledger: SqlLedger, by: str) -> None:
        """One more, by a `key` or at the `issuer`. A ledger that takes no writing now is no reason to answer otherwise."""
        self._waiting[by] += 1
        if self._buckets.draw("").wait_s == 0:
            await self.tell(ledger)

    async def tell(self, ledger: SqlLedger) -> None:
        """Record what was counted."""
        waiting, self._waiting = self._waiting, Counter()
        for by, count in waiting.items():
            try:
                await asyncio.to_thread(record_refusals, ledger, by, count)
            except LedgerError as error:
                self._waiting[by] += count
                _log.warning("a refused login cannot be recorded: %s", error)
