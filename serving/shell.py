"""What stands outside of everything else: which hosts and which pages of others may ask, and headers that browsers keep to."""

from __future__ import annotations

from urllib.parse import urlsplit

from fastapi import FastAPI
from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from guard.errors import SettingsError
from serving.gate import error_response
from serving.settings import Settings

EVERYWHERE = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "content-security-policy": "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "cache-control": "no-store",
}
"""Headers of every answer that does not say otherwise itself."""
HSTS = "max-age=31536000"
"""A year of https alone, for this host and not for others below it."""
MAX_HEADERS = 100
"""Headers of one request."""
ASKED = frozenset({"/healthz", "/readyz"})
"""Paths that probes ask for by the machine's address, whatever its name is."""
MAX_VALUES = 50_000
"""Values of one JSON body. Each that is wrong becomes an error of its own while nobody else is served."""
_FEW = 100_000
"""Bytes of a body that cannot hold too many to matter."""
_CORS_S = 600


def attach_innermost(app: FastAPI) -> None:
    """Bound what is parsed: before the gate is added, which reads the body."""
    app.add_middleware(_Sieve)


def attach_inner(app: FastAPI, settings: Settings) -> None:
    """Refuse what is to get no further. Raises SettingsError for origins that are none."""
    app.add_middleware(_Threshold, hosts=_hosts(settings.hosts))
    if origins := _origins(settings.cors_origins):
        app.add_middleware(
            CORSMiddleware,
            allow_origins=origins,
            allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
            allow_headers=["*"],
            expose_headers=["*"],
            max_age=_CORS_S,
        )


def attach_outer(app: FastAPI, settings: Settings) -> None:
    """Put the headers on all answers, those of other middleware too: after all others are added."""
    more = {"strict-transport-security": HSTS} if settings.https else {}
    app.add_middleware(_Headers, headers={**EVERYWHERE, **more})


class _Headers:
    """ASGI middleware: headers that an answer does not have yet."""

    def __init__(self, app: ASGIApp, *, headers: dict[str, str]) -> None:
        self.app, self._headers = app, headers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self._headers.items():
                    headers.setdefault(name, value)
            await send(message)

        await self.app(scope, receive, sending if scope["type"] == "http" else send)


class _Sieve:
    """ASGI middleware: no JSON of more values than anybody means. It takes bodies whole, as the gate passes them on."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not _is_json(Headers(scope=scope)):
            await self.app(scope, receive, send)
            return
        first: list[Message] = [await receive()]
        if has_too_many(first[0].get("body", b"")):
            told = f"found more than {MAX_VALUES} values in the request body, expected fewer"
            await error_response(413, told, "input-too-large")(scope, receive, send)
            return

        async def again() -> Message:
            return first.pop() if first else await receive()

        await self.app(scope, again, send)


def _is_json(headers: Headers) -> bool:
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    return kind == "application/json" or kind.endswith("+json")


def has_too_many(body: bytes) -> bool:
    """Whether JSON has more than MAX_VALUES keys and items. Commas and colons inside of texts do not count."""
    if len(body) <= _FEW or body.count(b",") + body.count(b":") <= MAX_VALUES:
        return False
    bare = body.replace(b"\\\\", b"").replace(b'\\"', b"")
    if bare.count(b'"') > 4 * MAX_VALUES:
        return True
    outside = bare.split(b'"')[::2]
    return sum(part.count(b",") + part.count(b":") for part in outside) > MAX_VALUES


class _Threshold:
    """ASGI middleware: no request for another host, none that is compressed, none with heaps of headers."""

    def __init__(self, app: ASGIApp, *, hosts: frozenset[str]) -> None:
        self.app, self._hosts = app, hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and (refused := self._refused(scope)):
            status, message, code = refused
            await error_response(status, message, code)(scope, receive, send)
            return
        await self.app(scope, receive, send)

    def _refused(self, scope: Scope) -> tuple[int, str, str] | None:
        if len(scope["headers"]) > MAX_HEADERS:
            return 431, f"found {len(scope['headers'])} headers, expected at most {MAX_HEADERS}", "too_many_headers"
        headers = Headers(scope=scope)
        if self._hosts and scope["path"] not in ASKED and _name(headers.get("host", "")) not in self._hosts:
            return 421, "found a host that this service does not answer for, see GENGUARD_HOSTS", "misdirected_request"
        if headers.get("content-encoding", "identity").strip().lower() not in {"", "identity"}:
            return 415, "found a compressed request body, expected it without content-encoding", "unsupported_encoding"
        return None


def _name(host: str) -> str:
    """The name alone; empty for what is none."""
    try:
        return (urlsplit(f"//{host}").hostname or "").rstrip(".")
    except ValueError:
        return ""


def _hosts(given: tuple[str, ...]) -> frozenset[str]:
    found = frozenset(_name(one) for one in given)
    if "" in found or any("*" in one or "/" in one for one in given):
        raise SettingsError("GENGUARD_HOSTS: found what is no host, expected names or addresses such as guard.example")
    return found


def _origins(given: tuple[str, ...]) -> list[str]:
    for one in given:
        try:
            parts = urlsplit(one)
            good = parts.scheme in {"http", "https"} and bool(parts.hostname) and f"{parts.scheme}://{parts.netloc}" == one
            good = good and parts.username is None and "*" not in one and parts.port != 0
        except ValueError:
            good = False
        if not good:
            raise SettingsError(
                "GENGUARD_CORS_ORIGINS: found what is no origin, expected such as https://app.example",
                advice="Without a path and without *: every origin is named.",
            )
    return list(given)
