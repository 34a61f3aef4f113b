"""All routes of the console."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import RedirectResponse

from console import (
    admin,
    assets,
    banks,
    compliance,
    decision,
    decisions,
    overview,
    policies,
    preferences,
    reviews,
    verify,
)
from console.nav import HOME
from serving.identity.needs import opened

PAGES = (overview, decisions, decision, reviews, policies, banks, verify, compliance, admin)
"""Modules of pages: each has a `router` whose routes say who may see them (`Depends(nav.need(NAME))`)."""

router = APIRouter()
for part in (assets, preferences, *PAGES):
    router.include_router(part.router)


@router.get("/", response_model=None, include_in_schema=False, dependencies=[opened()])
async def home() -> RedirectResponse:
    """Lead browsers to the console."""
    return RedirectResponse(HOME, 303)
