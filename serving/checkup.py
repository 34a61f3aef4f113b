"""`/v1/verification`: the whole ledger verified at somebody's wish, in a process of its own, and how that last came out."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fastapi import APIRouter
from fastapi import Request as HttpRequest
from fastapi.responses import JSONResponse

from audit.body import time_string
from audit.database import database_path
from guard.errors import LedgerError
from serving.gate import busy_response
from serving.identity.needs import needs
from serving.identity.roles import Permission

SUFFIX = ".verified.json"
"""Ends the name of the file beside the ledger that keeps how it last came out: a note, and no proof."""
MAX_PROBLEMS = 20
"""Problems that are told; the terminal tells all."""
RUNNING = ".verifying"
"""Ends the name of the file that whoever verifies has locked; it says since when."""
_RETRY_S = 30
router = APIRouter(
    prefix="/v1/verification", tags=["genguard"], dependencies=[needs(Permission.SETTINGS, Permission.EXPORT, whole=True)]
)


@dataclass(slots=True)
class Checkup:
    """Verifies one ledger, one run at a time of all processes that have its keys."""

    url: str
    _since: str = ""
    """When the run of this process began; empty when none does."""
    _running: asyncio.Task[None] | None = field(default=None, repr=False)

    @property
    def since(self) -> str:
        """When the run in progress began, in whichever process; empty when none does."""
        if self._since:
            return self._since
        with suppress(OSError, LedgerError), self._file(RUNNING).open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return file.read(100).decode("ascii", "replace") or time_string(datetime.now(UTC))
        return ""

    def begin(self, actor: str) -> bool:
        """Start a run; False when one is in progress. Raises LedgerError, OSError where it cannot be noted."""
        if self._since:
            return False
        held = os.open(self._file(RUNNING), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(held)
            return False
        self._since = time_string(datetime.now(UTC))
        os.ftruncate(held, 0)
        os.pwrite(held, self._since.encode(), 0)
        self._running = asyncio.create_task(self._run(actor))
        self._running.add_done_callback(lambda _: self._over(held))
        return True

    async def _run(self, actor: str) -> None:
        command = (sys.executable, "-m", "cli", "audit", "verify", "--ledger", self.url, "--json")
        process = await asyncio.create_subprocess_exec(
            *command,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
        try:
            out, _ = await process.communicate()
        except asyncio.CancelledError:
            process.kill()
            raise
        told = {"time": self._since, "actor": actor, "code": process.returncode, **_said(out)}
        await asyncio.to_thread(self._keep, told)

    def _over(self, held: int) -> None:
        """A run ended, or never began."""
        os.close(held)
        self._since = ""

    async def close(self) -> None:
        """End the run in progress."""
        if self._running is not None:
            self._running.cancel()
            await asyncio.gather(self._running, return_exceptions=True)

    def last(self) -> dict[str, Any] | None:
        """How the last run came out; None before there was one."""
        try:
            found: dict[str, Any] = json.loads(self._file(SUFFIX).read_bytes())
        except (OSError, ValueError, LedgerError):
            return None
        return found

    def _keep(self, told: dict[str, Any]) -> None:
        file = self._file(SUFFIX)
        part = file.with_name(f".{file.name}.{os.getpid()}")
        part.write_text(json.dumps(told), "utf-8")
        part.replace(file)

    def _file(self, suffix: str) -> Path:
        path = database_path(self.url)
        return path.with_name(path.name + suffix)


def _said(out: bytes) -> dict[str, Any]:
    """What the verifier said, as far as it is told here."""
    try:
        report = json.loads(out)
    except ValueError:
        return {"ok": False, "size": None, "seconds": None, "unchecked": [], "problem_count": None, "problems": []}
    checked = {name: report[name] for name in ("ok", "size", "seconds", "unchecked", "problem_count")}
    return {**checked, "problems": report["problems"][:MAX_PROBLEMS]}


@router.get("", response_model=None)
def verification(http: HttpRequest) -> dict[str, Any]:
    """Since when one runs, and how the last came out: `code` and `ok` are those of `genguard audit verify`."""
    checkup: Checkup = http.app.state.checkup
    return {"running_since": checkup.since or None, "last": checkup.last()}


@router.post("", response_model=None, status_code=202)
async def begin(http: HttpRequest) -> JSONResponse:
    """Verify the whole ledger, its checkpoints and anchors. 202; ask again for how it came out."""
    checkup: Checkup = http.app.state.checkup
    if not checkup.begin(http.state.request.actor):
        return busy_response("a verification is running", _RETRY_S)
    return JSONResponse({"running_since": checkup.since, "last": await asyncio.to_thread(checkup.last)}, status_code=202)
