"""`/console/compliance`."""

from __future__ import annotations

from fastapi import APIRouter, Depends
from fastapi import Request as HttpRequest
from fastapi.responses import HTMLResponse

from console.nav import HOME, need
from console.page import render

router = APIRouter(prefix=f"{HOME}/compliance", tags=["console"], dependencies=[Depends(need("compliance"))])


@router.get("", response_model=None, include_in_schema=False)
async def page(http: HttpRequest) -> HTMLResponse:
    """The page."""
    return render(http, "compliance")
