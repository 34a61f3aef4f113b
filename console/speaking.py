"""Answers of the API to scripts of the console, in the language of the page: the API itself speaks English.

A script says that it asks for a page, and in which language, with a header. Then sentences in JSON that the service says of
itself are said in that language (`console.said`); names, texts of users and everything that is hashed or exported stay.
"""

from __future__ import annotations

import json
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from console.language import LANGUAGES
from console.said import Sayings, sayings

HEADER = "x-genguard-speak"
"""Names the language."""
SPOKEN = ("/v1/policies", "/v1/verify", "/v1/verification", "/v1/banks")
"""Paths whose answers are for reading, with all below them."""
ENDINGS = ("/rederivation", "/content")
"""Of paths whose answers are for reading, too."""
SAID = frozenset(
    {"message", "advice", "explanation", "because", "because_after", "measured", "error", "what", "why", "trouble"}
    | {"says", "confidence", "words", "notes", "result", "problems", "unchecked", "void"}
)
"""Keys of sentences of ours, or of lists of them."""
WITHIN = frozenset({"not_ready"})
"""Keys below which all texts are sentences of ours."""
CONDITION = "condition"
"""Key of a condition in words."""
COUNTED = frozenset({"reasons"})
"""Keys of mappings whose own keys are sentences of ours."""
_JSON, _LINES = "application/json", "application/x-ndjson"


class Speaking:
    """ASGI middleware around everything that answers errors."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on; what comes back is said in the language that was asked for."""
        asked = Headers(scope=scope).get(HEADER, "") if scope["type"] == "http" else ""
        known = sayings(asked) if asked in LANGUAGES else None
        if known is None or not known.exact:
            await self.app(scope, receive, send)
            return
        await self.app(scope, receive, _Answer(send, known, meant=_meant(scope["path"])))


def _meant(path: str) -> bool:
    return path.endswith(ENDINGS) or any(path == one or path.startswith(f"{one}/") for one in SPOKEN)


class _Answer:
    """One answer on its way: JSON is held until it is whole, lines of JSON until each is."""

    def __init__(self, send: Send, known: Sayings, *, meant: bool) -> None:
        self._send, self._known, self._meant = send, known, meant
        self._start: Message | None = None
        self._held = b""
        self._lines = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            await self._begin(message)
        elif message["type"] == "http.response.body" and self._start is not None:
            await self._whole(message)
        elif message["type"] == "http.response.body" and self._lines:
            await self._line_by_line(message)
        else:
            await self._send(message)

    async def _begin(self, message: Message) -> None:
        kind = Headers(raw=message["headers"]).get("content-type", "").partition(";")[0]
        spoken = self._meant or message["status"] >= 400
        self._lines = spoken and kind == _LINES
        if spoken and kind == _JSON:
            self._start = message
        else:
            await self._send(message)

    async def _whole(self, message: Message) -> None:
        self._held += message.get("body", b"")
        if message.get("more_body", False) or self._start is None:
            return
        body = _translated(self._held, self._known)
        MutableHeaders(scope=self._start)["content-length"] = str(len(body))
        await self._send(self._start)
        await self._send({"type": "http.response.body", "body": body, "more_body": False})

    async def _line_by_line(self, message: Message) -> None:
        *lines, self._held = (self._held + message.get("body", b"")).split(b"\n")
        more = message.get("more_body", False)
        if not more:
            lines, self._held = [*lines, self._held], b""
        body = b"\n".join(_translated(one, self._known) for one in lines)
        body += b"\n" if more and lines else b""
        await self._send({**message, "body": body})


def _translated(body: bytes, known: Sayings) -> bytes:
    """JSON with its sentences said; what is no JSON stays as it is."""
    try:
        found = json.loads(body)
    except ValueError:
        return body
    return json.dumps(_said(found, known), ensure_ascii=False, separators=(",", ":")).encode()


def _said(value: Any, known: Sayings, *, ours: bool = False) -> Any:
    """A value with the sentences in it said. `ours`: whether all texts in it are such."""
    if isinstance(value, str):
        return known.say(value) if ours else value
    if isinstance(value, list):
        return [_said(one, known, ours=ours) for one in value]
    if isinstance(value, dict):
        return {name: _kept(name, one, known, ours=ours) for name, one in value.items()}
    return value


def _kept(name: str, value: Any, known: Sayings, *, ours: bool) -> Any:
    if name in COUNTED and isinstance(value, dict):
        return {known.say(why): count for why, count in value.items()}
    if name in WITHIN:
        return _said(value, known, ours=True)
    if name == CONDITION and isinstance(value, str):
        return known.condition(value)
    plain = isinstance(value, str) or (isinstance(value, list) and all(isinstance(one, str) for one in value))
    return _said(value, known, ours=ours or (name in SAID and plain))
