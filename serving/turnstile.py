"""How many requests may be in work, and how many a caller may send: looked at before a body is read.

Requests in work are counted for the whole process and for each caller; requests and tokens a minute are drawn from buckets
(`serving.rate`), one of each for a caller. A caller is a key's name within its tenant, so that rotating a key opens no second
bucket. What a request cost in tokens is known when it is over: it is charged then, and who owes tokens waits.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass

from guard.errors import SettingsError
from guard.types import Decision, Modality
from serving.identity.principals import Principal
from serving.identity.roles import Role
from serving.rate import Buckets, Fill
from serving.settings import Settings
from serving.workers.table import Store

FREE = frozenset({"/healthz", "/readyz", "/metrics"})
"""Whoever watches the service is never made to wait."""
LETTERS = 4
"""Characters that count as one token where nobody counted tokens."""
IMAGE = 1000
"""Tokens that an image counts as."""
_AGAIN_S = 1


def tokens_of(decision: Decision) -> int:
    """What judging a content counts as: the tokens that its generator counted, else a quarter of its characters, rounded up."""
    content = decision.content
    if content is None:
        return 0
    if content.making is not None and content.making.output_tokens is not None:
        return content.making.output_tokens
    return math.ceil(content.length / LETTERS) if content.modality is Modality.TEXT else IMAGE


@dataclass(frozen=True, slots=True)
class Allowance:
    """What a caller gets in a minute; None for no limit."""

    requests: int | None
    tokens: int | None


@dataclass(frozen=True, slots=True)
class Full:
    """Why a request does not come in now."""

    status: int
    message: str
    retry_s: int
    headers: Mapping[str, str]


class Allowances:
    """Who gets how much."""

    def __init__(self, settings: Settings) -> None:
        """Raises SettingsError for entries of `rate_overrides` that cannot be read."""
        self._usual = Allowance(settings.rate_per_minute, settings.tokens_per_minute)
        self._own = dict(_override(one) for one in settings.rate_overrides)

    @property
    def limited(self) -> bool:
        """Whether anybody is limited."""
        return any(one != Allowance(None, None) for one in (self._usual, *self._own.values()))

    def of(self, caller: Principal) -> Allowance:
        """That of the key's name; else the largest of its roles; else the usual one."""
        if caller.name in self._own:
            return self._own[caller.name]
        found = [self._own[f"+{role}"] for role in caller.roles if f"+{role}" in self._own]
        if not found:
            return self._usual
        return Allowance(_largest([one.requests for one in found]), _largest([one.tokens for one in found]))


def _largest(given: list[int | None]) -> int | None:
    known = [one for one in given if one is not None]
    return max(known) if len(known) == len(given) else None


def _override(entry: str) -> tuple[str, Allowance]:
    who, equals, said = entry.partition("=")
    requests, _, tokens = said.partition("/")
    words = (requests.strip(), tokens.strip())
    usable = all(word in {"", "-"} or (word.isascii() and word.isdigit() and int(word) > 0) for word in words)
    if not (who.strip() and equals and usable and any(words)):
        raise SettingsError(
            f"GENGUARD_RATE_OVERRIDES: found {entry[:60]!r}, expected NAME=REQUESTS/TOKENS or +ROLE=REQUESTS/TOKENS",
            advice="Numbers are of a minute; `-` is no limit. For example: batch=600/100000,+reviewer=120.",
        )
    who = who.strip()
    if who.startswith("+") and who[1:] not in {*Role}:
        raise SettingsError(f"GENGUARD_RATE_OVERRIDES: found the role {who[1:21]!r}, expected one of {', '.join(Role)}")
    numbers = [int(word) if word.isdigit() else None for word in words]
    return who, Allowance(*numbers)


class Turnstile:
    """Lets requests in and counts them out. Used from one event loop."""

    def __init__(
        self, settings: Settings, clock: Callable[[], float] = time.monotonic, stores: Callable[[str], Store] | None = None
    ) -> None:
        """`stores`: makes by name where buckets lie. Raises SettingsError for overrides that cannot be read."""
        self._room, self._each = settings.concurrency, min(settings.concurrency, settings.concurrency_per_key)
        self._inside: Counter[str] = Counter()
        self.allowances = Allowances(settings)
        self._requests, self._tokens = (Buckets(1, clock, stores(name) if stores else None) for name in ("requests", "tokens"))
        self._left = asyncio.Event()
        self.leaving = False
        """Whether the service is being stopped: who is answered now connects elsewhere."""

    @property
    def inside(self) -> int:
        """Requests in work."""
        return self._inside.total()

    async def emptied(self, seconds: float) -> None:
        """Return when no request is in work any more, or so many seconds have passed."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self.inside:
                    self._left.clear()
                    await self._left.wait()

    def enter(self, caller: Principal | None) -> tuple[str, Mapping[str, str]] | Full:
        """Come in: who that is for `leave`, and headers for the answer; or why not. A stranger's are one caller."""
        who = f"{caller.tenant}/{caller.name}" if caller is not None else ""
        if self.inside >= self._room:
            return Full(503, f"found {self.inside} requests in work, expected room within {self._room}", _AGAIN_S, {})
        if self._inside[who] >= self._each:
            return Full(429, f"found {self._inside[who]} requests of this caller in work, expected fewer", _AGAIN_S, {})
        headers = {"connection": "close"} if self.leaving else {}
        if caller is not None and (full := self._draw(who, self.allowances.of(caller), headers)):
            return full
        self._inside[who] += 1
        return who, headers

    def leave(self, who: str, caller: Principal | None, tokens: int) -> None:
        """A request is over, and cost that many tokens."""
        self._inside[who] -= 1
        if self._inside[who] <= 0:
            del self._inside[who]
        self._left.set()
        if caller is not None and tokens and (most := self.allowances.of(caller).tokens) is not None:
            self._tokens.charge(who, tokens, per_minute=most)

    def _draw(self, who: str, allowed: Allowance, headers: dict[str, str]) -> Full | None:
        """Take from the buckets, and say what is left in `headers`. Tokens first: who owes them spends no request."""
        if allowed.tokens is not None:
            fill = self._tokens.draw(who, 0, need=1, per_minute=allowed.tokens)
            headers |= _told("tokens", fill)
            if fill.wait_s:
                return Full(429, f"found more tokens of this caller than {fill.most} a minute", fill.wait_s, headers)
        if allowed.requests is not None:
            fill = self._requests.draw(who, per_minute=allowed.requests)
            headers |= _told("requests", fill)
            if fill.wait_s:
                return Full(429, f"found more requests of this caller than {fill.most} a minute", fill.wait_s, headers)
        return None


def _told(what: str, fill: Fill) -> dict[str, str]:
    return {
        f"x-ratelimit-limit-{what}": str(fill.most),
        f"x-ratelimit-remaining-{what}": str(fill.left),
        f"x-ratelimit-reset-{what}": _span(fill.full_s),
    }


def _span(seconds: float) -> str:
    """A time as OpenAI writes it: `120ms`, `7.5s`, `1m30s`."""
    if seconds < 1:
        return f"{math.ceil(seconds * 1000)}ms"
    minutes, rest = divmod(round(seconds, 1), 60)
    return f"{int(minutes)}m{rest:g}s" if minutes else f"{rest:g}s"
