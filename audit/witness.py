"""A witness: cosigns checkpoints of logs that only grew since it saw them last (https://c2sp.org/tlog-witness).

Of each log it keeps the latest tree that it cosigned, in a file that is on disk before the cosignature leaves. Two requests for
one log never overlap, in this process or in another with the same folder.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import fcntl
import os
import re
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from audit import merkle
from audit.checkpoint import Checkpoint
from audit.cosign import WitnessKey, cosign
from guard.errors import LedgerError, SignatureError
from guard.keyfile import sync_folder
from guard.note import MAX_BYTES, Note, PublicKey, SigningKey

MAX_PROOF = 63
"""Hashes of a consistency proof."""
_OLD = re.compile("old (0|[1-9][0-9]{0,18})")
SIZE_TYPE = "text/x.tlog.size"


@dataclass(frozen=True, slots=True)
class Request:
    """A checkpoint with the proof that it extends a tree of `old` entries."""

    old: int
    proof: tuple[bytes, ...]
    note: str

    def __str__(self) -> str:
        lines = [f"old {self.old}", *(base64.b64encode(one).decode() for one in self.proof)]
        return "\n".join(lines) + f"\n\n{self.note}"

    @classmethod
    def parse(cls, data: bytes) -> Request:
        """Read a request's body. Raises SignatureError for what is none."""
        try:
            head, gap, note = data.decode("utf-8").partition("\n\n")
            first, *lines = head.split("\n")
            proof = tuple(base64.b64decode(line, validate=True) for line in lines)
        except (UnicodeDecodeError, binascii.Error, ValueError):
            raise SignatureError("found no request to a witness: it is no text, or its proof no base64") from None
        old = _OLD.fullmatch(first)
        if not gap or old is None or len(proof) > MAX_PROOF or any(len(one) != merkle.HASH_SIZE for one in proof):
            raise SignatureError(
                "found no request to a witness, expected `old N`, up to 63 hashes, an empty line, a checkpoint"
            )
        return cls(int(old[1]), proof, note)


@dataclass(frozen=True, slots=True)
class Answer:
    """What the witness answers."""

    status: int
    text: str
    media_type: str = "text/plain; charset=utf-8"


@dataclass(slots=True)
class Witness:
    """A witness with its key, the logs that it knows, and what it saw of them."""

    key: SigningKey
    logs: Iterable[PublicKey]
    """Keys of logs; a key's name is the log's origin."""
    folder: Path
    """Where it keeps what it saw."""
    clock: Callable[[], float] = time.time
    _known: dict[str, list[PublicKey]] = field(init=False)

    def __post_init__(self) -> None:
        """Put the keys of each log together."""
        self._known = {}
        for key in self.logs:
            self._known.setdefault(key.name, []).append(key)

    def add_checkpoint(self, data: bytes) -> Answer:
        """Answer a request. Raises LedgerError when what was seen cannot be read or kept: nothing is cosigned then."""
        if len(data) > MAX_BYTES:
            return Answer(413, "the request is too large\n")
        try:
            request = Request.parse(data)
            note = Note.parse(request.note)
            origin = note.text.partition("\n")[0]
            if origin not in self._known:
                return Answer(404, "this witness does not know the log\n")
        except SignatureError as error:
            return Answer(400, f"{error}\n")
        try:
            head = Checkpoint.verified(request.note, self._known[origin], origin)
        except SignatureError:
            return Answer(403, "the checkpoint is not signed by a key of the log\n")
        if request.old > head.size:
            return Answer(400, "the old size is larger than the checkpoint's\n")
        with self._alone(origin):
            return self._decide(request, note.text, head)

    def latest(self, origin: str) -> Checkpoint | None:
        """The latest tree of a log that was cosigned. Raises LedgerError when it cannot be read."""
        path = self._file(origin)
        try:
            return Checkpoint.parse(path.read_text("utf-8"))
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError, SignatureError) as error:
            raise LedgerError(
                f"cannot read what the witness saw, {path}: {type(error).__name__}",
                advice="Put it back from its backup. Without it, the witness would cosign another log of that name.",
            ) from None

    def _decide(self, request: Request, text: str, head: Checkpoint) -> Answer:
        latest = self.latest(head.origin) or Checkpoint(head.origin, 0, merkle.EMPTY_ROOT)
        if request.old != latest.size:
            return Answer(409, f"{latest.size}\n", SIZE_TYPE)
        if head.size == latest.size and head.root != latest.root:
            return Answer(409, f"{latest.size}\n", SIZE_TYPE)
        if latest.size == 0 and head.size > 0:
            consistent = not request.proof
        else:
            consistent = merkle.verify_consistency(latest.size, head.size, latest.root, head.root, request.proof)
        if not consistent:
            return Answer(422, "the proof does not show that the log only grew\n")
        self._keep(head, text)
        signature = cosign(text, self.key, int(self.clock()))
        return Answer(200, str(Note(text, (signature,)))[len(text) + 1 :])

    def _keep(self, head: Checkpoint, text: str) -> None:
        path = self._file(head.origin)
        part = path.with_name(f".{path.name}.{os.getpid()}.part")
        try:
            with part.open("w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            part.replace(path)
            sync_folder(path.parent)
        except OSError as error:
            why = error.strerror or type(error).__name__
            raise LedgerError(f"cannot keep what the witness saw in {path}: {why}") from None

    def _file(self, origin: str) -> Path:
        return self.folder / f"{sha256(origin.encode()).hexdigest()}.checkpoint"

    @contextlib.contextmanager
    def _alone(self, origin: str) -> Iterator[None]:
        """One request for a log at a time."""
        path = self._file(origin).with_suffix(".lock")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            why = error.strerror or type(error).__name__
            raise LedgerError(f"cannot keep what the witness saw in {self.folder}: {why}") from None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def public(key: SigningKey) -> str:
    """The line that others verify a witness's cosignatures with."""
    return str(WitnessKey.of(key))
