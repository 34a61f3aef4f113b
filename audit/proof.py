"""A file that proves an entry offline: its index, the path to the root, and a signed checkpoint (C2SP tlog-proof).

    c2sp.org/tlog-proof@v1
    extra <base64>                 the entry's body, here
    index <index>
    <base64 hash>                  from the leaf's sibling to the root's child
    (empty line)
    <signed checkpoint>

Nothing in the file is trusted before the checkpoint's signature and the path to its root were verified: the body becomes
believable by its hash alone.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable
from dataclasses import dataclass

from audit import merkle
from audit.checkpoint import Checkpoint, Known
from guard.errors import SignatureError

HEADER = "c2sp.org/tlog-proof@v1"
SUFFIX = ".tlog-proof"
MAX_BYTES = 4_000_000

_INDEX = re.compile("index (0|[1-9][0-9]{0,18})")


class ProofError(SignatureError):
    """A proof that cannot be read, or that does not prove."""


@dataclass(frozen=True, slots=True)
class Proof:
    """A proof as it was read; `verify` says what it proves."""

    index: int
    path: tuple[bytes, ...]
    checkpoint: str
    """The signed note."""
    body: bytes = b""
    """The entry's canonical JSON; empty when the file does not bring it."""

    def __str__(self) -> str:
        lines = [HEADER]
        lines += [f"extra {base64.b64encode(self.body).decode()}"] if self.body else []
        lines.append(f"index {self.index}")
        lines += [base64.b64encode(node).decode() for node in self.path]
        return "\n".join(lines) + "\n\n" + self.checkpoint

    @classmethod
    def parse(cls, text: str) -> Proof:
        """Read a proof file. Raises ProofError for what is none."""
        if len(text) > MAX_BYTES:
            raise ProofError(f"found a proof of {len(text)} characters, expected at most {MAX_BYTES}")
        head, gap, checkpoint = text.partition("\n\n")
        lines = head.split("\n")
        if not gap or lines[0] != HEADER:
            raise ProofError(f"found no proof file, expected {HEADER!r} in its first line and a checkpoint after an empty one")
        body = b""
        if len(lines) > 1 and lines[1].startswith("extra "):
            body = _decoded(lines.pop(1).removeprefix("extra "), "extra")
        index = _INDEX.fullmatch(lines[1]) if len(lines) > 1 else None
        if index is None:
            raise ProofError("found no index in the proof, expected a line `index N`")
        if len(lines) > 2 + 64:
            raise ProofError(f"found a path of {len(lines) - 2} hashes, expected at most 64")
        path = tuple(_decoded(line, "a hash") for line in lines[2:])
        if any(len(node) != merkle.HASH_SIZE for node in path):
            raise ProofError("found a hash of another length in the path, expected 32 bytes in base64")
        return cls(int(index[1]), path, checkpoint, body)

    def verify(self, keys: Iterable[Known], *, body: bytes | None = None, origin: str = "") -> Checkpoint:
        """The signed tree head that the entry is proven to be under.

        `body`: the entry's bytes, where the file does not bring them or one has one's own. `origin`: of which log; empty: any.
        Raises ProofError, or SignatureError for the checkpoint, when it does not prove.
        """
        entry = self.body if body is None else body
        if not entry:
            raise ProofError("found a proof without the entry's body, expected it with the proof", advice="Give the body too.")
        head = Checkpoint.verified(self.checkpoint, keys, origin)
        if not merkle.verify_inclusion(self.index, head.size, merkle.leaf_hash(entry), self.path, head.root):
            raise ProofError(f"found a path from entry {self.index} that does not lead to the signed root of size {head.size}")
        return head


def _decoded(text: str, what: str) -> bytes:
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        data = b""
    if not data or base64.b64encode(data).decode() != text:
        raise ProofError(f"found {what} that is no base64, expected it in the proof file")
    return data
