"""Who sends a request, by whatever proves it: a key of the settings, a key of the ledger, or, on loopback, nothing."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlsplit

from starlette.datastructures import Headers

from audit.api_keys import has_keys
from audit.sessions import STORED
from guard.errors import SettingsError
from serving.identity.guesses import Guesses
from serving.identity.login import Login
from serving.identity.principals import LOCAL, Principal, SettledKey, digest_of, is_loopback, principal_of
from serving.identity.refusals import Refusals
from serving.identity.sessions import Sessions
from serving.identity.stored import StoredKeys
from serving.identity.tokens import Issuer, check_address
from serving.settings import Settings
from serving.workers.table import Store

SETTLED = "settings:"
"""What a session's proof begins with, before the SHA-256 of a key of the settings."""


def _login(settings: Settings, issuer: Issuer | None) -> Login | None:
    """Raises SettingsError when half of what it takes is there."""
    if not settings.oidc_client_id:
        return None
    if issuer is None or not settings.public_url:
        raise SettingsError(
            "found GENGUARD_OIDC_CLIENT_ID without GENGUARD_OIDC_ISSUER and GENGUARD_PUBLIC_URL, expected all of them"
        )
    check_address(settings.public_url, "GENGUARD_PUBLIC_URL")
    return Login(settings, issuer)


def _at_home(headers: Headers) -> bool:
    """Whether a request without a proof may be one of this machine's own: no page of another site asks for it.

    A name with a dot that leads to loopback is such a page's (DNS rebinding); names without one are this network's own.
    """
    try:
        names = [urlsplit(f"//{headers.get('host', '')}").hostname or ""]
        if (origin := headers.get("origin")) is not None:
            names.append(urlsplit(origin).hostname or "null.")
    except ValueError:
        return False
    return all(is_loopback(name) or "." not in name for name in names)


class Authenticator:
    """Recognises who sends a request."""

    def __init__(self, settings: Settings, stores: Callable[[str], Store] | None = None) -> None:
        """`stores`: makes by name where counts of wrong keys lie. Raises SettingsError for keys that cannot be used."""
        self.settled: tuple[SettledKey, ...] = settings.callers()
        self.stored = StoredKeys(settings.ledger)
        self.issuer = Issuer(settings) if settings.oidc_issuer else None
        self.sessions = Sessions(settings, self._proven)
        self.login = _login(settings, self.issuer)
        self.refusals = Refusals()
        self.guesses = Guesses(settings.wrong_keys_per_minute, stores=stores)
        self._host = settings.host
        self._loopback = is_loopback(settings.host)

    def need_some(self) -> None:
        """Raise SettingsError beyond loopback when nothing could prove who calls."""
        if not (self._loopback or self.settled or self.issuer or has_keys(self.stored.url)):
            raise SettingsError(
                f"found no API keys for a service on {self._host}, expected at least one outside loopback",
                advice="Make one with `genguard key create NAME --role caller`, or set GENGUARD_API_KEYS=name:key (16 "
                "characters of key or more), or serve on 127.0.0.1.",
            )

    async def principal(self, headers: Headers, address: str = "") -> Principal | None:
        """Whose request it is; None for a stranger's. `address`: where it comes from.

        Raises LedgerError when a key cannot be looked up, GuessedError when too many wrong ones came from there.
        """
        scheme, _, token = headers.get("authorization", "").partition(" ")
        token = token.strip() if scheme.lower() == "bearer" else ""
        found = await self._bearer(token, address) if token else await self.sessions.principal(headers)
        if found is not None:
            return found
        if await self.unlocked():
            return LOCAL if _at_home(headers) else None
        if token:
            self.guesses.missed(address)
        return None

    def doubt(self) -> None:
        """Remember nobody: keys or sessions have changed. For the event loop."""
        self.stored.doubt()
        self.sessions.doubt()

    async def unlocked(self) -> bool:
        """Whether it takes no proof: on loopback, as long as no keys were made."""
        return self._loopback and not self.settled and self.issuer is None and not await self.stored.exist()

    async def by_key(self, token: str, address: str = "") -> tuple[Principal, str] | None:
        """Whose key it is, and what a session that begins with it rests on. Raises LedgerError and GuessedError."""
        if found := principal_of(token, self.settled):
            return found, f"{SETTLED}{digest_of(token)}"
        stored = await self._stored(token, address)
        if stored is None:
            self.guesses.missed(address)
            return None
        return stored, f"{STORED}{stored.key}"

    async def _proven(self, proof: str) -> Principal | None:
        if proof.startswith(STORED):
            return await self.stored.find(proof.removeprefix(STORED))
        digest = proof.removeprefix(SETTLED)
        return next((one.principal for one in self.settled if one.digest.hex() == digest), None)

    async def _bearer(self, token: str, address: str) -> Principal | None:
        found = principal_of(token, self.settled) or await self._stored(token, address)
        return found or (await self.issuer.bearer(token) if self.issuer is not None else None)

    async def _stored(self, token: str, address: str) -> Principal | None:
        tried: list[str] = []

        def tries(key: str) -> None:
            self.guesses.tries(address, key)
            tried.append(key)

        found = await self.stored.principal(token, tries)
        if found is not None and tried:
            self.guesses.right(address, tried[0])
        return found
