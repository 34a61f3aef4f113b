"""Who calls: an application or a person, under one name, with roles and a tenant."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from guard.errors import SettingsError
from serving.identity.roles import Permission, Role, permissions_of, sees_of

MIN_KEY = 16
"""Characters of a key in the settings."""


@dataclass(frozen=True, slots=True)
class Principal:
    """Somebody who was recognised."""

    name: str
    """Recorded as the actor of what they do."""
    roles: frozenset[Role]
    tenant: str = ""
    """Empty: none in particular."""
    key: str = ""
    """Id of the API key that proves it; empty for other proofs."""
    more: frozenset[Permission] = frozenset()
    """What it may do besides what its roles may."""
    csrf: str = field(default="", repr=False)
    """Of a browser's session: what its requests bring when they change something. Empty for other proofs."""

    @property
    def permissions(self) -> frozenset[Permission]:
        """What it may do."""
        return permissions_of(self.roles) | self.more

    @property
    def sees(self) -> str:
        """The tenant whose data it sees; empty: all."""
        return sees_of(self.tenant, self.roles)

    def may(self, permission: Permission) -> bool:
        """Whether it may do that."""
        return permission in self.permissions


LOCAL = Principal("local", frozenset({Role.ADMIN}))
"""Whoever calls a service on loopback that knows no keys and no login."""


@dataclass(frozen=True, slots=True)
class SettledKey:
    """A key of the settings. Only its digest is kept in memory."""

    principal: Principal
    digest: bytes = field(repr=False)


def settled_key(entry: str, number: int, *, reviewers: Collection[str], revealers: Collection[str]) -> SettledKey:
    """Read `name[@tenant][+role…]:key`; `number` stands for the entry in messages, so that no key is shown.

    Who is among `reviewers` also gets that role, who is among `revealers` the permission. Raises SettingsError.
    """
    who, _, key = entry.partition(":")
    who, *words = who.split("+")
    name, _, tenant = who.partition("@")
    if not name or len(key) < MIN_KEY:
        raise SettingsError(
            f"API key {number} cannot be used: expected name[@tenant][+role]:key with at least {MIN_KEY} characters of key",
            advice="Make one with: python -c 'import secrets; print(secrets.token_urlsafe(32))'",
        )
    roles = roles_from(words, f"API key {number}") or {Role.CALLER}
    roles |= {Role.REVIEWER} if name in reviewers else set()
    more = frozenset({Permission.REVEAL} if name in revealers else ())
    return SettledKey(Principal(name, frozenset(roles), tenant, more=more), hashlib.sha256(key.encode()).digest())


def roles_from(words: Iterable[str], place: str) -> frozenset[Role]:
    """Roles by their names. Raises SettingsError for an unknown one."""
    given = frozenset(words)
    if wrong := given - {*Role}:
        raise SettingsError(
            f"{place}: found the role {min(wrong)[:20]!r}, expected some of {', '.join(Role)}",
            advice="In GENGUARD_API_KEYS roles follow the name: desk@acme+officer+reviewer:KEY.",
        )
    return frozenset(Role(word) for word in given)


def digest_of(key: str) -> str:
    """What is kept of a key of the settings, hexadecimal."""
    return hashlib.sha256(key.encode()).hexdigest()


def principal_of(key: str, keys: tuple[SettledKey, ...]) -> Principal | None:
    """Whose key it is, compared in constant time over all of them."""
    digest = hashlib.sha256(key.encode()).digest()
    found = None
    for one in keys:
        if hmac.compare_digest(digest, one.digest):
            found = one.principal
    return found


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a server bound to `host`."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
