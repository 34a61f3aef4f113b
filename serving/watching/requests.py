"""Watches each HTTP request: its id, its measures, its trace, and one line of the log when it has ended.

`X-Request-Id` is taken from a caller who sends a UUID, a ULID or 32 hexadecimal digits, as proxies do; anything else might be
somebody's name, and is replaced. The answer bears the id. Of an address only the route's template is told, never what stands in
it, and nothing of its query.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from contextvars import ContextVar
from dataclasses import dataclass, field
from time import perf_counter
from types import TracebackType
from typing import Any, Self

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from guard.ids import uuid7
from guard.types import CheckResult, Decision
from guard.watching import Fact, Step, watching
from serving.turnstile import tokens_of
from serving.watching.metrics import METHODS, OTHER, Metrics
from serving.watching.tracing import Tracing, trace_of

UNROUTED = "unrouted"
"""Stands for the route of what was refused before any, or that no route is for."""
CLIENT_LEFT = 499
"""Status of a request whose client left before its answer began; nobody sees it but us."""
MOST_DECISIONS = 20
"""Ids of decisions in one line of the log."""
_ID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}|[0-9a-fA-F]{32}|[0-7][0-9A-HJKMNP-TV-Z]{25}", re.ASCII)
_access = logging.getLogger("genguard.access")


@dataclass(slots=True)
class Known:
    """What lines of the log say of the request that they belong to."""

    request: str
    trace: str = ""
    decisions: list[str] = field(default_factory=list)
    decided: int = 0
    tokens: int = 0
    """What was judged, as `serving.turnstile` counts it."""


KNOWN: ContextVar[Known | None] = ContextVar("genguard-request", default=None)


def request_id(given: str) -> str:
    """The caller's, when it can be no more than an id; else a new one."""
    return given if _ID.fullmatch(given) else str(uuid7())


def route_of(scope: Scope) -> str:
    """The template of the route that answered: `/v1/decisions/{decision}`; UNROUTED where there is none."""
    given: Mapping[str, Any] = scope.get("path_params") or {}
    path, route = str(scope["path"]), scope.get("route")
    if route is None:
        return path if "endpoint" in scope and not given else UNROUTED
    template = str(getattr(route, "path_format", getattr(route, "path", "")))
    shown = template
    for name, value in given.items():
        shown = shown.replace("{" + name + "}", str(value))
    # A router that was included with a prefix leaves it out of its routes' own templates.
    return path.removesuffix(shown) + template if path.endswith(shown) else template


class Watched:
    """ASGI middleware around everything else."""

    def __init__(self, app: ASGIApp, *, metrics: Metrics, tracing: Tracing | None = None) -> None:
        """`tracing`: where spans go; None for nowhere."""
        self.app, self._metrics, self._tracing = app, metrics, tracing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, and tell. Raises what the application raises."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        known = Known(request_id(headers.get("x-request-id", "")), trace_of(headers.get("traceparent", "")))
        began, status = perf_counter(), 0

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)["x-request-id"] = known.request
            await send(message)

        method = scope["method"] if scope["method"] in METHODS else OTHER
        with ExitStack() as around:
            span = around.enter_context(self._tracing.request(method, headers)) if self._tracing else None
            if span is not None:
                known.trace = span.trace
            token = KNOWN.set(known)
            around.callback(KNOWN.reset, token)
            around.enter_context(watching(Watcher(self._metrics, self._tracing, known)))
            around.enter_context(self._metrics.in_progress.track_inprogress())
            failed = ""
            try:
                await self.app(scope, receive, answer)
            except BaseException as error:
                failed = type(error).__name__
                raise
            finally:
                took, route = perf_counter() - began, route_of(scope)
                code = status or (500 if failed and failed != "CancelledError" else CLIENT_LEFT)
                self._metrics.requested(method, route, code, took)
                if span is not None:
                    span.answered(route, code, failed)
                _tell(scope, known, method, route, code, took)


def _tell(scope: Scope, known: Known, method: str, route: str, status: int, took: float) -> None:
    recorded = getattr(scope.get("state", {}).get("request"), "id", "")
    facts: dict[str, Any] = {"method": method, "route": route, "status": status, "ms": round(took * 1000, 1)}
    if recorded:
        facts["recorded"] = recorded
    if known.decisions:
        facts["decisions"] = known.decisions
    if known.decided > len(known.decisions):
        facts["decided"] = known.decided
    _access.info("%s %s %d", method, route, status, extra={"facts": facts})


class Watcher:
    """Who is told what the guard does for one request."""

    def __init__(self, metrics: Metrics, tracing: Tracing | None, known: Known) -> None:
        self._metrics, self._tracing, self._known = metrics, tracing, known

    def step(self, name: str, facts: Mapping[str, Fact], /) -> Step:
        """A step that is measured, and a span of the trace."""
        return _Step(self._metrics, name, facts, self._tracing.step(name, facts) if self._tracing else None)

    def checked(self, policy: str, results: Sequence[CheckResult], since: int, /) -> None:
        """A span for each check."""
        if self._tracing is not None:
            self._tracing.checked(policy, results, since)

    def decided(self, decision: Decision, since: int, /) -> None:
        """Counted, and named in the log."""
        self._known.decided += 1
        self._known.tokens += tokens_of(decision)
        if len(self._known.decisions) < MOST_DECISIONS:
            self._known.decisions.append(str(decision.id))
        self._metrics.decided(decision)
        if self._tracing is not None and since:
            self._tracing.streamed(decision, since)

    def left(self, seconds: float, /) -> None:
        """How late text leaves."""
        self._metrics.left(seconds)

    def headers(self) -> Mapping[str, str]:
        """The trace, for who is asked on the way."""
        return self._tracing.headers() if self._tracing else {}


class _Step:
    """A step with a clock."""

    __slots__ = ("_began", "_facts", "_metrics", "_name", "_span")

    def __init__(self, metrics: Metrics, name: str, facts: Mapping[str, Fact], span: Step | None) -> None:
        self._metrics, self._name, self._facts, self._span = metrics, name, facts, span
        self._began = 0.0

    def __enter__(self) -> Self:
        self._began = perf_counter()
        if self._span is not None:
            self._span.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._metrics.stepped(self._name, self._facts, perf_counter() - self._began, failed=error is not None)
        if self._span is not None:
            self._span.__exit__(kind, error, trace)

    def tell(self, **facts: Fact) -> None:
        if self._span is not None:
            self._span.tell(**facts)
