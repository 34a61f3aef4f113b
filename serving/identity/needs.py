"""What each route needs: declared beside it, looked at before its body is read, and again before it runs.

A route without a declaration keeps the application from starting.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from fastapi import Depends, FastAPI, HTTPException, routing
from fastapi.requests import HTTPConnection
from starlette.routing import BaseRoute, Mount, compile_path

from guard.errors import SettingsError
from serving.identity.principals import Principal
from serving.identity.roles import GRANTS, Permission, Role


@dataclass(frozen=True, slots=True)
class Need:
    """What a route asks of whoever calls it. As a dependency of a route, or of a router, it is its declaration."""

    any_of: frozenset[Permission]
    """One of these suffices; without any, each key will do."""
    whole: bool = False
    """Whether it shows what is the same for all tenants, or names them: not for who sees one tenant alone."""
    open: bool = False
    """Whether it answers without a key."""
    strangers: bool = False
    """Whether the operator may open it to callers without a key."""

    async def __call__(self, request: HTTPConnection) -> None:
        """Raise HTTPException 403 when the caller lacks it."""
        if why := self.lack(request.state.principal):
            raise HTTPException(403, why)

    def lack(self, principal: Principal | None) -> str:
        """Why this principal may not; empty when it may. Whether strangers may come now, the gate has looked at."""
        if self.open or (principal is None and self.strangers):
            return ""
        if principal is None:
            return "found no key, expected one"
        if self.any_of and not self.any_of & principal.permissions:
            roles = ", ".join(sorted(principal.roles))
            return f"the role of this key ({roles}) may not do that, expected one of {', '.join(self.roles())}"
        if self.whole and principal.sees:
            return "this key sees one tenant only, expected one without a tenant: this is about all of them"
        return ""

    def roles(self) -> tuple[Role, ...]:
        """Those that may."""
        return tuple(role for role in Role if not self.any_of or self.any_of & GRANTS[role])


def needs(*any_of: Permission, whole: bool = False, strangers: bool = False) -> Any:
    """The declaration of a route that needs one of these permissions."""
    return Depends(Need(frozenset(any_of), whole=whole, strangers=strangers))


def opened() -> Any:
    """The declaration of a route that answers without a key."""
    return Depends(Need(frozenset(), open=True))


ANY_KEY = Need(frozenset())
"""For whoever has a key."""


@dataclass(frozen=True, slots=True)
class Declared:
    """A route and what it needs."""

    path: str
    methods: frozenset[str]
    """Empty: all."""
    needs: tuple[Need, ...]
    pattern: re.Pattern[str]

    def lack(self, principal: Principal | None) -> str:
        """Why this principal may not; empty when it may."""
        return next((why for need in self.needs if (why := need.lack(principal))), "")

    @property
    def open(self) -> bool:
        """Whether it answers without a key."""
        return any(need.open for need in self.needs)

    @property
    def strangers(self) -> bool:
        """Whether the operator may open it to callers without a key."""
        return any(need.strangers for need in self.needs)


class Access:
    """All routes of an application."""

    def __init__(self, routes: tuple[Declared, ...]) -> None:
        self.routes = routes

    @classmethod
    def of(cls, app: FastAPI, others: Mapping[str, Need] | None = None) -> Access:
        """Of an application that has all its routes. `others`: by path, what those need that are none of FastAPI's.

        Raises SettingsError for routes without a declaration.
        """
        found = tuple(_declared(app, others or {}))
        if bare := [f"{'/'.join(sorted(one.methods))} {one.path}".strip() for one in found if not one.needs]:
            raise SettingsError(
                f"found routes that do not say who may call them: {', '.join(bare)}",
                advice="Declare them: dependencies=[needs(Permission.…)] at the route or its router.",
            )
        return cls(found)

    def find(self, method: str, path: str) -> Declared | None:
        """The route that will answer; None where there is none."""
        for one in self.routes:
            if (not one.methods or method in one.methods) and one.pattern.match(path):
                return one
        return None


def _declared(app: FastAPI, others: Mapping[str, Need]) -> Iterator[Declared]:
    for route in _routes(app):
        path: str = route.path
        stated = [one.dependency for one in getattr(route, "dependencies", ())]
        found = tuple(one for one in stated if isinstance(one, Need)) or ((others[path],) if path in others else ())
        mounted = isinstance(route, Mount)
        pattern = re.compile(f"^{re.escape(path)}(/|$)") if mounted else compile_path(path)[0]
        yield Declared(path, frozenset(getattr(route, "methods", None) or ()), found, pattern)


def _routes(app: FastAPI) -> Iterator[Any]:
    """Each route as it is reached: newer versions of FastAPI keep included routers apart."""
    walk = getattr(routing, "iter_route_contexts", None)
    found: Iterator[BaseRoute] = walk(app.routes) if walk is not None else iter(app.routes)
    yield from found
