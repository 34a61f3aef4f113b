"""Principals of the keys that the ledger keeps: verified once with scrypt, then remembered for two seconds at a time."""

from __future__ import annotations

import asyncio
import hmac
import logging
import os
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from audit.api_keys import ApiKey, find_key, has_keys, split, touch
from guard.errors import LedgerError
from serving.identity.principals import Principal
from serving.identity.roles import Role

FRESH_S = 2.0
"""Seconds after which a key is looked up again: so long a revoked one may still be good."""
REMEMBERED = 4096
"""Keys that are remembered; those used longest ago go first."""
AT_ONCE = 2
"""Verifications with scrypt that run at the same time."""
_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Known:
    """A secret that was verified against a row."""

    key: ApiKey
    until: float
    """By the monotonic clock: look it up again from here on."""


class StoredKeys:
    """Recognises keys of one ledger. For one event loop."""

    def __init__(
        self, url: str, *, clock: Callable[[], float] = time.monotonic, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self.url = url
        self._clock, self._now = clock, now
        self._secret = os.urandom(32)
        self._known: OrderedDict[bytes, _Known] = OrderedDict()
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._any = False
        self._looked = -FRESH_S

    async def principal(self, token: str, tries: Callable[[str], None] | None = None) -> Principal | None:
        """Whose key it is; None for one that is none, expired or revoked. Raises LedgerError when it cannot be looked up.

        `tries`: asked with a key's id before a secret is compared that was not right before; what it raises is raised.
        """
        parts = split(token)
        if parts is None:
            return None
        tag = hmac.digest(self._secret, token.encode(), "sha256")
        known = self._known.get(tag)
        if known is None or known.until <= self._clock():
            known = await self._verified(tag, *parts, tries)
        if known is None or known.key.state(self._now()) != "live":
            return None
        self._known.move_to_end(tag)
        return principal_of_key(known.key)

    async def find(self, ident: str) -> Principal | None:
        """The principal of a live key by its id, for sessions that began with it. Raises LedgerError."""
        tag = hmac.digest(self._secret, f"id {ident}".encode(), "sha256")
        known = self._known.get(tag)
        if known is None or known.until <= self._clock():
            key = await asyncio.to_thread(find_key, self.url, ident)
            known = self._remember(tag, key)
        return principal_of_key(known.key) if known is not None and known.key.state(self._now()) == "live" else None

    def doubt(self) -> None:
        """Look every key up again when it is next shown: some have changed."""
        for known in self._known.values():
            known.until = 0.0

    async def exist(self) -> bool:
        """Whether there ever was a key: then whoever comes needs one. Raises LedgerError."""
        if not self._any and self._looked + FRESH_S <= self._clock():
            self._any = await asyncio.to_thread(has_keys, self.url)
            self._looked = self._clock()
        return self._any

    async def _verified(self, tag: bytes, ident: str, secret: str, tries: Callable[[str], None] | None) -> _Known | None:
        """Look the key up; compare the secret with it unless that was done with the same row."""
        before = self._known.get(tag)
        key = await asyncio.to_thread(find_key, self.url, ident)
        if key is None:
            return self._remember(tag, None)
        same = before is not None and hmac.compare_digest(before.key.digest, key.digest)
        if not same:
            if tries is not None:
                tries(ident)
            async with self._turns:
                if not await asyncio.to_thread(key.opens, secret):
                    return None
        if key.state(self._now()) == "live":
            await self._note(key)
        return self._remember(tag, key)

    def _remember(self, tag: bytes, key: ApiKey | None) -> _Known | None:
        if key is None:
            self._known.pop(tag, None)
            return None
        self._known[tag] = _Known(key, self._clock() + FRESH_S)
        self._known.move_to_end(tag)
        while len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
        return self._known.get(tag)

    async def _note(self, key: ApiKey) -> None:
        """Note its use, once an hour; a ledger that takes no writing now is no reason to refuse it."""
        now = self._now()
        if key.used is not None and now - key.used < timedelta(hours=1):
            return
        try:
            await asyncio.to_thread(touch, self.url, key.id, now)
        except LedgerError as error:
            _log.warning("the use of a key cannot be noted: %s", error)


def principal_of_key(key: ApiKey) -> Principal | None:
    """Who a key stands for; roles that this version does not know grant nothing."""
    roles = frozenset(Role(one) for one in key.roles if one in {*Role})
    return Principal(key.name, roles, key.tenant, key.id) if roles else None
