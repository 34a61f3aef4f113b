"""`/console/admin`: keys, roles, tenants, models and devices, settings, health."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from fastapi import Request as HttpRequest
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import HTMLResponse

from audit.api_keys import all_keys
from audit.facets import top
from audit.grammar import quoted
from console.filters import address
from console.nav import HOME, need
from console.page import render
from doctor.run import examine
from generators.batched import Batched
from generators.residency import RESIDENCY
from serving.config.sources import notices, origins, settings_of
from serving.identity.principals import Principal
from serving.identity.roles import GRANTS, Permission, Role
from serving.keys import key_fields
from serving.settings import Settings
from serving.wiring import Wired

TENANTS = 20
router = APIRouter(prefix=f"{HOME}/admin", tags=["console"], dependencies=[Depends(need("admin"))])


@router.get("", response_model=None, include_in_schema=False)
async def admin(
    http: HttpRequest,
    look: Annotated[bool, Query(description="Also look at the whole installation: takes some seconds.")] = False,
) -> HTMLResponse:
    """All of it on one page; an auditor sees no keys."""
    found = await run_in_threadpool(_gathered, http, look)
    return render(http, "admin", script="admin", find=address, quoted=quoted, **found)


def _gathered(http: HttpRequest, look: bool) -> dict[str, Any]:
    wired: Wired = http.app.state.wired
    settings: Settings = http.app.state.settings
    principal: Principal = http.state.principal
    keys = [key_fields(one) for one in reversed(all_keys(wired.ledger_url))] if principal.may(Permission.KEYS) else None
    tenants = top(wired.ledger_url, "tenant", most=TENANTS)
    return {
        "keys": keys,
        "roles": [(role, sorted(GRANTS[role])) for role in Role],
        "tenants": tenants.values.get("tenant", ()),
        "tenants_whole": tenants.complete,
        "models": [_model(one) for one in wired.generators.values()],
        "memory": sorted(RESIDENCY.taken.items()),
        "checks": [(policy, check, figures) for policy, check, figures in wired.guard.figures()],
        "settings": settings_of(settings, origins(Settings)),
        "notices": notices(Settings),
        "troubles": dict(http.app.state.troubles),
        "ledger": wired.ledger_trouble(),
        "findings": list(examine(settings)) if look else None,
        "checkup": http.app.state.checkup,
        "last": http.app.state.checkup.last(),
    }


def _model(generator: Any) -> dict[str, Any]:
    figures = generator.figures() if isinstance(generator, Batched) else None
    return {
        "name": generator.name,
        "modality": generator.modality.value,
        "model": getattr(generator, "model", ""),
        "waiting": figures.waiting if figures else None,
        "calls": figures.calls if figures else None,
    }
