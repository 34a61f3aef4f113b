"""Keeps the banks of a running service as the ledger has them: told, or every POLL_S, it looks for batches of changes.

Running checks take what came with the next content. A service that begins is not ready until it has once had all that the
ledger had. A bank that cannot follow, because its rows or its folder are not what they should be, stays as it is, and
`troubles` says so.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress

from guard.errors import describe
from serving.followed_banks import FollowedBanks, follow_all, take_in_all

POLL_S = 2.0
"""Seconds between two looks at the ledger."""
START_S = 15.0
"""Seconds that a service follows before it begins to answer; what is missing then comes while it is not ready."""
SLICE_S = 5.0
"""Seconds that one bank may take before the others have their turn."""
LEDGER = "(ledger)"
"""Stands in `troubles` for a ledger that cannot be read."""
_log = logging.getLogger(__name__)


class BankWatcher:
    """Follows one ledger for the banks of one folder."""

    def __init__(self, followed: FollowedBanks | None, looked: Callable[[], None] = lambda: None) -> None:
        """`followed`: None for a ledger that is one machine's: nothing is followed. `looked`: called after each look."""
        self.troubles: dict[str, str] = {}
        """Why a bank is not as the ledger has it, by bank."""
        self.missing: dict[str, str] = {}
        """What a service that begins lacks yet, by bank."""
        self._followed, self._looked = followed, looked
        self._caught_up = followed is None
        self._told = asyncio.Event()
        self._leaving = self._more = False

    async def start(self) -> None:
        """Look once, before anything is judged."""
        await self.look()

    def wake(self) -> None:
        """Look at once: something was committed. For the event loop."""
        self._told.set()

    async def run(self) -> None:
        """Look for ever."""
        try:
            while self._followed is not None:
                if not self._more:
                    with suppress(TimeoutError):
                        await asyncio.wait_for(self._told.wait(), POLL_S)
                self._told.clear()
                await self.look()
        finally:
            self._leaving = True

    async def look(self) -> None:
        """Bring all banks on, as far as there is time. Nothing is raised."""
        if self._followed is None:
            return
        self._more = False
        try:
            behind, more, troubles = await asyncio.to_thread(self._brought, self._followed)
        except Exception as error:  # noqa: BLE001 - whatever it was, the next look may succeed
            why = f"it cannot be followed: {describe(error)}"
            behind, troubles = self.missing or {LEDGER: why}, {**self.troubles, LEDGER: why}
        else:
            self._more = more
            self._caught_up = self._caught_up or not behind
        for name, why in troubles.items():
            if self.troubles.get(name) != why:
                _log.error("bank %s: %s", name, why)
        self.troubles = troubles
        self.missing = {} if self._caught_up else behind
        self._looked()

    def _brought(self, followed: FollowedBanks) -> tuple[dict[str, str], bool, dict[str, str]]:
        """What is missing, whether there is more to do, and what is wrong. Takes a while."""
        behind, troubles = follow_all(followed, slice_s=SLICE_S, leaving=lambda: self._leaving)
        unfinished, refused = take_in_all(followed, slice_s=SLICE_S, leaving=lambda: self._leaving) if not behind else ({}, {})
        return behind, bool(behind or unfinished), {**refused, **troubles}
