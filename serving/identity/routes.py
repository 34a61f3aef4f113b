"""`/auth/…`: logging in with a browser, by the issuer or by a key, and logging out."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Form, Query
from fastapi import Request as HttpRequest
from fastapi.responses import JSONResponse, RedirectResponse, Response

from audit.sessions import ISSUER, KEY, OIDC
from serving.gate import address_of, error_response
from serving.identity.authenticate import Authenticator
from serving.identity.guesses import GuessedError
from serving.identity.login import LIVES_S, Attempt, local_path
from serving.identity.needs import needs, opened
from serving.identity.page import HEADERS, LANGUAGE, login_page
from serving.identity.sessions import read_cookie
from serving.identity.tokens import TokenError

ATTEMPT = "genguard-login"
"""Name of the cookie that binds an attempt to its browser."""
router = APIRouter(prefix="/auth", tags=["login"])
_log = logging.getLogger(__name__)
Next = Annotated[str, Query(max_length=500, description="Path to go to afterwards.")]


@router.get("/login", response_model=None, dependencies=[opened()])
async def login(http: HttpRequest, next: Next = "/", by: Annotated[str, Query(max_length=10)] = "") -> Response:  # noqa: A002
    """Send the browser to the issuer; without one, or with `by=key`, show a page that takes a key."""
    callers: Authenticator = http.app.state.callers
    if callers.login is None or by == "key":
        return _page(http, next)
    attempt = Attempt.begin(next)
    try:
        address = await callers.login.address(attempt)
    except TokenError as error:
        return _away(http, next, error)
    answer = RedirectResponse(address, 303, HEADERS)
    callers.sessions.set_cookie(answer, ATTEMPT, attempt.sealed(_tag(http)), timedelta(seconds=LIVES_S))
    return answer


@router.post("/login", response_model=None, dependencies=[opened()])
async def login_by_key(
    http: HttpRequest,
    key: Annotated[str, Form(max_length=500)],
    next: Annotated[str, Form(max_length=500)] = "/",  # noqa: A002
) -> Response:
    """Begin a session with an API key; it ends with the key."""
    callers: Authenticator = http.app.state.callers
    if not callers.sessions.own(http.headers.get("origin", ""), http.headers):
        return _page(http, next, "elsewhere", 403)
    try:
        found = await callers.by_key(key.strip(), address_of(http.scope))
    except GuessedError as error:
        return _page(http, next, "many", 429, error.retry_after_s)
    if found is None:
        await callers.refusals.note(http.app.state.wired.ledger, KEY)
        return _page(http, next, "invalid", 401)
    principal, proof = found
    answer = RedirectResponse(local_path(next), 303, HEADERS)
    await callers.sessions.begin(http.app.state.wired.ledger, answer, principal, proof)
    return answer


@router.get("/callback", response_model=None, dependencies=[opened()])
async def callback(
    http: HttpRequest,
    state: Annotated[str, Query(max_length=200)] = "",
    code: Annotated[str, Query(max_length=4000)] = "",
    iss: Annotated[str, Query(max_length=500)] = "",
) -> Response:
    """Where the issuer sends the browser back to."""
    callers: Authenticator = http.app.state.callers
    if callers.login is None:
        return error_response(404, "found no login by an issuer here", "not_found")
    sessions, tag = callers.sessions, _tag(http)
    attempt = Attempt.opened(read_cookie(http.headers, sessions.cookie(ATTEMPT)), tag)
    try:
        principal = await callers.login.finish(attempt, state=state, code=code, issuer=iss)
    except TokenError as error:
        return _away(http, attempt.next if attempt is not None else "/", error)
    if principal is None or attempt is None:
        await callers.refusals.note(http.app.state.wired.ledger, ISSUER)
        answer: Response = _page(http, "/", "refused", 401)
    else:
        answer = RedirectResponse(attempt.next, 303, HEADERS)
        await sessions.begin(http.app.state.wired.ledger, answer, principal, OIDC)
    sessions.drop_cookie(answer, ATTEMPT)
    return answer


@router.post("/logout", response_model=None, dependencies=[needs()])
async def logout(http: HttpRequest) -> Response:
    """End the session."""
    callers: Authenticator = http.app.state.callers
    answer = RedirectResponse("/auth/login?by=key", 303, HEADERS)
    await callers.sessions.end(http.app.state.wired.ledger, http.headers, answer)
    return answer


@router.get("/session", response_model=None, dependencies=[needs()])
async def session(http: HttpRequest) -> JSONResponse:
    """Who one is here, what one may, and `csrf`: what requests with a session bring when they change something."""
    principal = http.state.principal
    fields: dict[str, Any] = {
        "name": principal.name,
        "tenant": principal.tenant,
        "roles": sorted(principal.roles),
        "permissions": sorted(principal.permissions),
        "csrf": principal.csrf,
    }
    return JSONResponse(fields, headers={"cache-control": "no-store"})


def _page(http: HttpRequest, path: str, told: str = "", status: int = 200, seconds: int = 0) -> Response:
    callers: Authenticator = http.app.state.callers
    asked = http.cookies.get(LANGUAGE) or http.headers.get("accept-language", "")
    issuer = callers.login is not None
    return login_page(asked, local_path(path), issuer=issuer, told=told, status=status, seconds=seconds)


def _away(http: HttpRequest, path: str, error: TokenError) -> Response:
    """The issuer cannot be asked: its user is told so, the log why."""
    _log.error("%s: %s", type(error).__name__, error)
    return _page(http, path, "away", 503)


def _tag(http: HttpRequest) -> Any:
    vault = http.app.state.wired.ledger.keyring.vault
    return lambda data: vault.tag("login", data)
