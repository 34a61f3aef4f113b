"""Signed checkpoints of the service's ledger, kept up to date, and proofs of its decisions over HTTP."""

from __future__ import annotations

import asyncio
import logging
import threading
from dataclasses import dataclass, field
from time import monotonic

from fastapi import APIRouter
from fastapi import Request as HttpRequest
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse, PlainTextResponse, Response

from audit.anchor import SentAnchor, open_anchor, spool_of
from audit.checkpoint import Checkpoint
from audit.database import database_path, reader_engine
from audit.log_rotation import LogKeys
from audit.notary import KeyChangedError, Notary, NotCosignedError
from audit.proof import SUFFIX
from audit.prove import prove
from audit.query import identity
from audit.webhook import read_secret
from audit.witnesses import Witnesses
from guard.errors import LedgerError
from guard.note import Note
from serving.identity.needs import needs
from serving.identity.roles import Permission
from serving.lookup import visible
from serving.settings import Settings

SIGN_S = 1.0
"""Seconds between two checkpoints while entries come."""
_log = logging.getLogger(__name__)

router = APIRouter(prefix="/v1", tags=["genguard"], dependencies=[needs(Permission.PROOFS)])


@dataclass(slots=True)
class Office:
    """A notary with its latest checkpoint; safe to use from several threads."""

    notary: Notary
    url: str
    keys: LogKeys
    trouble: str = ""
    """Why the latest signing failed; empty when it did not."""
    _latest: str = ""
    _signed_at: float = field(default_factory=monotonic)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @classmethod
    def open(cls, settings: Settings) -> Office:
        """For the settings' ledger. Raises LedgerError when its key cannot be used."""
        path = database_path(settings.ledger)
        secret = read_secret(settings.webhook_secret.get_secret_value())
        anchors = [open_anchor(one, spool_of(path), secret) for one in settings.anchors]
        keys = LogKeys.of(reader_engine(settings.ledger), path, identity(settings.ledger), settings.log_key_file, anchors)
        witnesses = witnesses_of(settings)
        return cls(_notary(keys, witnesses), settings.ledger, keys)

    def checkpoint(self, covers: int = 0) -> str:
        """A signed checkpoint of at least `covers` entries, as new as signing now makes it. Raises LedgerError."""
        with self._lock:
            if not self._latest or covers == 0 or _size(self._latest) < covers:
                try:
                    note = self._sign()
                except NotCosignedError:  # `notices` says so: decisions go on
                    raise
                except LedgerError as error:
                    self.trouble = str(error)
                    raise
                self.trouble = ""
                if note is None and not self._latest:  # the anchors have this very size already
                    note = Notary(self.notary.engine, self.notary.path, self.notary.key, witnesses=self.notary.witnesses).sign()
                self._latest, self._signed_at = note or self._latest, monotonic()
            return self._latest

    def age(self) -> float:
        """Seconds since the ledger was last signed as it was, or found to be; at first since this was opened."""
        return monotonic() - self._signed_at

    def _sign(self) -> str | None:
        """Sign, with the key that followed where another process changed it."""
        try:
            return self.notary.sign()
        except KeyChangedError:
            self.notary = _notary(self.keys, self.notary.witnesses)
            return self.notary.sign()

    @property
    def sent(self) -> list[SentAnchor]:
        """Those anchors that checkpoints are sent to."""
        return [one for one in self.keys.anchors if isinstance(one, SentAnchor)]

    def notices(self) -> list[str]:
        """What is wrong and no reason to stop serving."""
        witnesses = self.notary.witnesses
        lack = witnesses.lack() if witnesses is not None else ""
        return [one.trouble for one in self.sent if one.trouble] + ([lack] if lack else [])

    async def keep_sending(self, anchor: SentAnchor) -> None:
        """Send every second what waits; what goes wrong is told by `notices`, logged once, and tried again."""
        while True:
            before = anchor.trouble
            await asyncio.to_thread(anchor.deliver)
            if anchor.trouble and not before:
                _log.error("checkpoints are not sent: %s", anchor.trouble)
            await asyncio.sleep(SIGN_S)

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


def witnesses_of(settings: Settings) -> Witnesses | None:
    """Who cosigns checkpoints. Raises InputError, SignatureError."""
    return Witnesses.of(settings.witnesses, settings.witness_quorum, required=settings.witness_policy == "require")


def _notary(keys: LogKeys, witnesses: Witnesses | None) -> Notary:
    return Notary(keys.engine, keys.database, keys.key(), keys.anchors, keys.tenures(), witnesses)


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


@router.get("/checkpoint/chain", response_class=PlainTextResponse)
async def checkpoint_chain(http: HttpRequest) -> Response:
    """How the key became the one that it is: a proof for each change; empty when it never changed."""
    office: Office = http.app.state.office
    return PlainTextResponse(await run_in_threadpool(office.keys.chain))


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
