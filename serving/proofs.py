"""Signed checkpoints of the service's ledger, kept up to date, and proofs of its decisions over HTTP."""

from __future__ import annotations

import asyncio
import logging
import threading
from dataclasses import dataclass, field
from pathlib import Path

from fastapi import APIRouter
from fastapi import Request as HttpRequest
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse, PlainTextResponse, Response

from audit.anchor import FileAnchor
from audit.checkpoint import Checkpoint
from audit.database import database_path, reader_engine
from audit.log_key import need_log_key
from audit.notary import Notary
from audit.proof import SUFFIX
from audit.prove import prove
from audit.query import identity
from guard.errors import LedgerError
from guard.note import Note
from serving.lookup import visible
from serving.settings import Settings

SIGN_S = 1.0
"""Seconds between two checkpoints while entries come."""
_log = logging.getLogger(__name__)

router = APIRouter(prefix="/v1", tags=["genguard"])


@dataclass(slots=True)
class Office:
    """A notary with its latest checkpoint; safe to use from several threads."""

    notary: Notary
    url: str
    trouble: str = ""
    """Why the latest signing failed; empty when it did not."""
    _latest: str = ""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @classmethod
    def open(cls, settings: Settings) -> Office:
        """For the settings' ledger. Raises LedgerError when its key cannot be used."""
        path = database_path(settings.ledger)
        key = need_log_key(path, identity(settings.ledger), settings.log_key_file)
        anchors = [FileAnchor(Path(one)) for one in settings.anchors]
        return cls(Notary(reader_engine(settings.ledger), path, key, anchors), settings.ledger)

    def checkpoint(self, covers: int = 0) -> str:
        """A signed checkpoint of at least `covers` entries, as new as signing now makes it. Raises LedgerError."""
        with self._lock:
            if not self._latest or covers == 0 or _size(self._latest) < covers:
                try:
                    note = self.notary.sign()
                except LedgerError as error:
                    self.trouble = str(error)
                    raise
                self.trouble = ""
                if note is None and not self._latest:  # the anchors have this very size already
                    note = Notary(self.notary.engine, self.notary.path, self.notary.key).sign()
                self._latest = note or self._latest
            return self._latest

    async def keep_signing(self) -> None:
        """Sign every second what came; a failure is told by `trouble`, logged once, and tried again."""
        while True:
            before = self.trouble
            try:
                await asyncio.to_thread(self.checkpoint)
            except LedgerError as error:
                if str(error) != before:
                    _log.error("the ledger is not signed: %s", error)
            await asyncio.sleep(SIGN_S)


def _size(note: str) -> int:
    return Checkpoint.parse(Note.parse(note).text).size


@router.get("/checkpoint", response_class=PlainTextResponse)
async def checkpoint(http: HttpRequest) -> Response:
    """What the ledger is now: origin, size and root, signed."""
    office: Office = http.app.state.office
    return PlainTextResponse(await run_in_threadpool(office.checkpoint))


@router.get("/checkpoint/key", response_class=PlainTextResponse)
async def checkpoint_key(http: HttpRequest) -> Response:
    """The public key that checkpoints and proofs are verified with; compare it with one from another source."""
    office: Office = http.app.state.office
    return PlainTextResponse(f"{office.notary.key.public}\n")


@router.get("/decisions/{decision}/proof", response_class=PlainTextResponse)
async def decision_proof(decision: str, http: HttpRequest) -> Response:
    """A file that proves one decision to whoever has the ledger's public key."""
    office: Office = http.app.state.office
    shown = await visible(http, decision)
    if isinstance(shown, JSONResponse):
        return shown
    note = await run_in_threadpool(office.checkpoint, shown.idx + 1)
    proof = await run_in_threadpool(prove, office.url, shown.idx, note)
    name = shown.body.get("id", str(shown.idx))
    return PlainTextResponse(str(proof), headers={"content-disposition": f'attachment; filename="{name}{SUFFIX}"'})
