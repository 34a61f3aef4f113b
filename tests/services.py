"""A real HTTP server on this machine that speaks OpenAI's shapes, well or badly: what checks of services are tested against."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

KEY = "sk-test-0123456789abcdef"
CATEGORIES = (
    "harassment", "harassment/threatening", "hate", "hate/threatening", "illicit", "illicit/violent", "self-harm",
    "self-harm/instructions", "self-harm/intent", "sexual", "sexual/minors", "violence", "violence/graphic",
)  # fmt: skip


@dataclass
class Service:
    """What the server does, and what it was asked."""

    url: str
    answers: dict[str, Callable[[Any], Any]]
    """By path: the answer to a request's body. Bytes go out as they are, everything else as JSON."""
    statuses: list[int] = field(default_factory=list)
    """Statuses of the next answers; 200 when there are none left."""
    headers: dict[str, str] = field(default_factory=dict)
    """Further headers of every answer."""
    key: str | None = None
    """The key that requests must bear; 401 otherwise."""
    delay_s: float = 0.0
    drip: bool = False
    """Send the answer a byte at a time."""
    requests: list[tuple[str, dict[str, str], Any]] = field(default_factory=list)


def moderation(body: Any, scored: Callable[[Any], float] = lambda given: 0.93 if "kill" in str(given) else 0.01) -> Any:
    """An answer as OpenAI's: `violence` as `scored`, all other categories 0.001. Images stand in one request each."""
    given = body["input"] if isinstance(body["input"], list) else [body["input"]]
    return {"id": "modr-1", "model": body["model"], "results": [_result(scored(one)) for one in given]}


def _result(violence: float) -> Any:
    scores = dict.fromkeys(CATEGORIES, 0.001) | {"violence": violence}
    return {
        "flagged": violence > 0.5,
        "categories": {name: score > 0.5 for name, score in scores.items()},
        "category_scores": scores,
    }


def chat(reply: str, *, tops: list[list[tuple[str, float]]] | None = None, finish: str = "stop") -> Any:
    """A chat completion; `tops`: for each token of the reply the likeliest tokens with their logarithms."""
    choice: dict[str, Any] = {"index": 0, "finish_reason": finish, "message": {"role": "assistant", "content": reply}}
    if tops is not None:
        content = [
            {"token": top[0][0], "logprob": top[0][1], "top_logprobs": [{"token": one, "logprob": log} for one, log in top]}
            for top in tops
        ]
        choice["logprobs"] = {"content": content}
    return {"id": "chatcmpl-1", "object": "chat.completion", "model": "judge", "choices": [choice]}


@contextmanager
def serving(**answers: Callable[[Any], Any]) -> Iterator[Service]:
    """A server on a free port of this machine; `answers` by the last part of the path."""
    service = Service("", {f"/v1/{name.replace('_', '/')}": answer for name, answer in answers.items()})

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            service.requests.append((self.path, dict(self.headers), body))
            time.sleep(service.delay_s)
            status = service.statuses.pop(0) if service.statuses else 200
            if service.key is not None and self.headers["Authorization"] != f"Bearer {service.key}":
                status = 401
            if status == 200:
                answer = service.answers[self.path](body)
            else:
                answer = {"error": {"message": f"cannot take {body} from {self.headers['Authorization']}"}}
            self._send(status, answer if isinstance(answer, bytes) else json.dumps(answer).encode())

        def _send(self, status: int, data: bytes) -> None:
            self.send_response(status)
            for name, value in ({"Content-Length": str(len(data))} | service.headers).items():
                self.send_header(name, value)
            self.end_headers()
            try:
                for part in (data[at : at + 1] for at in range(len(data))) if service.drip else (data,):
                    self.wfile.write(part)
                    if service.drip:
                        time.sleep(0.05)
            except (BrokenPipeError, ConnectionResetError):
                self.close_connection = True  # the client did not wait

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

    server = Server(("127.0.0.1", 0), Handler)
    service.url = f"http://127.0.0.1:{server.server_port}/v1"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield service
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
