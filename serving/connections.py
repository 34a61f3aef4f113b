"""Connections: how many there may be, and who is slow with a head, sends too large a one, or takes no answer.

When all places are taken, whoever comes next takes that of the connection which has waited longest for a head, so those that
send none, or a byte at a time, keep nobody out. Where all are in work the newcomer is told so, 503, and let go.

uvicorn closes idle connections, and nothing else of this; its protocols are extended here, whichever of them is installed.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import Any

from uvicorn.protocols.http.auto import AutoHTTPProtocol

from serving.settings import Settings

_LINGER_S = 1.0
"""For how long a connection that got no place may stay to take its answer."""
_LINGERING = 64
"""How many of these there are at most; more are cut off."""
_FULL = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\nretry-after: 1\r\nconnection: close\r\n\r\n"
_Base: Any = AutoHTTPProtocol
_TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


class Places:
    """The connections of one service."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._taken: OrderedDict[Patient, None] = OrderedDict()
        self.lingering = 0

    def __len__(self) -> int:
        return len(self._taken)

    def take(self, one: Patient) -> bool:
        """Give it a place, where need be that of another that waits for a head; False when all are in work."""
        if len(self._taken) >= self._most and not self._free():
            return False
        self._taken[one] = None
        return True

    def renew(self, one: Patient) -> None:
        """It has sent a whole head: of those that wait it is the last now."""
        if one in self._taken:
            self._taken.move_to_end(one)

    def leave(self, one: Patient) -> None:
        """It is gone."""
        self._taken.pop(one, None)

    def _free(self) -> bool:
        found = next((one for one in self._taken if one.idle), None)
        if found is not None:
            self.leave(found)
            found.transport.abort()
        return found is not None


class Patient(_Base):  # type: ignore[misc]
    """A connection with limits; `patient` makes the class that has those of the settings."""

    head_s = 20.0
    head_bytes = 65_536
    send_s = 60.0
    places = Places(900)

    def connection_made(self, transport: asyncio.Transport) -> None:
        """The first head is awaited."""
        super().connection_made(transport)
        self._refused = self._upgraded = False
        self._arrived = 0
        self._sending: asyncio.TimerHandle | None = None
        self._heading: asyncio.TimerHandle | None = None
        if self.places.take(self):
            self._heading = self.loop.call_later(self.head_s, self._cut)
        else:
            self._refuse()

    @property
    def idle(self) -> bool:
        """Whether nothing of it is in work, or it is gone already."""
        return bool(self.transport.is_closing() or (self._awaits_head() and not self._upgraded))

    def handle_websocket_upgrade(self, *event: Any) -> None:
        """From here on it is a web socket: it keeps its place, and no head is awaited."""
        self._upgraded = True
        self._stop()
        super().handle_websocket_upgrade(*event)

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is awaited any more."""
        self.places.leave(self)
        if self._refused:
            self.places.lingering -= 1
        self._stop()
        if self._sending is not None:
            self._sending.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Some more of a request. As long as it is the head, its size and its time are limited."""
        if self._refused:
            return
        super().data_received(data)
        if not self._awaits_head() or self._upgraded:
            self.places.renew(self)
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

    def _refuse(self) -> None:
        """Say that there is no place, and take what comes for a moment: closed at once, the answer could be lost."""
        self._refused = True
        self.places.lingering += 1
        if self.places.lingering > _LINGERING:
            self.transport.abort()
            return
        self.transport.write(_FULL)
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self._heading = self.loop.call_later(_LINGER_S, self.transport.abort)

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
    limits: dict[str, Any] = {"head_s": settings.head_s, "head_bytes": settings.head_bytes, "send_s": settings.send_s}
    limits |= {"places": Places(settings.connections)}
    return type("Connection", (Patient,), limits)
