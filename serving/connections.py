"""Connections of callers who are slow: a head that does not come, or is too large, and an answer that nobody takes.

uvicorn closes idle connections, and nothing else of this; its protocols are extended here, whichever of them is installed.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.auto import AutoHTTPProtocol

from serving.settings import Settings

_Base: Any = AutoHTTPProtocol
_TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


class Patient(_Base):  # type: ignore[misc]
    """A connection with limits; `patient` makes the class that has those of the settings."""

    head_s = 20.0
    head_bytes = 65_536
    send_s = 60.0

    def connection_made(self, transport: asyncio.Transport) -> None:
        """The first head is awaited."""
        super().connection_made(transport)
        self._arrived = 0
        self._sending: asyncio.TimerHandle | None = None
        self._heading: asyncio.TimerHandle | None = self.loop.call_later(self.head_s, self._cut)

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is awaited any more."""
        self._stop()
        if self._sending is not None:
            self._sending.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Some more of a request. As long as it is the head, its size and its time are limited."""
        super().data_received(data)
        if not self._awaits_head():
            self._stop()
            self._arrived = 0
            return
        self._arrived += len(data)
        if self._arrived > self.head_bytes:
            self.transport.write(_TOO_LARGE)
            self.transport.close()
        elif self._heading is None:
            self._heading = self.loop.call_later(self.head_s, self._cut)

    def pause_writing(self) -> None:
        """The reader is behind."""
        super().pause_writing()
        if self._sending is None:
            self._sending = self.loop.call_later(self.send_s, self.transport.abort)

    def resume_writing(self) -> None:
        """The reader has taken something."""
        if self._sending is not None:
            self._sending.cancel()
            self._sending = None
        super().resume_writing()

    def _awaits_head(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _stop(self) -> None:
        if self._heading is not None:
            self._heading.cancel()
            self._heading = None

    def _cut(self) -> None:
        self._heading = None
        if self._awaits_head():
            self.transport.abort()


def patient(settings: Settings) -> type[asyncio.Protocol]:
    """The protocol of a service with these settings, for `uvicorn.Config(http=…)`."""
    limits = {"head_s": settings.head_s, "head_bytes": settings.head_bytes, "send_s": settings.send_s}
    return type("Connection", (Patient,), limits)
