"""One signed HTTPS POST, as https://www.standardwebhooks.com says: receivers need the secret and any library for such hooks.

    webhook-id: <the same for each try>      webhook-timestamp: <seconds>
    webhook-signature: v1,<base64 of HMAC-SHA256(secret, id "." timestamp "." body)>

Only the address that was configured is asked: redirects are not followed, a proxy is not looked for in the environment, and
nothing of the answer but its status is read or repeated.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import ssl
import time
from dataclasses import dataclass, field
from hashlib import sha256
from urllib.parse import urlsplit

from guard.errors import InputError, SettingsError

TIMEOUT_S = 10.0
PREFIX = "whsec_"
_LOOPBACK = {"127.0.0.1", "::1", "localhost"}


def read_secret(text: str) -> bytes:
    """The secret in `whsec_` and base64 of 24 to 64 bytes; empty for an empty text. Raises SettingsError; nothing is quoted."""
    if not text:
        return b""
    try:
        found = base64.b64decode(text.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        found = b""
    if not text.startswith(PREFIX) or not 24 <= len(found) <= 64:
        raise SettingsError(
            f"GENGUARD_WEBHOOK_SECRET cannot be used, expected {PREFIX} and base64 of 24 to 64 bytes",
            advice="Make one: python -c 'import base64, os; print(\"whsec_\" + base64.b64encode(os.urandom(32)).decode())'",
        )
    return found


def check_address(url: str) -> None:
    """Raise InputError unless a hook may be there: https, or http on this machine, and no password in it."""
    parts = urlsplit(url)
    if not parts.hostname or parts.username or parts.password or parts.scheme not in {"http", "https"}:
        raise InputError("found a web address without a host or with a password in it, expected https://HOST/PATH")
    if parts.scheme == "http" and parts.hostname not in _LOOPBACK:
        raise InputError(f"found http://{parts.hostname}, expected https: entries are not sent in the clear")


def signature(secret: bytes, ident: str, seconds: int, body: bytes) -> str:
    """The header `webhook-signature`."""
    data = b"%s.%d." % (ident.encode(), seconds) + body
    return f"v1,{base64.b64encode(hmac.digest(secret, data, 'sha256')).decode()}"


@dataclass(frozen=True, slots=True)
class Hook:
    """Where something is posted to, and how it is signed."""

    url: str
    secret: bytes = field(default=b"", repr=False)
    """Signs; empty: nothing is signed."""
    token: str = field(default="", repr=False)
    """Sent as bearer token."""
    media_type: str = "application/json"

    def post(self, body: bytes, ident: str = "") -> None:
        """Post; any 2xx is the acknowledgement, else OSError. `ident`: the same for each try; a digest when left out."""
        import httpx

        headers = {"content-type": self.media_type}
        if self.token:
            headers["authorization"] = f"Bearer {self.token}"
        if self.secret:
            ident, seconds = ident or sha256(body).hexdigest()[:32], int(time.time())
            headers |= {"webhook-id": ident, "webhook-timestamp": str(seconds)}
            headers["webhook-signature"] = signature(self.secret, ident, seconds, body)
        try:
            with (
                httpx.Client(timeout=TIMEOUT_S, follow_redirects=False, trust_env=False, verify=trusted()) as client,
                client.stream("POST", self.url, content=body, headers=headers) as answer,
            ):
                good, status = answer.is_success, answer.status_code
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise ConnectionError(None, f"no answer: {type(error).__name__}") from None
        if not good:
            raise ConnectionError(None, f"status {status}")


def trusted() -> ssl.SSLContext:
    """The machine's certificates, and those that SSL_CERT_FILE names."""
    return ssl.create_default_context()
