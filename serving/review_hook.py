"""Posts what became of reviews to the web hook of the settings: each at least once, in the order of the ledger, no content.

    {"type": "review.decided", "timestamp": "…", "data": {"decision": "…", "outcome": "released", …, "receipt": {…}}}

It is signed as `audit.webhook` says; `webhook-id` is the same for each try. A cursor beside the ledger says where it goes on:
a service that was stopped posts what it missed. Of several services of one ledger one posts at a time.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import logging
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import select

from audit.canonical import loads
from audit.database import database_path
from audit.events import APPEAL, OVERRIDE, REVIEW
from audit.export.selection import Selection, Taken
from audit.export.stream import Cursor, Stream
from audit.models import tables
from audit.query import identity, reading
from audit.review import Phase, State, fold
from audit.review_codes import RELEASE
from audit.review_queue import histories
from audit.webhook import Hook, check_address, read_secret
from guard.errors import GenguardError, InputError, LedgerError, SettingsError
from serving.settings import Settings

POLL_S = 1.0
MAX_WAIT_S = 300.0
RELEASED, WITHHELD, WAITING = "released", "withheld", "waiting"
"""What a hook is told: it may leave, it may not, or a step was undone and it waits again."""
_STEPS = f"kind:{REVIEW},{APPEAL},{OVERRIDE}"
_HEAD = tables()[2]
_log = logging.getLogger(__name__)


@dataclass(slots=True)
class ReviewHook:
    """Where outcomes of reviews are posted to."""

    url: str
    """Of the ledger."""
    hook: Hook
    cursor: Cursor
    trouble: str = ""
    """Why the latest try failed; empty when it did not."""
    clock: Callable[[], float] = time.monotonic
    _failed: int = field(default=0, repr=False)
    _next: float = field(default=0.0, repr=False)

    @classmethod
    def open(cls, settings: Settings) -> ReviewHook | None:
        """That of the settings; None when there is none. Begins with what is decided from now on, where it never ran.

        Raises SettingsError for an address or a secret that cannot be, LedgerError.
        """
        if not settings.review_webhook:
            return None
        try:
            check_address(settings.review_webhook)
        except InputError as error:
            raise SettingsError(f"GENGUARD_REVIEW_WEBHOOK: {error}") from None
        secret = read_secret(settings.webhook_secret.get_secret_value())
        if not secret:
            raise SettingsError("found GENGUARD_REVIEW_WEBHOOK and no secret", advice="Set GENGUARD_WEBHOOK_SECRET.")
        path = database_path(settings.ledger)
        cursor = Cursor(path.with_name(path.name + ".review-hook.json"), identity(settings.ledger))
        made = cls(settings.ledger, Hook(settings.review_webhook, secret), cursor)
        if not cursor.path.exists():
            with reading(settings.ledger) as connection:
                cursor.write(connection.execute(select(_HEAD.c.size)).scalar_one())
        return made

    def post(self) -> None:
        """Post what was decided since, unless the latest try failed a moment ago or another service is at it."""
        if self.clock() < self._next:
            return
        try:
            with _alone(self.cursor.path.with_suffix(".lock")) as mine:
                if mine:
                    Stream(self.url, Selection(_STEPS), _Single(self.hook), self.cursor, self._line, tries=1).run(follow=False)
        except (OSError, GenguardError) as error:
            told = error.strerror if isinstance(error, OSError) else str(error)
            self.trouble = f"outcomes of reviews are not posted: {told or type(error).__name__}"
            self._failed = min(self._failed + 1, 30)
            self._next = self.clock() + min(2.0 ** (self._failed - 1), MAX_WAIT_S)
        else:
            self.trouble, self._failed, self._next = "", 0, 0.0

    async def keep_posting(self) -> None:
        """`post` each second; a failure is told by `trouble` and logged once."""
        while True:
            before = self.trouble
            await asyncio.to_thread(self.post)
            if self.trouble and not before:
                _log.error("%s", self.trouble)
            await asyncio.sleep(POLL_S)

    def _line(self, entry: Taken) -> bytes:
        """What is posted of a step; empty for one after which it stands as before."""
        if entry.body is None or not entry.columns["parent"]:
            return b""
        found = histories(self.url, [entry.columns["parent"]])
        if not found:
            return b""
        subject, steps = found[0]
        before = fold(subject, [one for one in steps if one.idx < entry.idx])
        after = fold(subject, [one for one in steps if one.idx <= entry.idx])
        now, was = _outcome(after), _outcome(before)
        if now == was:
            return b""
        body = loads(entry.body)
        code = body.get("fields", {}).get("code", "")
        data: dict[str, Any] = {
            "decision": subject.decision,
            "tenant": entry.columns["tenant"] or "",
            "held": subject.held,
            "outcome": now,
            **({"code": code} if code else {}),
            "by": body["kind"],
            "receipt": {"index": entry.idx, "leaf_hash": entry.leaf.hex(), "tree_size": entry.idx + 1},
        }
        message = {"type": "review.decided" if now != WAITING else "review.reopened", "timestamp": body["time"], "data": data}
        return json.dumps(message, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"


@dataclass(slots=True)
class _Single:
    """Posts each line by itself."""

    hook: Hook

    def send(self, lines: Sequence[bytes], /) -> None:
        """See `audit.export.sinks.Sink`."""
        for line in lines:
            message = line.rstrip(b"\n")
            self.hook.post(message, f"review-{json.loads(message)['data']['receipt']['index']}")

    def close(self) -> None:
        """Nothing is open."""


def _outcome(state: State) -> str:
    if state.phase is not Phase.DECIDED:
        return WAITING
    return RELEASED if state.outcome == RELEASE else WITHHELD


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[bool]:
    """Whether no other process has the lock; it is let go at the end."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise LedgerError(f"cannot lock {path}: {error.strerror or type(error).__name__}") from None
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(descriptor)
