"""Tokens of an OpenID Connect issuer: its description and keys, fetched from it alone, and what a token must be to count.

Sources: RFC 7519 (JWT), RFC 7517 (JWK), RFC 8725 (best current practice: pinned algorithms, issuer, audience), OpenID Connect
Discovery 1.0.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

from guard.errors import EndpointError, SettingsError
from serving.identity.principals import Principal, is_loopback
from serving.identity.roles import Role
from serving.settings import Settings

ALGORITHMS = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"})
"""Signatures alone: with `none` or a shared secret, whoever knows the public key could make tokens."""
LEEWAY_S = 60
"""Seconds by which clocks may differ."""
FRESH_S, STALE_S, REFETCH_S = 3600.0, 86_400.0, 30.0
"""Keys are fetched again after the first, go on until the second while that fails; for an unknown one not sooner than the
third after the last try."""
RETRY_S = 1.0
"""Between two tries while there are no keys at all."""
MAX_TOKEN, MAX_ANSWER, TIMEOUT_S = 16_384, 1_000_000, 5.0
_log = logging.getLogger(__name__)


class TokenError(EndpointError):
    """A token, or an answer about one, that does not count. What it says holds nothing of the token."""


def check_address(url: str, name: str) -> str:
    """An address of the issuer. Raises SettingsError unless it is https, or http on this machine."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if not host or parts.query or parts.fragment or parts.username is not None:
        raise SettingsError(f"{name}: found what is no address, expected https://HOST/PATH")
    if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(host)):
        raise SettingsError(f"{name}: found {parts.scheme}://, expected https:// (http:// on this machine alone)")
    return url


class Issuer:
    """One issuer: its description, its keys, and the principals that its tokens stand for. For one event loop."""

    def __init__(self, settings: Settings, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Raises SettingsError for addresses and roles that cannot be."""
        self.url = check_address(settings.oidc_issuer, "GENGUARD_OIDC_ISSUER")
        self._settings = settings
        self._hosts = {urlsplit(self.url).netloc, *settings.oidc_hosts}
        self._roles = _role_names(settings.oidc_roles)
        self._clock = clock
        self._lock = asyncio.Lock()
        self._described: dict[str, Any] = {}
        self._keys: dict[str, Any] = {}
        self._fetched = self._tried = float("-inf")
        self._failed = False
        """Whether there are no keys, for they could not be fetched."""

    async def bearer(self, token: str) -> Principal | None:
        """Whose access token it is; None for one that does not count. Raises TokenError when its keys cannot be had."""
        if not self._settings.oidc_audience or token.count(".") != 2 or len(token) > MAX_TOKEN:
            return None
        claims = await self.claims(token, self._settings.oidc_audience)
        return None if claims is None else self.principal(claims)

    async def claims(self, token: str, audience: str) -> dict[str, Any] | None:
        """What a token says, once its signature, issuer, audience and times were checked; None when one of these is wrong."""
        import jwt

        try:
            header = jwt.get_unverified_header(token)
            algorithm, ident = header.get("alg"), header.get("kid")
            if algorithm not in ALGORITHMS or not isinstance(ident, str):
                return None
            key = await self._key(ident, algorithm)
            if key is None:
                return None
            return dict(
                jwt.decode(
                    token,
                    key,
                    algorithms=[algorithm],
                    audience=audience,
                    issuer=self.url,
                    leeway=LEEWAY_S,
                    options={"require": ["exp", "iat", "iss", "aud", "sub"]},
                )
            )
        except (jwt.PyJWTError, ValueError, TypeError):
            return None

    def principal(self, claims: Mapping[str, Any]) -> Principal | None:
        """Who the claims are about; None without a role that is known here, a name, or the tenant that has to be there."""
        settings = self._settings
        name, tenant = claims.get(settings.oidc_name_claim), ""
        if settings.oidc_tenant_claim:
            tenant = claims.get(settings.oidc_tenant_claim) or ""
            if not _plain(tenant):
                return None
        given = claims.get(settings.oidc_roles_claim, ())
        given = given.split() if isinstance(given, str) else given if isinstance(given, list) else ()
        roles = frozenset(self._roles[one] for one in given if isinstance(one, str) and one in self._roles)
        if not _plain(name) or not roles:
            return None
        return Principal(str(name), roles, str(tenant))

    async def description(self) -> dict[str, Any]:
        """The issuer's description, once it was fetched. Raises TokenError."""
        if not self._described:
            found = await self._fetch(f"{self.url.rstrip('/')}/.well-known/openid-configuration")
            if found.get("issuer") != self.url:
                raise TokenError(
                    "the issuer's description names another issuer", advice="Write GENGUARD_OIDC_ISSUER as it does."
                )
            self._described = found
        return self._described

    async def endpoint(self, name: str) -> str:
        """An address of the description: on the issuer's host, or one of GENGUARD_OIDC_HOSTS. Raises TokenError."""
        url = (await self.description()).get(name)
        if not isinstance(url, str) or urlsplit(url).netloc not in self._hosts:
            raise TokenError(
                f"the issuer's {name} is on a host that is not its own",
                advice="Name the host in GENGUARD_OIDC_HOSTS, if it is right.",
            )
        try:
            return check_address(url, name)
        except SettingsError as error:
            raise TokenError(str(error)) from None

    async def _key(self, ident: str, algorithm: str) -> Any:
        """The public key of that id, for that algorithm; None when the issuer has none."""
        import jwt

        now = self._clock()
        known = ident in self._keys
        due = now - self._fetched >= FRESH_S or not known
        if due and self._may_try(now):
            async with self._lock:
                if self._may_try(now):
                    await self._refresh(now)
        if self._failed:
            raise TokenError("the issuer's keys could not be fetched just now")
        found = self._keys.get(ident)
        if found is None or found.get("alg", algorithm) != algorithm or found.get("use", "sig") != "sig":
            return None
        return jwt.PyJWK.from_dict(found, algorithm).key

    def _may_try(self, now: float) -> bool:
        return now - self._tried >= (RETRY_S if self._failed else REFETCH_S)

    async def _refresh(self, now: float) -> None:
        """Fetch the keys. What was fetched within a day goes on when that fails; raises TokenError otherwise."""
        self._tried = now
        try:
            answer = await self._fetch(await self.endpoint("jwks_uri"))
        except TokenError as error:
            if now - self._fetched >= STALE_S:
                self._keys, self._failed = {}, True
                raise
            _log.warning("the issuer's keys cannot be fetched: %s", error)
            return
        keys = answer.get("keys")
        listed = [one for one in keys if isinstance(one, dict)] if isinstance(keys, list) else []
        self._keys = {
            one["kid"]: one for one in listed if isinstance(one.get("kid"), str) and one.get("kty") in {"RSA", "EC", "OKP"}
        }
        self._fetched, self._failed = now, False

    async def _fetch(self, url: str) -> dict[str, Any]:
        return await ask("GET", url)


async def ask(method: str, url: str, **sent: Any) -> dict[str, Any]:
    """An answer in JSON, of at most a megabyte, following nothing. Raises TokenError; what it says quotes no answer."""
    import httpx

    data = b""
    try:
        async with (
            httpx.AsyncClient(timeout=TIMEOUT_S, follow_redirects=False, trust_env=False) as client,
            client.stream(method, url, **sent) as answer,
        ):
            async for part in answer.aiter_bytes():
                data += part
                if len(data) > MAX_ANSWER:
                    raise TokenError("the issuer's answer is longer than a megabyte")
            status = answer.status_code
    except httpx.HTTPError as error:
        raise TokenError(f"the issuer does not answer: {type(error).__name__}") from None
    if status != 200:
        raise TokenError(f"the issuer answers with {status}, expected 200")
    try:
        found = json.loads(data)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise TokenError("the issuer's answer is no JSON object")
    return found


def _role_names(pairs: tuple[str, ...]) -> dict[str, Role]:
    """What the issuer calls each role. Raises SettingsError."""
    if not pairs:
        return {role.value: role for role in Role}
    found: dict[str, Role] = {}
    for pair in pairs:
        name, _, role = pair.rpartition("=")
        if not name or role not in {*Role}:
            raise SettingsError(f"GENGUARD_OIDC_ROLES: found {pair[:60]!r}, expected NAME=ROLE with one of {', '.join(Role)}")
        found[name] = Role(role)
    return found


def _plain(text: object) -> bool:
    return isinstance(text, str) and bool(text.strip()) and len(text) <= 200 and text.isprintable()
