"""The HTTP service: wires settings, policies, ledger, generators and routes together.

`create_app()` makes an application for any ASGI server; `serve()` runs it with uvicorn, as `genguard serve` does.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import partial
from typing import Any

from fastapi import FastAPI
from fastapi import Request as HttpRequest
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException

from audit.ledger import open_ledger
from audit.listening import Listener
from console import refusals
from console import routes as console
from console.speaking import Speaking
from guard.errors import GenguardError, InputError
from serving import (
    access,
    banks,
    checkup,
    derived,
    described,
    exports,
    keeping,
    keys,
    openai,
    origin,
    own,
    policies,
    proofs,
    reviews,
    search,
    searches,
    shape,
    shell,
    steering,
)
from serving.config.file import spread
from serving.drafting import routes as drafting
from serving.drafting.workshop import Workshop
from serving.gate import UNRECORDED, Gate, error_response, failure_response, refusal_response
from serving.heap import frozen
from serving.identity import routes as login
from serving.identity.authenticate import Authenticator
from serving.identity.needs import ANY_KEY, Access, opened
from serving.rate import Buckets
from serving.review_hook import ReviewHook
from serving.rollout import LEDGER
from serving.settings import Settings
from serving.turnstile import Turnstile
from serving.verification import gather
from serving.watching import logs
from serving.watching.lookout import Lookout
from serving.wiring import Opening, Wired, wire
from serving.workers.standing import together
from serving.workers.team import METRICS, STANDING, Team

ROUTERS = (
    *(openai, proofs, search, own, access, derived, searches, banks, policies, drafting, steering),
    *(origin, exports, reviews, keeping, keys, checkup, login, console),
)
"""Modules with routes. `search` comes before `own`, whose route of one decision would take its names."""
_log = logging.getLogger(__name__)

ENDINGS_S = 5.0
"""How long streams that are broken off when the service stops may take to be recorded."""
READY_S = 5.0
"""How long `/readyz` waits for checks that are loading again."""


def create_app(
    settings: Settings | None = None, *, make: Callable[[Settings], Wired] = wire, team: Team | None = None
) -> FastAPI:
    """Build the application. `make` builds what it serves, at start-up. `team`: the workers of which it is one.

    Raises SettingsError when it would listen beyond loopback without API keys.
    """
    if settings is None:
        settings = Settings.read()
        spread(tuple(Settings.model_fields))  # for an ASGI server that calls this by itself
    team = team or Team()
    callers = Authenticator(settings, team.store)
    callers.need_some()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.wired, app.state.settings, app.state.callers = make(settings), settings, callers
        app.state.team = team
        known = app.state.wired.guard.operator.watermark_key
        app.state.workshop = Workshop(app.state.wired.guard)
        app.state.desk = origin.Desk(gather(settings, watermark_key=known, frank=False))
        lookout.watch(app.state.wired.ledger)
        await app.state.wired.banks.start()
        await app.state.wired.watcher.start()
        app.state.troubles = await app.state.wired.guard.load()
        for name, why in app.state.troubles.items():
            _log.error("check %s is not ready: %s", name, why)
        reviews.settle(
            app.state,
            key_file=settings.key_file,
            sla_minutes=settings.review_sla_minutes,
            second=settings.second_review,
        )
        app.state.office = await asyncio.to_thread(proofs.Office.open, settings)
        app.state.checkup = checkup.Checkup(settings.ledger)
        app.state.hook = await asyncio.to_thread(ReviewHook.open, settings)
        tasks, listener = _begun(app, settings), _listening(app, settings)
        await team.open({STANDING: partial(_standing_here, app), METRICS: lookout.families})
        with frozen():
            yield
        await turnstile.emptied(ENDINGS_S)  # what was broken off is recorded yet
        await app.state.checkup.close()
        await asyncio.to_thread(listener.close)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await _signed_off(app, settings)
        await callers.refusals.tell(app.state.wired.ledger)
        app.state.wired.close()
        await team.close()
        await asyncio.to_thread(lookout.close)

    app = FastAPI(
        title="genguard",
        summary="Every output of a generative model passes a policy before anyone sees it.",
        version="0.1.0",
        lifespan=lifespan,
        docs_url=None,  # the page would load its scripts from elsewhere; /openapi.json is served
        redoc_url=None,
    )
    lookout = Lookout.of(settings, team)
    turnstile = app.state.turnstile = Turnstile(settings, stores=team.store)
    public = Buckets(settings.public_verify_per_minute, store=team.store("public")) if settings.public_verify else None
    _add_routes(app)
    lookout.add_route(app)
    app.state.access = Access.of(app, {"/openapi.json": ANY_KEY})
    shell.attach_innermost(app)
    app.add_middleware(
        Gate,
        guard=lambda: app.state.wired.guard,
        proofs=callers,
        access=app.state.access,
        max_body=settings.max_body,
        turnstile=turnstile,
        request_s=settings.request_s,
        public=public,
        shown=refusals.shown,
    )
    app.add_middleware(Speaking)
    app.openapi = described.description(app)  # type: ignore[method-assign]
    shell.attach_inner(app, settings)
    lookout.attach(app)
    shell.attach_outer(app, settings)
    return app


def _begun(app: FastAPI, settings: Settings) -> list[asyncio.Task[None]]:
    """What goes on beside requests: following the ledger, posting outcomes of reviews, and what one of a team does alone."""
    state = app.state
    office, hook = state.office, [state.hook.keep_posting()] if state.hook else []
    alone = [*([office.keep_signing] if settings.anchors else []), *(partial(office.keep_sending, one) for one in office.sent)]
    work = [state.wired.watcher.run(), state.wired.banks.run(), *hook, *(_on_duty(state.team, one) for one in alone)]
    return [asyncio.create_task(one) for one in work]


def _listening(app: FastAPI, settings: Settings) -> Listener:
    """Hear of rollouts, banks, keys and sessions that others change, where the database tells."""
    loop = asyncio.get_running_loop()

    def changed() -> None:
        app.state.callers.doubt()
        app.state.wired.watcher.wake()
        app.state.wired.banks.wake()

    def wake() -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody follows any more
            loop.call_soon_threadsafe(changed)

    return Listener(settings.ledger, wake)


async def _signed_off(app: FastAPI, settings: Settings) -> None:
    """Sign and send what was decided last. Of a team, whoever ends last signs last."""
    if not settings.anchors:
        return
    with suppress(GenguardError, TimeoutError):  # logged before
        await asyncio.wait_for(app.state.team.duty(), ENDINGS_S)
        await asyncio.to_thread(app.state.office.checkpoint)
        for anchor in app.state.office.sent:
            await asyncio.to_thread(anchor.deliver)


def _add_routes(app: FastAPI) -> None:
    for part in ROUTERS:
        app.include_router(part.router)
    app.add_exception_handler(GenguardError, _shown(_on_error))
    app.add_exception_handler(RequestValidationError, _shown(_on_invalid))
    app.add_exception_handler(HTTPException, _shown(_on_http))
    operation: dict[str, Any] = {"methods": ["GET"], "tags": ["operation"], "dependencies": [opened()]}
    app.add_api_route("/healthz", _healthz, **operation)
    app.add_api_route("/readyz", _readyz, **operation, response_model=None)


async def _healthz() -> dict[str, str]:
    """Whether the process answers at all."""
    return {"status": "ok"}


async def _readyz(http: HttpRequest) -> JSONResponse:
    """Whether every check is loaded, the ledger takes decisions and is read, and a cluster answers; 503 with reasons otherwise.

    So it is from the moment on that the service is being stopped.

    A revision that the ledger puts in force and that cannot be used here is told, and is no reason for 503: the last good one
    judges on, and a bad revision must not take every instance out of service. So are banks that cannot follow the ledger,
    and anchors, witnesses and web hooks that do not answer.
    """
    found, team = await _standing(http.app), http.app.state.team
    if not team.alone and not http.app.state.turnstile.leaving:
        found = together(team, found, await team.ask(STANDING))
    troubles = found.pop("troubles")
    held = {name: told for name, told in found.items() if told}
    status = "not ready" if troubles else "ready"
    return JSONResponse({"status": status, "troubles": troubles, **held}, status_code=503 if troubles else 200)


async def _standing_here(app: FastAPI) -> dict[str, Any] | None:
    """What another worker is told; None from one that leaves: that is for the supervisor to say."""
    return None if app.state.turnstile.leaving else await _standing(app)


async def _standing(app: FastAPI) -> dict[str, Any]:
    """How this process stands: `troubles`, for which it is not ready, and what is only told."""
    state = app.state
    if state.turnstile.leaving:
        return {"troubles": {"service": "it is being stopped"}}
    wired: Wired = state.wired
    if state.troubles:
        with suppress(TimeoutError):  # a check that could not be loaded may be ready by now
            state.troubles = await asyncio.wait_for(wired.guard.load(), READY_S)
    troubles = dict(state.troubles)
    if trouble := wired.ledger_trouble() or wired.watcher.troubles.get(LEDGER, ""):
        troubles["ledger"] = trouble
    if trouble := wired.cluster_trouble():
        troubles["cluster"] = trouble
    if wired.banks.missing:
        troubles["banks"] = "; ".join(wired.banks.missing.values())
    if trouble := state.office.trouble:
        troubles["checkpoints"] = trouble
    hook = [state.hook.trouble] if state.hook is not None and state.hook.trouble else []
    notices = {
        "rollout": wired.watcher.troubles,
        "banks": wired.banks.troubles,
        "checkpoints": state.office.notices(),
        "review_webhook": hook,
    }
    return {"troubles": troubles, **notices}


async def _on_duty(team: Team, work: Callable[[], Awaitable[None]]) -> None:
    """Do what one of a team does alone, once this one is it."""
    await team.duty()
    await work()


def _shown(answer: Callable[[HttpRequest, Exception], Awaitable[JSONResponse]]) -> Callable[..., Awaitable[Response]]:
    """A handler of errors whose answers are pages where a browser asked for one."""

    async def handler(http: HttpRequest, error: Exception) -> Response:
        return refusals.shown(http.scope, await answer(http, error), http.state.principal)

    return handler


async def _on_error(_http: HttpRequest, error: Exception) -> JSONResponse:
    return failure_response(error)


async def _on_invalid(http: HttpRequest, error: Exception) -> JSONResponse:
    """A body that is no JSON is recorded as an unreadable input; one of another shape is only refused."""
    problems = error.errors() if isinstance(error, RequestValidationError) else []
    if any(problem["type"] == "json_invalid" for problem in problems):
        return await _refuse(http, "found a request body that is not JSON, expected JSON in UTF-8")
    if any(problem["type"] == "model_attributes_type" and len(problem["loc"]) == 1 for problem in problems):
        return error_response(
            422,
            "the request is no JSON object, expected one, with the header `content-type: application/json`",
            "invalid_request",
        )
    body = error.body if isinstance(error, RequestValidationError) else None
    if not hasattr(http.app.state, "names"):
        http.app.state.names = shape.names(http.app.openapi())
    told = shape.told(problems, body, http.app.state.names)
    return error_response(422, f"the request is not of the expected shape: {told}", "invalid_request")


async def _on_http(http: HttpRequest, error: Exception) -> JSONResponse:
    status = error.status_code if isinstance(error, HTTPException) else 500
    if status == 400:
        return await _refuse(http, "found a request body that cannot be decoded, expected JSON in UTF-8")
    return error_response(status, str(error.detail) if isinstance(error, HTTPException) else "error", f"http_{status}")


async def _refuse(http: HttpRequest, message: str) -> JSONResponse:
    if http.url.path in UNRECORDED:
        return failure_response(InputError(message))
    wired: Wired = http.app.state.wired
    return refusal_response(await wired.guard.refuse(InputError(message), http.state.request))


def serve(settings: Settings) -> None:
    """Run the service in this process until it is stopped (`serving.server`).

    Raises PolicyError, LedgerError, RegistryError, InputError or SettingsError at its start.
    """
    from serving.server import Server, listening

    sockets = listening(settings)
    try:
        with prepared(settings) as app:
            Server(app, settings, app.state.turnstile).run(sockets)
    finally:
        for one in sockets:
            one.close()


@contextmanager
def prepared(settings: Settings, *, team: Team | None = None, opening: Opening = open_ledger) -> Iterator[FastAPI]:
    """The application with all that it serves, which is closed at the end. Raises as `serve` does."""
    logs.configure(settings.log_format, settings.log_level, part="" if team is None else f"worker {team.index}")
    app = create_app(settings, make=lambda _: wired, team=team)
    wired = wire(settings, opening)
    try:
        _look(settings)
        yield app
    finally:
        wired.close()


def _look(settings: Settings) -> None:
    """Open once what the application will: a server would tell a mistake in it as a traceback."""
    gather(settings, frank=False)
    proofs.Office.open(settings)
    ReviewHook.open(settings)
