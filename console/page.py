"""How a page is made: its template, its words, who looks, and a content policy under which only scripts of ours run."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
from fastapi import Request as HttpRequest
from fastapi.responses import HTMLResponse
from markupsafe import Markup

from console.assets import address
from console.language import LANGUAGES, TAGS, Words, language_of, words
from console.moments import moment
from console.nav import menu
from console.preferences import theme_of
from serving.identity.principals import Principal

FOLDER = Path(__file__).parent / "templates"
_RULES = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "img-src": "'self' blob:",
    "media-src": "blob:",
    "connect-src": "'self'",
    "form-action": "'self'",
    "base-uri": "'none'",
    "frame-ancestors": "'none'",
}
HEADERS = {
    "content-security-policy": "; ".join(f"{name} {value}" for name, value in _RULES.items()),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",  # with less, browsers leave out the origin of a form
    "cache-control": "no-store",
}


def words_of(http: HttpRequest) -> Words:
    """The words of this request's language."""
    return words(language_of(http))


def render(http: HttpRequest, name: str, *, page: str = "", status: int = 200, script: str = "", **shown: Any) -> HTMLResponse:
    """Fill a template.

    `page`: the entry of the menu that it belongs to, `name` when left out. `script`: a module of `static/`, without `.js`, that
    runs on it. Templates know `t` (words), `principal`, `permissions`, `here` (path with query) and what is given.
    """
    principal: Principal | None = http.state.principal
    t = words_of(http)
    here = http.url.path + (f"?{http.url.query}" if http.url.query else "")
    html = (
        _environment()
        .get_template(f"{name}.html")
        .render(
            t=t,
            tag=TAGS[t.language],
            languages=LANGUAGES,
            theme=theme_of(http),
            page=page or name,
            here=here,
            script=script,
            principal=principal,
            permissions=principal.permissions if principal else frozenset(),
            menu=menu(principal) if principal else (),
            **shown,
        )
    )
    return HTMLResponse(html, status, HEADERS)


def fragment(http: HttpRequest, name: str, **shown: Any) -> HTMLResponse:
    """Fill a template that is a part of a page, for a script that puts it there."""
    principal: Principal = http.state.principal
    html = (
        _environment()
        .get_template(f"{name}.html")
        .render(t=words_of(http), principal=principal, permissions=principal.permissions, **shown)
    )
    return HTMLResponse(html, headers=HEADERS)


@cache
def _environment() -> jinja2.Environment:
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals.update(asset=address)
    made.filters.update(moment=moment, json=_json, number=lambda value: f"{value:,}")
    return made


def _json(value: Any) -> Markup:
    """JSON that can stand in a `<script type="application/json">`: no `<`, so nothing in it ends the element."""
    text = json.dumps(value, ensure_ascii=False)
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))  # noqa: S704
