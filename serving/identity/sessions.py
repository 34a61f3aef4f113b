"""Sessions of browsers: the cookie, whom it stands for now, and what a request that changes something has to bring with it."""

from __future__ import annotations

import asyncio
import base64
import hmac
import logging
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http.cookies import CookieError, SimpleCookie
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import Response

from audit.ledger import SqlLedger
from audit.sessions import OIDC, Session, begin_session, end_session, find_session, over, see_session
from guard.errors import LedgerError, RefusedError
from serving.identity.principals import Principal, is_loopback
from serving.identity.roles import Role
from serving.settings import Settings

FRESH_S, SEEN_S = 2.0, 60.0
"""Seconds after which a session is looked up again, and after which its use is noted again."""
REMEMBERED = 4096
CSRF = "x-genguard-csrf"
"""Header that requests with a session have to bring when they change something: what `/auth/session` says."""
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_log = logging.getLogger(__name__)

Prover = Callable[[str], Awaitable[Principal | None]]
"""Finds whom a session's proof stands for now; None when it is withdrawn."""


class Sessions:
    """Sessions of one service. For one event loop."""

    def __init__(
        self,
        settings: Settings,
        proven: Prover,
        *,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.url = settings.ledger
        self.public = settings.public_url.rstrip("/")
        self.secure = self.public.startswith("https://") or not is_loopback(settings.host)
        self.idle = timedelta(minutes=settings.session_idle_minutes)
        self.whole = timedelta(hours=settings.session_hours)
        self._proven, self._clock, self._now = proven, clock, now
        self._known: OrderedDict[str, tuple[Session, float]] = OrderedDict()

    def cookie(self, name: str) -> str:
        """A cookie's name: with a prefix that browsers take from the very host over https alone, where that is used."""
        return f"__Host-{name}" if self.secure else name

    def set_cookie(self, response: Response, name: str, value: str, lives: timedelta) -> None:
        """For scripts unreadable, and never sent along by pages of other sites, but when they lead here."""
        response.set_cookie(
            self.cookie(name), value, int(lives.total_seconds()), path="/", secure=self.secure, httponly=True, samesite="lax"
        )

    def drop_cookie(self, response: Response, name: str) -> None:
        """Let the browser forget it."""
        response.delete_cookie(self.cookie(name), path="/", secure=self.secure, httponly=True, samesite="lax")

    async def begin(self, ledger: SqlLedger, response: Response, principal: Principal, proof: str) -> None:
        """Log somebody in, which is recorded: a session of its own, whatever the browser had before. Raises LedgerError."""
        now = self._now()
        roles = tuple(sorted(role.value for role in principal.roles))
        session = Session(principal.name, principal.tenant, roles, proof, now, now, now + self.whole)
        token = await asyncio.to_thread(begin_session, ledger, session)
        self.set_cookie(response, SESSION, token, self.whole)

    async def end(self, ledger: SqlLedger, headers: Headers, response: Response) -> None:
        """Log somebody out, which is recorded. Raises LedgerError."""
        token = self.token(headers)
        session = await self._session(token) if token else None
        if session is not None:
            self._known.pop(token, None)
            with suppress(RefusedError):  # it was ended at the same time
                await asyncio.to_thread(end_session, ledger, token, session)
        self.drop_cookie(response, SESSION)

    def token(self, headers: Headers) -> str:
        """What the browser has; empty for nothing that could be one."""
        found = read_cookie(headers, self.cookie(SESSION))
        return found if len(found) == 43 and found.isascii() else ""

    async def principal(self, headers: Headers) -> Principal | None:
        """Whom the cookie stands for; None without one, one that is over, or whose key is withdrawn. Raises LedgerError."""
        token = self.token(headers)
        session = await self._session(token) if token else None
        if session is None or over(session, self._now(), self.idle):
            return None
        if session.proof == OIDC:
            found = Principal(session.name, frozenset(Role(one) for one in session.roles if one in {*Role}), session.tenant)
        else:
            proven = await self._proven(session.proof)
            if proven is None:
                return None
            found = proven
        await self._note(token, session)
        return replace(found, csrf=csrf_of(token))

    def forged(self, method: str, headers: Headers, principal: Principal) -> str:
        """Why a request with a session may be another site's; empty when it is not, or changes nothing."""
        if not principal.csrf or method in SAFE:
            return ""
        if not self.own(headers.get("origin", ""), headers):
            return "found no Origin, or one of another site"
        if not hmac.compare_digest(headers.get(CSRF, "").encode(), principal.csrf.encode()):
            return f"found no {CSRF} of this session, expected the one that /auth/session says"
        return ""

    def own(self, origin: str, headers: Headers) -> bool:
        """Whether an origin is this service's own."""
        if self.public:
            return origin.rstrip("/") == self.public
        try:
            parts = urlsplit(origin)
        except ValueError:
            return False
        scheme = "https" if self.secure else "http"
        return parts.scheme == scheme and bool(parts.netloc) and parts.netloc == headers.get("host", "")

    def doubt(self) -> None:
        """Look every session up again when it is next shown: some have changed."""
        for token, (session, _) in self._known.items():
            self._known[token] = session, 0.0

    async def _session(self, token: str) -> Session | None:
        known = self._known.get(token)
        if known is None or known[1] <= self._clock():
            found = await asyncio.to_thread(find_session, self.url, token)
            if found is None:
                self._known.pop(token, None)
                return None
            self._keep(token, found)
            return found
        return known[0]

    def _keep(self, token: str, session: Session) -> None:
        self._known[token] = (session, self._clock() + FRESH_S)
        self._known.move_to_end(token)
        while len(self._known) > REMEMBERED:
            self._known.popitem(last=False)

    async def _note(self, token: str, session: Session) -> None:
        now = self._now()
        if (now - session.seen).total_seconds() < SEEN_S:
            return
        try:
            await asyncio.to_thread(see_session, self.url, token, now)
        except LedgerError as error:
            _log.warning("the use of a session cannot be noted: %s", error)
            return
        self._keep(token, replace(session, seen=now))


SESSION = "genguard"


def read_cookie(headers: Headers, name: str) -> str:
    """A cookie's value; empty without one."""
    try:
        found = SimpleCookie(headers.get("cookie", "")).get(name)
    except CookieError:
        return ""
    return found.value if found is not None else ""


def csrf_of(token: str) -> str:
    """What pages of ours know and those of others do not: it follows from the cookie, which no script can read."""
    return base64.urlsafe_b64encode(hmac.digest(token.encode(), b"csrf", "sha256")).rstrip(b"=").decode()
