"""Scripts and styles of the console, from the package alone; their addresses change with their content."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

from fastapi import APIRouter
from fastapi.responses import FileResponse, Response

from serving.gate import error_response
from serving.identity.needs import opened

FOLDER = Path(__file__).parent / "static"
_KINDS = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
router = APIRouter(prefix="/console/static", tags=["console"])


@cache
def _files() -> dict[str, Path]:
    return {file.relative_to(FOLDER).as_posix(): file for file in FOLDER.rglob("*") if file.suffix in _KINDS}


@cache
def version() -> str:
    """A digest of all of them: scripts import one another, so they change together."""
    found = hashlib.sha256()
    for name, file in sorted(_files().items()):
        found.update(name.encode() + file.read_bytes())
    return found.hexdigest()[:16]


def address(name: str) -> str:
    """Where a page gets it from. Raises KeyError for one that is not there."""
    return f"/console/static/{version()}/{_files()[name].relative_to(FOLDER).as_posix()}"


@router.get("/{digest}/{name:path}", response_model=None, include_in_schema=False, dependencies=[opened()])
async def asset(digest: str, name: str) -> Response:
    """One file. Of another version it is not kept by browsers."""
    file = _files().get(name)
    if file is None:
        return error_response(404, "found no such file of the console", "not_found")
    lives = "public, max-age=31536000, immutable" if digest == version() else "no-store"
    return FileResponse(file, media_type=_KINDS[file.suffix], headers={"cache-control": lives})
