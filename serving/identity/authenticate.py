"""Who sends a request, by whatever proves it: a key of the settings, a key of the ledger, or, on loopback, nothing."""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.datastructures import Headers

from audit.api_keys import has_keys
from guard.errors import SettingsError
from serving.identity.principals import LOCAL, Principal, SettledKey, is_loopback, principal_of
from serving.identity.stored import StoredKeys
from serving.settings import Settings


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

    def __init__(self, settings: Settings) -> None:
        """Raises SettingsError for keys that cannot be used."""
        self.settled: tuple[SettledKey, ...] = settings.callers()
        self.stored = StoredKeys(settings.ledger)
        self._host = settings.host
        self._loopback = is_loopback(settings.host)

    def need_some(self) -> None:
        """Raise SettingsError beyond loopback when nothing could prove who calls."""
        if not (self._loopback or self.settled or has_keys(self.stored.url)):
            raise SettingsError(
                f"found no API keys for a service on {self._host}, expected at least one outside loopback",
                advice="Make one with `genguard key create NAME --role caller`, or set GENGUARD_API_KEYS=name:key (16 "
                "characters of key or more), or serve on 127.0.0.1.",
            )

    async def principal(self, headers: Headers) -> Principal | None:
        """Whose request it is; None for a stranger's. Raises LedgerError when a key cannot be looked up."""
        scheme, _, token = headers.get("authorization", "").partition(" ")
        token = token.strip() if scheme.lower() == "bearer" else ""
        if token and (found := await self._bearer(token)):
            return found
        return LOCAL if _at_home(headers) and await self.unlocked() else None

    async def unlocked(self) -> bool:
        """Whether it takes no proof: on loopback, as long as no keys were made."""
        return self._loopback and not self.settled and not await self.stored.exist()

    async def _bearer(self, token: str) -> Principal | None:
        return principal_of(token, self.settled) or await self.stored.principal(token)
