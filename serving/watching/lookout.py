"""One service's metrics and traces, and who may read `/metrics`."""

from __future__ import annotations

import asyncio
import hmac
from dataclasses import dataclass, field
from typing import Any

from fastapi import FastAPI
from fastapi.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from audit.ledger import SqlLedger
from guard.errors import SettingsError
from serving.gate import error_response
from serving.identity.needs import needs
from serving.identity.roles import Permission
from serving.settings import Settings
from serving.watching.metrics import CONTENT_TYPE, Metrics, bare
from serving.watching.requests import Watched
from serving.watching.standing import Standing
from serving.watching.tracing import Tracing, exporter
from serving.workers.standing import as_text, families
from serving.workers.team import METRICS, Team

PATH = "/metrics"


@dataclass(frozen=True, slots=True)
class Lookout:
    """What one service counts and traces."""

    metrics: Metrics
    tracing: Tracing | None
    token: str
    team: Team = field(default_factory=Team)
    """The workers that are watched together."""

    @classmethod
    def of(cls, settings: Settings, team: Team | None = None) -> Lookout:
        """As the settings say. Raises SettingsError for a short token, headers that are none, or OpenTelemetry missing."""
        token = settings.metrics_token.get_secret_value()
        if token and len(token) < 16:
            raise SettingsError("GENGUARD_METRICS_TOKEN: found fewer than 16 characters, expected 16 or more, or none")
        tracing = None
        if settings.otlp_endpoint:
            given = _headers(settings.otlp_headers.get_secret_value())
            database = "sqlite" if settings.ledger.startswith("sqlite") else "postgresql"
            sent = exporter(settings.otlp_endpoint, given)
            tracing = Tracing(sent, ratio=settings.trace_ratio, database=database)
        return cls(Metrics(tenants=settings.metrics_tenants), tracing, token, team or Team())

    def add_route(self, app: FastAPI) -> None:
        """Answer `/metrics`, which is about all tenants."""
        needed = [needs(Permission.SETTINGS, whole=True)]
        app.add_api_route(PATH, self._answer, methods=["GET"], tags=["operation"], response_model=None, dependencies=needed)

    def attach(self, app: FastAPI) -> None:
        """Watch all requests of an application, those too that other middleware answers: after all others are added."""
        self.metrics.look_up(Standing(app.state))
        app.add_middleware(_Door, lookout=self)
        app.add_middleware(Watched, metrics=self.metrics, tracing=self.tracing)

    def watch(self, ledger: SqlLedger) -> None:
        """Count what a ledger commits."""
        ledger.on_commit(self.metrics.committed)

    def close(self) -> None:
        """Export what was traced. Blocks for some seconds at most."""
        if self.tracing is not None:
            self.tracing.close()

    async def response(self) -> Response:
        """All metrics as Prometheus reads them, of all workers. The ledger is asked, so it runs beside the event loop."""
        if self.team.alone:
            return Response(await run_in_threadpool(self.metrics.text), media_type=CONTENT_TYPE)
        own, others = await asyncio.gather(self.families(), self.team.ask(METRICS))
        text = await run_in_threadpool(as_text, self.team, own, others)
        return Response(bare(text), media_type=CONTENT_TYPE)

    async def families(self) -> list[Any]:
        """All metrics of this process, as another worker takes them."""
        return await run_in_threadpool(lambda: families(self.metrics.registry.collect()))

    async def _answer(self) -> Response:
        """Counters, durations and queues for Prometheus."""
        return await self.response()


class _Door:
    """ASGI middleware: where `/metrics` has a token of its own, no key opens it."""

    def __init__(self, app: ASGIApp, *, lookout: Lookout) -> None:
        self.app, self._lookout = app, lookout

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != PATH or not self._lookout.token:
            await self.app(scope, receive, send)
            return
        scope["endpoint"] = self
        scheme, _, given = Headers(scope=scope).get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and hmac.compare_digest(given.strip().encode(), self._lookout.token.encode()):
            answer = await self._lookout.response()
        else:
            answer = error_response(401, "found no valid token, expected `Authorization: Bearer TOKEN`", "invalid_api_key")
        await answer(scope, receive, send)


def _headers(given: str) -> dict[str, str]:
    pairs = [one.partition("=") for one in given.split(",") if one.strip()]
    if not all(name.strip() and equals for name, equals, _ in pairs):
        raise SettingsError("GENGUARD_OTLP_HEADERS: found an entry that is not name=value, expected those, separated by commas")
    return {name.strip().lower(): value.strip() for name, _, value in pairs}
