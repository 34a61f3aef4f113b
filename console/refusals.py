"""What a browser sees of a page that cannot be shown: the way to sign in, or what went wrong and what to do."""

from __future__ import annotations

import json
from urllib.parse import quote

from fastapi import Request as HttpRequest
from fastapi.responses import RedirectResponse, Response
from starlette.types import Scope

from console.nav import HOME
from console.page import render
from serving.identity.principals import Principal

_KINDS = {400: "asked", 403: "forbidden", 404: "missing", 409: "asked", 422: "asked", 429: "busy", 503: "busy", 504: "busy"}


def is_page(scope: Scope) -> bool:
    """Whether somebody asks for a page of the console."""
    path = scope["path"]
    return scope["method"] == "GET" and (path == HOME or path.startswith(f"{HOME}/")) and not path.startswith(f"{HOME}/static/")


def shown(scope: Scope, answer: Response, caller: Principal | None) -> Response:
    """An error as the browser of a person wants it; as it is where no page was asked for."""
    if not is_page(scope) or answer.status_code < 400:
        return answer
    if answer.status_code == 401:
        query = scope.get("query_string", b"").decode("latin-1")
        here = scope["path"] + (f"?{query}" if query else "")
        return RedirectResponse(f"/auth/login?next={quote(here, safe='')}", 303, {"cache-control": "no-store"})
    http = HttpRequest(scope)
    http.state.principal = caller
    message = json.loads(bytes(answer.body))["error"]["message"]
    kind = _KINDS.get(answer.status_code, "failed")
    return render(http, "refusal", status=answer.status_code, kind=kind, message=message)
