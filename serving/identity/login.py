"""Logging in by OpenID Connect: authorization code with PKCE (RFC 7636), state and nonce; each attempt bound to its browser."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import urlencode

from serving.identity.principals import Principal
from serving.identity.tokens import Issuer, TokenError, ask
from serving.settings import Settings

LIVES_S = 600
"""Seconds that somebody may take to log in."""
SPENT = 10_000
"""Attempts that are remembered as spent."""
CALLBACK = "/auth/callback"

Tag = Callable[[bytes], str]
"""A keyed hash, the same in all processes of a ledger."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """What one browser carries while its user is at the issuer."""

    state: str
    nonce: str
    verifier: str
    next: str
    """Path to go to afterwards."""
    until: int
    """Seconds since 1970."""

    @classmethod
    def begin(cls, path: str) -> Attempt:
        """With fresh secrets."""
        state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
        return cls(state, nonce, verifier, local_path(path), int(time.time()) + LIVES_S)

    def sealed(self, tag: Tag) -> str:
        """As a cookie's value."""
        data = base64.urlsafe_b64encode(json.dumps(asdict(self)).encode())
        return f"{data.decode()}.{tag(data)}"

    @classmethod
    def opened(cls, value: str, tag: Tag) -> Attempt | None:
        """From a cookie's value; None for one that is not ours, or too old."""
        data, _, seal = value.encode("ascii", "replace").rpartition(b".")
        if not data or not hmac.compare_digest(seal, tag(data).encode()):
            return None
        found = cls(**json.loads(base64.urlsafe_b64decode(data)))
        return found if found.until > time.time() else None


class Login:
    """Logins at one issuer."""

    def __init__(self, settings: Settings, issuer: Issuer) -> None:
        self._settings, self._issuer = settings, issuer
        self._spent: OrderedDict[str, None] = OrderedDict()

    @property
    def redirect(self) -> str:
        """Where the issuer sends browsers back to."""
        return f"{self._settings.public_url.rstrip('/')}{CALLBACK}"

    async def address(self, attempt: Attempt) -> str:
        """Where to send the browser. Raises TokenError."""
        challenge = base64.urlsafe_b64encode(hashlib.sha256(attempt.verifier.encode()).digest()).rstrip(b"=").decode()
        asked = {
            "response_type": "code",
            "client_id": self._settings.oidc_client_id,
            "redirect_uri": self.redirect,
            "scope": "openid profile email",
            "state": attempt.state,
            "nonce": attempt.nonce,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        return f"{await self._issuer.endpoint('authorization_endpoint')}?{urlencode(asked)}"

    async def finish(self, attempt: Attempt | None, *, state: str, code: str, issuer: str) -> Principal | None:
        """Who logged in; None when the browser, the state, the code or the token is not what this attempt needs.

        Raises TokenError when the issuer cannot be asked.
        """
        if attempt is None or not code or not hmac.compare_digest(state.encode(), attempt.state.encode()):
            return None
        if (issuer and issuer != self._issuer.url) or not self._spend(attempt):
            return None
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self.redirect,
            "code_verifier": attempt.verifier,
        }
        claims = await self._claims(form)
        nonce = claims.get("nonce") if claims is not None else None
        if claims is None or not isinstance(nonce, str) or not hmac.compare_digest(nonce.encode(), attempt.nonce.encode()):
            return None
        if isinstance(claims["aud"], list) and claims.get("azp") != self._settings.oidc_client_id:
            return None
        return self._issuer.principal(claims)

    async def _claims(self, form: dict[str, str]) -> dict[str, Any] | None:
        secret = self._settings.oidc_client_secret.get_secret_value()
        sent: dict[str, Any] = {"data": form if secret else {**form, "client_id": self._settings.oidc_client_id}}
        if secret:
            sent["auth"] = (self._settings.oidc_client_id, secret)
        url = await self._issuer.endpoint("token_endpoint")
        try:
            answer = await ask("POST", url, **sent)
        except TokenError as error:
            if "answers with 4" in str(error):  # the code is spent, forged or another client's
                return None
            raise
        token = answer.get("id_token")
        return await self._issuer.claims(token, self._settings.oidc_client_id) if isinstance(token, str) else None

    def _spend(self, attempt: Attempt) -> bool:
        """Whether this is the first answer to the attempt."""
        if attempt.state in self._spent:
            return False
        self._spent[attempt.state] = None
        while len(self._spent) > SPENT:
            self._spent.popitem(last=False)
        return True


def local_path(path: str) -> str:
    """A path of this service; `/` for everything that could lead elsewhere."""
    fine = (
        path.startswith("/") and path[1:2] not in {"/", "\\"} and path.isprintable() and len(path) <= 500 and "\\" not in path
    )
    return path if fine else "/"
