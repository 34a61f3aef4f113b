"""`/console`: how things stand."""

from __future__ import annotations

from fastapi import APIRouter, Depends
from fastapi import Request as HttpRequest
from fastapi.responses import HTMLResponse

from console.nav import HOME, need
from console.page import render

router = APIRouter(prefix=HOME, tags=["console"], dependencies=[Depends(need("overview"))])


@router.get("", response_model=None, include_in_schema=False)
async def overview(http: HttpRequest) -> HTMLResponse:
    """Numbers of the last day, each leading to what it counts."""
    return render(http, "overview")
