"""Where a stream of entries goes: a file, a syslog server, a web hook. `send` returns once they were taken."""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from audit.webhook import Hook, check_address
from guard.errors import InputError
from guard.keyfile import sync_folder

TIMEOUT_S = 10.0
TCP, UDP, TLS = "tcp", "udp", "tls"
TRANSPORTS = {"syslog": TCP, "syslog+tcp": TCP, "syslog+tls": TLS, "syslog+udp": UDP}
"""How each scheme speaks syslog."""
MAX_DATAGRAM = 65_000
"""Bytes of one message over UDP."""
_PRIORITY = 13 * 8 + 6
"""Facility 13 (log audit), severity 6 (informational)."""


class Sink(Protocol):
    """Takes lines."""

    def send(self, lines: Sequence[bytes], /) -> None:
        """Hand lines over. MUST NOT return before they were taken; raises OSError when that is not known."""

    def close(self) -> None:
        """Let go of what is open."""


def open_sink(target: str, token: str = "", secret: bytes = b"") -> Sink:
    """The sink that `syslog://host:port`, `https://…`, or a path names; `http://` is for this machine alone.

    Syslog is spoken over TCP, with `syslog+tls://` over TLS, with `syslog+udp://` over UDP. `token`: sent to a web hook as
    bearer token. `secret`: signs what is sent to it (`audit.webhook`). Raises InputError for a target that cannot be one.
    Nothing is opened yet.
    """
    parts = urlsplit(target)
    try:
        port = parts.port
    except ValueError:
        raise InputError(f"found {target!r}, expected a port from 1 to 65535") from None
    if parts.scheme in TRANSPORTS:
        if not parts.hostname or not port or parts.path not in {"", "/"} or parts.query or parts.username:
            raise InputError(f"found {target!r}, expected {parts.scheme}://HOST:PORT")
        return Syslog(parts.hostname, port, TRANSPORTS[parts.scheme])
    if parts.scheme in {"http", "https"}:
        check_address(target)
        return WebHook(Hook(target, secret, token, "application/x-ndjson"))
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
    """RFC 5424 messages: over TCP (RFC 6587) and TLS (RFC 5425) with octet counting, so that line breaks cannot forge one.

    Syslog has no acknowledgement: what the connection took and did not refuse counts as taken. What a server loses after
    that is lost; over UDP (RFC 5426) nobody learns even that nobody listens. TLS checks the server's certificate and name
    against the machine's certificates and those of SSL_CERT_FILE.
    """

    host: str
    port: int
    transport: str = TCP
    message: str = "entry"
    """The message id."""
    _connection: socket.socket | None = field(default=None, repr=False)

    def send(self, lines: Sequence[bytes], /) -> None:
        """See the class. Raises InputError for a line that no datagram holds."""
        try:
            if self._connection is None:
                self._connection = self._connect()
            self._refuse_closed(self._connection)
            stamp = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
            host = _name(socket.gethostname())
            head = f"<{_PRIORITY}>1 {stamp} {host} genguard {os.getpid()} {self.message} - ".encode()
            for line in lines:
                self._send(self._connection, head + line.rstrip(b"\n"))
            self._refuse_closed(self._connection)
        except OSError:
            self.close()
            raise

    def close(self) -> None:
        """End the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _connect(self) -> socket.socket:
        if self.transport == UDP:
            family, kind, protocol, _, address = socket.getaddrinfo(self.host, self.port, type=socket.SOCK_DGRAM)[0]
            opened = socket.socket(family, kind, protocol)
            opened.connect(address)
            return opened
        opened = socket.create_connection((self.host, self.port), TIMEOUT_S)
        if self.transport == TCP:
            return opened
        try:
            return ssl.create_default_context().wrap_socket(opened, server_hostname=self.host)
        except BaseException:
            opened.close()
            raise

    def _send(self, connection: socket.socket, message: bytes) -> None:
        if self.transport != UDP:
            connection.sendall(b"%d %s" % (len(message), message))
        elif len(message) > MAX_DATAGRAM:
            raise InputError(
                f"found a message of {len(message)} bytes, expected at most {MAX_DATAGRAM} for UDP",
                advice="Use syslog:// or syslog+tls://.",
            )
        else:
            connection.send(message)

    def _refuse_closed(self, connection: socket.socket) -> None:
        if self.transport == UDP:
            return
        connection.setblocking(False)
        try:
            if not connection.recv(4096):
                raise ConnectionResetError(None, "the server closed the connection")
        except (BlockingIOError, ssl.SSLWantReadError):
            pass  # nothing to read: it is open
        finally:
            connection.settimeout(TIMEOUT_S)


@dataclass(slots=True)
class WebHook:
    """Posts lines together; any 2xx is the acknowledgement. Redirects are not followed."""

    hook: Hook

    def send(self, lines: Sequence[bytes], /) -> None:
        """See the class. The answer's text is never repeated."""
        self.hook.post(b"".join(lines))

    def close(self) -> None:
        """Nothing is open."""


def _name(text: str) -> str:
    """A host's name as RFC 5424 allows it."""
    return "".join(letter for letter in text if "!" <= letter <= "~")[:255] or "-"
