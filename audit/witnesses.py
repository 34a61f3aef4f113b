"""Asks witnesses to cosign a log's checkpoints: who has one with enough cosignatures knows that others saw it, too."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from audit.checkpoint import Checkpoint
from audit.cosign import WitnessKey
from audit.webhook import check_address, trusted
from audit.witness import SIZE_TYPE, Request
from guard.errors import InputError, LedgerError, SignatureError
from guard.note import Note, Signature

TIMEOUT_S = 5.0
MAX_WAIT_S = 60.0
"""Before a witness that did not answer is asked again; the first wait is a second, each doubles it."""
_MAX_ANSWER = 10_000
_TARGET = re.compile(r"(https?://[^+\s]+)\+([^+\s]+\+[0-9a-f]{8}\+\S+)")

Prove = Callable[[int, int], Sequence[bytes]]
"""The consistency proof between two sizes of the log. Raises LedgerError."""


@dataclass(slots=True)
class Remote:
    """A witness on another machine."""

    url: str
    key: WitnessKey
    seen: int = 0
    """The size that it cosigned last, as far as is known here."""
    trouble: str = ""
    """Why it did not cosign the latest checkpoint; empty when it did."""
    clock: Callable[[], float] = time.monotonic
    _failed: int = field(default=0, repr=False)
    _next: float = field(default=0.0, repr=False)

    @classmethod
    def parse(cls, target: str) -> Remote:
        """Read `https://HOST/PATH+NAME+ID+KEY`. Raises InputError, SignatureError."""
        parts = _TARGET.fullmatch(target)
        if parts is None:
            raise InputError("found a witness that cannot be read, expected https://HOST/PATH+NAME+ID+KEY")
        check_address(parts[1])
        return cls(parts[1].rstrip("/"), WitnessKey.parse(parts[2]))

    def attempt(self, note: Note, prove: Prove) -> Signature | None:
        """`cosign`; None when it gives none, as `trouble` says, or gave none a moment ago and is not asked yet."""
        if self.clock() < self._next:
            return None
        try:
            found = self.cosign(note, prove)
        except (OSError, SignatureError, LedgerError) as error:
            told = error.strerror if isinstance(error, OSError) else str(error)
            self.trouble = told or type(error).__name__
            self._failed = min(self._failed + 1, 30)
            self._next = self.clock() + min(2.0 ** (self._failed - 1), MAX_WAIT_S)
            return None
        self.trouble, self._failed, self._next = "", 0, 0.0
        return found

    def cosign(self, note: Note, prove: Prove) -> Signature:
        """Its cosignature of a checkpoint. Raises OSError when it gives none, SignatureError when what it gives is none."""
        head = Checkpoint.parse(note.text)
        status, media_type, text = self._ask(note, head, prove)
        if status == 409 and media_type == SIZE_TYPE and text.strip().isdecimal() and int(text) <= head.size:
            self.seen = int(text)
            status, _, text = self._ask(note, head, prove)
        if status != 200:
            raise ConnectionError(None, f"status {status}")
        answer = Note.parse(f"{note.text}\n{text}")
        found = next((one for one in answer.signatures if self.key.time(note.text, one) is not None), None)
        if found is None:
            raise SignatureError("found no cosignature of its key")
        self.seen = head.size
        return found

    def _ask(self, note: Note, head: Checkpoint, prove: Prove) -> tuple[int, str, str]:
        import httpx

        old = min(self.seen, head.size)
        proof = prove(old, head.size) if 0 < old < head.size else ()
        body = str(Request(old, tuple(proof), str(note))).encode()
        try:
            with (
                httpx.Client(timeout=TIMEOUT_S, follow_redirects=False, trust_env=False, verify=trusted()) as client,
                client.stream("POST", f"{self.url}/add-checkpoint", content=body) as answer,
            ):
                data = b""
                for part in answer.iter_bytes():
                    data += part
                    if len(data) > _MAX_ANSWER:
                        raise ConnectionError(None, "the answer is too long")
                return answer.status_code, answer.headers.get("content-type", ""), data.decode("utf-8", "replace")
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise ConnectionError(None, f"no answer: {type(error).__name__}") from None


@dataclass(slots=True)
class Witnesses:
    """The witnesses of a log. Not safe to use from several threads at once."""

    remotes: Sequence[Remote]
    quorum: int
    """How many of them have to cosign a checkpoint."""
    required: bool = False
    """Whether a checkpoint that fewer cosigned is not handed out."""

    @classmethod
    def of(cls, targets: Sequence[str], quorum: int | None = None, *, required: bool = False) -> Witnesses | None:
        """Those that are named `https://HOST/PATH+NAME+ID+KEY`; None when none is. `quorum`: all, when left out.

        Raises InputError, SignatureError.
        """
        remotes = [Remote.parse(one) for one in targets]
        if len({one.key for one in remotes}) < len(remotes) or (quorum or 0) > len(remotes):
            raise InputError(
                f"found {len(remotes)} witnesses, expected different ones, and no fewer than the quorum of {quorum}"
            )
        return cls(remotes, len(remotes) if quorum is None else quorum, required) if remotes else None

    def ask(self, note: str, prove: Prove) -> str:
        """The checkpoint with the cosignatures that came; all are asked at once, each for at most ten seconds."""
        read = Note.parse(note)
        with ThreadPoolExecutor(max(1, len(self.remotes))) as pool:
            found = [one for one in pool.map(lambda remote: remote.attempt(read, prove), self.remotes) if one is not None]
        return str(Note(read.text, (*read.signatures, *found)))

    def lack(self) -> str:
        """What is wrong with the latest one; empty when enough cosigned it."""
        silent = [one for one in self.remotes if one.trouble]
        count = len(self.remotes) - len(silent)
        if count >= self.quorum:
            return ""
        told = "; ".join(f"{one.key.name}: {one.trouble}" for one in silent)
        return f"{count} of {len(self.remotes)} witnesses cosigned, expected {self.quorum} ({told})"
