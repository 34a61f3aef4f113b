"""A witness over HTTP, with the standard library alone: `POST /add-checkpoint`, and `GET /` for its public key."""

from __future__ import annotations

import logging
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from audit.witness import Answer, Witness, public
from guard.errors import LedgerError
from guard.note import MAX_BYTES

TIMEOUT_S = 30.0
"""Seconds that a client may take for its request."""
_log = logging.getLogger(__name__)


class WitnessServer(ThreadingHTTPServer):
    """Serves a witness; `serve_forever` runs until `shutdown`."""

    daemon_threads = True

    def __init__(self, address: tuple[str, int], witness: Witness) -> None:
        """`address`: host and port; port 0 for a free one. Raises OSError."""
        super().__init__(address, _Handler)
        self.witness = witness


class _Handler(BaseHTTPRequestHandler):
    server: WitnessServer
    protocol_version = "HTTP/1.1"
    timeout = TIMEOUT_S

    def do_GET(self) -> None:
        self._answer(Answer(200, f"{public(self.server.witness.key)}\n") if self.path == "/" else Answer(404, "not found\n"))

    def do_POST(self) -> None:
        length = self.headers.get("content-length", "")
        if self.path != "/add-checkpoint":
            self.close_connection = True
            self._answer(Answer(404, "not found\n"))
        elif not length.isascii() or not length.isdecimal() or int(length) > MAX_BYTES:
            self.close_connection = True
            self._answer(Answer(411 if not length else 413, "expected a body with a length that is not too large\n"))
        else:
            self._answer(self._ask(self.rfile.read(int(length))))

    def _ask(self, data: bytes) -> Answer:
        try:
            return self.server.witness.add_checkpoint(data)
        except LedgerError as error:
            _log.error("nothing is cosigned: %s", error)
            return Answer(500, "the witness cannot keep what it saw\n")

    def _answer(self, answer: Answer) -> None:
        data = answer.text.encode()
        self.send_response(answer.status)
        self.send_header("content-type", answer.media_type)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name that the base class has
        _log.info(format, *args)
