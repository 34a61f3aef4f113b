"""What somebody prefers: language and theme, kept in cookies that say nothing else."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query
from fastapi import Request as HttpRequest
from fastapi.responses import RedirectResponse, Response

from serving.identity.login import local_path
from serving.identity.needs import opened
from serving.identity.page import LANGUAGE

THEME = "genguard-theme"
"""Name of its cookie."""
Language = Literal["en", "zh"]
Theme = Literal["auto", "light", "dark"]
_YEAR_S = 365 * 24 * 3600
router = APIRouter(prefix="/console", tags=["console"])


def theme_of(http: HttpRequest) -> Theme:
    """What somebody chose; `auto` follows the system."""
    chosen = http.cookies.get(THEME)
    return "light" if chosen == "light" else "dark" if chosen == "dark" else "auto"


@router.get("/prefer", response_model=None, include_in_schema=False, dependencies=[opened()])
async def prefer(
    http: HttpRequest,
    language: Language | None = None,
    theme: Theme | None = None,
    next: Annotated[str, Query(max_length=500)] = "/console",  # noqa: A002
) -> Response:
    """Keep a preference, and go back."""
    answer = RedirectResponse(local_path(next), 303)
    secure = http.app.state.callers.sessions.secure
    for name, value in ((LANGUAGE, language), (THEME, theme)):
        if value is not None:
            answer.set_cookie(name, value, _YEAR_S, path="/", secure=secure, httponly=True, samesite="lax")
    return answer
