"""An OpenID Connect issuer on this machine: a real HTTP server, with keys made at run time."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

AUDIENCE, CLIENT = "genguard-api", "genguard-console"


@cache
def rsa_key(number: int) -> Any:
    """Private keys, made once a run."""
    del number
    return rsa.generate_private_key(65537, 2048)


@dataclass
class Issuer:
    """What it says, and what it was asked."""

    url: str = ""
    kid: str = "first"
    keys: dict[str, Any] = field(default_factory=lambda: {"first": rsa_key(1)})
    described: dict[str, Any] = field(default_factory=dict)
    """Said instead of what is right, in the description."""
    claims: dict[str, Any] = field(default_factory=lambda: {"sub": "ann", "roles": ["officer"]})
    """Of whoever logs in."""
    id_token: Any = None
    """Said instead of an ID token; a function of the right claims."""
    asked: list[str] = field(default_factory=list)
    codes: dict[str, dict[str, str]] = field(default_factory=dict)
    down: bool = False

    def token(self, *, kid: str | None = None, key: Any = None, algorithm: str = "RS256", **claims: Any) -> str:
        """An access token, right unless a claim says otherwise; None leaves one out."""
        now = int(time.time())
        whole = {"iss": self.url, "aud": AUDIENCE, "sub": "ann", "iat": now, "exp": now + 300, "roles": ["officer"], **claims}
        kid = kid or self.kid
        stated = {name: value for name, value in whole.items() if value is not None}
        return jwt.encode(stated, key or self.keys[kid], algorithm=algorithm, headers={"kid": kid})

    def jwks(self) -> dict[str, Any]:
        return {
            "keys": [
                json.loads(RSAAlgorithm.to_jwk(key.public_key())) | {"kid": kid, "use": "sig"} for kid, key in self.keys.items()
            ]
        }

    def log_in(self, location: str) -> str:
        """What a browser is sent back to, once somebody logged in at the address it was sent to."""
        parts = urlsplit(location)
        asked = {name: values[0] for name, values in parse_qs(parts.query).items()}
        code = secrets.token_urlsafe(16)
        self.codes[code] = asked
        return f"{urlsplit(asked['redirect_uri']).path}?{urlencode({'code': code, 'state': asked['state'], 'iss': self.url})}"

    def exchange(self, form: dict[str, str]) -> tuple[int, dict[str, Any]]:
        """Tokens for a code, once, to whoever knows the verifier."""
        asked = self.codes.pop(form.get("code", ""), None)
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        if asked is None or asked["code_challenge"] != challenge or asked["redirect_uri"] != form.get("redirect_uri"):
            return 400, {"error": "invalid_grant"}
        claims = {"aud": CLIENT, "nonce": asked["nonce"], **self.claims}
        made = self.id_token(claims) if self.id_token else self.token(**claims)
        return 200, {"access_token": "unused", "token_type": "Bearer", "id_token": made}


@contextmanager
def issuing() -> Iterator[Issuer]:
    """It, on a free port."""
    issuer = Issuer()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            issuer.asked.append(self.path)
            described = {
                "issuer": issuer.url,
                "authorization_endpoint": f"{issuer.url}/authorize",
                "token_endpoint": f"{issuer.url}/token",
                "jwks_uri": f"{issuer.url}/jwks",
            } | issuer.described
            answers = {"/.well-known/openid-configuration": described, "/jwks": issuer.jwks()}
            self._send(200 if self.path in answers and not issuer.down else 503, answers.get(self.path, {}))

        def do_POST(self) -> None:
            issuer.asked.append(self.path)
            form = parse_qs(self.rfile.read(int(self.headers["content-length"])).decode())
            self._send(*issuer.exchange({name: values[0] for name, values in form.items()}))

        def _send(self, status: int, body: dict[str, Any]) -> None:
            data = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    issuer.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield issuer
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
