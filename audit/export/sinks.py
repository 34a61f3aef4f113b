"""Where a stream of entries goes: a file, a syslog server over TCP, a web hook. `send` returns once they were taken."""

from __future__ import annotations

import os
import select
import socket
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from guard.errors import InputError
from guard.keyfile import sync_folder

TIMEOUT_S = 10.0
_LOOPBACK = {"127.0.0.1", "::1", "localhost"}
_PRIORITY = 13 * 8 + 6
"""Facility 13 (log audit), severity 6 (informational)."""


class Sink(Protocol):
    """Takes lines."""

    def send(self, lines: Sequence[bytes], /) -> None:
        """Hand lines over. MUST NOT return before they were taken; raises OSError when that is not known."""

    def close(self) -> None:
        """Let go of what is open."""


def open_sink(target: str, token: str = "") -> Sink:
    """The sink that `syslog://host:port`, `https://…`, or a path names; `http://` is for this machine alone.

    `token`: sent to a web hook as bearer token. Raises InputError for a target that cannot be one. Nothing is opened yet.
    """
    parts = urlsplit(target)
    try:
        port = parts.port
    except ValueError:
        raise InputError(f"found {target!r}, expected a port from 1 to 65535") from None
    if parts.scheme == "syslog":
        if not parts.hostname or not port or parts.path not in {"", "/"} or parts.query or parts.username:
            raise InputError(f"found {target!r}, expected syslog://HOST:PORT")
        return Syslog(parts.hostname, port)
    if parts.scheme in {"http", "https"}:
        if not parts.hostname or parts.username or parts.password:
            raise InputError("found a web address without a host or with a password in it, expected https://HOST/PATH")
        if parts.scheme == "http" and parts.hostname not in _LOOPBACK:
            raise InputError(f"found http://{parts.hostname}, expected https: entries are not sent in the clear")
        return WebHook(target, token)
    if "://" in target:
        raise InputError(f"found {parts.scheme}://, expected syslog://HOST:PORT, https://HOST/PATH or a file")
    return FileSink(Path(target))


@dataclass(slots=True)
class FileSink:
    """Appends to a file. A line that a crash cut off is ended before others follow it: readers skip it, and it comes again."""

    path: Path

    def send(self, lines: Sequence[bytes], /) -> None:
        """On disk when it returns."""
        begins = not self.path.exists()
        with self.path.open("a+b") as file:
            end = file.seek(0, os.SEEK_END)
            if end:
                file.seek(end - 1)
                file.write(b"" if file.read(1) == b"\n" else b"\n")
            file.writelines(lines)
            file.flush()
            os.fsync(file.fileno())
        if begins:
            sync_folder(self.path.absolute().parent)

    def close(self) -> None:
        """Nothing is open."""


@dataclass(slots=True)
class Syslog:
    """RFC 5424 messages over TCP with octet counting (RFC 6587), so that line breaks cannot forge one.

    Syslog has no acknowledgement: what the connection took and did not refuse counts as taken. What a server loses after
    that is lost.
    """

    host: str
    port: int
    _connection: socket.socket | None = field(default=None, repr=False)

    def send(self, lines: Sequence[bytes], /) -> None:
        """See the class."""
        try:
            if self._connection is None:
                self._connection = socket.create_connection((self.host, self.port), TIMEOUT_S)
            self._refuse_closed(self._connection)
            stamp = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
            head = f"<{_PRIORITY}>1 {stamp} {_name(socket.gethostname())} genguard {os.getpid()} entry - ".encode()
            for line in lines:
                message = head + line.rstrip(b"\n")
                self._connection.sendall(b"%d %s" % (len(message), message))
            self._refuse_closed(self._connection)
        except OSError:
            self.close()
            raise

    def close(self) -> None:
        """End the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _refuse_closed(self, connection: socket.socket) -> None:
        readable, _, _ = select.select([connection], [], [], 0)
        if readable and not connection.recv(4096):
            raise ConnectionResetError(None, "the server closed the connection")


@dataclass(slots=True)
class WebHook:
    """Posts lines as `application/x-ndjson`; any 2xx is the acknowledgement. Redirects are not followed."""

    url: str
    token: str = field(default="", repr=False)

    def send(self, lines: Sequence[bytes], /) -> None:
        """See the class. The answer's text is never repeated."""
        import httpx

        headers = {"content-type": "application/x-ndjson"} | ({"authorization": f"Bearer {self.token}"} if self.token else {})
        try:
            answer = httpx.post(self.url, content=b"".join(lines), headers=headers, timeout=TIMEOUT_S, follow_redirects=False)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise ConnectionError(None, f"no answer: {type(error).__name__}") from None
        if not answer.is_success:
            raise ConnectionError(None, f"status {answer.status_code}")

    def close(self) -> None:
        """Nothing is open."""


def _name(text: str) -> str:
    """A host's name as RFC 5424 allows it."""
    return "".join(letter for letter in text if "!" <= letter <= "~")[:255] or "-"
