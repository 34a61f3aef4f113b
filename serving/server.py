"""The server of `genguard serve`: it finds out at once whether it may listen, and stops without losing what it took on.

At SIGTERM `/readyz` turns 503, answers ask for their connections to be closed, and it listens on for a while, so that whoever
sends requests hears of it first. Then it listens no more, what is in work has `GENGUARD_GRACE_S` to end, and the ledger is
closed after the last of it. At SIGINT it does so without the while. A second signal ends the process where it stands; so does
the first before it listens. Nothing is lost from the ledger then, either: what was answered was committed before.

One of several workers (`serving.workers`) shares its sockets with the others. It takes one connection at a time, so that
whoever has nothing to do is there first, and a second signal does not end it: that is for its supervisor to say.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
from collections.abc import Callable
from types import FrameType

import uvicorn
from starlette.types import ASGIApp

from guard.errors import SettingsError
from serving.connections import patient
from serving.settings import Settings
from serving.turnstile import Turnstile
from serving.workers.orders import give_up

BACKLOG = 2048
"""Connections that may wait to be taken."""
_log = logging.getLogger(__name__)


def listening(settings: Settings) -> list[socket.socket]:
    """Sockets bound to all addresses of the host. Raises SettingsError where that cannot be."""
    place = f"{settings.host} port {settings.port}"
    made: list[socket.socket] = []
    try:
        found = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for family, kind, protocol, _, address in found:
            made.append(socket.socket(family, kind, protocol))
            made[-1].setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family is socket.AF_INET6:
                made[-1].setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            made[-1].bind(address)
    except OSError as error:
        for one in made:
            one.close()
        raise SettingsError(
            f"cannot listen on {place}: {error.strerror or type(error).__name__}",
            advice="Stop what listens there, or choose another: --host, --port, GENGUARD_HOST, GENGUARD_PORT.",
        ) from None
    return made


class Server(uvicorn.Server):
    """uvicorn's, with another way to stop."""

    def __init__(
        self, app: ASGIApp, settings: Settings, turnstile: Turnstile, *, begun: Callable[[], None] | None = None
    ) -> None:
        """`turnstile`: that of the application, which is told. `begun`: of one of several workers, told that it listens."""
        super().__init__(
            uvicorn.Config(
                app,
                host=settings.host,
                port=settings.port,
                http=patient(settings),
                h11_max_incomplete_event_size=settings.head_bytes,
                timeout_keep_alive=settings.keep_alive_s,
                timeout_graceful_shutdown=settings.grace_s,
                log_config=None,
                access_log=False,
                proxy_headers=bool(settings.proxies),
                forwarded_allow_ips=list(settings.proxies),
                server_header=False,
                backlog=BACKLOG if begun is None else 1,
            )
        )
        self._begun = begun
        self._turnstile, self._lame_duck_s = turnstile, settings.lame_duck_s
        self._loop: asyncio.AbstractEventLoop | None = None

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        """Run until it is stopped."""
        self._loop = asyncio.get_running_loop()
        await super().serve(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """A signal came."""
        del frame
        if self._turnstile.leaving and self._begun is not None:
            return
        if self._turnstile.leaving or not self._runs:
            signal.signal(sig, signal.SIG_DFL)
            signal.raise_signal(sig)
            return
        self.leave(self._lame_duck_s if sig == signal.SIGTERM else 0.0)

    def leave(self, wait: float) -> None:
        """Stop, after `wait` seconds; before it listens, end where it stands. May be called from any thread."""
        if not self._runs or self._loop is None:
            give_up()
        elif not self._turnstile.leaving:
            self._turnstile.leaving = True
            self._loop.call_soon_threadsafe(self._leave, wait)

    @property
    def _runs(self) -> bool:
        return self.started and self._loop is not None

    def _leave(self, wait: float) -> None:
        _log.info("stopping: %d requests in work", self._turnstile.inside)
        asyncio.get_running_loop().call_later(wait, self._stop)

    def _stop(self) -> None:
        self.should_exit = True

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Load, and listen."""
        await super().startup(sockets)
        for one in sockets or ():
            host, port = one.getsockname()[:2]
            _log.info("listening on http://%s:%d", f"[{host}]" if ":" in host else host, port)
        if self._begun is not None and self.started:
            for one in sockets or ():
                one.listen(BACKLOG)  # asyncio took the 1 for both: how many may wait, and how many it takes at a time
            self._begun()
