"""What stands before every route: API keys, the size of a body, and the identity a request is recorded under."""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import PurePath
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from guard import deadline
from guard.errors import (
    BusyError,
    DeadlineError,
    GenerationError,
    GenguardError,
    InputError,
    LedgerError,
    ModelError,
    RefusedError,
    TooLargeError,
)
from guard.ids import uuid7
from guard.pipeline import Guard
from guard.types import Release, Request
from serving.identity.authenticate import Authenticator
from serving.identity.guesses import GuessedError
from serving.identity.needs import Access
from serving.identity.principals import LOCAL, Principal
from serving.identity.tokens import TokenError
from serving.rate import Buckets
from serving.turnstile import FREE, Full, Turnstile
from serving.watching.requests import KNOWN

BODY_S = 60.0
"""How long a request's body may take to arrive, in seconds."""
FILES = "/v1/images/files/"
"""Addresses of released images begin with this; a tag in each stands for a key."""
VERIFY_PATHS = frozenset({"/verify", "/v1/verify"})
"""Paths that the operator may open to callers without a key."""
DRAFTS = frozenset(f"/v1/policies/{one}" for one in ("lint", "test", "try", "replay"))
UNRECORDED = VERIFY_PATHS | DRAFTS
"""Paths of which nothing is recorded, a refusal neither."""

UNTIMED = frozenset({"/v1/exports"})
"""Paths whose answers take as long as the ledger is."""
DEADLINE = "x-genguard-deadline-ms"
"""Header of a caller who does not want to wait as long as the settings say."""

_STATUS: tuple[tuple[type[GenguardError], int, str], ...] = (
    (TooLargeError, 413, "input-too-large"),
    (InputError, 400, "invalid_input"),
    (RefusedError, 409, "refused"),
    (LedgerError, 503, "ledger_unavailable"),
    (ModelError, 503, "model_unavailable"),
    (TokenError, 503, "issuer_unavailable"),
    (DeadlineError, 504, "deadline_exceeded"),
    (GenerationError, 502, "generation_failed"),
)
_log = logging.getLogger(__name__)

Shown = Callable[[Scope, Response, Principal | None], Response]
"""Makes of an error what the client of a request can read, given who that is."""


class Gate:
    """ASGI middleware in front of the application. It reads the whole body, up to the limit, before anything parses it."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        guard: Callable[[], Guard],
        proofs: Authenticator,
        access: Access,
        max_body: int,
        turnstile: Turnstile,
        request_s: float,
        public: Buckets | None = None,
        shown: Shown = lambda _scope, answer, _caller: answer,
    ) -> None:
        """`proofs`: recognises callers. `access`: what routes need. `turnstile`: how many may come in.

        `request_s`: the deadline of a request, in seconds. `public`: opens VERIFY_PATHS to callers without a key, as often as
        it allows. `shown`: makes of an error what this client can read.
        """
        self.app = app
        self.shown = shown
        self.public = public
        self.guard = guard
        self.proofs = proofs
        self.access = access
        self.max_body = max_body
        self.turnstile = turnstile
        self.request_s = request_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 401 without a valid key, 403 without the right, 413 over the limit, 408 for a body that does not come.

        504 where no answer begins within the deadline, 500 for what nobody foresaw. Strangers who verify too often get 429, and
        so does a key that is over its limits; 503 when too many requests are in work.

        Otherwise pass on with `request`, `principal` (None for a stranger) and `sees` (the tenant whose decisions the caller
        may look up; empty: all) in `scope["state"]`.
        """
        if scope["type"] != "http":
            await (self._socket if scope["type"] == "websocket" else self.app)(scope, receive, send)
            return
        headers, caller = Headers(scope=scope), None
        try:
            caller = await self.proofs.principal(headers, address_of(scope))
            refused = self._refused(scope, caller)
        except GuessedError as guessed:  # what is open to strangers stays so
            refused = failure_response(guessed) if self._refused(scope, None) is not None else None
        except GenguardError as unknown:
            refused = failure_response(unknown)
        if refused is not None:
            await self.shown(scope, refused, caller)(scope, receive, send)
            return
        _identified(scope, headers, caller)
        if scope["path"] in FREE:
            await self._pass(scope, receive, send, headers)
            return
        seconds = _seconds(headers, self.request_s)
        if seconds is None:
            wrong = InputError(f"{DEADLINE}: found no whole number of milliseconds, expected one above 0")
            await failure_response(wrong)(scope, receive, send)
            return
        entered = self.turnstile.enter(caller)
        if isinstance(entered, Full):
            await full_response(entered)(scope, receive, send)
            return
        who, limits = entered
        try:
            with deadline.within(seconds):
                await self._pass(scope, receive, _with(send, limits), headers)
        finally:
            known = KNOWN.get()
            self.turnstile.leave(who, caller, known.tokens if known is not None else 0)

    async def _pass(self, scope: Scope, receive: Receive, send: Send, headers: Headers) -> None:
        """Read the body, and let the application answer, which it has to begin within the deadline."""
        answering, seconds = False, deadline.left()
        limit = None if seconds is None or scope["path"] in UNTIMED else seconds + deadline.LATE_S

        async def answer(message: Message) -> None:
            nonlocal answering
            answering = True
            if not (whole.expired() or whole.when() is None):
                whole.reschedule(None)
            await send(message)

        try:
            async with asyncio.timeout(limit) as whole:
                await self._answered(scope, receive, answer, headers)
        except _GoneError:
            return
        except Exception as error:
            if answering:
                raise
            late = isinstance(error, TimeoutError) and whole.expired()
            response = await self._overdue(scope) if late else failure_response(error)
            await self.shown(scope, response, scope["state"]["principal"])(scope, receive, send)

    async def _answered(self, scope: Scope, receive: Receive, answer: Send, headers: Headers) -> None:
        try:
            async with asyncio.timeout(BODY_S) as arriving:
                body = await self._body(headers, receive)
        except TimeoutError:
            if not arriving.expired():
                raise
            await _late_response()(scope, receive, answer)
            return
        if body is not None:
            await self.app(scope, _replay(body, receive), answer)
            return
        error = TooLargeError(f"found a request body of more than {self.max_body} bytes, expected at most that")
        if scope["path"] in UNRECORDED:
            await failure_response(error)(scope, receive, answer)
            return
        await refusal_response(await self.guard().refuse(error, scope["state"]["request"]))(scope, receive, answer)

    async def _overdue(self, scope: Scope) -> JSONResponse:
        """504. What should have been judged and was not is on record as that, unless the ledger takes nothing just now."""
        error, known = deadline.passed(), KNOWN.get()
        judged = scope["method"] == "POST" and scope["path"] not in UNRECORDED
        if judged and (known is None or not known.decided):
            with suppress(TimeoutError):
                async with asyncio.timeout(deadline.LATE_S):
                    release = await self.guard().refuse(error, scope["state"]["request"])
                    return refusal_response(release)
        return failure_response(error)

    async def _socket(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a web socket on that somebody opens who may, from a page of ours where it is a browser; close all others."""
        headers = Headers(scope=scope)
        caller = None
        with suppress(GenguardError):  # who cannot be recognised now is a stranger
            caller = await self.proofs.principal(headers, address_of(scope))
        route = self.access.find("GET", scope["path"])
        browser = caller is not None and (caller.csrf or caller is LOCAL) and "origin" in headers
        foreign = browser and not self.proofs.sessions.own(headers["origin"], headers)
        if caller is None or route is None or route.lack(caller) or foreign or (caller.csrf and "origin" not in headers):
            await send({"type": "websocket.close", "code": 1008})
            return
        _identified(scope, headers, caller)
        await self.app(scope, receive, send)

    def _refused(self, scope: Scope, caller: Principal | None) -> JSONResponse | None:
        """The answer to whoever may not call this, which costs them no body; None to all others."""
        route = self.access.find(scope["method"], scope["path"])
        if caller is None and not (route is not None and (route.open or (route.strangers and self.public is not None))):
            return error_response(401, "found no valid API key, expected `Authorization: Bearer KEY`", "invalid_api_key")
        if caller is not None and route is not None and not route.open:
            why = route.lack(caller) or self.proofs.sessions.forged(scope["method"], Headers(scope=scope), caller)
            if why:
                return error_response(403, why, "forbidden")
        if caller in {None, LOCAL} and (wait := self._wait(scope)):
            return busy_response("found too many verifications from this address", wait)
        return None

    def _wait(self, scope: Scope) -> int:
        """Seconds that a caller without a key has to wait; 0 for none. The page itself may be fetched at will."""
        if self.public is None or scope["path"] not in VERIFY_PATHS or scope["method"] != "POST":
            return 0
        return self.public.take(address_of(scope))

    async def _body(self, headers: Headers, receive: Receive) -> bytes | None:
        """The body, or None as soon as it is known to be over the limit. Raises _GoneError when the client left early."""
        said = headers.get("content-length", "")
        if said.isdigit() and int(said) > self.max_body:
            return None
        parts: list[bytes] = []
        size = 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise _GoneError
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            if size > self.max_body:
                return None
            if not message.get("more_body", False):
                return b"".join(parts)


def address_of(scope: Scope) -> str:
    """Where a request comes from: as the server says, which believes the proxies of the settings alone."""
    return str(scope["client"][0]) if scope.get("client") else ""


class _GoneError(Exception):
    """The client left: nobody waits for an answer."""


def _identified(scope: Scope, headers: Headers, caller: Principal | None) -> Request:
    """Tell the application who calls; return what decisions are recorded under."""
    request = _request(headers, caller)
    scope.setdefault("state", {}).update(request=request, principal=caller, sees=caller.sees if caller else "")
    return request


def _request(headers: Headers, caller: Principal | None) -> Request:
    return Request(
        id=str(uuid7()),
        tenant=(caller.tenant if caller else "") or "default",
        actor=caller.name if caller else "anonymous",
        subject=headers.get("x-genguard-subject", "")[:200],
        language=headers.get("x-genguard-language", "und")[:35],
        conversation=headers.get("x-genguard-conversation", "")[:200],
        purpose=headers.get("x-genguard-purpose", "")[:200],
        consent=headers.get("x-genguard-consent", "")[:200],
    )


def _seconds(headers: Headers, most: float) -> float | None:
    """The time that a request has; None for a header that is no such time."""
    said = headers.get(DEADLINE)
    if said is None:
        return most
    usable = said.isascii() and said.isdigit() and len(said) <= 12 and int(said) > 0
    return min(most, int(said) / 1000) if usable else None


def _replay(body: bytes, rest: Receive) -> Receive:
    """The body that was read; then whatever the server says, so that an answer in pieces learns when its reader leaves."""
    pending: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Message:
        return pending.pop() if pending else await rest()

    return receive


def error_response(status: int, message: str, code: str, *, param: str | None = None, **more: Any) -> JSONResponse:
    """An error in OpenAI's shape, so that their client raises its own exceptions."""
    kind = "invalid_request_error" if status < 500 else "server_error"
    headers = {"WWW-Authenticate": "Bearer"} if status == 401 else None
    return JSONResponse(
        {"error": {"message": message, "type": kind, "code": code, "param": param}, **more}, status_code=status, headers=headers
    )


def busy_response(message: str, seconds: int) -> JSONResponse:
    """429 with the time after which to ask again."""
    response = error_response(429, f"{message}; ask again in {seconds} s", "rate_limit_exceeded")
    response.headers["retry-after"] = str(seconds)
    return response


def full_response(full: Full) -> JSONResponse:
    """429 for a caller over its limits, 503 for a service that has enough to do; both say when to ask again."""
    if full.status == 429:
        response = busy_response(full.message, full.retry_s)
    else:
        response = error_response(full.status, f"{full.message}; ask again in {full.retry_s} s", "overloaded")
        response.headers["retry-after"] = str(full.retry_s)
    response.headers.update(full.headers)
    return response


def _with(send: Send, headers: Mapping[str, str]) -> Send:
    """Send with more headers in the answer."""
    if not headers:
        return send

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            MutableHeaders(scope=message).update(headers)
        await send(message)

    return sending


def failure_response(error: Exception) -> JSONResponse:
    """The answer to an error. What nobody foresaw is told and logged by its type and place: its message may quote content."""
    if isinstance(error, BusyError):
        return busy_response(str(error), error.retry_after_s)
    status, code = next(((status, code) for kind, status, code in _STATUS if isinstance(error, kind)), (500, "internal_error"))
    known = isinstance(error, GenguardError)
    if status >= 500:
        frames = traceback.extract_tb(error.__traceback__)[-4:]
        place = " > ".join(f"{PurePath(frame.filename).name}:{frame.lineno}" for frame in frames)
        _log.error("%s: %s", type(error).__name__, error if known else f"at {place}")
    message = error.plain() if isinstance(error, GenguardError) else "the service failed; nothing was released"
    return error_response(status, message, code)


def _late_response() -> JSONResponse:
    response = error_response(408, f"found no complete request body within {BODY_S:.0f} s", "request_timeout")
    response.headers["connection"] = "close"
    return response


def refusal_response(release: Release) -> JSONResponse:
    """The answer to an input that could not be judged; it is recorded, so it carries its decision and receipt."""
    from serving.schemas import evidence, evidence_headers

    rule = release.verdict.fired[0]
    status = {"input-too-large": 413, "deadline-exceeded": 504}.get(rule.rule, 400)
    response = error_response(status, rule.because, rule.rule, genguard=evidence(release))
    response.headers.update(evidence_headers(release))
    return response
