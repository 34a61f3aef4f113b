"""Entries as a file over HTTP: what `genguard audit export` writes, for whoever may see them."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from pathlib import Path
from typing import Literal

from fastapi import APIRouter
from fastapi import Request as HttpRequest
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import FileResponse, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.background import BackgroundTask

from audit.export.run import BUNDLE, Order, export
from serving.gate import busy_response
from serving.identity.needs import needs
from serving.identity.roles import Permission
from serving.proofs import Office
from serving.wiring import Wired

TYPES = {
    "bundle": ("application/zip", "zip"),
    "csv": ("text/csv; charset=utf-8", "csv"),
    "jsonl": ("application/x-ndjson", "jsonl"),
    "parquet": ("application/vnd.apache.parquet", "parquet"),
    "dsa": ("application/x-ndjson", "jsonl"),
    "ocsf": ("application/x-ndjson", "jsonl"),
}
"""Media type and ending by format."""
BUSY_S = 10
"""When a caller who came during another's export may ask again."""

router = APIRouter(prefix="/v1", tags=["genguard"], dependencies=[needs(Permission.EXPORT)])
_turn = asyncio.Semaphore(1)


class ExportRequest(BaseModel):
    """Which entries, in which form."""

    model_config = ConfigDict(extra="forbid")

    format: Literal["bundle", "csv", "jsonl", "parquet", "dsa", "ocsf"] = "bundle"
    q: str = Field("", max_length=1000, description="Filters such as `action:block since:2026-11-01`.")
    all_kinds: bool = False


@router.post("/exports", response_class=FileResponse)
async def exports(body: ExportRequest, http: HttpRequest) -> Response:
    """Write the file, record that, and answer with it; one at a time. A tenant's key gets that tenant's decisions alone."""
    if _turn.locked():
        return busy_response("another export is being written", BUSY_S)
    async with _turn:
        folder = Path(await run_in_threadpool(tempfile.mkdtemp, prefix="genguard-export-"))
        try:
            return await run_in_threadpool(_export, body, http, folder)
        except BaseException:
            await run_in_threadpool(shutil.rmtree, folder, ignore_errors=True)
            raise


def _export(body: ExportRequest, http: HttpRequest, folder: Path) -> Response:
    wired: Wired = http.app.state.wired
    office: Office = http.app.state.office
    note = office.checkpoint() if body.format == BUNDLE else ""
    order = Order(
        wired.ledger_url,
        body.format,
        body.q,
        http.state.request.actor or "api",
        body.all_kinds,
        tenant=http.state.sees,
        checkpoint=note,
        key=office.notary.key.public,
        chain=office.keys.chain() if body.format == BUNDLE else "",
    )
    media_type, ending = TYPES[body.format]
    done = export(order, folder / f"genguard.{ending}", wired.ledger.record_sync)
    headers = {
        "x-genguard-export": str(done.entry),
        "x-genguard-count": str(done.written.count),
        "x-genguard-left-out": str(sum((done.written.left_out or {}).values())),
        "x-genguard-sha256": done.digest,
    }
    gone = BackgroundTask(shutil.rmtree, folder, ignore_errors=True)
    return FileResponse(done.path, media_type=media_type, filename=done.path.name, headers=headers, background=gone)
